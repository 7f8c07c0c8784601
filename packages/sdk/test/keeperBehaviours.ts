/**
 * What every keeper has to do, whatever program it is.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import { constants } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Custody, type Held } from "../src/Custody.ts"
import * as wire from "../src/internal/keeper/wire.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as UnixSocket from "../src/internal/unixSocket.ts"
import * as Keeper from "../src/Keeper.ts"
import { connect, memfdWith, temporaryDirectory } from "./KeeperPlace.ts"

// The rules of keeping don't depend on what the descriptor is; a memfd can be had without a kernel that knows LUO.

const { errno } = constants

const soon = Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(2000))

const until = <E, R>(what: string, there: Effect.Effect<boolean, E, R>) =>
  there.pipe(
    Effect.filterOrFail(
      (yes) => yes,
      () => `${what}: never`
    ),
    Effect.retry(soon),
    Effect.orDie
  )

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** How many descriptors of this kind a process has: "memfd:" for what it holds, "socket:" for whom it talks to. */
const descriptorsOf = (pid: number, kind: string) =>
  Fs.readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return Fs.readlinkSync(`/proc/${pid}/fd/${fd}`).includes(kind)
    } catch {
      return false
    }
  }).length

/** Tests of a keeper that is started with `command`. */
export const keeperBehaviours = (title: string, command: Keeper.Command): void => {
  /** What a test gives to a keeper it takes back, so that no keeper outlives the test. */
  const scenario = <A, E>(
    use: (directory: string) => Effect.Effect<A, E, Custody | Scope.Scope>,
    options: Partial<Keeper.Options> = {}
  ) =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const custody = yield* Custody
        const pids = new Set<number>()
        const note = Effect.map(custody.list, (held) => held.forEach(({ pid }) => pids.add(pid)))
        yield* Effect.addFinalizer(() =>
          Effect.gen(function* () {
            yield* note
            for (const { session } of yield* custody.list) yield* custody.release(session)
            yield* until(
              "the keeper's end",
              Effect.sync(() => ![...pids].some(isAlive))
            )
          }).pipe(Effect.orDie)
        )
        yield* use(directory)
        yield* note
      }).pipe(Effect.scoped, Effect.provide(Keeper.layer({ directory, command, ...options })))
    })

  /** As a retrieval does it; the descriptor itself is closed again. */
  const hold = (session: string, text = session) =>
    Effect.scoped(
      Effect.gen(function* () {
        const custody = yield* Custody
        const deposit = yield* custody.prepare(session)
        const memfd = yield* memfdWith(text)
        assert.isUndefined(deposit.hold(memfd.fd))
      })
    )

  const contentOf = (session: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const custody = yield* Custody
        const fd = yield* Effect.acquireRelease(custody.claim(session), (fd) =>
          Effect.sync(() => fd !== undefined && systemCalls.close(fd))
        )
        if (fd === undefined) return undefined
        const bytes = Buffer.alloc(4096)
        Fs.readSync(fd, bytes, 0, bytes.length, 0)
        return bytes.toString("utf8").replace(/\0+$/, "")
      })
    )

  const list = Effect.flatMap(Custody, (custody) => custody.list)
  const keeperPid = Effect.map(list, (held) => held[0]?.pid ?? assert.fail("nothing is held"))

  /** Another process of this test's, with a keeper's client in it. */
  const otherProcess = (source: string, ...args: ReadonlyArray<string>) =>
    Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, ["--input-type=module", "-e", source, ...args], { stdio: "pipe" })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )

  const ended = (child: ChildProcess) =>
    Effect.async<{ readonly code: number | null; readonly signal: string | null; readonly stderr: string }>(
      (resume) => {
        let stderr = ""
        child.stderr?.on("data", (part) => {
          stderr += String(part)
        })
        child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, stderr })))
      }
    )

  /** What comes back over a connection, until the keeper closes it. */
  const answerOn = (fd: number) =>
    Effect.gen(function* () {
      const parts: Array<Buffer> = []
      for (;;) {
        yield* Effect.promise(() => UnixSocket.waitForAsync(fd, 250))
        const received = UnixSocket.receive(fd, 4096)
        if (typeof received === "number" && received !== -errno.EAGAIN) return Buffer.concat(parts)
        if (typeof received === "number") continue
        received.files.forEach(systemCalls.close)
        if (received.bytes.length === 0) return Buffer.concat(parts)
        parts.push(received.bytes)
      }
    })

  // Keepers are processes of their own, at the lowest priority: on a busy machine they take their time.
  describe(title, { timeout: 120_000 }, () => {
    it.scopedLive("keeps a descriptor open when everybody else has closed it, and gives it back more than once", () =>
      scenario(() =>
        Effect.gen(function* () {
          yield* hold("vm/1 ü", "still here")
          assert.strictEqual(yield* contentOf("vm/1 ü"), "still here")
          assert.strictEqual(yield* contentOf("vm/1 ü"), "still here")
          assert.isUndefined(yield* contentOf("vm/2"))
        })
      )
    )

    it.scopedLive(
      "holds before its program has begun, and begins when somebody wants an answer or nobody is at work",
      () =>
        scenario((directory) =>
          Effect.gen(function* () {
            const custody = yield* Custody
            // Field 3 of /proc/PID/stat: T is stopped.
            const stateOf = (pid: number) => Fs.readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "")[0]
            const pidOf = () => Number(Fs.readFileSync(join(directory, "pid"), "utf8"))
            const stopped = until(
              "a stopped keeper",
              Effect.sync(() => stateOf(pidOf()) === "T")
            )
            yield* hold("early")
            yield* stopped
            assert.strictEqual(yield* contentOf("early"), "early")
            const first = pidOf()
            assert.notStrictEqual(stateOf(first), "T")
            yield* custody.release("early")
            yield* until(
              "the keeper's end",
              Effect.sync(() => !isAlive(first))
            )

            yield* hold("late")
            yield* stopped
            const second = pidOf()
            assert.notStrictEqual(second, first)
            // The last session: nobody's guests wait any more.
            yield* custody.release("late")
            yield* until(
              "the second keeper's end",
              Effect.sync(() => !isAlive(second))
            )
          })
        )
    )

    it.scopedLive("lists what is held, page by page, in a directory that is its owner's alone", () =>
      scenario((directory) =>
        Effect.gen(function* () {
          const sessions = Array.from({ length: 150 }, (_, index) => `session-${"x".repeat(50)}-${index + 100}`)
          yield* Effect.forEach(sessions, (session) => hold(session))
          const held = yield* list
          assert.deepStrictEqual(
            held.map((_: Held) => _.session),
            sessions
          )
          assert.strictEqual(new Set(held.map((_) => _.pid)).size, 1)
          assert.isTrue(isAlive(held[0]?.pid ?? -1))
          assert.strictEqual(Fs.statSync(directory).mode & 0o777, 0o700)
          assert.strictEqual(Fs.statSync(join(directory, "socket")).mode & 0o777, 0o600)
          assert.strictEqual(
            Number(
              Fs.readFileSync(`/proc/${held[0]?.pid}/stat`, "utf8")
                .replace(/^.*\) /, "")
                .split(" ")[16]
            ),
            19
          )
        })
      )
    )

    it.scopedLive("lets go of what is released, and of what is held anew under the same name, and leaks nothing", () =>
      scenario(() =>
        Effect.gen(function* () {
          const custody = yield* Custody
          yield* hold("stays")
          const pid = yield* keeperPid
          for (let round = 0; round < 20; round++) {
            yield* hold("vm-1", `round ${round}`)
            yield* hold("vm-2")
            assert.strictEqual(yield* contentOf("vm-1"), `round ${round}`)
            yield* custody.release("vm-2")
          }
          assert.strictEqual((yield* list).length, 2)
          assert.strictEqual(descriptorsOf(pid, "memfd:"), 2)
          yield* custody.release("vm-1")
          assert.isUndefined(yield* contentOf("vm-1"))
          assert.strictEqual(descriptorsOf(pid, "memfd:"), 1)
        })
      )
    )

    it.scopedLive("is one, however many processes want one at once", () =>
      scenario((directory) =>
        Effect.gen(function* () {
          const source = `
          import { Keeper, Custody, Memfd } from ${JSON.stringify(fileURLToPath(new URL("../dist/index.js", import.meta.url)))}
          import { Effect } from "effect"
          const [directory, name] = process.argv.slice(1)
          await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
            const custody = yield* Custody.Custody
            const memfd = yield* Memfd.create({ name, size: 4096 })
            const deposit = yield* custody.prepare(name)
            const failed = deposit.hold(memfd.fd)
            if (failed) throw failed
          })).pipe(Effect.provide(Keeper.layer({ directory, command: ${JSON.stringify(command)} }))))
        `
          const names = ["a", "b", "c", "d"]
          const ends = yield* Effect.forEach(
            names,
            (name) => Effect.flatMap(otherProcess(source, directory, name), ended),
            { concurrency: "unbounded" }
          )
          for (const { code, stderr } of ends) assert.strictEqual(code, 0, stderr)
          const held = yield* list
          assert.deepStrictEqual(
            held.map((_) => _.session),
            names
          )
          assert.strictEqual(new Set(held.map((_) => _.pid)).size, 1)
        })
      )
    )

    it.scopedLive("ends when it holds nothing, and the next session finds another one", () =>
      scenario((directory) =>
        Effect.gen(function* () {
          const custody = yield* Custody
          yield* hold("first")
          const first = yield* keeperPid
          yield* custody.release("first")
          yield* until(
            "the keeper's end",
            Effect.sync(() => !isAlive(first))
          )
          assert.isFalse(Fs.existsSync(join(directory, "socket")))
          assert.deepStrictEqual(yield* list, [])
          yield* hold("second")
          assert.notStrictEqual(yield* keeperPid, first)
          assert.strictEqual(yield* contentOf("second"), "second")
        })
      )
    )

    it.scopedLive("once killed is replaced, its stale socket too, and gets what is open here", () =>
      scenario(() =>
        Effect.gen(function* () {
          const custody = yield* Custody
          const memfd = yield* memfdWith("open here")
          const deposit = yield* custody.prepare("open")
          assert.isUndefined(deposit.hold(memfd.fd))
          const first = yield* keeperPid
          process.kill(first, "SIGKILL")
          yield* until(
            "another keeper with the session",
            Effect.map(
              Effect.orElseSucceed(list, () => []),
              (held) => held.some(({ session, pid }) => session === "open" && pid !== first)
            )
          )
          assert.strictEqual(yield* contentOf("open"), "open here")
        })
      )
    )

    it.scopedLive("doesn't end for any signal that can be refused", () =>
      scenario(() =>
        Effect.gen(function* () {
          yield* hold("vm-1")
          const pid = yield* keeperPid
          for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(pid, signal)
          assert.strictEqual(yield* contentOf("vm-1"), "vm-1")
          assert.strictEqual(yield* keeperPid, pid)
        })
      )
    )

    it.scopedLive("says so when there can be none: the command, the directory's owner", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const failure = (options: Keeper.Options) =>
          Effect.flatMap(Custody, (custody) => Effect.flip(custody.prepare("vm-1"))).pipe(
            Effect.scoped,
            Effect.provide(Keeper.layer({ directory, command, ...options }))
          )
        const missing = yield* failure({ command: { file: "/no/such/program", args: [] } })
        assert.strictEqual(missing._tag, "HoldFailed")
        assert.include(missing.message, "/no/such/program can't be started")
        Fs.chmodSync(directory, 0o750)
        assert.include((yield* failure({})).message, "must belong to this user alone")
        Fs.rmSync(directory, { recursive: true })
        assert.include((yield* failure({ directory: join(directory, "long".repeat(30)) })).message, "ENAMETOOLONG")
      })
    )

    it.scopedLive("survives whatever it is sent, and keeps no descriptor of it", () =>
      scenario((directory) =>
        Effect.gen(function* () {
          yield* hold("vm-1")
          const pid = yield* keeperPid
          const memfd = yield* memfdWith("too many")
          const request = wire.encodeRequest({ kind: "hold", session: "vm-2" })
          const random = (seed: number) =>
            Buffer.from(
              Array.from({ length: 1 + (seed % 97) }, (_, index) => (seed * 2654435761 + index * 40503) & 0xff)
            )

          const refused: ReadonlyArray<(fd: number) => void> = [
            (fd) => void UnixSocket.send(fd, request),
            (fd) => void UnixSocket.send(fd, wire.encodeRequest({ kind: "claim", session: "vm-1" }), memfd.fd),
            (fd) => {
              UnixSocket.send(fd, request.subarray(0, 5), memfd.fd)
              UnixSocket.send(fd, request.subarray(5), memfd.fd)
            },
            (fd) => void UnixSocket.send(fd, Buffer.concat([request, request]), memfd.fd)
          ]
          for (const say of refused) {
            const answer = yield* Effect.scoped(
              Effect.gen(function* () {
                const fd = yield* connect(directory)
                say(fd)
                return wire.decodeAnswer(yield* answerOn(fd))
              })
            )
            assert.isTrue(answer._tag === "whole" && answer.message.kind === "refused")
          }
          // Garbage, half messages with a descriptor, and clients that say nothing and go.
          for (let seed = 1; seed <= 200; seed++)
            yield* Effect.scoped(
              Effect.map(connect(directory), (fd) => {
                if (seed % 3 === 0)
                  UnixSocket.send(fd, request.subarray(0, 1 + (seed % (request.length - 1))), memfd.fd)
                else if (seed % 3 === 1) UnixSocket.send(fd, random(seed), memfd.fd)
              })
            )
          assert.deepStrictEqual(
            (yield* list).map((_) => _.session),
            ["vm-1"]
          )
          yield* until(
            "nothing left but what it holds, and its own socket",
            Effect.sync(() => descriptorsOf(pid, "memfd:") === 1 && descriptorsOf(pid, "socket:") === 1)
          )
          assert.strictEqual(yield* contentOf("vm-1"), "vm-1")
        })
      )
    )

    it.scopedLive("is not kept from others by clients that say nothing", () =>
      scenario((directory) =>
        Effect.gen(function* () {
          yield* hold("vm-1")
          for (let index = 0; index < 100; index++) yield* connect(directory)
          assert.strictEqual(yield* contentOf("vm-1"), "vm-1")
        })
      )
    )
  })
}
