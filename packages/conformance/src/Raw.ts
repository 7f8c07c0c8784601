/**
 * One program's view of a kernel, the real one or the model: requests as raw bytes, answers as the kernel's numbers. It remembers
 * the descriptors that it was given and closes them at the end, so that scenarios don't see each other.
 */
import { errnoName } from "../../sdk/src/internal/errno.ts"
import * as ioctl from "../../sdk/src/internal/ioctl.ts"
import type { SystemCalls } from "../../sdk/src/internal/Kernel.ts"
import { O_RDWR } from "../../sdk/src/internal/uapi.ts"

// include/uapi/linux/memfd.h, include/uapi/linux/fcntl.h
export const MFD_CLOEXEC = 0x1
export const MFD_ALLOW_SEALING = 0x2
export const F_GET_SEALS = 1034
export const F_ADD_SEALS = 1033

/** A negated errno by its name, anything else as "ok": descriptors' numbers differ between two programs. */
export const said = (answer: number): string => (answer < 0 ? errnoName(-answer) : "ok")

export interface Raw {
  readonly calls: SystemCalls
  /** The device, opened when it is first needed. */
  readonly device: () => number
  readonly create: (name: string) => number
  readonly retrieveSession: (name: string) => number
  readonly preserve: (session: number, fd: number, token: bigint) => number
  readonly retrieve: (session: number, token: bigint) => number
  readonly finish: (session: number) => number
  /** The name, or a negated errno. */
  readonly getName: (session: number) => string | number
  /** A memfd that holds this text. */
  readonly memfd: (text: string, flags?: number) => number
  readonly text: (fd: number) => string
  /** Any request; a descriptor in the answer is closed at the end like all others. */
  readonly request: (fd: number, request: number, argument: Buffer) => number
  /** A request whose argument is a number. */
  readonly requestNumber: (fd: number, request: number, argument: number) => number
  readonly dup: (fd: number) => number
  readonly open: (path: string, flags?: number) => number
  readonly close: (fd: number) => number
  /** Closes whatever is still open, sessions that came from the previous kernel included: that finishes them. */
  readonly closeAll: () => void
}

/** A descriptor is in the struct, or is the answer itself. */
const returnsFd = new Set<number>([ioctl.CREATE_SESSION, ioctl.RETRIEVE_SESSION, ioctl.RETRIEVE_FD])
const answersFd = new Set<number>([ioctl.KVM_CREATE_VM, ioctl.kvm.createGuestMemfd.number])

export const make = (calls: SystemCalls): Raw => {
  const open = new Set<number>()
  let device: number | undefined
  const keep = (fd: number): number => {
    if (fd >= 0) open.add(fd)
    return fd
  }
  const request = (fd: number, number: number, argument: Buffer): number => {
    const answer = calls.ioctl(fd, number, argument)
    if (answer === 0 && returnsFd.has(number)) keep(ioctl.returnedFd(argument))
    return answersFd.has(number) ? keep(answer) : answer
  }
  const fdOf = (fd: number, number: number, argument: Buffer): number => {
    const answer = request(fd, number, argument)
    return answer < 0 ? answer : ioctl.returnedFd(argument)
  }
  const openDevice = (): number => {
    device ??= calls.openFile("/dev/liveupdate", O_RDWR)
    return device
  }
  const memfd = (text: string, flags = MFD_CLOEXEC | MFD_ALLOW_SEALING): number => {
    const fd = keep(calls.memfdCreate("conformance", flags))
    if (fd >= 0 && text.length > 0) calls.write(fd, Buffer.from(text, "latin1"), 0)
    return fd
  }
  const close = (fd: number): number => {
    open.delete(fd)
    if (fd === device) device = undefined
    return calls.close(fd)
  }
  return {
    calls,
    device: openDevice,
    create: (name) => fdOf(openDevice(), ioctl.CREATE_SESSION, ioctl.sessionArgument(name)),
    retrieveSession: (name) => fdOf(openDevice(), ioctl.RETRIEVE_SESSION, ioctl.sessionArgument(name)),
    preserve: (session, fd, token) => request(session, ioctl.PRESERVE_FD, ioctl.fileArgument(fd, token)),
    retrieve: (session, token) => fdOf(session, ioctl.RETRIEVE_FD, ioctl.fileArgument(-1, token)),
    finish: (session) => request(session, ioctl.FINISH, ioctl.finishArgument()),
    getName: (session) => {
      const argument = ioctl.getNameArgument()
      const answer = request(session, ioctl.GET_NAME, argument)
      return answer < 0 ? answer : ioctl.returnedName(argument)
    },
    memfd,
    text: (fd) => {
      const status = calls.status(fd)
      if (typeof status === "number") return said(status)
      const bytes = Buffer.alloc(status.size)
      const count = calls.read(fd, bytes, 0)
      return count < 0 ? said(count) : bytes.toString("latin1", 0, count)
    },
    request,
    requestNumber: (fd, number, argument) => {
      const answer = calls.ioctlNumber(fd, number, argument)
      return answersFd.has(number) ? keep(answer) : answer
    },
    dup: (fd) => keep(calls.dup(fd)),
    open: (path, flags = O_RDWR) => keep(calls.openFile(path, flags)),
    close,
    closeAll: () => {
      for (const fd of [...open].reverse()) calls.close(fd)
      open.clear()
      if (device !== undefined && device >= 0) calls.close(device)
      device = undefined
    }
  }
}
