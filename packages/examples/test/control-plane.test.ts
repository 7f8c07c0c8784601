import { createServer, type Server } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Event from "@liveupdate/agent/upgrade/Event"
import * as Resume from "@liveupdate/agent/upgrade/Resume"
import { SimulatedHost } from "@liveupdate/sdk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as ControlPlane from "../src/control-plane/ControlPlane.ts"
import * as ToyVmm from "../src/own-vmm/ToyVmm.ts"
import * as ModelHost from "./ModelHost.ts"

const serve = (server: Server, { runs, options }: ModelHost.Place) =>
  ControlPlane.layer({ runs, options }).pipe(Layer.provide(NodeHttpServer.layer(() => server, { port: 0 })))

/** Once it listens. */
const addressOf = (server: Server) =>
  Effect.async<string>((resume) => {
    const tell = () => {
      const address = server.address()
      assert.isObject(address)
      if (typeof address === "object") resume(Effect.succeed(`http://127.0.0.1:${address?.port}`))
    }
    if (server.listening) tell()
    else server.once("listening", tell)
  })

const Accepted = Schema.Struct({ run: Schema.String, events: Schema.String })

const post = (address: string, vm: string, body: unknown) =>
  Effect.promise(() =>
    fetch(`${address}/vms/${vm}/upgrade`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body)
    })
  )

const accepted = (response: Response) =>
  Effect.gen(function* () {
    assert.strictEqual(response.status, 202)
    const body = yield* Schema.decodeUnknown(Accepted)(yield* Effect.promise(() => response.json()))
    assert.strictEqual(response.headers.get("location"), body.events)
    return body
  })

const problem = (response: Response) =>
  Effect.gen(function* () {
    assert.strictEqual(response.headers.get("content-type"), "application/problem+json")
    const { title, status } = yield* Schema.decodeUnknown(
      Schema.Struct({ type: Schema.String, title: Schema.String, status: Schema.Number, detail: Schema.String })
    )(yield* Effect.promise(() => response.json()))
    assert.strictEqual(status, response.status)
    return [status, title]
  })

interface Heard {
  readonly id: number
  readonly event: Event.Event
}

/** Listens until the stream ends, be it with its server. */
const listen = (url: string, from: number | string, first: () => void = () => undefined) =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { headers: { "last-event-id": String(from) }, signal })
    assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
    const heard: Array<Heard> = []
    let text = ""
    const parts = response.body?.getReader()
    for (;;) {
      const part = (await parts?.read().catch(() => undefined))?.value
      if (part === undefined) return heard
      text += Buffer.from(part).toString()
      const messages = text.split("\n\n")
      text = messages.pop() ?? ""
      for (const message of messages) {
        const [, id, data = ""] = /^id: (\d+)\ndata: (.*)$/.exec(message) ?? assert.fail(message)
        const event = Event.parse(data) ?? assert.fail(data)
        heard.push({ id: Number(id), event })
        first()
      }
    }
  })

const saidOf = (heard: ReadonlyArray<Heard>) =>
  heard.map(({ event }) =>
    event.type === "step" ? `${event.step} ${event.status}` : event.type === "outcome" ? event.result : event.type
  )

