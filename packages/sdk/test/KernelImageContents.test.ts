import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as KernelImageContents from "../src/KernelImageContents.ts"
import { arm64Image, banner, bzImage, config, kernel, withSize, zboot } from "./KernelBytes.ts"
import * as Payloads from "./kernelPayloads.ts"
import { announce, seed } from "./Seed.ts"

const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "kernel-image-"))
const path = Path.join(directory, "vmlinuz")
afterAll(() => Fs.rmSync(directory, { recursive: true }))

/** The outcome for an image with these bytes; a defect would be thrown. */
const read = (image: Buffer) => {
  Fs.writeFileSync(path, image)
  return Effect.runSync(Effect.either(KernelImageContents.read(path)))
}

const contents = (image: Buffer) => Either.getOrThrow(read(image))

const refusal = (image: Buffer) => {
  const result = read(image)
  return Either.isLeft(result) ? result.left : assert.fail("it was read")
}

const gzipped = (bytes: Buffer) => bzImage(gzipSync(bytes))
const sized = (payload: Buffer) => bzImage(withSize(payload, Payloads.size))

const none = { vfio: [], iommufd: [], guest_memfd: [], kvm_vm: [] }
const wellKnown = {
  path,
  banner: { answer: "known", value: banner },
  release: { answer: "known", value: "7.3.4-test" },
  config: { answer: "known", value: config },
  abi: { answer: "known", value: { kho: ["kho-v4"], luo: ["luo-v5"], memfd: ["memfd-v2"], ...none } }
} as const

const readable: ReadonlyArray<readonly [string, KernelImageContents.Compression, Buffer]> = [
  ["a bzImage", "none", bzImage(kernel())],
  ["a bzImage", "gzip", gzipped(kernel())],
  ["a bzImage, with the filter for x86 code", "xz", sized(Payloads.xzX86)],
  ["a bzImage, without a filter and in several blocks", "xz", sized(Payloads.xzBlocks)],
  ["a bzImage", "zstd", sized(Payloads.zstd)],
  ["a bzImage", "lz4", sized(Payloads.lz4)],
  ["an arm64 Image", "none", arm64Image()],
  ["an arm64 Image.gz", "gzip", gzipSync(Buffer.concat([arm64Image(), noise(1024)]))],
  ["an EFI image that decompresses itself", "gzip", zboot(gzipSync(kernel()), gzipSync(kernel()).length)],
  [
    "an EFI image that decompresses itself, with the filter for arm64 code",
    "xz",
    zboot(withSize(Payloads.xzArm64, Payloads.size), Payloads.xzArm64.length)
  ],
  ["an EFI image that decompresses itself", "zstd", zboot(withSize(Payloads.zstd, Payloads.size), Payloads.zstd.length)]
]

/** Bytes that no compression makes shorter, the same ones each time. */
function noise(length: number): Buffer {
  let state = 1
  return Buffer.from(
    Array.from({ length }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return state >>> 24
    })
  )
}

describe("what is found in an image", () => {
  for (const [what, compression, image] of readable)
    it(`${what}, ${compression}`, () => assert.deepStrictEqual(contents(image), { ...wellKnown, compression }))

  it("xz with the filters of both machines gives back the very bytes: their checksums are compared", () => {
    // The configuration in it is compressed, and the check over all of it is the last thing that is looked at.
    const damaged = Buffer.from(Payloads.xzX86)
    const at = damaged.length - 36
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
    assert.strictEqual(refusal(sized(damaged)).reason, "damaged")
  })
})

