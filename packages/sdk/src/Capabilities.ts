/**
 * What the running kernel can do, found out by asking it: a version says little about a kernel that somebody has patched.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as GuestMemfd from "./GuestMemfd.ts"
import type { Kind, Owned } from "./Handle.ts"
import * as Iommufd from "./Iommufd.ts"
import * as Device from "./internal/device.ts"
import { EBUSY, EINVAL, ENOENT, EOPNOTSUPP } from "./internal/errno.ts"
import { fromErrno } from "./internal/errnoTable.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import { Kernel } from "./internal/Kernel.ts"
import * as KvmVm from "./KvmVm.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import * as Memfd from "./Memfd.ts"
import type { VfioDevice } from "./VfioDevice.ts"

/**
 * What the kernel said. `unknown`: it could not be asked, and why.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer =
  | { readonly answer: "yes" | "no" }
  | {
      readonly answer: "unknown"
      readonly reason: string
    }

/**
 * The answers to everything that differs between kernels.
 *
 * @since 0.1.0
 * @category models
 */
export interface Capabilities {
  /**
   * The kernel refuses to preserve a file twice. Before 7.1 it doesn't, and two handovers of the same pages would corrupt them;
   * the SDK's sessions refuse it on every kernel, for files that this process preserved.
   */
  readonly refusesTwice: Answer
  /** A session can be asked for its name (`askName`). */
  readonly tellsNames: Answer
  /** Which kinds of file it can preserve. */
  readonly preserves: { readonly [K in Kind]: Answer }
}

/**
 * What a probe may use that isn't its own.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProbeOptions {
  /**
   * A device to ask with, and with it what it requires: bound to an iommufd, as the handler says no to any other. Without one VFIO
   * stays unknown: with a handler in the kernel the question is a real preservation, which nobody wants for a device that is in use.
   */
  readonly device?: VfioDevice
}

const yes: Answer = { answer: "yes" }
const no: Answer = { answer: "no" }
const unknown = (reason: string): Answer => ({ answer: "unknown", reason })

/**
 * `luo_preserve_file` (kernel/liveupdate/luo_file.c) looks for a handler first: ENOENT, there is none. Refusals that only a
 * handler gives, or that come after it was found, prove it as well.
 */
const handlerBehind = (answer: number, kind: Kind): Answer => {
  if (answer >= 0 || [-EBUSY, -EINVAL, -EOPNOTSUPP].includes(answer)) return yes
  return answer === -ENOENT ? no : unknown(fromErrno("session.preserve", answer, { kind }).message)
}

/** Each after what it requires itself. */
const requiredBy = (file: Owned): Effect.Effect<ReadonlyArray<Owned>> =>
  Effect.flatMap(file.requires ?? Effect.succeed([]), (files) =>
    Effect.map(Effect.forEach(files, requiredBy), (nested) => [...nested.flat(), ...files])
  )

/** What the kernel said to the same file, first and then again. */
const guardBehind = (first: number, second: number): Answer => {
  if (first < 0) return unknown("No file could be preserved once")
  if (second >= 0) return no
  return second === -EBUSY ? yes : unknown(fromErrno("session.preserve", second, { kind: "memfd" }).message)
}

const SESSION_NAMES = 1 << 30

/** Its end is a roll-back: the kernel gives every file back. */
const scratchSession = Random.nextIntBetween(0, SESSION_NAMES).pipe(
  Effect.flatMap((number) => Device.requestSession("session.create", `capabilities-${number}`)),
  Effect.retry({ times: 3, while: (error) => error._tag === "SessionExists" }),
  (create) =>
    Fd.scoped(create, (fd, kernel) =>
      Effect.uninterruptible(Effect.asVoid(Effect.promise(() => kernel.closeAsync(fd))))
    )
)

/** A file of each kind to ask with. A memfd without pages is enough, and costs nothing. */
const scratchFiles: {
  readonly [K in Exclude<Kind, "vfio">]: Effect.Effect<Owned, LiveUpdateError, Scope.Scope>
} = {
  memfd: Memfd.create({ name: "capabilities", size: 0 }),
  iommufd: Iommufd.open,
  kvm_vm: KvmVm.create(),
  guest_memfd: Effect.flatMap(KvmVm.create(), (vm) => GuestMemfd.create(vm, { size: 4096 }))
}

/**
 * Asks the running kernel, with a session and files of its own; both are gone afterwards, and nothing of it reaches the next
 * kernel. Fails with what creating a session fails with: `DeviceBusy`, `DeviceMissing`, `HandoverUnreadable`, `PermissionDenied`,
 * `LimitReached`.
 *
 * @since 0.1.0
 * @category operations
 */
export const probe = Effect.fn("Capabilities.probe")(function* (
  options: ProbeOptions = {}
): Effect.fn.Return<Capabilities, LiveUpdateError> {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const kernel = yield* Kernel
      const session = yield* scratchSession
      let tokens = 0n
      const preserve = (file: Owned) =>
        Effect.promise(() => kernel.ioctlAsync(session, ioctl.PRESERVE_FD, ioctl.fileArgument(file.fd, tokens++)))
      const ask = (kind: Kind, file: Effect.Effect<Owned, LiveUpdateError, Scope.Scope>) =>
        file.pipe(
          Effect.flatMap(preserve),
          Effect.map((answer) => handlerBehind(answer, kind)),
          Effect.catchAll((error) => Effect.succeed(unknown(error.message)))
        )
      /** A device that its handler doesn't take as it is gets the same answer as one without a handler. */
      const askDevice = (device: VfioDevice) =>
        Effect.gen(function* () {
          yield* Effect.flatMap(requiredBy(device), Effect.forEach(preserve))
          const answer = handlerBehind(yield* preserve(device), "vfio")
          if (answer.answer !== "no") return answer
          const unfit = yield* Effect.flip(device.check ?? Effect.void).pipe(Effect.option)
          return Option.match(unfit, { onNone: () => no, onSome: (error) => unknown(error.message) })
        })

      const memfd = yield* scratchFiles.memfd
      const first = yield* preserve(memfd)
      const second = yield* preserve(memfd)
      const name = kernel.ioctl(session, ioctl.GET_NAME, ioctl.getNameArgument())
      return {
        refusesTwice: guardBehind(first, second),
        tellsNames: name >= 0 ? yes : no,
        preserves: {
          memfd: handlerBehind(first, "memfd"),
          iommufd: yield* ask("iommufd", scratchFiles.iommufd),
          vfio:
            options.device === undefined
              ? unknown("No device was given to ask with (ProbeOptions.device)")
              : yield* askDevice(options.device),
          kvm_vm: yield* ask("kvm_vm", scratchFiles.kvm_vm),
          guest_memfd: yield* ask("guest_memfd", scratchFiles.guest_memfd)
        }
      }
    })
  )
})
