import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Manifest from "../src/Manifest.ts"
import { encode, type Mutation, manifest, mutation, Payload, version1, withChecksum } from "./ManifestBytes.ts"
import { announce, seed } from "./Seed.ts"

const RUNS = 100_000

/** Valid manifests, made once: what is tried a hundred thousand times is the reading. */
const bases = FastCheck.sample(manifest, { seed, numRuns: 300 }).map(encode)
const old = bases.slice(0, 20).map((bytes) => version1(bytes.toString("utf8", 32 + bytes.readUInt32LE(20))))
const valid = [...bases, ...old]
const known = new Set(valid.map((bytes) => bytes.toString("latin1")))

/** What an accepted manifest says, written once more; a layout that isn't written any more by the test itself. */
const reencode = (bytes: Buffer, value: Manifest.Manifest<Payload>): Buffer => {
  const { kernel, createdAt, files, data } = value
  if (kernel !== undefined && createdAt !== undefined) return encode({ kernel, createdAt, files, data })
  assert.strictEqual(bytes.readUInt32LE(8), 1)
  const written = encode({ kernel: "none", createdAt: 0, files, data })
  return version1(written.toString("utf8", 32 + written.readUInt32LE(20)))
}

interface Attempt {
  readonly base: number
  readonly other: number
  readonly mutations: ReadonlyArray<Mutation>
  readonly repaired: boolean
}

const index = FastCheck.nat(valid.length - 1)
const attempt: FastCheck.Arbitrary<Attempt> = FastCheck.record({
  base: index,
  other: index,
  mutations: FastCheck.array(mutation, { minLength: 1, maxLength: 3 }),
  repaired: FastCheck.boolean()
})

describe("Manifest", () => {
  it("accepts none of 100,000 mutated ones that differs from a valid one", { timeout: 120_000 }, () => {
    announce(`${RUNS} mutated manifests`)
    const reasons: Record<string, number> = {}
    FastCheck.assert(
      FastCheck.property(attempt, ({ base, other, mutations, repaired }) => {
        const start = valid[base] ?? Buffer.alloc(0)
        const damaged = mutations.reduce((bytes, mutate) => mutate(bytes, valid[other] ?? start), start)
        const bytes = repaired ? withChecksum(damaged) : damaged
        const result = Manifest.decode(Payload, bytes)
        const verdict = Either.isLeft(result) ? result.left.reason : "accepted"
        reasons[verdict] = (reasons[verdict] ?? 0) + 1
        if (Either.isLeft(result)) {
          assert.isBelow(result.left.message.length, 800)
          return
        }
        if (known.has(bytes.toString("latin1"))) return
        const again = reencode(bytes, result.right)
        if (bytes.readUInt32LE(8) <= 2) assert.strictEqual(again.toString("latin1"), bytes.toString("latin1"))
        // A newer layout that says it can be read: what was read is a valid manifest of this one.
        else assert.deepStrictEqual(Either.getOrThrow(Manifest.decode(Payload, again)), result.right)
      }),
      { seed, numRuns: RUNS }
    )
    // Each way of refusing was come by, so the mutations get past every check but the last.
    process.stdout.write(`${JSON.stringify(reasons)}\n`)
    assert.containsAllKeys(reasons, [
      "accepted",
      "magic",
      "version",
      "truncated",
      "trailing",
      "too-large",
      "checksum",
      "encoding",
      "too-deep",
      "syntax",
      "field",
      "data"
    ])
    assert.isFalse("polluted" in {})
  })
})
