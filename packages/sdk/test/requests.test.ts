import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as AtOnce from "../src/internal/atOnce.ts"
import * as Fd from "../src/internal/fd.ts"
import { Kernel } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import { span } from "../src/internal/span.ts"
import * as Kexec from "../src/Kexec.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as SimulatedHost from "../src/SimulatedHost.ts"
import * as Token from "../src/Token.ts"

const MIB = 1 << 20

/** Which of the two was taken. */
const way = (work: AtOnce.Work, bytes: number | undefined) =>
  Effect.suspend(() => {
    let taken = "none"
    return AtOnce.forFile(
      work,
      bytes,
      () => {
        taken = "now"
        return 0
      },
      async () => {
        taken = "later"
        return 0
      },
      () => Effect.succeed(taken)
    )
  })

describe("requests", () => {
  it.effect("a small file is waited for on the spot, a large one or one of unknown size isn't", () =>
    Effect.gen(function* () {
      const work = AtOnce.none()
      assert.strictEqual(yield* way(work, MIB), "now")
      assert.strictEqual(yield* way(work, MIB + 1), "later")
      assert.strictEqual(yield* way(work, undefined), "later")
      assert.strictEqual(work.underWay, 0)
      assert.strictEqual(work.bytes, Number.POSITIVE_INFINITY)
    })
  )

  it.effect("nothing is waited for on the spot behind a request that another thread is at", () =>
    Effect.gen(function* () {
      const work = AtOnce.none()
      let settle: (answer: number) => void = () => undefined
      const long = yield* Effect.fork(
        AtOnce.forFile(
          work,
          undefined,
          () => 0,
          () => new Promise((resolve) => (settle = resolve)),
          Effect.succeed
        )
      )
      yield* Effect.yieldNow()
      assert.strictEqual(yield* way(work, 1), "later")
      settle(0)
      yield* long.await
      assert.strictEqual(yield* way(work, 1), "now")
    })
  )

  it.effect("a session is closed on the spot while it holds little", () =>
    Effect.gen(function* () {
      const closing = (work: AtOnce.Work) =>
        AtOnce.forAll(
          work,
          () => 1,
          async () => 2
        )
      assert.strictEqual(yield* closing(AtOnce.none()), 1)
      assert.strictEqual(yield* closing({ bytes: MIB + 1, underWay: 0 }), 2)
      assert.strictEqual(yield* closing({ bytes: 0, underWay: 1 }), 2)
    })
  )

  it.effect("a span is made where somebody collects spans, and only there", () =>
    Effect.gen(function* () {
      const current = span("x")(Effect.option(Effect.currentSpan))
      assert.strictEqual((yield* current)._tag, "None")
      const seen: Array<string> = []
      const native = yield* Effect.tracer
      const collecting = Tracer.make({
        context: (run, fiber) => native.context(run, fiber),
        span: (name, ...rest) => {
          seen.push(name)
          return native.span(name, ...rest)
        }
      })
      assert.strictEqual((yield* Effect.withTracer(current, collecting))._tag, "Some")
      assert.deepStrictEqual(seen, ["x"])
    })
  )

  it.effect("a descriptor's end meets the kernel that it was opened on", () =>
    Effect.gen(function* () {
      const closed: Array<number> = []
      const other = { ...systemCalls, close: (fd: number) => closed.push(fd) }
      const scope = yield* Scope.make()
      yield* Fd.scoped(Effect.succeed(77)).pipe(Effect.provideService(Kernel, other), Scope.extend(scope))
      assert.deepStrictEqual(closed, [])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(closed, [77])
    })
  )

  it.scoped("a file is the same, however its size is said, and a wrong size does no harm", () =>
    Effect.gen(function* () {
      const tokens = [1n, 2n, 3n].map((token) => Token.make(token))
      yield* SimulatedHost.simulateKexec(
        Effect.scoped(
          Effect.gen(function* () {
            yield* Kexec.load({ kernel: "/boot/vmlinuz-of-nobody", commandLine: "liveupdate=on" })
            const session = yield* LiveUpdate.create("sizes")
            for (const token of tokens) {
              const memfd = yield* Memfd.create({ name: "sizes", size: 2 * MIB })
              yield* Memfd.write(memfd, MIB, Buffer.from(`token ${token}`))
              yield* session.preserve(memfd, token)
            }
            return yield* Kexec.jump
          })
        )
      )
      const session = yield* LiveUpdate.retrieve("sizes")
      const options = [undefined, { bytes: 2 * MIB }, { bytes: 1 }]
      for (const [index, token] of tokens.entries()) {
        const memfd = yield* session.retrieve(Memfd.Memfd, token, options[index])
        assert.strictEqual(yield* Memfd.size(memfd), 2 * MIB)
        assert.strictEqual((yield* Memfd.read(memfd, MIB, 7)).toString(), `token ${token}`)
      }
      const missing = yield* Effect.flip(session.retrieve(Memfd.Memfd, Token.make(9n), { bytes: 1 }))
      assert.strictEqual(missing._tag, "TokenNotFound")
      yield* session.finish
    }).pipe(Effect.provide(Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory()))))
  )

  it.effect("sessions and files leave no descriptor behind", () =>
    Effect.gen(function* () {
      const open = () => Fs.readdirSync("/proc/self/fd").length
      const before = open()
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (let index = 0; index < 20; index++) {
            const session = yield* LiveUpdate.create(`leak-${index}`)
            yield* session.preserve(yield* Memfd.create({ name: "leak", size: 4096 }), Token.make(1n))
          }
        })
      ).pipe(Effect.provide(LiveUpdate.layerMemory()))
      assert.strictEqual(open(), before)
    })
  )
})