// The agent's preflight asks for root, also where the kernel is a model.
describe("control plane", { timeout: 60_000 }, () => {
  it.scopedLive("an upgrade goes through the jump, and its events go on under the next kernel", () =>
    Effect.gen(function* () {
      const place = yield* ModelHost.place
      // The jump waits until the client has heard something.
      const hears = yield* Deferred.make<void>()
      const options = { ...place.options, prepare: () => Deferred.await(hears) }
      const test = Effect.gen(function* () {
        yield* ModelHost.start(ModelHost.toyVm("toy"))
        const old = createServer()
        const client = yield* Effect.fork(
          Effect.gen(function* () {
            const address = yield* addressOf(old)
            const { commandLine, kernel } = options
            const run = yield* accepted(yield* post(address, "toy", { kernel, commandLine }))
            const first = () => Deferred.unsafeDone(hears, Effect.void)
            return { ...run, heard: yield* listen(`${address}${run.events}`, 0, first) }
          })
        )
        yield* SimulatedHost.simulateKexec(Layer.launch(serve(old, { ...place, options })))
        // What the end of a kernel does to its connections.
        old.closeAllConnections()
        old.close()
        yield* ModelHost.loseWhatTheKernelHeld(place)
        const before = yield* Fiber.join(client)
        assert.strictEqual(saidOf(before.heard)[0], "preflight done")

        const next = createServer()
        yield* Layer.build(serve(next, place))
        const address = yield* addressOf(next)
        const after = yield* Effect.fork(listen(`${address}${before.events}`, before.heard.at(-1)?.id ?? 0))
        yield* Resume.resume({ directory: place.runs, journal: place.journal, lock: place.lock })
        const heard = yield* Fiber.join(after)
        assert.deepStrictEqual(
          heard.map(({ id }) => id),
          heard.map((_, index) => before.heard.length + index + 1)
        )
        assert.includeMembers(saidOf(heard), [
          "jump started",
          "retrieve done",
          "load-state done",
          "resume done",
          "finish done"
        ])
        assert.strictEqual(saidOf(heard).at(-1), "upgraded")
      })
      yield* Effect.provide(test, ModelHost.layer(place, ToyVmm.layer))
    })
  )

  const onOneKernel = <E>(
    name: string,
    body: (address: string, place: ModelHost.Place) => Effect.Effect<void, E, ModelHost.Services>,
    options?: SimulatedHost.Options
  ) =>
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const place = yield* ModelHost.place
        const server = createServer()
        yield* Effect.gen(function* () {
          yield* Layer.build(serve(server, place))
          yield* body(yield* addressOf(server), place)
        }).pipe(Effect.provide(ModelHost.layer(place, ToyVmm.layer, options)))
      })
    )

  onOneKernel("a dry run is told from its preflight to its outcome", (address, { kernel, options }) =>
    Effect.gen(function* () {
      yield* ModelHost.start(ModelHost.toyVm("toy"))
      const { commandLine } = options
      const { events } = yield* accepted(yield* post(address, "toy", { kernel, commandLine, dryRun: true }))
      const said = saidOf(yield* listen(`${address}${events}`, 0))
      assert.includeMembers(said, ["preflight done", "preserve-state done", "pause undone"])
      assert.strictEqual(said.at(-1), "dry-run")
      const again = (from: string) => listen(`${address}${events}`, from)
      assert.deepStrictEqual(saidOf(yield* again(String(said.length - 2))), said.slice(-2))
      // A client that has heard all of it asks again, as an EventSource does, and is not kept waiting.
      assert.deepStrictEqual(yield* again(String(said.length)), [])
      for (const from of ["none", "-1", "1e3", ""]) assert.deepStrictEqual(saidOf(yield* again(from)), said, from)
    })
  )

  onOneKernel(
    "a jump that is refused is told as an outcome, and the guest runs on",
    (address, { kernel, options }) =>
      Effect.gen(function* () {
        yield* ModelHost.start(ModelHost.toyVm("toy"))
        const { commandLine } = options
        const { events } = yield* accepted(yield* post(address, "toy", { kernel, commandLine }))
        const said = saidOf(yield* listen(`${address}${events}`, 0))
        assert.includeMembers(said, ["jump failed", "pause undone"])
        assert.strictEqual(said.at(-1), "rolled-back")
        yield* ModelHost.activity("toy", yield* ModelHost.activity("toy"))
      }),
    { faults: { freeze: () => "EIO" } }
  )

  onOneKernel("what is refused is a problem, with a status of its own", (address, { kernel, options }) =>
    Effect.gen(function* () {
      const { commandLine } = options
      yield* ModelHost.start(ModelHost.toyVm("toy"))
      const body = { kernel, commandLine }
      assert.deepStrictEqual(yield* problem(yield* post(address, "other", body)), [404, "VmNotFound"])
      assert.deepStrictEqual(yield* problem(yield* post(address, "toy", { kernel: 7 })), [400, "ParseError"])
      assert.deepStrictEqual(yield* problem(yield* post(address, "toy", { ...body, kernel: "/no/such" })), [
        422,
        "KernelImageInvalid"
      ])
      assert.deepStrictEqual(yield* problem(yield* post(address, "toy", { kernel, commandLine: "quiet" })), [
        409,
        "PreconditionFailed"
      ])
      yield* ModelHost.start(ModelHost.toyVm("left"))
      assert.deepStrictEqual(yield* problem(yield* post(address, "toy", body)), [409, "PreconditionFailed"])
      const unknown = yield* Effect.promise(() => fetch(`${address}/runs/none/events`))
      assert.deepStrictEqual(yield* problem(unknown), [404, "RunNotFound"])
    })
  )

  onOneKernel(
    "a device that somebody else has open",
    (address, { kernel, options }) =>
      Effect.gen(function* () {
        const { commandLine } = options
        assert.deepStrictEqual(yield* problem(yield* post(address, "toy", { kernel, commandLine })), [
          423,
          "DeviceBusy"
        ])
      }),
    { faults: { open: () => "EBUSY" } }
  )
})
