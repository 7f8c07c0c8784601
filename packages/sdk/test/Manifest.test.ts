import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Manifest from "../src/Manifest.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Token from "../src/Token.ts"
import { around, encode, manifest, Payload, version1, withChecksum } from "./ManifestBytes.ts"

const ram: Manifest.File = { token: Token.make(1n), kind: "memfd", name: "ram", size: 201326592, dependsOn: [] }
const iommu: Manifest.File = { token: Token.make(2n ** 64n - 1n), kind: "iommufd", name: "iommu", dependsOn: ["ram"] }
const data: Payload = { run: "20261124T145348Z-8a", vms: [{ id: "web-1", memory: 201326592 }], flags: {} }
const value = { kernel: "7.3.4-host-a", createdAt: 1795532028000, files: [ram, iommu], data }
const encoded = encode(value)

const description =
  '{"kernel":"7.3.4","createdAt":1,"files":[{"token":"1","kind":"memfd","name":"ram","dependsOn":[]},{"token":"2","kind":"vfio","name":"nic","dependsOn":["ram"]}]}'

const refused = (bytes: Buffer): Manifest.ManifestInvalid => {
  const result = Manifest.decode(Schema.Unknown, bytes)
  return Either.isLeft(result) ? result.left : assert.fail("it was accepted")
}

