/**
 * `agent metrics`, `agent serve-metrics`, `agent publish`, `agent trace`: what others are told of live updates.
 *
 * What speaks HTTP is loaded where it is asked for.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Configuration from "../config/Configuration.ts"
import * as Effective from "../config/Effective.ts"
import * as Accounts from "../metrics/Accounts.ts"
import * as ListenAddress from "../metrics/ListenAddress.ts"
import * as Metrics from "../metrics/Metrics.ts"
import * as Textfile from "../metrics/Textfile.ts"
import * as RunTrace from "../traces/RunTrace.ts"
import * as RunEvents from "../upgrade/RunEvents.ts"
import * as Unpublished from "../upgrade/Unpublished.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import * as Runs from "./Runs.ts"
import * as Supervision from "./Supervision.ts"
import { UsageError } from "./UsageError.ts"
import { VERSION } from "./Version.ts"

/**
 * As they are now; nothing is written. Fails as `Accounts.read`.
 *
 * @since 0.1.0
 * @category output
 */
export const text = (directory?: string) =>
  Effect.zipWith(Accounts.read(directory), Metrics.now(VERSION), (accounts, now) => Metrics.render(accounts, now))

/**
 * Writes the metrics to stdout, or as a file that others read. Fails as `Accounts.read`, or with `NotWritten`.
 *
 * @since 0.1.0
 * @category output
 */
export const print = (textfile: Option.Option<string>, directory?: string) =>
  Effect.flatMap(text(directory), (metrics) =>
    Option.isSome(textfile)
      ? Textfile.replace(textfile.value, metrics)
      : Effect.sync(() => void process.stdout.write(metrics))
  )

const metrics = Command.make(
  "metrics",
  {
    textfile: Options.text("textfile").pipe(
      Options.optional,
      Options.withDescription(
        "write them to this file, for node-exporter's textfile collector, instead of stdout; nobody sees it half-written"
      )
    ),
    host: Shared.host
  },
  ({ textfile, host }) =>
    Shared.whereTold(host, Shared.there(["metrics", ...Shared.forwarded("--textfile", textfile)]), print(textfile))
).pipe(Command.withDescription("Print what Prometheus wants to know of this host's live updates; changes nothing else"))

/** A host's name and id; what runs from a start-up snapshot asks the kernel. */
const here = Effect.sync((): RunTrace.Host => {
  const read = (path: string) => (Fs.existsSync(path) ? Fs.readFileSync(path, "utf8").trim() : "")
  const id = read("/etc/machine-id")
  return {
    version: VERSION,
    name: read("/proc/sys/kernel/hostname"),
    ...(id === "" ? {} : { id })
  }
})

/** `undefined` of a run that was cut off before it said anything. */
const traceOf = (run: string, directory?: string) =>
  Effect.zipWith(RunEvents.of(run, directory), here, (events, host) => RunTrace.make(run, events, host))

const send = (endpoint: string, trace: RunTrace.TracesData) =>
  Effect.gen(function* () {
    const Export = yield* Effect.promise(() => import("../traces/Export.ts"))
    const { layer } = yield* Effect.promise(() => import("./HttpLayer.ts"))
    yield* Export.send(endpoint, trace).pipe(Effect.provide(layer))
  })

/**
 * Where `agent publish` and its like look and write; each has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Directories {
  readonly runs?: string
  readonly unpublished?: string
}

/**
 * Tells whoever is to be told of what has happened: the counters are kept, the textfile is written, and each run that nobody was told of
 * goes to the collector. A run whose trace isn't taken waits for the next time, and the first failure is what this fails with, when all
 * else is done.
 *
 * @since 0.1.0
 * @category operations
 */
