import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Handle from "../src/Handle.ts"
import * as Fd from "../src/internal/fd.ts"
import { fileArgument, PRESERVE_FD } from "../src/internal/ioctl.ts"
import type { SystemCalls } from "../src/internal/Kernel.ts"
import { O_RDWR } from "../src/internal/uapi.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Preservation from "../src/Preservation.ts"
import * as Token from "../src/Token.ts"
import * as MemoryHost from "./MemoryHost.ts"

const Data = Schema.Struct({ vm: Schema.String })
const data = { vm: "vm-1" }
const tokens = Token.names({ ram: 1n, state: 2n, log: 3n })

/** Over a mebibyte, so that it is preserved on another thread. */
const LARGE = 2 << 20

const memfd = (name: string, size = 4096) => Memfd.create({ name, size })

/** Notes every PRESERVE_FD, and lets `answer` say something else than the kernel would. */
const preserves =
  (seen: Array<bigint>, answer: (token: bigint) => number | undefined = () => undefined): MemoryHost.Change =>
  (calls) => {
    const intercept = (request: number, argument: Buffer): number | undefined => {
      if (request !== PRESERVE_FD) return undefined
      const token = argument.readBigUInt64LE(8)
      seen.push(token)
      return answer(token)
    }
    return {
      ...calls,
      ioctl: (fd, request, argument) => intercept(request, argument) ?? calls.ioctl(fd, request, argument),
      ioctlAsync: (fd, request, argument) => {
        const other = intercept(request, argument)
        return other === undefined ? calls.ioctlAsync(fd, request, argument) : Promise.resolve(other)
      }
    }
  }

/** Every file is free again, and so is the session's name: it can be preserved anew. */
const preserveAnew = (session: string, files: Preservation.Files) =>
  Effect.scoped(Preservation.preserve({ session, files }, Data, data))

const ENOMEM = 12

