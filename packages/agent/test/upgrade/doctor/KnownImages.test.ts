import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import type { Contents } from "@liveupdate/sdk/KernelImageContents"
import * as Effect from "effect/Effect"
import * as KnownImages from "../../../src/upgrade/doctor/KnownImages.ts"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "known-images-"))
afterAll(() => Fs.rmSync(root, { recursive: true }))

const directory = Path.join(root, "cache", "kernels")
const { recall, remember } = KnownImages.make(directory)

const reason = "the image can't be looked into: it is compressed in a way that is not known"
const opaque: Contents = {
  compression: undefined,
  banner: { answer: "unknown", reason },
  release: { answer: "unknown", reason },
  config: { answer: "unknown", reason },
  abi: { answer: "unknown", reason }
}
const looked: Contents = {
  compression: "lz4",
  banner: { answer: "known", value: "Linux version 7.3.4 (\u00e9) #1" },
  release: { answer: "known", value: "7.3.4" },
  config: { answer: "known", value: "CONFIG_64BIT=y\n" },
  abi: {
    answer: "known",
    value: { kho: ["kho-v4"], luo: [], memfd: [], vfio: [], iommufd: [], guest_memfd: [], kvm_vm: [] }
  }
}

describe("KnownImages", () => {
  it.effect("knows what it was told, after a restart too, and nothing else", () =>
    Effect.gen(function* () {
      yield* remember("aa", looked)
      yield* remember("bb", opaque)
      const later = KnownImages.make(directory)
      assert.deepStrictEqual(yield* later.recall("aa"), looked)
      assert.deepStrictEqual({ compression: undefined, ...(yield* later.recall("bb")) }, opaque)
      assert.isUndefined(yield* later.recall("cc"))
      assert.deepStrictEqual(Fs.readdirSync(directory).sort(), ["aa.json", "bb.json"])
      assert.strictEqual(Fs.statSync(directory).mode & 0o777, 0o700)
    })
  )

  it.effect("forgets what is damaged or of another form", () =>
    Effect.gen(function* () {
      for (const text of ["", "{", "{}", JSON.stringify({ ...looked, abi: { answer: "known", value: {} } })]) {
        Fs.writeFileSync(Path.join(directory, "aa.json"), text)
        assert.isUndefined(yield* recall("aa"), text)
      }
    })
  )

  it.effect("keeps the latest sixteen", () =>
    Effect.gen(function* () {
      for (const [age, digest] of Array.from({ length: 20 }, (_, index) => `old${index}`).entries()) {
        yield* remember(digest, opaque)
        Fs.utimesSync(Path.join(directory, `${digest}.json`), 0, 1000 + age)
      }
      yield* remember("latest", looked)
      const left = Fs.readdirSync(directory)
      assert.strictEqual(left.length, 16)
      assert.includeMembers(left, ["latest.json", "old19.json"])
      assert.notInclude(left, "old0.json")
    })
  )

  it.effect("where it can't be written it knows nothing, and nobody minds", () =>
    Effect.gen(function* () {
      const file = Path.join(root, "file")
      Fs.writeFileSync(file, "")
      const nowhere = KnownImages.make(Path.join(file, "kernels"))
      yield* nowhere.remember("aa", looked)
      assert.isUndefined(yield* nowhere.recall("aa"))
    })
  )
})
