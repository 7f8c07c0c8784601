/**
 * Who holds a retrieved session besides the process that works on it. The kernel finishes a retrieved session when its last
 * descriptor is closed, and frees what was not retrieved (`luo_session_release` in `kernel/liveupdate/luo_session.c`); the end of a process
 * closes its descriptors. So somebody else has one from the moment of retrieval until the session is finished.
 *
 * `Keeper.layer` is a small process for it, `SystemdFdStore.layer` systemd itself, `layerMemory` this process.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as errno from "./internal/errno.ts"
import * as HeldDescriptors from "./internal/HeldDescriptors.ts"
import { Kernel } from "./internal/Kernel.ts"

/**
 * Nobody could be found to hold the session. It stays open in this process, which must not end before it is finished.
 *
 * @since 0.1.0
 * @category errors
 */
export class HoldFailed extends Schema.TaggedError<HoldFailed>()("HoldFailed", {
  session: Schema.String,
  reason: Schema.String
}) {
  get next(): string {
    return "Keep this process alive until the session is finished: its end would free the preserved memory"
  }
  override get message(): string {
    return `Nobody holds session "${this.session}" but this process (pid ${process.pid}): ${this.reason}. ${this.next}`
  }
}

/**
 * Whoever should hold sessions is there, but gives no answer that could be understood, so what it holds is unknown.
 *
 * @since 0.1.0
 * @category errors
 */
export class HolderSilent extends Schema.TaggedError<HolderSilent>()("HolderSilent", {
  holder: Schema.Literal("keeper", "systemd", "process"),
  reason: Schema.String
}) {
  get next(): string {
    return "Do not end it, and do not reboot: sessions may be in its hands"
  }
  override get message(): string {
    return `The ${this.holder} does not say what it holds: ${this.reason}. ${this.next}`
  }
}

/**
 * A session that somebody holds: the keeper, systemd's file descriptor store, or this process itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Held {
  readonly session: string
  readonly holder: "keeper" | "systemd" | "process"
  /** Of the process that holds it. */
  readonly pid: number
}

/**
 * What `prepare` gives: everything that takes time has been done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Deposit {
  /**
   * Gives the holder a duplicate of the session's descriptor, in one system call: nothing else stands between the ioctl that retrieves
   * it and safety.
   */
  readonly hold: (fd: number) => HoldFailed | undefined
  /** Waits for the holder's word, where the system call is not enough; bounded. */
  readonly settled: Effect.Effect<void, HoldFailed>
}

/**
 * Holds retrieved sessions until they are finished, so that they outlive the process that retrieved them.
 *
 * @since 0.1.0
 * @category services
 */
export class Custody extends Context.Tag("@liveupdate/sdk/Custody")<
  Custody,
  {
    /** Before a session is retrieved: makes sure that there is a holder. */
    readonly prepare: (session: string) => Effect.Effect<Deposit, HoldFailed, Scope.Scope>
    /**
     * Before a descriptor of an unfinished session is closed: makes sure that the holder has it, whatever became of the holder since
     * `prepare`, and waits for its word.
     */
    readonly confirm: (session: string, fd: number) => Effect.Effect<void, HoldFailed>
    /**
     * A duplicate of a held session's descriptor, or `undefined` when nobody holds it. It is the caller's to close, as what
     * an `acquire` gives.
     */
    readonly claim: (session: string) => Effect.Effect<number | undefined, HolderSilent>
    /** The session is finished: nobody has to hold it any more. Doesn't wait for it. */
    readonly release: (session: string) => Effect.Effect<void>
    /** All sessions that are held, sorted by name. */
    readonly list: Effect.Effect<ReadonlyArray<Held>, HolderSilent>
  }
>() {}

/**
 * `list` of the service: all sessions that are held. Fails with `HolderSilent`.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = Effect.flatMap(Custody, (_) => _.list)

/**
 * Holds sessions in this process: for a model of the kernel, whose sessions end with the process anyway. An unfinished one outlives its
 * scope and can be retrieved again.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Custody> = Layer.scoped(
  Custody,
  Effect.gen(function* () {
    const kernel = yield* Kernel
    const held = HeldDescriptors.make(kernel)
    const hold = (session: string) => (fd: number) => {
      const answer = held.hold(session, fd)
      return answer < 0
        ? new HoldFailed({ session, reason: `its descriptor can't be duplicated: ${errno.errnoName(-answer)}` })
        : undefined
    }

    yield* Effect.addFinalizer(() => Effect.sync(held.releaseAll))
    return Custody.of({
      prepare: (session) => Effect.succeed({ hold: hold(session), settled: Effect.void }),
      confirm: (session, fd) => Effect.suspend(() => hold(session)(fd) ?? Effect.void),
      claim: (session) => Effect.sync(() => held.claim(session)),
      release: (session) => Effect.sync(() => held.release(session)),
      list: Effect.sync(() =>
        held.names().map((session) => ({ session, holder: "process" as const, pid: process.pid }))
      )
    })
  })
)
