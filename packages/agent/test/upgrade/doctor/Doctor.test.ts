import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Doctor from "../../../src/upgrade/Doctor.ts"
import * as Facts from "../../../src/upgrade/doctor/Facts.ts"
import { Check, Finding } from "../../../src/upgrade/doctor/Finding.ts"
import { assertFinding, type Case, denied, eacces } from "./cases.ts"
import { healthy, notRoot } from "./facts.ts"
import { hostCases } from "./hostCases.ts"
import { kernelCases } from "./kernelCases.ts"
import { kexecCases } from "./kexecCases.ts"
import { memoryCases } from "./memoryCases.ts"

const { known } = Facts

/** No check without its cases. */
const cases: { readonly [C in Check]: ReadonlyArray<Case> } = {
  ...kernelCases,
  ...memoryCases,
  ...kexecCases,
  ...hostCases
}

const findingOf = (check: Check, facts: Facts.Facts): Finding => {
  const finding = Doctor.judge(facts).find((_) => _.check === check)
  return finding ?? assert.fail(`no finding for ${check}`)
}

for (const check of Check.literals)
  describe(check, () => {
    for (const [what, facts, ...says] of cases[check])
      it(`${what}: ${says[0]}`, () => assertFinding(findingOf(check, { ...healthy, ...facts }), ...says))
  })

describe("all of them", () => {
  it("a healthy host: every check says ok, in the order of the list", () => {
    const findings = Doctor.judge(healthy)
    assert.deepStrictEqual(
      findings.map(({ check, verdict }) => [check, verdict]),
      Check.literals.map((check) => [check, "ok"])
    )
    assert.deepStrictEqual(Doctor.summarize(findings), {
      verdict: "ok",
      counts: { ok: Check.literals.length, warn: 0, fail: 0, unknown: 0 },
      failed: []
    })
  })

  it("not root: one failure that says so, and everything that can be known without", () => {
    const findings = Doctor.judge({ ...notRoot, ...denied })
    const summary = Doctor.summarize(findings)
    assert.deepStrictEqual(summary.failed, ["root"])
    assert.strictEqual(summary.verdict, "fail")
    assert.deepStrictEqual(
      findings.flatMap(({ check, verdict }) => (verdict === "ok" ? [check] : [])),
      [
        "kernel",
        "kho",
        "huge-pages",
        "lockdown",
        "signatures",
        "kexec",
        "kexec-loaded",
        "systemd",
        "resume-unit",
        "directories"
      ]
    )
  })

  it("a warning or something unknown is no failure", () => {
    const judged = (facts: Partial<Facts.Facts>) => Doctor.summarize(Doctor.judge({ ...healthy, ...facts })).verdict
    assert.strictEqual(judged({ kexecLoaded: known("1") }), "warn")
    assert.strictEqual(judged({ luoState: eacces }), "warn")
    assert.strictEqual(judged({ kexecDisabled: known("1"), kexecLoaded: known("1") }), "fail")
  })

  it("findings are what their schema says", () => {
    const decode = Schema.decodeUnknownSync(Schema.Array(Finding), { onExcessProperty: "error" })
    for (const facts of [healthy, notRoot]) decode(JSON.parse(JSON.stringify(Doctor.judge(facts))))
  })

  it.effect("facts come from whoever looks", () =>
    Effect.gen(function* () {
      const findings = yield* Doctor.examine.pipe(
        Effect.provide(Facts.layerTest(Effect.succeed({ ...healthy, machine: "riscv64" })))
      )
      assert.deepStrictEqual(Doctor.summarize(findings).failed, ["kernel"])
    })
  )
})
