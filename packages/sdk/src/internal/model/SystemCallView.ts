import { EBADF, ECANCELED, EINVAL, ENODEV, ENOTTY, EPERM, ESPIPE } from "../errno.ts"
import { CREATE_SESSION, KVM_CREATE_VM, kvm, RETRIEVE_FD, RETRIEVE_SESSION, returnedFd } from "../ioctl.ts"
import type { FileStatus, SystemCalls } from "../Kernel.ts"
import {
  F_ADD_SEALS,
  F_DUPFD_CLOEXEC,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  LINUX_REBOOT_CMD_KEXEC,
  MFD_CLOEXEC
} from "../uapi.ts"
import * as KernelImages from "./KernelImages.ts"
import * as KernelLog from "./KernelLog.ts"
import type { RunningKernel } from "./RunningKernel.ts"

/** Whose system calls they are. */
export interface Program {
  /** The kernel that the program runs on; nothing once that has jumped. */
  readonly kernel: () => RunningKernel | undefined
  /** The descriptors that it opened, and on which kernel: on another one they are closed. */
  readonly descriptors: Map<number, RunningKernel>
}

// include/uapi/asm-generic/fcntl.h, include/uapi/linux/magic.h
const F_DUPFD = 0
const ANON_INODE_FS_MAGIC = 0x09041934
/** The largest folio that shmem is asked for in one write: `mapping_max_folio_size` with CONFIG_TRANSPARENT_HUGEPAGE. */
const FOLIO_MAX = 2 << 20

const device = "/dev/liveupdate"
const ownDescriptor = new RegExp(`^/proc/(?:self|${process.pid})/fd/(\\d+)$`)
const ownInformation = new RegExp(`^/proc/(?:self|${process.pid})/fdinfo/(\\d+)$`)
/** Paths under it that this machine doesn't have can be loaded all the same: tests of a program that jumps run anywhere. */
const boot = "/boot/"

/** A descriptor is in the struct, or is the answer itself. */
const returnsFd = new Set([CREATE_SESSION, RETRIEVE_SESSION, RETRIEVE_FD])
const answersFd = new Set([KVM_CREATE_VM, kvm.createGuestMemfd.number])

/** What a program hears that goes on after its kernel has jumped; it would be no more. */
const GONE = -ECANCELED
const never = new Promise<number>(() => {})