describe("strings of the handovers", () => {
  const abiOf = (...strings: ReadonlyArray<string>) => {
    const { abi } = contents(gzipped(kernel(strings)))
    return abi.answer === "known" ? abi.value : assert.fail(abi.reason)
  }
  it("a kernel without any has empty lists: that is an answer", () => {
    assert.deepStrictEqual(abiOf(), { kho: [], luo: [], memfd: [], ...none })
  })
  it("only whole strings count", () => {
    const { kho, luo, memfd } = abiOf("not-kho-v4", "luo-v5-beta", "luo-v", "memfd-v2 ", "\x01luo-v7")
    assert.deepStrictEqual({ kho, luo, memfd }, { kho: [], luo: ["luo-v7"], memfd: [] })
  })
  it("the last string of a kernel has its NUL as well, or is none", () => {
    const bytes = kernel(["luo-v5"])
    const { abi } = contents(gzipped(bytes.subarray(0, -1)))
    assert.deepStrictEqual(abi.answer === "known" && abi.value.luo, [])
  })
  it("more than one, each once, and the handlers that are still proposals", () => {
    const abi = abiOf(
      "memfd-v2",
      "memfd-v3",
      "memfd-v2",
      "vfio-pci-v1",
      "guest_memfd_luo_v1",
      "kvm_vm_luo_v1",
      "iommufd-v1"
    )
    assert.deepStrictEqual(abi.memfd, ["memfd-v2", "memfd-v3"])
    assert.deepStrictEqual(
      [abi.vfio, abi.guest_memfd, abi.kvm_vm, abi.iommufd],
      [["vfio-pci-v1"], ["guest_memfd_luo_v1"], ["kvm_vm_luo_v1"], ["iommufd-v1"]]
    )
  })
})

describe("what isn't known", () => {
  const reasonOf = (told: KernelImageContents.Told<unknown>) =>
    told.answer === "unknown" ? told.reason : assert.fail("it is known")

  const opaque: ReadonlyArray<readonly [string, Buffer, string]> = [
    ["bzip2", bzImage(withSize(Buffer.from("BZh91AY&SY0123456789"), 100)), "it is compressed with bzip2"],
    ["lzma", bzImage(withSize(Buffer.from("]\0\0\0\x80\0aaaaaaaaaa"), 100)), "it is compressed with lzma"],
    ["lzo", bzImage(withSize(Buffer.from("894c5a4f000d0a1a0a1010101010", "hex"), 100)), "it is compressed with lzo"],
    ["another compression", bzImage(Buffer.alloc(32)), "compressed in a way that is not known"],
    ["xz with a filter that no kernel has", sized(Payloads.xzDelta), "xz filters are others"],
    ["an old boot protocol", bzImage(gzipSync(kernel()), { protocol: 0x207 }), "older than 2.08"],
    ["something else than Linux", gzipped(noise(4096)), "no Linux was found in it"]
  ]
  for (const [what, image, reason] of opaque)
    it(`${what}: nothing is guessed`, () => {
      const { abi, config, release } = contents(image)
      for (const told of [abi, config, release]) assert.include(reasonOf(told), reason)
    })

  it("a kernel without its configuration in it, or with a damaged one: the rest is known", () => {
    const without = contents(gzipped(kernel(undefined, { withConfig: null })))
    const damaged = contents(gzipped(kernel(undefined, { withConfig: gzipSync(config).subarray(0, 30) })))
    assert.include(reasonOf(without.config), "without CONFIG_IKCONFIG")
    assert.include(reasonOf(damaged.config), "can't be decompressed")
    for (const { abi } of [without, damaged]) assert.deepStrictEqual(abi, wellKnown.abi)
  })
})

