/**
 * `/dev/liveupdate`: creates sessions before the jump and retrieves them after it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Custody from "./Custody.ts"
import * as AtOnce from "./internal/atOnce.ts"
import * as Device from "./internal/device.ts"
import * as Fd from "./internal/fd.ts"
import * as IncomingSessions from "./internal/IncomingSessions.ts"
import * as Incoming from "./internal/incoming.ts"
import { Kernel } from "./internal/Kernel.ts"
import * as Model from "./internal/model/Host.ts"
import * as Outgoing from "./internal/outgoing.ts"
import * as PreservedFiles from "./internal/PreservedFiles.ts"
import type { State } from "./internal/retrieveFile.ts"
import { span } from "./internal/span.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import type { IncomingSession, OutgoingSession } from "./Session.ts"
import * as SimulatedHost from "./SimulatedHost.ts"

/**
 * The device that all of it goes through; one opener at a time (`luo_open` in `kernel/liveupdate/luo_core.c`).
 *
 * @since 0.1.0
 * @category constants
 */
export const device: string = Device.path

/**
 * Creates sessions before the jump and retrieves them after it.
 *
 * @since 0.1.0
 * @category services
 */
export class LiveUpdate extends Context.Tag("@liveupdate/sdk/LiveUpdate")<
  LiveUpdate,
  {
    /**
     * A new outgoing session; leaving the scope closes it and rolls everything back. Fails with `SessionExists`,
     * `InvalidSessionName`, and what opening the device fails with: `DeviceBusy`, `DeviceMissing`, `HandoverUnreadable`,
     * `PermissionDenied`.
     */
    readonly create: (name: string) => Effect.Effect<OutgoingSession, LiveUpdateError, Scope.Scope>
    /**
     * A session that the previous kernel handed over, from the kernel or from the `Custody` that holds it. From then on it is in custody until
     * it is finished. Fails with
     * `SessionNotFound`, `SessionAlreadyRetrieved` (and nobody known holds it), and what opening the device fails with.
     */
    readonly retrieve: (name: string) => Effect.Effect<IncomingSession, LiveUpdateError, Scope.Scope>
    /**
     * Opens the device for a moment, to learn before anything is touched whether it could be used now. Fails with
     * `DeviceMissing`, `DeviceBusy`, `HandoverUnreadable`, `PermissionDenied`.
     */
    readonly probe: Effect.Effect<void, LiveUpdateError>
  }
>() {}

/**
 * `create` of the service: a new outgoing session, closed and rolled back with the scope.
 *
 * Fails with `SessionExists`, `InvalidSessionName`, `LimitReached`, and what opening the device fails with:
 * `DeviceMissing`, `DeviceBusy`, `HandoverUnreadable`, `PermissionDenied`
 * (`luo_session_create` in `kernel/liveupdate/luo_session.c`).
 *
 * @since 0.1.0
 * @category operations
 */
export const create = (name: string) => Effect.flatMap(LiveUpdate, (_) => _.create(name))

/**
 * `retrieve` of the service: a session that the previous kernel handed over; its scope's end without `finish` leaves it to
 * the `Custody`.
 *
 * Fails with `SessionNotFound`, `SessionAlreadyRetrieved`, `InvalidSessionName`, `LimitReached`, and what opening the device fails with
 * (`luo_session_retrieve` in `kernel/liveupdate/luo_session.c`).
 *
 * @since 0.1.0
 * @category operations
 */
export const retrieve = (name: string) => Effect.flatMap(LiveUpdate, (_) => _.retrieve(name))

/**
 * `probe` of the service: whether the device could be used now.
 *
 * Fails with `DeviceMissing`, `DeviceBusy`, `HandoverUnreadable`, `PermissionDenied`.
 *
 * @since 0.1.0
 * @category operations
 */
export const probe = Effect.flatMap(LiveUpdate, (_) => _.probe)