/** The seam's system calls, with what live update adds answered by the model and the rest by this machine's kernel. */
export const make = (real: SystemCalls, program: Program): SystemCalls => {
  const { descriptors } = program

  const on = <A>(run: (kernel: RunningKernel) => A | number): A | number => {
    const kernel = program.kernel()
    return kernel === undefined ? GONE : run(kernel)
  }
  const onFd = <A>(fd: number, run: (kernel: RunningKernel) => A | number): A | number =>
    on((kernel) => ((descriptors.get(fd) ?? kernel) === kernel ? run(kernel) : -EBADF))
  /** For files that memory's and other files' calls are not meant for. */
  const onOrdinary = <A>(fd: number, otherwise: number, run: (kernel: RunningKernel) => A | number): A | number =>
    onFd(fd, (kernel) => (kernel.specials.find(fd) === undefined ? run(kernel) : otherwise))
  const later = (answer: () => number): Promise<number> =>
    program.kernel() === undefined
      ? never
      : Promise.resolve().then(() => (program.kernel() === undefined ? never : answer()))

  const opened = (kernel: RunningKernel, fd: number): number => {
    if (fd < 0) return fd
    descriptors.set(fd, kernel)
    kernel.specials.adopt(fd)
    return fd
  }

  const named = (kernel: RunningKernel, pattern: RegExp, path: string) => {
    const number = pattern.exec(path)?.[1]
    return number === undefined ? undefined : kernel.specials.find(Number(number))
  }
  const openFile = (path: string, flags: number) =>
    on((kernel) => {
      if (path === device) return opened(kernel, kernel.orchestrator.open())
      if (path === KernelLog.path) return opened(kernel, kernel.log.open())
      const modelled = kernel.devices?.open(path)
      if (modelled !== undefined) return opened(kernel, modelled)
      const special = named(kernel, ownDescriptor, path)
      if (special !== undefined) return opened(kernel, special.reopen())
      const fd = real.openFile(path, flags)
      return opened(kernel, fd < 0 && path.startsWith(boot) ? openStandIn() : fd)
    })
  const openStandIn = (): number => {
    const fd = real.memfdCreate("liveupdate-model-kernel", MFD_CLOEXEC)
    if (fd >= 0) real.write(fd, KernelImages.standIn(), 0)
    return fd
  }

  const close = (fd: number): number => {
    const kernel = program.kernel()
    if (kernel === undefined) return GONE
    const owner = descriptors.get(fd)
    descriptors.delete(fd)
    // One that was opened before the jump: it kept its number, so that nobody else's is closed by this.
    return owner === undefined || owner === kernel ? kernel.specials.close(fd) : real.close(fd)
  }

  const ioctl = (fd: number, request: number, argument: Buffer): number =>
    onFd(fd, (kernel) => {
      const special = kernel.specials.find(fd)
      if (special === undefined) return real.ioctl(fd, request, argument)
      const answer = special.ioctl(request, argument)
      if (answer === 0 && returnsFd.has(request)) opened(kernel, returnedFd(argument))
      return answersFd.has(request) ? opened(kernel, answer) : answer
    })
  const ioctlNumber = (fd: number, request: number, argument: number): number =>
    onFd(fd, (kernel) => {
      const special = kernel.specials.find(fd)
      if (special === undefined) return real.ioctlNumber(fd, request, argument)
      const answer = special.ioctlNumber?.(request, argument) ?? -ENOTTY
      return answersFd.has(request) ? opened(kernel, answer) : answer
    })

  const status = (fd: number): FileStatus | number =>
    onFd(fd, (kernel) => {
      const answer = real.status(fd)
      if (typeof answer === "number") return answer
      const special = kernel.specials.find(fd)
      if (special === undefined) return { ...answer, allocated: kernel.memfds.allocated(answer) }
      return special.memory === undefined ? { ...answer, links: 1, size: 0, allocated: 0 } : { ...answer, links: 1 }
    })

  const refusesMapping = (fd: number, length: number, advice: ReadonlyArray<number>): number =>
    onFd(fd, (kernel) => {
      const special = kernel.specials.find(fd)
      return special === undefined ? 0 : (special.memory?.refuseAdvice(fd, length, advice) ?? -ENODEV)
    })

  const frozenSize = (kernel: RunningKernel, fd: number): number | undefined => {
    const answer = real.status(fd)
    return typeof answer !== "number" && kernel.memfds.isFrozen(answer) ? answer.size : undefined
  }

  /** `shmem_write_begin` is asked folio by folio: what comes before the first refused one is written. */
  const write = (fd: number, bytes: Uint8Array, position: number): number =>
    onFd(fd, (kernel) => {
      const special = kernel.specials.find(fd)
      if (special !== undefined) return special.unreadable
      const size = frozenSize(kernel, fd)
      if (size === undefined || position + bytes.length <= size) return real.write(fd, bytes, position)
      const whole = Math.floor(size / FOLIO_MAX) * FOLIO_MAX - position
      return whole > 0 ? real.write(fd, bytes.subarray(0, whole), position) : -EPERM
    })

  const fcntl = (fd: number, command: number, argument: number): number =>
    onFd(fd, (kernel) => {
      const special = kernel.specials.find(fd) !== undefined
      if (command === F_DUPFD || command === F_DUPFD_CLOEXEC) return opened(kernel, real.fcntl(fd, command, argument))
      if (special && command >= F_ADD_SEALS) return -EINVAL
      const refused = command === F_ADD_SEALS ? kernel.memfds.refuseSeals(fd, argument) : 0
      return refused < 0 ? refused : real.fcntl(fd, command, argument)
    })

  return {
    openFile,
    close,
    closeAsync: (fd) => later(() => close(fd)),
    dup: (fd) => onFd(fd, (kernel) => opened(kernel, real.dup(fd))),
    ioctl,
    ioctlAsync: (fd, request, argument) => later(() => ioctl(fd, request, argument)),
    ioctlNumber,
    fcntl,
    flock: (fd, operation) => onFd(fd, () => real.flock(fd, operation)),
    memfdCreate: (name, flags) => on((kernel) => opened(kernel, real.memfdCreate(name, flags))),
    ftruncate: (fd, size) =>
      onOrdinary(fd, -EINVAL, (kernel) => {
        const frozen = frozenSize(kernel, fd)
        return frozen !== undefined && Number.isSafeInteger(size) && size >= 0 && size !== frozen
          ? -EPERM
          : real.ftruncate(fd, size)
      }),
    fallocate: (fd, mode, offset, length) =>
      onFd(fd, (kernel) => {
        const special = kernel.specials.find(fd)
        if (special !== undefined) return special.memory?.fallocate(fd, mode, offset, length) ?? -ENODEV
        const valid =
          offset >= 0 &&
          length > 0 &&
          (mode === 0 || mode === FALLOC_FL_KEEP_SIZE || mode === (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
        return valid && frozenSize(kernel, fd) !== undefined ? -EPERM : real.fallocate(fd, mode, offset, length)
      }),
    seek: (fd, offset, whence) =>
      onFd(fd, (kernel) => {
        const special = kernel.specials.find(fd)
        return special === undefined ? real.seek(fd, offset, whence) : (special.log?.seek(offset, whence) ?? -ESPIPE)
      }),
    madviseFile: (fd, length, advice) =>
      program.kernel() === undefined
        ? never
        : Promise.resolve(refusesMapping(fd, length, advice)).then((refused) =>
            refused < 0 ? refused : real.madviseFile(fd, length, advice)
          ),
    status,
    fileSystem: (fd) =>
      onFd(fd, (kernel) => {
        const special = kernel.specials.find(fd)
        return special === undefined ? real.fileSystem(fd) : (special.memory?.fileSystem ?? ANON_INODE_FS_MAGIC)
      }),
    read: (fd, bytes, position) =>
      onFd(fd, (kernel) => {
        const special = kernel.specials.find(fd)
        return special === undefined ? real.read(fd, bytes, position) : (special.log?.read(bytes) ?? special.unreadable)
      }),
    write,
    readFile: (path) =>
      on((kernel) => {
        const text = kernel.devices?.bus.readFile(path) ?? real.readFile(path)
        const information = named(kernel, ownInformation, path)?.information
        return typeof text === "string" && information !== undefined ? `${text}${information}` : text
      }),
    readLink: (path) =>
      on(
        (kernel) =>
          named(kernel, ownDescriptor, path)?.link ?? kernel.devices?.bus.readLink(path) ?? real.readLink(path)
      ),
    readDirectory: (path) => on((kernel) => kernel.devices?.bus.readDirectory(path) ?? real.readDirectory(path)),
    pidfdOpen: (pid) => on((kernel) => opened(kernel, real.pidfdOpen(pid))),
    pidfdGetfd: (pidfd, fd) => onFd(pidfd, (kernel) => opened(kernel, real.pidfdGetfd(pidfd, fd))),
    kcmpFile: (one, other) => onFd(one, () => onFd(other, () => real.kcmpFile(one, other))),
    kexecFileLoad: (kernelFd, initrdFd, _commandLine, flags) =>
      later(() => on((kernel) => kernel.images.load(kernelFd, initrdFd, flags))),
    kexecLoaded: () => program.kernel()?.images.isLoaded() ?? false,
    reboot: (command) => {
      const kernel = program.kernel()
      if (kernel === undefined) return never
      // Anything but a kexec would end this machine, which is no model.
      if (command !== LINUX_REBOOT_CMD_KEXEC) return Promise.resolve(-EINVAL)
      const answer = kernel.jump()
      return answer < 0 ? Promise.resolve(answer) : never
    }
  }
}
