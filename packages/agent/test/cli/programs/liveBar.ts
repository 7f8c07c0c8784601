// liveBar PIPE: shows the events that come out of a pipe as `agent upgrade` does, until an outcome, or until it is told to end.
import { openSync } from "node:fs"
import { Socket } from "node:net"
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as LiveBar from "../../../src/cli/LiveBar.ts"
import * as Log from "../../../src/cli/Log.ts"
import { run } from "../../../src/cli/Runner.ts"
import * as Event from "../../../src/upgrade/Event.ts"

process.stderr.on("resize", () => process.stderr.write(`resized to ${process.stderr.columns}\n`))

// A pipe as a socket: a thread that reads it would keep the process from ending.
const pipe = new Socket({ fd: openSync(process.argv[2] ?? "", "r+") })

run(
  Effect.gen(function* () {
    const listener = yield* LiveBar.listener("human")
    const lines = yield* Queue.unbounded<string>()
    createInterface({ input: pipe }).on("line", (line) => void lines.unsafeOffer(line))
    const next = Effect.gen(function* () {
      const line = yield* lines.take
      const event = Event.parse(line)
      if (event === undefined) yield* Effect.logWarning(line)
      else yield* Effect.sync(() => listener(event))
      return event?.type === "outcome"
    })
    yield* Effect.repeat(next, { until: (ended) => ended })
  }).pipe(Effect.scoped, Effect.provide(Log.layer()))
)
