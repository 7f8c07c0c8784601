/** What is bundled may be shipped, and is named with its licenses. */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import * as Licenses from "../../tools/Licenses.ts"
import * as Sbom from "../../tools/Sbom.ts"

const workspace = fileURLToPath(new URL("../../../..", import.meta.url))

const text = { license: { name: "file: LICENSE", text: { content: Buffer.from("Terms.").toString("base64") } } }

const bomOf = (...components: ReadonlyArray<Sbom.Component>): Sbom.Bom => ({
  metadata: { component: { type: "application", name: "it", version: "1.0.0" } },
  components
})

const under = (...licenses: NonNullable<Sbom.Component["licenses"]>): Sbom.Component => ({
  type: "library",
  name: "theirs",
  version: "1.2.3",
  licenses,
  evidence: { licenses: [text] }
})

describe("licenses", () => {
  it("permissive ones are accepted, and one of several that may be chosen from", () => {
    for (const one of [
      under({ license: { id: "MIT" } }),
      under({ license: { id: "MIT" } }, { license: { id: "BSD-3-Clause" } }),
      under({ expression: "GPL-2.0-only OR ISC" })
    ])
      assert.deepStrictEqual(Licenses.objections(bomOf(one)), [])
  })

  it("copyleft, unknown words, none at all and a missing text are not", () => {
    for (const [one, why] of [
      [under({ license: { id: "GPL-3.0-only" } }), "theirs 1.2.3: GPL-3.0-only is none of"],
      [under({ license: { id: "LGPL-2.1-or-later" } }), "LGPL-2.1-or-later is none of"],
      [under({ license: { id: "MIT" } }, { license: { id: "MPL-2.0" } }), "MIT AND MPL-2.0 is none of"],
      [under({ expression: "MIT AND AGPL-3.0-only" }), "is none of"],
      [under({ license: { name: "SEE LICENSE IN eula.txt" } }), "its license is not known"],
      [under({ license: { id: "Whatever-1.0" } }), "Whatever-1.0 is none of"],
      [under(), "its license is not known"],
      [{ ...under({ license: { id: "MIT" } }), evidence: {} }, "there is no text of MIT"]
    ] as const) {
      const [objection = "none"] = Licenses.objections(bomOf(one))
      assert.include(objection, why)
    }
  })

  for (const what of ["bundle", "program"] as const)
    it(`${what}: nothing in it is objected to, and everybody in it is named with a text`, () => {
      const bom = Sbom.make(workspace, what)
      assert.deepStrictEqual(Licenses.objections(bom), [])
      const names = bom.components.map(Licenses.nameOf)
      const file = Licenses.thirdParty(bom)
      for (const name of names.filter((name) => !name.startsWith("@liveupdate/"))) assert.include(file, `\n${name}\n`)
      for (const expected of ["effect", "pino", "smol-toml", "ffi-rs"])
        assert.isTrue(
          names.some((name) => name.startsWith(`${expected} `)),
          expected
        )
      // The same in every workspace: no path, no time, no random number.
      assert.strictEqual(Sbom.render(Sbom.make(workspace, what)), Sbom.render(bom))
      assert.notInclude(Sbom.render(bom), workspace)
    }, 60_000)

  it("bundle: Node is in it, with what Node is linked with", () => {
    const { components } = Sbom.make(workspace, "bundle")
    const node = components.find(({ name }) => name === "node")
    assert.match(node?.version ?? "", /^\d+\.\d+\.\d+$/)
    assert.includeMembers(
      (node?.components ?? []).map(({ name }) => name),
      ["openssl", "v8", "uv", "zlib"]
    )
    assert.isTrue(components.some(({ name }) => name === "ffi-rs-linux-x64-gnu"))
  }, 60_000)
})
