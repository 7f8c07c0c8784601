/**
 * Whether what is bundled may be shipped with the rest, which is under Apache-2.0, and the texts that have to go along.
 */
import satisfies from "spdx-satisfies"
import type { Bom, Component } from "./Sbom.ts"

/** Permissive ones, whose terms are met by their texts. Others are looked at by a person before they stand here. */
export const accepted = [
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "MIT",
  "Unicode-3.0",
  "Zlib"
] as const

export const nameOf = ({ group, name, version }: Component): string =>
  `${group === undefined ? "" : `${group}/`}${name} ${version ?? ""}`.trim()

/** As an SPDX expression; `undefined` where a component doesn't say it in SPDX's words. */
export const licenseOf = ({ licenses = [] }: Component): string | undefined => {
  const all = licenses.map((one) => ("expression" in one ? `(${one.expression})` : one.license.id))
  return all.length === 0 || all.some((one) => one === undefined) ? undefined : all.join(" AND ")
}

const isAccepted = (expression: string): boolean => {
  try {
    return satisfies(expression, [...accepted])
  } catch {
    return false
  }
}

const textsOf = ({ evidence }: Component): ReadonlyArray<string> =>
  (evidence?.licenses ?? []).map(({ license }) => Buffer.from(license.text.content, "base64").toString("utf8").trim())

const isOurs = ({ group }: Component): boolean => group === "@liveupdate"

/** What is wrong with what is bundled; nothing, if all of it may be shipped. */
export const objections = ({ components }: Bom): ReadonlyArray<string> =>
  components.flatMap((component) => {
    const license = licenseOf(component)
    if (license === undefined) return [`${nameOf(component)}: its license is not known`]
    if (!isAccepted(license)) return [`${nameOf(component)}: ${license} is none of ${accepted.join(", ")}`]
    return isOurs(component) || textsOf(component).length > 0
      ? []
      : [`${nameOf(component)}: there is no text of ${license}`]
  })

const rule = "-".repeat(80)

/** The file THIRD-PARTY: everybody's names and licenses, then each text once, with whose it is. */
export const thirdParty = (bom: Bom): string => {
  const theirs = bom.components.filter((component) => !isOurs(component))
  const owners = new Map<string, ReadonlyArray<string>>()
  for (const component of theirs)
    for (const text of textsOf(component)) owners.set(text, [...(owners.get(text) ?? []), nameOf(component)])
  return [
    `${bom.metadata.component.name} ${bom.metadata.component.version} holds, beside its own code under Apache-2.0:`,
    "",
    ...theirs.map((component) => `${nameOf(component).padEnd(40)} ${licenseOf(component)}`),
    ...[...owners].flatMap(([text, names]) => ["", rule, ...names, rule, "", text]),
    ""
  ].join("\n")
}