describe("Manifest", () => {
  it("has the layout that its documentation gives", () => {
    const texts = [
      '{"kernel":"7.3.4-host-a","createdAt":1795532028000,"files":[' +
        '{"token":"1","kind":"memfd","name":"ram","size":201326592,"dependsOn":[]},' +
        '{"token":"18446744073709551615","kind":"iommufd","name":"iommu","dependsOn":["ram"]}]}',
      '{"run":"20261124T145348Z-8a","vms":[{"id":"web-1","memory":201326592}],"flags":{}}'
    ] as const
    assert.deepStrictEqual(encoded, around(...texts))
    assert.strictEqual(encoded.length, 32 + texts[0].length + texts[1].length)
  })

  it("comes back as it went, whatever is in it", () => {
    FastCheck.assert(
      FastCheck.property(manifest, (value) => {
        assert.deepStrictEqual(Either.getOrThrow(Manifest.decode(Payload, encode(value))), value)
      })
    )
  })

  it("refuses every change of a single byte, every truncation, and anything appended", () => {
    for (let offset = 0; offset < encoded.length; offset++) {
      const damaged = Buffer.from(encoded)
      damaged.writeUInt8(damaged.readUInt8(offset) ^ 0x40, offset)
      refused(damaged)
      refused(encoded.subarray(0, offset))
    }
    assert.strictEqual(refused(Buffer.concat([encoded, Buffer.from([0])])).reason, "trailing")
  })

  it("never throws on arbitrary bytes", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 200 }), (bytes) => void refused(Buffer.from(bytes)))
    )
  })

  it("reads layout 1, which knew no files", () => {
    const result = Either.getOrThrow(Manifest.decode(Payload, version1(JSON.stringify(data))))
    assert.deepStrictEqual(result, { files: [], data })
  })

  it("reads a newer layout that says so, and passes over what is new in it", () => {
    const newer = (reader: number) => {
      const bytes = around(
        description.replace('"vfio",', '"vfio","numa":1,').replace('"createdAt"', '"host":{"name":"b"},"createdAt"'),
        "[1]",
        { 8: 3, 12: reader, 16: 40 }
      )
      return withChecksum(Buffer.concat([bytes.subarray(0, 32), Buffer.from("newfield"), bytes.subarray(32)]))
    }
    const { files, kernel, data } = Either.getOrThrow(Manifest.decode(Schema.Unknown, newer(2)))
    assert.deepStrictEqual([kernel, data, files.map(({ name }) => name)], ["7.3.4", [1], ["ram", "nic"]])
    const error = refused(newer(3))
    assert.deepStrictEqual([error.reason, error.needs], ["version", 3])
    assert.include(error.message, "takes a reader of layout 3, this program reads up to 2")
  })

  it("takes no unknown field from its own layout", () => {
    assert.strictEqual(refused(around(description.replace('"vfio",', '"vfio","numa":1,'), "null")).reason, "field")
    assert.strictEqual(refused(around(description, "null", { 16: 40 })).reason, "field")
  })

  const hostile: ReadonlyArray<readonly [string, string, Manifest.ManifestInvalid["reason"], string]> = [
    ["the manifest's own token", description.replace('"2"', '"0"'), "field", "files[1].token"],
    ["a token twice", description.replace('"2"', '"1"'), "field", "files[1].token"],
    ["a token of 65 bits", description.replace('"2"', '"18446744073709551616"'), "field", "files[1].token"],
    ["a token that lost its bits", description.replace('"2"', "9007199254740993"), "syntax", "description"],
    ["a token that is a number", description.replace('"2"', "2"), "field", "files[1].token"],
    ["a token written otherwise", description.replace('"2"', '"0x2"'), "field", "files[1].token"],
    ["an unknown kind", description.replace("vfio", "kvm_vcpu"), "field", "files[1].kind"],
    ["a kind from the prototype", description.replace("vfio", "constructor"), "field", "files[1].kind"],
    ["a name twice", description.replace("nic", "ram"), "field", "files[1].name"],
    ["the manifest's name", description.replace("nic", "manifest"), "field", "files[1].name"],
    ["a name with a line feed", description.replace("nic", "n\\nic"), "field", "files[1].name"],
    ["a name of 65 characters", description.replace("nic", "n".repeat(65)), "field", "files[1].name"],
    ["a dependency that isn't there", description.replace('["ram"]', '["rom"]'), "field", "files[1].dependsOn"],
    ["a dependency on itself", description.replace('["ram"]', '["nic"]'), "field", "files[1].dependsOn"],
    ["a dependency on a later file", description.replace("[]", '["nic"]'), "field", "files[0].dependsOn"],
    ["a dependency twice", description.replace('["ram"]', '["ram","ram"]'), "field", "files[1].dependsOn"],
    ["a negative size", description.replace('"vfio"', '"vfio","size":-1'), "field", "files[1].size"],
    ["a size beyond 2^53", description.replace('"vfio"', '"vfio","size":9007199254740992'), "field", "files[1].size"],
    ["a key twice", description.replace('"token":"2"', '"token":"2","token":"2"'), "syntax", "description"],
    ["a space", description.replace(":", ": "), "syntax", "description"],
    [
      "another order",
      description.replace('"kernel":"7.3.4","createdAt":1', '"createdAt":1,"kernel":"7.3.4"'),
      "field",
      "description"
    ],
    ["no files", '{"kernel":"7.3.4","createdAt":1}', "field", "files"],
    ["null", "null", "field", "description"],
    ["a list", "[]", "field", "description"],
    ["nothing", "", "syntax", "description"],
    ["a key __proto__", description.replace('"kernel"', '"__proto__":{"files":[]},"kernel"'), "syntax", "description"],
    ["a kernel with an escape sequence", description.replace("7.3.4", "\\u001b[2J"), "field", "kernel"]
  ]

  for (const [what, text, reason, where] of hostile)
    it(`refuses a description with ${what}`, () => {
      const error = refused(around(text, "null"))
      assert.deepStrictEqual([error.reason, error.where], [reason, where])
    })

  it("refuses text that is nested too deeply, before it is parsed", () => {
    const nested = (depth: number) => around(description, "[".repeat(depth) + "]".repeat(depth))
    assert.isTrue(Either.isRight(Manifest.decode(Schema.Unknown, nested(Manifest.MAX_DEPTH))))
    assert.strictEqual(refused(nested(Manifest.MAX_DEPTH + 1)).reason, "too-deep")
    assert.strictEqual(refused(around(description, "[".repeat(Manifest.MAX_DATA_BYTES))).reason, "too-deep")
    // Brackets inside a string are text.
    assert.isTrue(
      Either.isRight(
        Manifest.decode(Schema.Unknown, around(description, JSON.stringify('\\"'.concat("[".repeat(100)))))
      )
    )
  })

  it("refuses bytes that are no UTF-8", () => {
    const bytes = around(description, '"x"')
    bytes.writeUInt8(0xff, bytes.length - 2)
    assert.strictEqual(refused(withChecksum(bytes)).reason, "encoding")
  })

  it("refuses lengths over the limits, whatever the bytes are", () => {
    for (const length of [Manifest.MAX_BYTES + 1, 0x8000_0000, 0xffff_ffff]) {
      assert.strictEqual(refused(around(description, "1", { 20: length })).reason, "too-large")
      assert.strictEqual(refused(around(description, "1", { 24: length })).reason, "too-large")
    }
    const old = version1("1")
    old.writeBigUInt64LE(2n ** 64n - 1n, 16)
    assert.strictEqual(refused(old).reason, "too-large")
  })

  it("refuses to write what it could not read", () => {
    const refusedToWrite = <A, I>(schema: Schema.Schema<A, I>, data: A, files: ReadonlyArray<Manifest.File> = []) => {
      const result = Manifest.encode(schema, { ...value, files, data })
      return Either.isLeft(result) ? result.left.reason : "written"
    }
    assert.strictEqual(refusedToWrite(Schema.String, "x".repeat(Manifest.MAX_DATA_BYTES)), "too-large")
    assert.strictEqual(refusedToWrite(Schema.Number, Number.NaN), "data")
    assert.strictEqual(refusedToWrite(Schema.Unknown, undefined), "syntax")
    assert.strictEqual(refusedToWrite(Schema.Unknown, 1n), "data")
    assert.strictEqual(refusedToWrite(Schema.Unknown, JSON.parse('{"__proto__":1}')), "syntax")
    const cyclic: Array<unknown> = []
    cyclic.push(cyclic)
    assert.strictEqual(refusedToWrite(Schema.Unknown, cyclic), "data")
    assert.strictEqual(refusedToWrite(Schema.Null, null, [iommu, ram]), "field")
    assert.strictEqual(refusedToWrite(Schema.Null, null, [ram, { ...iommu, token: Token.manifest }]), "field")
    const many = Array.from(
      { length: Manifest.MAX_FILES + 1 },
      (_, index): Manifest.File => ({ ...ram, token: Token.make(BigInt(index + 1)), name: `file-${index}` })
    )
    assert.strictEqual(refusedToWrite(Schema.Null, null, many), "too-large")
    assert.strictEqual(refusedToWrite(Schema.Null, null, many.slice(1)), "written")
  })

  it("says what is wrong with data of another shape", () => {
    const error = Either.getOrThrow(Either.flip(Manifest.decode(Schema.Struct({ vm: Schema.String }), encoded)))
    assert.strictEqual(error.reason, "data")
    assert.include(error.message, "vm")
  })

  it("refuses properties of the data that the schema doesn't know, unless it says that they don't matter", () => {
    const known = Schema.Struct({ run: Schema.String })
    assert.isTrue(Either.isLeft(Manifest.decode(known, encoded)))
    const lenient = known.annotations({ parseOptions: { onExcessProperty: "ignore" } })
    assert.deepStrictEqual(Either.getOrThrow(Manifest.decode(lenient, encoded)).data, { run: data.run })
  })

  it.scoped("travels in a memfd that nobody can change any more", () =>
    Effect.gen(function* () {
      const memfd = yield* Manifest.write(Payload, { files: [ram, iommu], data })
      const read = yield* Manifest.read(Payload, memfd)
      assert.deepStrictEqual([read.files, read.data], [[ram, iommu], data])
      assert.strictEqual(read.kernel, Os.release())
      assert.deepStrictEqual(yield* Memfd.getSeals(memfd), ["seal", "shrink", "grow", "write"])
      const error = yield* Effect.flip(Memfd.write(memfd, 0, Buffer.from("x")))
      assert.strictEqual(error._tag, "MemoryFrozen")
    })
  )

  it.scoped("isn't read from a file that is too large to be one", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "huge", size: 2 ** 40 })
      const error = yield* Effect.flip(Manifest.read(Payload, memfd))
      assert.strictEqual(error._tag === "ManifestInvalid" ? error.reason : error, "too-large")
    })
  )
})
