import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Scope from "effect/Scope"
import * as VmSpec from "../../src/vmm/VmSpec.ts"
import * as Temporary from "../Temporary.ts"

/** A directory with a kernel, a disk and a program in it, and a way to put a spec beside them. */
const inDirectory = <A, E>(
  body: (directory: string, write: (name: string, text: string) => string) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const write = (name: string, text: string) => {
      fs.writeFileSync(join(directory, name), text)
      return join(directory, name)
    }
    write("vmlinux", "")
    write("root.img", "")
    fs.chmodSync(write("qemu", ""), 0o755)
    return yield* body(directory, write)
  })

const invalid = (file: string) =>
  Effect.map(Effect.flip(VmSpec.load(file)), (error) => {
    assert(error._tag === "VmSpecInvalid", error.message)
    assert.notInclude(error.message, "\n")
    return error
  })

describe("VmSpec", () => {
  it.scoped("TOML and JSON say the same; defaults and paths are filled in", () =>
    inDirectory((directory, write) =>
      Effect.gen(function* () {
        const toml = write(
          "a.toml",
          'id = "web"\nmemory = "32M"\nkernel = "vmlinux"\nbinary = "./qemu"\n[[disks]]\npath = "root.img"\nformat = "raw"\n'
        )
        const json = write(
          "a.json",
          JSON.stringify({
            id: "web",
            memory: 32 * 2 ** 20,
            kernel: "vmlinux",
            binary: "./qemu",
            disks: [{ path: join(directory, "root.img"), format: "raw" }]
          })
        )
        const config = yield* VmSpec.load(toml)
        assert.deepStrictEqual(yield* VmSpec.load(json), config)
        assert.deepStrictEqual(config, {
          id: "web",
          memoryBytes: 32 * 2 ** 20,
          cpus: 1,
          machine: "q35",
          accelerator: "kvm",
          cpu: "host",
          kernel: join(directory, "vmlinux"),
          disks: [{ path: join(directory, "root.img"), format: "raw", readonly: false, cache: "none" }],
          binary: join(directory, "qemu"),
          args: []
        })
      })
    )
  )

  it.scoped("an unknown field is named with the file and the nearest known one", () =>
    inDirectory((_, write) =>
      Effect.gen(function* () {
        const file = write(
          "b.json",
          JSON.stringify({ id: "a", memroy: "1G", disks: [{ path: "root.img", format: "raw", serail: "x" }] })
        )
        const error = yield* invalid(file)
        assert.strictEqual(
          error.message,
          `VM spec ${file}: memroy is no known field; the nearest one is "memory"; memory is missing; ` +
            `disks[0].serail is no known field; the nearest one is "serial"`
        )
      })
    )
  )

  it.scoped("says everything that is wrong at once", () =>
    inDirectory((directory, write) =>
      Effect.gen(function* () {
        const shape = write(
          "c.toml",
          'id = "../x"\nmemory = true\ncpus = 256\naccelerator = "xen"\nargs = [1]\n[[disks]]\npath = "d"\nformat = "vmdk"\ncache = "unsafe"'
        )
        assert.deepStrictEqual((yield* invalid(shape)).problems.map(({ field }) => field).sort(), [
          "accelerator",
          "args[0]",
          "cpus",
          "disks[0].cache",
          "disks[0].format",
          "id",
          "memory"
        ])
        const disk = { path: "root.img", format: "raw" }
        const meaning = write(
          "d.json",
          JSON.stringify({
            id: "x",
            memory: "64T",
            initrd: "no-initrd",
            binary: "no-qemu-here",
            args: ["-daemonize", "--snapshot"],
            disks: [disk, disk, { path: "no.img", format: "raw" }, { path: directory, format: "raw" }]
          })
        )
        const error = yield* invalid(meaning)
        assert.deepStrictEqual(error.problems.map(({ field }) => field).sort(), [
          "args[0]",
          "args[1]",
          "binary",
          "disks[1].path",
          "disks[2].path",
          "disks[3].path",
          "initrd",
          "initrd",
          "memory"
        ])
        assert.include(error.message, `disks[2].path ${join(directory, "no.img")} does not exist`)
        assert.include(error.message, "more than this host has")
      })
    )
  )

  it.scoped("needs something to boot, and a file that is TOML or JSON", () =>
    inDirectory((directory, write) =>
      Effect.gen(function* () {
        const nothing = yield* invalid(write("e.toml", 'id = "a"\nmemory = "1G"\nbinary = "./qemu"'))
        assert.include(nothing.message, "needs something to boot")
        yield* invalid(write("f.toml", "id = "))
        yield* invalid(write("g.json", "{"))
        yield* invalid(write("h.json", "[]"))
        const error = yield* Effect.flip(VmSpec.load(join(directory, "none.toml")))
        assert(error._tag === "VmSpecUnreadable")
        assert.strictEqual(error.code, "ENOENT")
      })
    )
  )
})

describe("parseMemory", () => {
  it("takes sizes as people write them", () => {
    const sizes: ReadonlyArray<readonly [string | number, number]> = [
      ["192M", 192 * 2 ** 20],
      ["2G", 2 ** 31],
      ["1.5 GiB", 1.5 * 2 ** 30],
      ["512mb", 2 ** 29],
      [2 ** 30, 2 ** 30],
      ["64T", 2 ** 46]
    ]
    for (const [written, bytes] of sizes) assert.deepStrictEqual(VmSpec.parseMemory(written), Either.right(bytes))
  })

  it("refuses what can't be", () => {
    const refused = [
      "",
      "lots",
      "2X",
      "-1G",
      "0",
      0,
      -1,
      "15M",
      "65T",
      2 ** 30 + 1,
      1e300,
      Number.NaN,
      "1e9",
      "16.00001M"
    ]
    for (const size of refused) assert.isTrue(Either.isLeft(VmSpec.parseMemory(size)), String(size))
  })

  it.prop(
    "gives whole pages within bounds, or a reason",
    [FastCheck.oneof(FastCheck.string(), FastCheck.double())],
    ([size]) => {
      const bytes = Either.getOrUndefined(VmSpec.parseMemory(size))
      if (bytes !== undefined) assert.isTrue(bytes % 4096 === 0 && bytes >= 2 ** 24 && bytes <= 2 ** 46)
    }
  )
})