describe("Preservation", () => {
  it.scoped("brings files and data to the next kernel, by their names", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* MemoryHost.jumpAfter(
        machine,
        Effect.gen(function* () {
          const [ram, state] = [yield* memfd("ram", LARGE), yield* memfd("state", 0)]
          yield* Memfd.write(ram, 4096, Buffer.from("guest"))
          const preservation = yield* Preservation.open({
            session: "vm-1",
            files: { ram: { file: ram, token: tokens.ram } }
          })
          yield* Memfd.write(state, 0, Buffer.from("device state"))
          yield* preservation.extend({ state: { file: state, token: tokens.state, dependsOn: ["ram"] } })
          yield* preservation.complete(Data, data)
        })
      )
      yield* Effect.gen(function* () {
        const session = yield* LiveUpdate.retrieve("vm-1")
        const { manifest, files } = yield* Preservation.restore(session, Data, {
          ram: Memfd.Memfd,
          state: Memfd.Memfd
        })
        assert.deepStrictEqual(manifest.data, data)
        assert.deepStrictEqual(manifest.files, [
          { token: tokens.ram, kind: "memfd", name: "ram", size: LARGE, dependsOn: [] },
          { token: tokens.state, kind: "memfd", name: "state", size: 12, dependsOn: ["ram"] }
        ])
        assert.strictEqual((yield* Memfd.read(files.ram, 4096, 5)).toString(), "guest")
        assert.strictEqual((yield* Memfd.read(files.state, 0, 20)).toString(), "device state")
        assert.deepInclude(files.ram, { kind: "memfd", custody: "managed", session: "vm-1", token: tokens.ram })
        yield* session.finish
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it.scoped("preserves a file after those it needs, and the manifest last", () =>
    Effect.gen(function* () {
      const seen: Array<bigint> = []
      const machine = yield* MemoryHost.acquire()
      yield* Effect.gen(function* () {
        const [ram, state, log] = [yield* memfd("ram"), yield* memfd("state"), yield* memfd("log")]
        // As an iommufd knows the memory that is mapped through it.
        const device = { ...state, requires: Effect.succeed([yield* Memfd.adopt({ pid: process.pid, fd: ram.fd })]) }
        const files = {
          log: { file: log, token: tokens.log, dependsOn: ["state"] },
          state: { file: device, token: tokens.state },
          ram: { file: ram, token: tokens.ram }
        }
        yield* Preservation.preserve({ session: "vm-1", files }, Data, data)
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, preserves(seen))))
      assert.deepStrictEqual(seen, [tokens.ram, tokens.state, tokens.log, Token.manifest])
    })
  )

  const refused: ReadonlyArray<
    readonly [
      string,
      Preservation.PreservationError["_tag"],
      (files: { readonly ram: Memfd.Memfd; readonly state: Memfd.Memfd }) => Preservation.Files
    ]
  > = [
    [
      "need each other",
      "DependencyCycle",
      ({ ram, state }) => ({
        ram: { file: ram, token: tokens.ram, dependsOn: ["state"] },
        state: { file: state, token: tokens.state, dependsOn: ["ram"] }
      })
    ],
    [
      "need what isn't there",
      "DependencyMissing",
      ({ ram }) => ({ ram: { file: ram, token: tokens.ram, dependsOn: ["rom"] } })
    ],
    [
      "are known to need what isn't there",
      "DependencyMissing",
      ({ ram, state }) => ({ ram: { file: { ...ram, requires: Effect.succeed([state]) }, token: tokens.ram } })
    ],
    [
      "have one token",
      "TokenTaken",
      ({ ram, state }) => ({ ram: { file: ram, token: tokens.ram }, state: { file: state, token: tokens.ram } })
    ],
    ["have the manifest's token", "TokenTaken", ({ ram }) => ({ ram: { file: ram, token: Token.manifest } })],
    ["have no name", "FileNameInvalid", ({ ram }) => ({ "": { file: ram, token: tokens.ram } })],
    [
      "are one file",
      "FileTwice",
      ({ ram }) => ({ ram: { file: ram, token: tokens.ram }, again: { file: { ...ram }, token: tokens.state } })
    ]
  ]

  for (const [what, tag, files] of refused)
    it.scoped(`refuses files that ${what}, before the kernel is asked`, () =>
      Effect.gen(function* () {
        const asked: Array<number> = []
        const machine = yield* MemoryHost.acquire()
        const recording = (calls: SystemCalls): SystemCalls => ({
          ...calls,
          ioctl: (fd, request, argument) => {
            asked.push(request)
            return calls.ioctl(fd, request, argument)
          }
        })
        yield* Effect.gen(function* () {
          const [ram, state] = [yield* memfd("ram"), yield* memfd("state")]
          const error = yield* Effect.flip(Preservation.open({ session: "vm-1", files: files({ ram, state }) }))
          assert.strictEqual(error._tag, tag)
          assert.include(error.message, "vm-1")
        }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, recording)))
        assert.deepStrictEqual(asked, [])
      })
    )

  it.scoped("asks each file's check before the kernel, and says which file it is", () =>
    Effect.gen(function* () {
      const seen: Array<bigint> = []
      const machine = yield* MemoryHost.acquire()
      yield* Effect.gen(function* () {
        const [ram, state] = [yield* memfd("ram"), yield* memfd("state")]
        const failing = { ...state, check: Memfd.check({ ...state, fd: 0 }) }
        const device = { ...failing, kind: "vfio" as const }
        const error = yield* Effect.flip(
          Preservation.open({
            session: "vm-1",
            files: { ram: { file: ram, token: tokens.ram }, nic: { file: device, token: tokens.state } }
          })
        )
        assert.deepInclude(error, { _tag: "NotPreservable", session: "vm-1", token: tokens.state, file: "nic" })
        assert.include(error.message, '"nic" (token 2)')
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, preserves(seen))))
      assert.deepStrictEqual(seen, [])
    })
  )

  for (const failing of [tokens.ram, tokens.state, tokens.log, Token.manifest])
    it.scoped(`gives everything back when the kernel refuses ${Token.format(failing)}`, () =>
      Effect.gen(function* () {
        let refuses = true
        const machine = yield* MemoryHost.acquire()
        const change = preserves([], (token) => (refuses && token === failing ? -ENOMEM : undefined))
        yield* Effect.gen(function* () {
          const files = {
            ram: { file: yield* memfd("ram", LARGE), token: tokens.ram },
            state: { file: yield* memfd("state"), token: tokens.state },
            log: { file: yield* memfd("log"), token: tokens.log }
          }
          const error = yield* Effect.flip(Preservation.preserve({ session: "vm-1", files }, Data, data))
          assert.deepInclude(error, { _tag: "LimitReached", session: "vm-1", token: failing })
          const name = Object.keys(files).find((_, index) => BigInt(index + 1) === failing) ?? "manifest"
          assert.include(error.message, Token.format(failing, name))
          // Inside the same scope: nothing waits for its end.
          yield* Memfd.resize(files.ram.file, 4096)
          refuses = false
          yield* preserveAnew("vm-1", files)
        }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
      })
    )

  it.scoped("gives back what was preserved before when it can't be extended, and takes no more", () =>
    Effect.gen(function* () {
      let refuses = true
      const machine = yield* MemoryHost.acquire()
      const change = preserves([], (token) => (refuses && token === tokens.state ? -ENOMEM : undefined))
      yield* Effect.gen(function* () {
        const ram = { file: yield* memfd("ram", LARGE), token: tokens.ram }
        const state = { file: yield* memfd("state"), token: tokens.state }
        const preservation = yield* Preservation.open({ session: "vm-1", files: { ram } })
        const frozen = yield* Effect.flip(Memfd.resize(ram.file, 0))
        assert.strictEqual(frozen._tag, "MemoryFrozen")
        const error = yield* Effect.flip(preservation.extend({ state }))
        assert.strictEqual(error._tag, "LimitReached")
        yield* Memfd.resize(ram.file, 4096)
        for (const step of [preservation.extend({ state }), preservation.complete(Data, data)]) {
          const closed = yield* Effect.flip(step)
          assert.deepInclude(closed, { _tag: "PreservationClosed", state: "rolled back" })
        }
        refuses = false
        yield* preserveAnew("vm-1", { ram, state })
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
    })
  )

  it.scoped("takes no file after its manifest, and stays as it is", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* Effect.gen(function* () {
        const ram = { file: yield* memfd("ram"), token: tokens.ram }
        const preservation = yield* Preservation.open({ session: "vm-1", files: { ram } })
        yield* preservation.complete(Data, data)
        const log = { file: yield* memfd("log"), token: tokens.log }
        const closed = yield* Effect.flip(preservation.extend({ log }))
        assert.deepInclude(closed, { _tag: "PreservationClosed", state: "complete" })
        const frozen = yield* Effect.flip(Memfd.resize(ram.file, 0))
        assert.strictEqual(frozen._tag, "MemoryFrozen")
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it.scoped("is rolled back by an interrupt while the kernel preserves", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      const reached = yield* Deferred.make<void>()
      const change = preserves([], (token) => {
        if (token === tokens.state) Effect.runSync(Deferred.succeed(reached, undefined))
        return undefined
      })
      yield* Effect.gen(function* () {
        const files = {
          ram: { file: yield* memfd("ram", LARGE), token: tokens.ram },
          state: { file: yield* memfd("state", LARGE), token: tokens.state },
          log: { file: yield* memfd("log", LARGE), token: tokens.log }
        }
        const fiber = yield* Effect.fork(Preservation.open({ session: "vm-1", files }))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        yield* preserveAnew("vm-1", files)
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
    })
  )

  it.scoped("fills sessions in parallel, each one file at a time", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      const underWay = new Map<number, number>()
      let most = 0
      let bothArrived = () => {}
      const both = new Promise<void>((resolve) => {
        bothArrived = resolve
      })
      const change = (calls: SystemCalls): SystemCalls => ({
        ...calls,
        ioctlAsync: async (fd, request, argument) => {
          underWay.set(fd, (underWay.get(fd) ?? 0) + 1)
          most = Math.max(most, ...underWay.values())
          if (underWay.size === 2) bothArrived()
          // Would never go on if the second session waited for the first.
          await both
          const answer = await calls.ioctlAsync(fd, request, argument)
          underWay.set(fd, (underWay.get(fd) ?? 0) - 1)
          return answer
        }
      })
      yield* Effect.gen(function* () {
        const contents = (session: string) =>
          Effect.gen(function* () {
            const ram = { file: yield* memfd("ram", LARGE), token: tokens.ram }
            return { session, files: { ram, log: { file: yield* memfd("log", LARGE), token: tokens.log } } }
          })
        const opened = yield* Preservation.openAll([yield* contents("vm-1"), yield* contents("vm-2")])
        assert.deepStrictEqual(
          opened.map(({ session }) => session),
          ["vm-1", "vm-2"]
        )
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
      assert.strictEqual(most, 1)
    })
  )

  it.scoped("rolls back all sessions that were opened together, now and later", () =>
    Effect.gen(function* () {
      let refuses: bigint | undefined = tokens.log
      const machine = yield* MemoryHost.acquire()
      const change = preserves([], (token) => (token === refuses ? -ENOMEM : undefined))
      yield* Effect.gen(function* () {
        const one = { ram: { file: yield* memfd("one", LARGE), token: tokens.ram } }
        const two = { ram: { file: yield* memfd("two", LARGE), token: tokens.ram } }
        const log = { log: { file: yield* memfd("log"), token: tokens.log } }
        const failed = yield* Effect.flip(
          Preservation.openAll([
            { session: "vm-1", files: one },
            { session: "vm-2", files: { ...two, ...log } }
          ])
        )
        assert.deepInclude(failed, { _tag: "LimitReached", session: "vm-2", file: "log" })
        yield* preserveAnew("vm-1", one)

        refuses = undefined
        const [first, second] = yield* Preservation.openAll([
          { session: "vm-1", files: one },
          { session: "vm-2", files: two }
        ])
        if (first === undefined || second === undefined) return assert.fail("two were asked for")
        yield* first.complete(Data, data)
        refuses = tokens.log
        yield* Effect.flip(second.extend(log))
        yield* preserveAnew("vm-1", one)
        yield* preserveAnew("vm-2", two)
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
    })
  )

  it.scoped("waits with the rollback for a step of another session that is under way", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      const [reached, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const change = (calls: SystemCalls): SystemCalls => ({
        ...preserves([], (token) => (token === tokens.log ? -ENOMEM : undefined))(calls),
        ioctlAsync: async (fd, request, argument) => {
          await Effect.runPromise(Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(goOn)))
          return calls.ioctlAsync(fd, request, argument)
        }
      })
      yield* Effect.gen(function* () {
        const [first, second] = yield* Preservation.openAll([
          { session: "vm-1", files: {} },
          { session: "vm-2", files: {} }
        ])
        if (first === undefined || second === undefined) return assert.fail("two were asked for")
        const ram = { file: yield* memfd("ram", LARGE), token: tokens.ram }
        const underWay = yield* Effect.fork(first.extend({ ram }))
        yield* Deferred.await(reached)
        const log = { file: yield* memfd("log"), token: tokens.log }
        const failing = yield* Effect.fork(Effect.flip(second.extend({ log })))
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(underWay)
        assert.deepInclude(yield* Fiber.join(failing), { _tag: "LimitReached", session: "vm-2" })
        const closed = yield* Effect.flip(first.complete(Data, data))
        assert.deepInclude(closed, { _tag: "PreservationClosed", session: "vm-1", state: "rolled back" })
        yield* preserveAnew("vm-1", { ram })
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine, change)))
    })
  )

  /** Two descriptors of one open file, of kinds that no kernel here preserves: the wrapper says that it did. */
  const openFile = Effect.gen(function* () {
    const fd = yield* Fd.openFile("/dev/null", O_RDWR)
    return [fd, yield* Fd.scoped(Fd.call("file.open", {}, (kernel) => kernel.dup(fd)))] as const
  })

  it.scoped("knows other files than memfds by their open file", () =>
    Effect.gen(function* () {
      const seen: Array<bigint> = []
      const machine = yield* MemoryHost.acquire()
      yield* Effect.gen(function* () {
        const [iommu, vmms] = yield* openFile
        const [device] = yield* openFile
        const known: Handle.Owned<"iommufd"> = { kind: "iommufd", custody: "owned", fd: vmms }
        const nic: Handle.Owned<"vfio"> = {
          kind: "vfio",
          custody: "owned",
          fd: device,
          requires: Effect.succeed([known])
        }
        const iommufd: Handle.Owned<"iommufd"> = { kind: "iommufd", custody: "owned", fd: iommu }
        const files = {
          nic: { file: nic, token: tokens.log },
          iommu: { file: iommufd, token: tokens.state }
        }
        yield* Effect.scoped(Preservation.preserve({ session: "vm-1", files }, Data, data))
        assert.deepStrictEqual(seen, [tokens.state, tokens.log, Token.manifest])

        const missing = yield* Effect.flip(
          Preservation.open({ session: "vm-1", files: { nic: { file: nic, token: tokens.log } } })
        )
        assert.deepInclude(missing, { _tag: "DependencyMissing", needs: `the ${known.kind} with descriptor ${vmms}` })
        const twice = yield* Effect.flip(
          Preservation.open({ session: "vm-1", files: { ...files, again: { file: known, token: tokens.ram } } })
        )
        assert.deepInclude(twice, { _tag: "FileTwice", file: "again", other: { session: "vm-1", file: "iommu" } })
      }).pipe(
        Effect.scoped,
        Effect.provide(
          MemoryHost.program(
            machine,
            preserves(seen, (token) => (token === 0n ? undefined : 0))
          )
        )
      )
    })
  )

  it.scoped("refuses a file that is in two sessions", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* Effect.gen(function* () {
        const ram = yield* memfd("ram")
        const files = { ram: { file: ram, token: tokens.ram } }
        const error = yield* Effect.flip(
          Preservation.openAll([
            { session: "vm-1", files },
            { session: "vm-2", files: { copy: { file: ram, token: tokens.ram } } }
          ])
        )
        assert.deepInclude(error, { _tag: "FileTwice", session: "vm-2", other: { session: "vm-1", file: "ram" } })
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it.scoped("restores all or nothing: what is missing, what nobody asked for, what is of another kind", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* MemoryHost.jumpAfter(
        machine,
        Effect.gen(function* () {
          const files = {
            ram: { file: yield* memfd("ram"), token: tokens.ram },
            log: { file: yield* memfd("log"), token: tokens.log }
          }
          yield* Preservation.preserve({ session: "vm-1", files }, Data, data)
          const bare = yield* LiveUpdate.create("bare")
          yield* bare.preserve(yield* memfd("ram"), tokens.ram)
          const strange = yield* LiveUpdate.create("strange")
          yield* strange.preserve(yield* memfd("no manifest"), Token.manifest)
        })
      )
      yield* Effect.gen(function* () {
        const vfio = { kind: "vfio", manage: Memfd.Memfd.manage } as const
        const session = yield* LiveUpdate.retrieve("vm-1")
        const error = yield* Effect.flip(Preservation.restore(session, Data, { log: vfio, state: Memfd.Memfd }))
        assert.deepInclude(error, {
          _tag: "FilesDiffer",
          missing: ["state"],
          unexpected: ["ram"],
          otherKind: [{ file: "log", asked: "vfio", found: "memfd" }]
        })
        const other = yield* Effect.flip(Preservation.restore(session, Schema.Null, {}))
        assert.deepInclude(other, { _tag: "ManifestInvalid", reason: "data" })
        // It can still be done right.
        yield* Preservation.restore(session, Data, { ram: Memfd.Memfd, log: Memfd.Memfd })
        yield* session.finish

        const bare = yield* LiveUpdate.retrieve("bare")
        const none = yield* Effect.flip(Preservation.restore(bare, Data, {}))
        assert.deepInclude(none, { _tag: "TokenNotFound", token: Token.manifest, file: "manifest" })
        const strange = yield* LiveUpdate.retrieve("strange")
        const nonsense = yield* Effect.flip(Preservation.restore(strange, Data, {}))
        assert.deepInclude(nonsense, { _tag: "ManifestInvalid", reason: "magic" })
        yield* bare.finish
        yield* strange.finish
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it("reads the token where the kernel does", () => {
    assert.strictEqual(fileArgument(3, 7n).readBigUInt64LE(8), 7n)
  })
})
