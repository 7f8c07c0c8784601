import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ExitCode, fromError } from "../../src/cli/ExitCode.ts"
import * as ListenAddress from "../../src/metrics/ListenAddress.ts"
import * as Server from "../../src/metrics/Server.ts"

const get = (address: ListenAddress.ListenAddress, path: string, method = "GET") =>
  Effect.promise(() => fetch(`http://${ListenAddress.format(address)}${path}`, { method }))

const metrics = Effect.succeed("a_total 1\n")

describe("the server of metrics", () => {
  for (const host of ["127.0.0.1", "::1"])
    it.scopedLive(`answers /metrics at ${host}, and nothing else`, () =>
      Effect.gen(function* () {
        const address = yield* Server.serve({ host, port: 0 }, metrics)
        assert.isAbove(address.port, 0)
        const found = yield* get(address, "/metrics?x=1")
        assert.strictEqual(found.status, 200)
        assert.strictEqual(found.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        assert.strictEqual(yield* Effect.promise(() => found.text()), "a_total 1\n")
        assert.strictEqual((yield* get(address, "/")).status, 404)
        assert.strictEqual((yield* get(address, "/metrics/more")).status, 404)
        assert.strictEqual((yield* get(address, "/metrics", "POST")).status, 404)
      })
    )

  it.scopedLive("what can't be told is said, and the next scrape is another one", () =>
    Effect.gen(function* () {
      let times = 0
      const once = Effect.suspend(() => (times++ === 0 ? Effect.fail(new Error("damaged")) : metrics))
      const address = yield* Server.serve({ host: "127.0.0.1", port: 0 }, once)
      const failed = yield* get(address, "/metrics")
      assert.deepStrictEqual([failed.status, yield* Effect.promise(() => failed.text())], [500, "damaged\n"])
      assert.strictEqual((yield* get(address, "/metrics")).status, 200)
    })
  )

  it.scopedLive("an address that is taken, or another host's: exit code 5, and what to do", () =>
    Effect.gen(function* () {
      const taken = yield* Server.serve({ host: "127.0.0.1", port: 0 }, metrics)
      const error = yield* Effect.flip(Server.serve(taken, metrics))
      assert.strictEqual(fromError(error), ExitCode.precondition)
      assert.match(error.message, new RegExp(`^Can't listen at 127.0.0.1:${taken.port}: EADDRINUSE. Somebody else`))
      const others = yield* Effect.flip(Server.serve({ host: "192.0.2.1", port: 0 }, metrics))
      assert.strictEqual(others.code, "EADDRNOTAVAIL")
    })
  )
})

describe("ListenAddress", () => {
  it("addresses of both kinds, names, and all addresses", () => {
    assert.deepStrictEqual(ListenAddress.parse("127.0.0.1:9842"), { host: "127.0.0.1", port: 9842 })
    assert.deepStrictEqual(ListenAddress.parse("[fe80::1]:80"), { host: "fe80::1", port: 80 })
    assert.deepStrictEqual(ListenAddress.parse("localhost:1"), { host: "localhost", port: 1 })
    assert.deepStrictEqual(ListenAddress.parse(":9842"), { host: "::", port: 9842 })
    assert.strictEqual(ListenAddress.format({ host: "::1", port: 9842 }), "[::1]:9842")
  })

  it("what is none", () => {
    for (const text of [
      "",
      "9842",
      "127.0.0.1",
      "::1:9842",
      "[::1]",
      "[127.0.0.1]:1",
      "300.1.1.1:1",
      "a:65536",
      "a b:1",
      "-a:1"
    ])
      assert.isUndefined(ListenAddress.parse(text), text)
  })
})
