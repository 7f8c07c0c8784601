/**
 * The real Prometheus, from Debian's package: started for one test, told what to scrape, asked what it has.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Temporary from "../Temporary.ts"

const unpacked = fileURLToPath(new URL("../../build/prometheus/usr/bin", import.meta.url))

const program = (name: "prometheus" | "promtool"): string => {
  const places = [process.env["LIVEUPDATE_PROMETHEUS"] ?? unpacked, "/usr/bin"]
  return (
    places.map((place) => join(place, name)).find((path) => Fs.existsSync(path)) ??
    assert.fail(
      `There is no ${name} in ${places.join(" or ")}. Get it with \`node scripts/setup.mjs --prometheus\`, or set LIVEUPDATE_PROMETHEUS to a directory that has it.`
    )
  )
}

/** `promtool`, with something on its stdin; its exit code and all that it said. */
export const promtool = (args: ReadonlyArray<string>, input = "") =>
  Effect.async<{ readonly code: number; readonly said: string }>((resume) => {
    const child = execFile(program("promtool"), [...args], (error, stdout, stderr) =>
      resume(
        Effect.succeed({
          code: error === null ? 0 : typeof error.code === "number" ? error.code : 1,
          said: `${stdout}${stderr}`
        })
      )
    )
    child.stdin?.end(input)
  })

const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      resume(typeof address === "object" && address !== null ? Effect.succeed(address.port) : Effect.die("no port"))
    )
  })
})

/** As the HTTP API answers. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Prometheus {
  readonly query: (expression: string) => Effect.Effect<ReadonlyArray<Sample>>
  /** Type and help of every series that the target has told of. */
  readonly metadata: Effect.Effect<ReadonlyMap<string, { readonly type: string; readonly help: string }>>
}

/** Scrapes `HOST:PORT` until the scope ends; returns when it has scraped it. */
export const scraping = (target: string) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const port = yield* freePort
    const config = join(directory, "prometheus.yml")
    Fs.writeFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s" },
        scrape_configs: [{ job_name: "liveupdate", static_configs: [{ targets: [target] }] }]
      })
    )
    const log = join(directory, "log")
    yield* Effect.acquireRelease(
      Effect.sync((): ChildProcess => {
        const file = Fs.openSync(log, "w")
        const child = spawn(
          program("prometheus"),
          [
            `--config.file=${config}`,
            `--storage.tsdb.path=${join(directory, "data")}`,
            `--web.listen-address=127.0.0.1:${port}`
          ],
          { stdio: ["ignore", file, file] }
        )
        Fs.closeSync(file)
        return child
      }),
      (child) =>
        Effect.async<void>((resume) => {
          if (child.exitCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    const ask = (path: string) =>
      Effect.tryPromise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
        const answer = (await response.json()) as { readonly status: string; readonly data: unknown }
        assert.strictEqual(answer.status, "success", JSON.stringify(answer))
        return answer.data
      })
    const query: Prometheus["query"] = (expression) =>
      ask(`query?query=${encodeURIComponent(expression)}`).pipe(
        Effect.map((data) =>
          (
            data as {
              readonly result: ReadonlyArray<{
                readonly metric: Readonly<Record<string, string>>
                readonly value: readonly [number, string]
              }>
            }
          ).result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }))
        ),
        Effect.orDie
      )
    const said = Effect.sync(() => Fs.readFileSync(log, "utf8").slice(-2000))
    yield* ask("targets").pipe(
      Effect.filterOrFail(
        (data) =>
          (data as { readonly activeTargets: ReadonlyArray<{ readonly health: string }> }).activeTargets.some(
            ({ health }) => health === "up"
          ),
        (data) => new Error(JSON.stringify(data))
      ),
      // A target is up a moment before its samples can be asked for.
      Effect.zipRight(
        Effect.tryPromise(() => Effect.runPromise(query("liveupdate_agent_info"))).pipe(
          Effect.filterOrFail(
            (samples) => samples.length > 0,
            () => new Error("nothing was scraped")
          )
        )
      ),
      Effect.retry(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(300))),
      Effect.catchAll((error) => Effect.flatMap(said, (log) => Effect.die(new Error(`${String(error)}\n${log}`))))
    )
    return {
      query,
      metadata: ask("metadata").pipe(
        Effect.map(
          (data) =>
            new Map(
              Object.entries(
                data as Readonly<Record<string, ReadonlyArray<{ readonly type: string; readonly help: string }>>>
              ).flatMap(([name, [first]]) => (first === undefined ? [] : [[name, first] as const]))
            )
        ),
        Effect.orDie
      )
    } satisfies Prometheus
  })