export const publish = (
  { metrics, traces }: Pick<Configuration.Configuration, "metrics" | "traces">,
  { runs, unpublished }: Directories = {}
) =>
  Effect.gen(function* () {
    // Listed first: a run that ends from now on is for the next time.
    const waiting = yield* Unpublished.list(unpublished)
    const accounts = yield* Accounts.keep(runs)
    if (metrics.textfile !== Configuration.NONE)
      yield* Textfile.replace(metrics.textfile, Metrics.render(accounts, yield* Metrics.now(VERSION)))
    const tell = (run: string) =>
      Effect.gen(function* () {
        const trace = traces.endpoint === Configuration.NONE ? undefined : yield* traceOf(run, runs)
        if (trace !== undefined) yield* send(traces.endpoint, trace)
        yield* Unpublished.settle(run, unpublished)
      })
    const [failed] = yield* Effect.validateAll(waiting, tell, { discard: true }).pipe(
      Effect.as([]),
      Effect.catchAll((errors) => Effect.succeed(errors))
    )
    if (failed !== undefined) return yield* failed
    return waiting
  })

const publishCommand = Command.make("publish", { config: Shared.config, output: Shared.output }, ({ config, output }) =>
  Effect.gen(function* () {
    const { configuration } = yield* Effective.load(config)
    const runs = yield* publish(configuration)
    yield* Output.result(output, runs.length === 0 ? "Published; no run was new." : `Published: ${runs.join(", ")}.`, {
      type: "published",
      runs
    })
  })
).pipe(
  Command.withDescription(
    "Write the textfile and send the traces that the configuration asks for; liveupdate-publish.path calls it after each live update"
  )
)

const serveMetrics = Command.make(
  "serve-metrics",
  {
    listen: Options.text("listen").pipe(
      Options.optional,
      Shared.withSetting("metrics.listen", "ADDRESS:PORT, such as 127.0.0.1:9842 or [::1]:9842")
    ),
    config: Shared.config
  },
  ({ listen, config }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { configuration } = yield* Effective.load(config, Shared.said("metrics.listen", "--listen", listen))
        const address = ListenAddress.parse(configuration.metrics.listen)
        if (address === undefined)
          return yield* new UsageError({ message: `${configuration.metrics.listen} is no address to listen at.` })
        const { ready } = yield* Supervision.make("Serves metrics")
        const Server = yield* Effect.promise(() => import("../metrics/Server.ts"))
        const bound = ListenAddress.format(yield* Server.serve(address, text()))
        yield* Effect.sync(() => void process.stderr.write(`Metrics are at http://${bound}/metrics\n`))
        yield* ready(`Metrics are at http://${bound}/metrics`)
        return yield* Effect.never
      })
    )
).pipe(Command.withDescription("Serve the metrics over HTTP, at /metrics, until it is ended"))

/**
 * Writes a run's trace to stdout, or sends it. Fails with `RunNotFound`, `UsageError` where the run said nothing yet, or `ExportFailed`.
 *
 * @since 0.1.0
 * @category output
 */
export const trace = (run: Option.Option<string>, endpoint: Option.Option<string>, directory?: string) =>
  Effect.gen(function* () {
    const name = yield* Runs.find(run, directory)
    const data = yield* traceOf(name, directory)
    if (data === undefined) return yield* new UsageError({ message: `The run ${name} has said nothing yet.` })
    if (Option.isNone(endpoint)) return yield* Output.result("human", JSON.stringify(data), {})
    yield* send(endpoint.value, data)
    yield* Effect.sync(() => void process.stderr.write(`The trace of ${name} was taken by ${endpoint.value}\n`))
  })

const traceCommand = Command.make(
  "trace",
  {
    run: Args.text({ name: "run" }).pipe(
      Args.optional,
      Args.withDescription("a run's name, as agent status shows it; the last one by default")
    ),
    endpoint: Options.text("endpoint").pipe(
      Options.optional,
      Options.withDescription("send it to this collector (OTLP over HTTP), such as http://localhost:4318")
    ),
    host: Shared.host
  },
  ({ run, endpoint, host }) =>
    Shared.whereTold(
      host,
      Shared.there(["trace", ...Shared.forwarded("--endpoint", endpoint), ...Option.toArray(run)]),
      trace(run, endpoint)
    )
).pipe(
  Command.withDescription("Show a live update as an OpenTelemetry trace (OTLP in JSON), both halves in one, or send it")
)

/**
 * @since 0.1.0
 * @category commands
 */
export const commands = [metrics, serveMetrics, publishCommand, traceCommand] as const
