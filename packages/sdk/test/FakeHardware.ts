/**
 * A kernel whose device files, sysfs and answers a test makes up: it records every request as the struct that it carries. All
 * that isn't made up (memfds, seals) is the running kernel's.
 */
import * as Effect from "effect/Effect"
import { ENOENT, ENOTTY } from "../src/internal/errno.ts"
import * as ioctl from "../src/internal/ioctl.ts"
import { Kernel, type SystemCalls } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import type { Fields } from "../src/internal/struct.ts"

/** An errno, negated; or what the kernel writes into the struct, and the value of the call where that isn't 0. */
type Answer = number | { readonly value?: number; readonly fields?: Readonly<Record<string, number | bigint | string>> }

export interface Hardware {
  /** What can be opened besides the running kernel's own files. */
  readonly devices?: ReadonlyArray<string>
  /** Symbolic links by path. */
  readonly links?: Readonly<Record<string, string>>
  /** Text files by path. */
  readonly texts?: Readonly<Record<string, string>>
  readonly directories?: Readonly<Record<string, ReadonlyArray<string>>>
  /** By the macro's name. A list is used up one by one, its last one stays. */
  readonly requests?: Readonly<Record<string, Answer | ReadonlyArray<Answer>>>
  /** Answers requests whose argument is a number; `give` makes a descriptor. */
  readonly numbers?: (request: number, argument: number, give: (name: string) => number) => number
  readonly overrides?: Partial<SystemCalls>
}

export interface Seen {
  readonly macro: string
  readonly fd: string
  readonly values: Readonly<Record<string, unknown>>
}

const groups = { liveupdate: ioctl.liveupdate, iommufd: ioctl.iommufd, vfio: ioctl.vfio, kvm: ioctl.kvm }
const known: ReadonlyArray<ioctl.Request<Fields>> = Object.values(groups).flatMap((group) => Object.values(group))

export const make = (hardware: Hardware) => {
  const seen: Array<Seen> = []
  const open = new Map<number, string>()
  const used = new Map<string, number>()
  let nextFd = 100_000

  const give = (name: string): number => {
    open.set(++nextFd, name)
    return nextFd
  }
  const answerTo = (macro: string): Answer => {
    const all = hardware.requests?.[macro] ?? -ENOTTY
    if (!Array.isArray(all)) return all as Answer
    const index = used.get(macro) ?? 0
    used.set(macro, index + 1)
    return all[Math.min(index, all.length - 1)]
  }
  const request = (fd: number, number: number, argument: Buffer): number => {
    const which = known.find((candidate) => candidate.number === number)
    if (which === undefined) return -ENOTTY
    const values = which.decode(argument)
    seen.push({ macro: which.macro, fd: open.get(fd) ?? "memory", values })
    const answer = answerTo(which.macro)
    if (typeof answer === "number") return answer
    which.encode({ ...values, ...answer.fields } as Record<string, never>).copy(argument)
    return answer.value ?? 0
  }

  const kernel: SystemCalls = {
    ...systemCalls,
    openFile: (path, flags) =>
      hardware.devices?.includes(path) === true
        ? give(path)
        : path.startsWith("/dev/")
          ? -ENOENT
          : systemCalls.openFile(path, flags),
    close: (fd) => (open.delete(fd) ? 0 : systemCalls.close(fd)),
    closeAsync: (fd) => (open.delete(fd) ? Promise.resolve(0) : systemCalls.closeAsync(fd)),
    ioctl: request,
    ioctlAsync: (fd, number, argument) => Promise.resolve(request(fd, number, argument)),
    ioctlNumber: (_fd, number, argument) => hardware.numbers?.(number, argument, give) ?? -ENOTTY,
    readLink: (path) => {
      const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1]
      return (fd === undefined ? hardware.links?.[path] : open.get(Number(fd))) ?? -ENOENT
    },
    readFile: (path) => hardware.texts?.[path] ?? -ENOENT,
    readDirectory: (path) => hardware.directories?.[path] ?? -ENOENT,
    ...hardware.overrides
  }
  return {
    seen,
    /** Names of the descriptors that are open now. */
    open: () => [...open.values()],
    give,
    kernel,
    run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Kernel, kernel)
  }
}
