import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Scope from "effect/Scope"
import * as ProcStat from "../../src/vmm/ProcStat.ts"
import { makeRecord, VM_ID_PATTERN, type VmConfig } from "../../src/vmm/Vm.ts"
import { decodeConfig, decodeRecord } from "../../src/vmm/VmRecordCodec.ts"
import { layerAt, VmStore, type VmStoreRoots } from "../../src/vmm/VmStore.ts"
import * as Temporary from "../Temporary.ts"

const config = (id: string): VmConfig => ({
  id,
  memoryBytes: 2 ** 28,
  cpus: 2,
  machine: "pc-q35-7.2",
  accelerator: "kvm",
  cpu: "host",
  kernel: "/boot/guest",
  disks: [{ path: "/a, b", format: "qcow2", readonly: true, cache: "none", serial: "s" }],
  binary: "/usr/bin/qemu-system-x86_64",
  args: ["-device", "virtio-rng-pci"]
})

const withStore = <A, E>(body: (store: VmStore["Type"], roots: VmStoreRoots) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const roots = { state: join(directory, "state", "vms"), runtime: join(directory, "run", "vms") }
    return yield* Effect.provide(
      Effect.flatMap(VmStore, (store) => body(store, roots)),
      layerAt(roots)
    )
  })

const record = (store: VmStore["Type"], id: string) =>
  Effect.map(store.prepare(id), (paths) =>
    makeRecord(paths, { pid: 7, pidStartTime: "boot/1", ramFd: 3, config: config(id) }, 1_795_463_830_000)
  )

const mode = (path: string): string => (fs.statSync(path).mode & 0o777).toString(8)

describe("VmStore", () => {
  it.scoped("keeps records, root's alone", () =>
    withStore((store, roots) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* store.list, [])
        const [b, a] = [yield* record(store, "b"), yield* record(store, "a.1")]
        assert.deepStrictEqual(yield* store.list, [])
        yield* store.put(b)
        yield* store.put(a)
        assert.deepStrictEqual(yield* store.list, [a, b])
        assert.deepStrictEqual(yield* store.get("b"), b)
        for (const directory of [roots.state, roots.runtime, b.stateDir, b.runtimeDir]) {
          assert.strictEqual(mode(directory), "700", directory)
        }
        assert.strictEqual(mode(join(b.stateDir, "vm.json")), "600")
        assert.deepStrictEqual(fs.readdirSync(b.stateDir), ["vm.json"])
        yield* store.put({ ...b, pid: 8 })
        assert.strictEqual((yield* store.get("b")).pid, 8)
        yield* store.remove("b")
        yield* store.remove("b")
        assert.deepStrictEqual(yield* store.ids, ["a.1"])
      })
    )
  )

  it.scoped("an unknown id is told with the known ones, and leads nowhere else", () =>
    withStore((store) =>
      Effect.gen(function* () {
        yield* Effect.flatMap(record(store, "web"), store.put)
        for (const id of ["wep", "", "..", "../vms/web", "/etc", "web/", "x".repeat(49)]) {
          const error = yield* Effect.flip(store.get(id))
          assert(error._tag === "VmNotFound", id)
          assert.deepStrictEqual(error.known, ["web"])
        }
        yield* store.remove("../vms")
        assert.deepStrictEqual(yield* store.ids, ["web"])
      })
    )
  )

  it.scoped("a damaged record is an error, never a guess", () =>
    withStore((store) =>
      Effect.gen(function* () {
        const good = yield* record(store, "web")
        const file = join(good.stateDir, "vm.json")
        const damaged = [
          "",
          '{"id": "web"',
          "[]",
          "null",
          JSON.stringify({ ...good, pid: "7" }),
          JSON.stringify({ ...good, config: { ...good.config, disks: [{}] } }),
          JSON.stringify({ ...good, id: "other" })
        ]
        for (const text of damaged) {
          fs.writeFileSync(file, text)
          const error = yield* Effect.flip(store.get("web"))
          assert(error._tag === "VmRecordCorrupt", text)
          assert.strictEqual(error.path, file)
          assert.strictEqual((yield* Effect.flip(store.list))._tag, "VmRecordCorrupt")
        }
      })
    )
  )
})

describe("VmRecordCodec", () => {
  it("names the field that is wrong", () => {
    assert.deepStrictEqual(decodeConfig(JSON.parse(JSON.stringify(config("a")))), Either.right(config("a")))
    assert.deepStrictEqual(decodeConfig({ ...config("a"), cpus: 1.5 }), Either.left('"cpus" is not a whole number'))
    assert.deepStrictEqual(decodeRecord(undefined), Either.left("not an object"))
  })
})

describe("ProcStat", () => {
  it("reads past a name made to confuse", () => {
    const tail = Array.from({ length: 30 }, (_, index) => String(index + 4)).join(" ")
    for (const name of ["qemu", "a) R 1 2", "(()", "x y"]) {
      assert.deepStrictEqual(ProcStat.parse(`42 (${name}) S ${tail}\n`), { state: "S", startTime: "22" })
    }
    assert.isUndefined(ProcStat.parse(""))
    assert.isUndefined(ProcStat.parse("42 (qemu) S 1"))
  })

  it.effect("tells this process from others of its number", () =>
    Effect.gen(function* () {
      const pidStartTime = (yield* ProcStat.startTime(process.pid)) ?? ""
      assert.match(pidStartTime, /^[0-9a-f-]{36}\/\d+$/)
      assert.isTrue(yield* ProcStat.isRunning({ pid: process.pid, pidStartTime }))
      assert.isFalse(yield* ProcStat.isRunning({ pid: process.pid, pidStartTime: `${pidStartTime}0` }))
      assert.isUndefined(yield* ProcStat.startTime(2 ** 30))
    })
  )
})

describe("VM_ID_PATTERN", () => {
  it.prop("never leads out of a directory", [FastCheck.string()], ([id]) => {
    if (VM_ID_PATTERN.test(id)) assert.strictEqual(join("/root", id), `/root/${id}`)
  })
})