/**
 * The running kernel.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<LiveUpdate, never, Custody.Custody> = Layer.scoped(
  LiveUpdate,
  Effect.gen(function* () {
    const custody = yield* Custody.Custody
    const files = PreservedFiles.make()
    const kernel = yield* Kernel
    yield* Effect.addFinalizer(() => Effect.sync(() => files.end(kernel)))
    const incoming = IncomingSessions.make(files)

    /** After the jump there is only forward: a session that nobody else can hold is retrieved all the same, and it is said. */
    const say = (error: Custody.HoldFailed | Custody.HolderSilent) => Effect.logFatal(error.message)

    /** From the kernel and at once into custody. */
    const take = (name: string): Effect.Effect<number, LiveUpdateError> =>
      Effect.gen(function* () {
        const deposit = yield* Effect.catchAll(custody.prepare(name), (error) => Effect.as(say(error), undefined))
        let failure: Custody.HoldFailed | undefined
        const fd = yield* Device.requestSession("session.retrieve", name, (fd) => {
          failure = deposit?.hold(fd)
        })
        if (failure !== undefined) yield* say(failure)
        else if (deposit !== undefined) yield* Effect.catchAll(deposit.settled, say)
        return fd
      }).pipe(Effect.scoped)

    /**
     * From the kernel, or else from the custody that it is in. Who has neither asks the kernel once more: a session that was finished
     * is there, and retrieved, until its last descriptor is closed, and that may be a holder's that was just told to.
     */
    const obtain = (name: string): Effect.Effect<number, LiveUpdateError> =>
      Effect.catchTag(take(name), "SessionAlreadyRetrieved", () =>
        custody.claim(name).pipe(
          Effect.catchAll((silent) => Effect.as(say(silent), undefined)),
          Effect.flatMap((fd) => (fd === undefined ? take(name) : Effect.succeed(fd)))
        )
      )

    /** Closing it is for the kernel to finish it, so it stays open here if nobody else holds it. */
    const leaveUnfinished = (name: string, fd: number): Effect.Effect<void> =>
      custody
        .confirm(name, fd)
        .pipe(
          Effect.zipRight(Fd.close(fd)),
          Effect.zipRight(
            Effect.logWarning(`Session "${name}" is not finished; it is held and can be retrieved again.`)
          ),
          Effect.catchAll(say)
        )

    return LiveUpdate.of({
      probe: Device.probe,
      create: (name) =>
        Effect.suspend(() => {
          const work = AtOnce.none()
          const session = Fd.scoped(Device.requestSession("session.create", name), (fd, kernel) =>
            Outgoing.close(name, fd, work, files, kernel)
          )
          return Effect.map(session, (fd) => Outgoing.make(name, fd, work, files, incoming))
        }).pipe(span("LiveUpdate.create")),
      retrieve: (name) =>
        Effect.gen(function* () {
          const state: State = { finished: false, work: AtOnce.none() }
          const fd = yield* Fd.scoped(obtain(name), (fd, kernel) =>
            (state.finished ? Effect.zipRight(custody.release(name), Fd.close(fd)) : leaveUnfinished(name, fd)).pipe(
              Effect.provideService(Kernel, kernel),
              Effect.uninterruptible
            )
          )
          yield* incoming.hold(name, fd, state)
          return Incoming.make(name, fd, state, files)
        }).pipe(Effect.withSpan("LiveUpdate.retrieve"))
    })
  })
)

/**
 * A host of this process's own, for tests: the kernel's rules without the kernel, and memory to go with them. Its jump is gone through by
 * `SimulatedHost.simulateKexec`; `Kexec.layerMemory` gives it a `Kexec`. Each layer is another host.
 *
 * What is run with this layer, handles too, uses the modelled kernel.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (
  options: SimulatedHost.Options = {}
): Layer.Layer<LiveUpdate | SimulatedHost.SimulatedHost> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      // Custody and what is known of preserved files go with the kernel that they are about.
      const fresh = Layer.fresh(layer.pipe(Layer.provide(Layer.fresh(Custody.layerMemory))))
      const { calls, host, services } = yield* Model.make(options, (calls) =>
        Layer.build(fresh).pipe(Effect.map(Context.get(LiveUpdate)), Effect.provideService(Kernel, calls))
      )
      const { run } = host
      return Context.make(SimulatedHost.SimulatedHost, host).pipe(
        Context.add(Kernel, calls),
        Context.add(LiveUpdate, {
          probe: Effect.suspend(() => run(services().probe)),
          create: (name) =>
            Effect.map(
              Effect.suspend(() => run(services().create(name))),
              (session): OutgoingSession => ({
                ...session,
                askName: run(session.askName),
                preserve: (file, token, fileName) => run(session.preserve(file, token, fileName))
              })
            ),
          retrieve: (name) =>
            Effect.map(
              Effect.suspend(() => run(services().retrieve(name))),
              (session): IncomingSession => ({
                ...session,
                askName: run(session.askName),
                retrieve: (kind, token, options) => run(session.retrieve(kind, token, options)),
                finish: run(session.finish)
              })
            )
        })
      )
    })
  )
