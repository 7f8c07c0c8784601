/**
 * A host that exists only in this process: a model of what the kernel does with `/dev/liveupdate` and kexec, for the tests of a
 * program that embeds the SDK. Memory is real, so contents, sizes and seals are; sessions, their rules and the jump are modelled,
 * and held to the kernel by `packages/conformance`.
 *
 * `LiveUpdate.layerMemory` makes one, `Kexec.layerMemory` works on it, `simulateKexec` goes through its jump.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ErrnoName } from "./internal/errno.ts"

/**
 * The kernel that the host runs. `6.19`: no guard against preserving a file twice, no session names, 744 sessions and 128 files in
 * each; taken from its source, not compared with one that runs. `7.2` and `7.3` are the same to a program, and compared with
 * running ones. `handlers`: 7.3, and the handlers for iommufds, VFIO devices, KVM VMs and guest_memfds as they are proposed
 * upstream, with `/dev/iommu`, `/dev/kvm` and the VFIO devices of `pciDevices`; read from the patches under review, so it may
 * change with them. vCPUs, and the marks on page tables (`Iommufd.markPageTable`), are not in it.
 *
 * @since 0.1.0
 * @category models
 */
export type Profile = "6.19" | "7.2" | "7.3" | "handlers"

/**
 * A file that a fault can be asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  /** The session's name. */
  readonly session: string
  /** The file's token in it. */
  readonly token: bigint
  /** The handler's name, such as `memfd-v2`. */
  readonly handler: string
}

/**
 * Failures that a test wants the kernel to have; each is asked at its moment, and a name such as `EIO` fails it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /** Opening the device: `EBUSY`, `ENOENT`, `EIO`, … */
  readonly open?: () => ErrnoName | undefined
  /** When a session is asked to take it. */
  readonly preserve?: (file: Subject) => ErrnoName | undefined
  /** In the jump, which then doesn't happen: everything frozen before it is rolled back. */
  readonly freeze?: (file: Subject) => ErrnoName | undefined
  /** The kernel remembers it: the same token fails in the same way again. */
  readonly retrieve?: (file: Subject) => ErrnoName | undefined
  /** `false`: the session can't be finished now. Asked again at the next try. */
  readonly canFinish?: (file: Subject) => boolean
}

/**
 * A PCI device of the host, there on every kernel that it runs. What is a function is asked whenever the kernel looks.
 *
 * @since 0.1.0
 * @category models
 */
export interface PciDevice {
  /** Domain, bus, device and function in lower case: `0000:01:00.0`. */
  readonly address: string
  /**
   * `vfio-pci` unless told otherwise. Drivers whose names end in it give the device a node, `/dev/vfio/devices/vfioN`, where N is its
   * place among the host's devices, from 0.
   */
  readonly driver?: string
  /** Whether it is one of those that a physical function divides itself into (SR-IOV); not unless told. */
  readonly virtualFunction?: boolean
  /** How far it sleeps, as sysfs says it; `D0`, awake, unless told otherwise. No request of the SDK changes it. */
  readonly powerState?: () => "D0" | "D1" | "D2" | "D3hot" | "D3cold" | "unknown"
  /** Whether its guest has left interrupts on (VFIO_DEVICE_SET_IRQS), which only its VMM knows; off unless told. */
  readonly interruptsOn?: () => boolean
}

/**
 * What a simulated host is like.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `7.3` unless told otherwise. */
  readonly profile?: Profile
  /** None unless told. Only the profile `handlers` knows of them. */
  readonly pciDevices?: ReadonlyArray<PciDevice>
  /** None unless told otherwise. */
  readonly faults?: Faults
}

/**
 * The program that was to jump came to its end instead.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotJumped extends Schema.TaggedError<NotJumped>()("NotJumped", {}) {
  get next(): string {
    return "Load a kernel (Kexec.load) and call Kexec.jump, inside the scopes of the sessions"
  }
  override get message(): string {
    return `The program ended without a jump. ${this.next}`
  }
}

/**
 * The simulated host that `LiveUpdate.layerMemory` made.
 *
 * @since 0.1.0
 * @category services
 */
export class SimulatedHost extends Context.Tag("@liveupdate/sdk/SimulatedHost")<
  SimulatedHost,
  {
    /** See the function of this name. */
    readonly simulateKexec: <A, E, R>(before: Effect.Effect<A, E, R>) => Effect.Effect<void, E | NotJumped, R>
    /**
     * Gives an effect this host's kernel, such as `Memfd.create` in a service that was built without it. What is run with the
     * layers of this host has it already.
     */
    readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** How many jumps there have been. */
    readonly jumps: Effect.Effect<number>
  }
>() {}

/**
 * Runs the half of a program before the jump, up to its jump, and returns on the next kernel. As in reality nothing of that half goes
 * on: its fibers stand still for ever, no finalizer runs, its descriptors are closed. Sessions that it held are there to be
 * retrieved, with the contents, sizes, positions and seals of their files; everything else is gone.
 *
 * Fails with what `before` fails with, such as a `FreezeFailed`, and with `NotJumped` when it just ends.
 *
 * @example
 * ```ts
 * import { Kexec, LiveUpdate, Memfd, SimulatedHost, Token } from "@liveupdate/sdk"
 * import { Effect, Layer } from "effect"
 *
 * const before = Effect.scoped(
 *   Effect.gen(function* () {
 *     const ram = yield* Memfd.create({ name: "ram", size: 1 << 20 })
 *     yield* Memfd.write(ram, 0, Buffer.from("hello"))
 *     yield* Kexec.load({ kernel: "/boot/vmlinuz", commandLine: "liveupdate=on" })
 *     const session = yield* LiveUpdate.create("vm-42")
 *     yield* session.preserve(ram, Token.make(1n))
 *     return yield* Kexec.jump
 *   })
 * )
 *
 * const after = Effect.scoped(
 *   Effect.gen(function* () {
 *     const session = yield* LiveUpdate.retrieve("vm-42")
 *     const ram = yield* session.retrieve(Memfd.Memfd, Token.make(1n))
 *     const bytes = yield* Memfd.read(ram, 0, 5)
 *     yield* session.finish
 *     return bytes.toString()
 *   })
 * )
 *
 * const test = Effect.zipRight(SimulatedHost.simulateKexec(before), after).pipe(
 *   Effect.provide(Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory())))
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const simulateKexec = <A, E, R>(
  before: Effect.Effect<A, E, R>
): Effect.Effect<void, E | NotJumped, R | SimulatedHost> =>
  Effect.flatMap(SimulatedHost, (host) => host.simulateKexec(before))
