import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { type Candidate, type PlanError, plan, type Request } from "../src/internal/preservation/plan.ts"
import * as Token from "../src/Token.ts"
import { announce, seed } from "./Seed.ts"

const file = (name: string, token: bigint, more: Partial<Candidate> = {}): Candidate => ({
  name,
  token: Token.make(token),
  identity: `file ${name}`,
  dependsOn: [],
  requires: [],
  ...more
})

const request = (added: ReadonlyArray<Candidate>, held: ReadonlyArray<Candidate> = [], session = "vm-1") => ({
  session,
  held,
  added
})

const orderOf = (...requests: ReadonlyArray<Request<Candidate>>) =>
  Either.getOrThrow(plan(requests)).map((files) => files.map(({ name }) => name))

const refusal = (...requests: ReadonlyArray<Request<Candidate>>): PlanError =>
  Either.getOrThrow(Either.flip(plan(requests)))

/** Files, each with the indices of those it needs: half of them by name, half by identity. */
const graph = (needs: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<Candidate> =>
  needs.map((indices, index) =>
    file(`f${index}`, BigInt(index + 1), {
      dependsOn: indices.filter((need) => need % 2 === 0).map((need) => `f${need}`),
      requires: indices.filter((need) => need % 2 === 1).map((need) => ({ identity: `file f${need}`, what: "a file" }))
    })
  )

const size = FastCheck.integer({ min: 1, max: 40 })
const edges = FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.nat()), { maxLength: 120 })

/** Needs only go from later to earlier in a random order of the files, so there is no circle. */
const acyclic = FastCheck.tuple(size, edges).chain(([count, pairs]) =>
  FastCheck.shuffledSubarray([...Array(count).keys()], { minLength: count }).map((positions) => {
    const needs = Array.from({ length: count }, () => new Set<number>())
    for (const [a, b] of pairs) {
      const [one, other] = [a % count, b % count]
      if (one === other) continue
      const [early, late] = (positions[one] ?? 0) < (positions[other] ?? 0) ? [one, other] : [other, one]
      needs[late]?.add(early)
    }
    return needs.map((set) => [...set])
  })
)