describe("what is refused", () => {
  it("a file that isn't there, a directory, and what is no kernel", () => {
    const of = (path: string) => Effect.runSync(Effect.flip(KernelImageContents.read(path))).reason
    assert.strictEqual(of(Path.join(directory, "none")), "missing")
    assert.strictEqual(of(directory), "not-a-kernel")
    assert.strictEqual(refusal(noise(4096)).reason, "not-a-kernel")
    assert.strictEqual(refusal(Buffer.alloc(0)).reason, "not-a-kernel")
  })

  const payloads: ReadonlyArray<readonly [string, Buffer]> = [
    ["gzip", gzipSync(kernel())],
    ["xz", withSize(Payloads.xzX86, Payloads.size)],
    ["zstd", withSize(Payloads.zstd, Payloads.size)],
    ["lz4", withSize(Payloads.lz4, Payloads.size)]
  ]
  for (const [compression, payload] of payloads) {
    it(`${compression}, cut short: damaged, and what to do`, () => {
      const half = payload.subarray(0, payload.length >> 1)
      const error = refusal(bzImage(compression === "gzip" ? half : withSize(half, Payloads.size)))
      assert.strictEqual(error.reason, "damaged")
      assert.include(error.message, "is damaged (the kernel in it can't be decompressed")
      assert.include(error.message, "copy the kernel again")
    })
    it(`${compression} that says it were huge: damaged, and no memory is taken`, () => {
      const before = process.memoryUsage().rss
      const image = bzImage(withSize(payload.subarray(0, -4), 0xfffffff0))
      assert.strictEqual(refusal(image).reason, "damaged")
      assert.isBelow(process.memoryUsage().rss - before, 64 << 20)
    })
  }

  it("a header that points behind the file's end", () => {
    const image = gzipped(kernel())
    image.writeUInt32LE(image.length, 0x24c)
    assert.strictEqual(refusal(image).reason, "damaged")
  })
})

describe("any bytes", () => {
  const RUNS = 5_000
  const mutation = FastCheck.record({
    base: FastCheck.nat(readable.length - 1),
    edits: FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    // Most headers aren't looked at: half of the edits go where they are.
    near: FastCheck.boolean(),
    length: FastCheck.option(FastCheck.nat())
  })

  it("a mutated image is read or refused as damaged, cut short or no kernel", { timeout: 120_000 }, () => {
    announce(`${RUNS} mutated kernel images`)
    const seen: Record<string, number> = {}
    FastCheck.assert(
      FastCheck.property(mutation, ({ base, edits, near, length }) => {
        const image = Buffer.from(readable[base]?.[2] ?? assert.fail("no such image"))
        for (const [at, byte] of edits) image[near ? 0x1f0 + (at % 0x300) : at % image.length] = byte
        const result = read(length === null ? image : image.subarray(0, length % image.length))
        const verdict = Either.isLeft(result) ? result.left.reason : result.right.abi.answer
        seen[verdict] = (seen[verdict] ?? 0) + 1
        assert.include(["known", "unknown", "damaged", "not-a-kernel"], verdict)
      }),
      { seed, numRuns: RUNS }
    )
    for (const verdict of ["known", "unknown", "damaged", "not-a-kernel"])
      assert.isAbove(seen[verdict] ?? 0, 0, verdict)
  })
})

describe("a memory of images", () => {
  const remembered = new Map<string, KernelImageContents.Contents>()
  const memory: KernelImageContents.Memory = {
    recall: (digest) => Effect.sync(() => remembered.get(digest)),
    remember: (digest, contents) => Effect.sync(() => void remembered.set(digest, contents))
  }
  const look = (image: Buffer) => {
    Fs.writeFileSync(path, image)
    return Effect.runSync(Effect.either(KernelImageContents.read(path, memory)))
  }

  it("is told what was found, and is believed when the same bytes come again, wherever they are", () => {
    const first = Either.getOrThrow(look(gzipped(kernel())))
    const [told] = remembered.values()
    assert.deepStrictEqual({ path, ...told }, { ...wellKnown, compression: "gzip" })
    for (const [digest, found] of remembered) remembered.set(digest, { ...found, compression: "lzo" })
    assert.deepStrictEqual(Either.getOrThrow(look(gzipped(kernel()))), { ...first, compression: "lzo" })
  })

  it("isn't asked about other bytes, and isn't told of what is no kernel or damaged", () => {
    const { size } = remembered
    const damaged = Buffer.from(Payloads.xzX86)
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 36) ^ 1, damaged.length - 36)
    assert.isTrue(Either.isLeft(look(sized(damaged))))
    assert.isTrue(Either.isLeft(look(noise(4096))))
    assert.strictEqual(remembered.size, size)
    assert.strictEqual(Either.getOrThrow(look(sized(Payloads.lz4))).compression, "lz4")
  })
})
