/**
 * The agent's `upgrade` behind HTTP. The process that answers goes with the old kernel; the run's log is on a disk, so its events are
 * told by the next one, from where the client has stopped hearing.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as Event from "@liveupdate/agent/upgrade/Event"
import * as HostFacts from "@liveupdate/agent/upgrade/HostFacts"
import type * as Preflight from "@liveupdate/agent/upgrade/Preflight"
import * as RunLog from "@liveupdate/agent/upgrade/RunLog"
import * as Upgrade from "@liveupdate/agent/upgrade/Upgrade"
import { Chunk, DateTime, Deferred, Effect, Layer, Option, Schema, type Scope, Stream } from "effect"
import * as Problem from "./Problem.ts"

export interface Settings {
  /** Where runs are logged: on a disk that the next kernel mounts as well. */
  readonly runs: string
  /** What every upgrade of this host has in common, such as its watchdog. */
  readonly options: Partial<Preflight.UpgradeOptions>
}

const Request = Schema.Struct({
  kernel: Schema.String,
  /** The running kernel's, unless told. */
  commandLine: Schema.optionalWith(Schema.String, { exact: true }),
  dryRun: Schema.optionalWith(Schema.Boolean, { exact: true })
})

/** Forks the upgrade; returns its name when the preflight has passed, and fails with what the preflight was refused for. */
const begin = ({ runs, options }: Settings, service: Scope.Scope, vm: string, request: typeof Request.Type) =>
  Effect.gen(function* () {
    const run = `${DateTime.formatIso(yield* DateTime.now).replaceAll(/[-:.]/g, "")}-${process.pid}`
    const passed = yield* Deferred.make<string, Problem.Failure>()
    const commandLine = yield* HostFacts.commandLine
    const listener: RunLog.Listener = (event) => {
      if (event.type === "step" && event.step === "preflight") Deferred.unsafeDone(passed, Effect.succeed(run))
    }
    yield* RunLog.open({ run, directory: runs, listener }).pipe(
      Effect.flatMap((log) => Upgrade.upgrade({ commandLine, ...options, ...request, vms: [vm] }, log)),
      Effect.scoped,
      Effect.as(run),
      Effect.intoDeferred(passed),
      // With the service's scope: when it is told to end, the upgrade is undone first.
      Effect.forkIn(service)
    )
    return yield* Deferred.await(passed)
  })

const upgrade = (settings: Settings, service: Scope.Scope) =>
  Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    const run = yield* begin(settings, service, id, yield* HttpServerRequest.schemaBodyJson(Request))
    const events = `/runs/${run}/events`
    return HttpServerResponse.unsafeJson({ run, events }, { status: 202, headers: { location: events } })
  })

/** The lines of a run's log, as they are written. */
const lines = (run: string, runs: string) =>
  Stream.paginateChunkEffect(0, (offset) =>
    Effect.map(Effect.delay(RunLog.readFrom(run, offset, runs), offset === 0 ? 0 : 50), ({ lines, next }) => [
      Chunk.fromIterable(lines),
      Option.some(next)
    ])
  )

const events = ({ runs }: Settings) =>
  Effect.gen(function* () {
    const { run = "" } = yield* HttpRouter.params
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    if (!(yield* RunLog.list(runs)).includes(run)) return Problem.response(404, "RunNotFound", `There is no run ${run}`)
    const told = lines(run, runs).pipe(
      Stream.zipWithIndex,
      Stream.takeUntil(([line]) => Event.parse(line)?.type === "outcome"),
      // Whoever has heard all is told that there is no more; what was never the id of an event is no place to go on from.
      Stream.drop(Number(/^\d+$/.exec(headers["last-event-id"] ?? "")?.[0] ?? 0)),
      Stream.map(([line, index]) => `id: ${index + 1}\ndata: ${line}\n\n`),
      Stream.encodeText
    )
    return HttpServerResponse.stream(told, { contentType: "text/event-stream" })
  })

export const layer = (settings: Settings) =>
  Layer.unwrapScoped(
    Effect.map(Effect.scope, (service) =>
      HttpRouter.empty.pipe(
        HttpRouter.post("/vms/:id/upgrade", upgrade(settings, service)),
        HttpRouter.get("/runs/:run/events", events(settings)),
        HttpRouter.catchAll(Problem.of),
        HttpServer.serve()
      )
    )
  )