describe("plan", () => {
  announce("random dependencies")

  it("puts every file after all that it needs, and leaves none out", () => {
    FastCheck.assert(
      FastCheck.property(acyclic, (needs) => {
        const files = graph(needs)
        const [ordered = []] = Either.getOrThrow(plan([request(files)]))
        const place = new Map(ordered.map(({ name }, index) => [name, index]))
        assert.deepStrictEqual([...place.keys()].sort(), files.map(({ name }) => name).sort())
        ordered.forEach((planned, index) => {
          const expected = needs[Number(planned.name.slice(1))] ?? []
          assert.sameMembers(
            [...planned.needs],
            expected.map((need) => `f${need}`)
          )
          for (const need of planned.needs) assert.isBelow(place.get(need) ?? Number.POSITIVE_INFINITY, index)
        })
      }),
      { seed, numRuns: 2000 }
    )
  })

  it("keeps the order that was given where dependencies leave it free", () => {
    FastCheck.assert(
      FastCheck.property(size, (count) => {
        const files = graph(Array.from({ length: count }, () => []))
        assert.deepStrictEqual(orderOf(request(files)), [files.map(({ name }) => name)])
      }),
      { seed }
    )
  })

  it("finds a circle wherever there is one, and reports one that is real", () => {
    const withCircle = FastCheck.tuple(acyclic, FastCheck.array(FastCheck.nat(), { minLength: 1, maxLength: 6 })).map(
      ([needs, picks]) => {
        const circle = [...new Set(picks.map((pick) => pick % needs.length))]
        return needs.map((own, index) => {
          const at = circle.indexOf(index)
          return at === -1 ? own : [...own, circle[(at + 1) % circle.length] ?? index]
        })
      }
    )
    FastCheck.assert(
      FastCheck.property(withCircle, (needs) => {
        const error = refusal(request(graph(needs)))
        if (error._tag !== "DependencyCycle") return assert.fail(error.message)
        assert.strictEqual(new Set(error.cycle).size, error.cycle.length)
        const indices = error.cycle.map((name) => Number(name.slice(1)))
        indices.forEach((index, at) => {
          assert.include(needs[index] ?? [], indices[(at + 1) % indices.length])
        })
      }),
      { seed, numRuns: 2000 }
    )
  })

  it("names the circle", () => {
    const files = [
      file("ram", 1n, { dependsOn: ["nic"] }),
      file("iommu", 2n, { dependsOn: ["ram"] }),
      file("nic", 3n, { dependsOn: ["iommu"] })
    ]
    assert.include(refusal(request(files)).message, "ram → nic → iommu → ram")
    assert.include(refusal(request([file("ram", 1n, { dependsOn: ["ram"] })])).message, "ram → ram")
  })

  it("isn't brought down by a long chain", () => {
    const needs = Array.from({ length: 4000 }, (_, index) => (index === 3999 ? [] : [index + 1]))
    assert.strictEqual(orderOf(request(graph(needs)))[0]?.[0], "f3999")
    const error = refusal(request(graph(needs.map((own, index) => (index === 3999 ? [0] : own)))))
    assert.strictEqual(error._tag === "DependencyCycle" ? error.cycle.length : error._tag, 4000)
  })

  it("orders memfd, iommufd, VFIO device by what the handles know", () => {
    const files = [
      file("nic", 3n, { requires: [{ identity: "file iommu", what: "an iommufd" }] }),
      file("iommu", 2n, { requires: [{ identity: "file ram", what: "a memfd" }] }),
      file("ram", 1n)
    ]
    assert.deepStrictEqual(orderOf(request(files)), [["ram", "iommu", "nic"]])
  })

  it("says what is missing, by its name or by what is known of it", () => {
    const byName = refusal(request([file("nic", 1n, { dependsOn: ["iommu"] })]))
    assert.deepInclude(byName, { _tag: "DependencyMissing", session: "vm-1", file: "nic", needs: '"iommu"' })
    const known = [{ identity: "x", what: "an iommufd (descriptor 7)" }]
    const byIdentity = refusal(request([file("nic", 1n, { requires: known })]))
    assert.deepInclude(byIdentity, { _tag: "DependencyMissing", file: "nic", needs: "an iommufd (descriptor 7)" })
  })

  it("does not look for a dependency in another session", () => {
    const error = refusal(
      request([file("ram", 1n)], [], "one"),
      request([file("nic", 1n, { dependsOn: ["ram"] })], [], "two")
    )
    assert.deepInclude(error, { _tag: "DependencyMissing", session: "two" })
  })

  it("lets later files need earlier ones, and takes no name and no token of theirs", () => {
    const held = [file("ram", 1n)]
    assert.deepStrictEqual(orderOf(request([file("state", 2n, { dependsOn: ["ram"] })], held)), [["state"]])
    assert.deepInclude(refusal(request([file("ram", 2n, { identity: "other" })], held)), { _tag: "FileNameInvalid" })
    assert.deepInclude(refusal(request([file("state", 1n)], held)), { _tag: "TokenTaken", file: "state", by: "ram" })
    assert.deepInclude(refusal(request([file("state", 2n, { identity: "file ram" })], held)), { _tag: "FileTwice" })
  })

  it("refuses the manifest's token, a token twice, a name that is none", () => {
    assert.deepInclude(refusal(request([file("ram", 0n)])), { _tag: "TokenTaken", by: "manifest" })
    assert.deepInclude(refusal(request([file("a", 1n), file("b", 1n)])), { _tag: "TokenTaken", file: "b", by: "a" })
    for (const name of ["", "manifest", "__proto__", "a b", "x".repeat(65)])
      assert.deepInclude(refusal(request([file(name, 1n)])), { _tag: "FileNameInvalid", file: name })
  })

  it("refuses a file that is there twice, in one session or in two", () => {
    const [one, two] = [file("a", 1n, { identity: "x" }), file("b", 2n, { identity: "x" })]
    assert.deepInclude(refusal(request([one, two])), {
      _tag: "FileTwice",
      file: "b",
      other: { session: "vm-1", file: "a" }
    })
    assert.deepInclude(refusal(request([one], [], "s"), request([two], [], "t")), {
      _tag: "FileTwice",
      session: "t",
      other: { session: "s", file: "a" }
    })
  })

  it("refuses more files than a manifest lists", () => {
    const files = Array.from({ length: 4097 }, (_, index) => file(`f${index}`, BigInt(index + 1)))
    assert.deepInclude(refusal(request(files)), { _tag: "LimitReached", limit: "files" })
  })
})
