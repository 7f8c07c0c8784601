import { assert, describe, it } from "@effect/vitest"
import { KernelImageInvalid } from "@liveupdate/sdk/KernelImage"
import type { Abi, KernelImageContents, Told } from "@liveupdate/sdk/KernelImageContents"
import * as Schema from "effect/Schema"
import { absent, known, unknown } from "../../../src/upgrade/doctor/Facts.ts"
import { Finding, TargetCheck, type Verdict } from "../../../src/upgrade/doctor/Finding.ts"
import * as TargetChecks from "../../../src/upgrade/doctor/TargetChecks.ts"
import type { TargetFacts } from "../../../src/upgrade/doctor/TargetFacts.ts"
import { assertFinding, eacces } from "./cases.ts"
import { healthy } from "./facts.ts"

const told = <A>(value: A): Told<A> => ({ answer: "known", value })
const notTold = (reason: string): Told<never> => ({ answer: "unknown", reason })

const strings: Abi = {
  kho: ["kho-v4"],
  luo: ["luo-v5"],
  memfd: ["memfd-v2"],
  vfio: [],
  iommufd: [],
  guest_memfd: [],
  kvm_vm: []
}

const options = [
  "CONFIG_KEXEC_HANDOVER=y",
  "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y",
  "CONFIG_LIVEUPDATE=y",
  "CONFIG_LIVEUPDATE_MEMFD=y"
] as const
const without = (...left: ReadonlyArray<(typeof options)[number]>) =>
  told(options.filter((option) => !left.includes(option)).join("\n"))

const kernel = "/boot/vmlinuz-7.3.5"

const image: KernelImageContents = {
  path: kernel,
  compression: "zstd",
  banner: told("Linux version 7.3.5 (…) #1 SMP"),
  release: told("7.3.5"),
  config: without(),
  abi: told(strings)
}

const holds = (changed: Partial<KernelImageContents>) =>
  ({ contents: { _tag: "read", value: { ...image, ...changed } } }) as const
const reads = (changed: Partial<Abi>) => holds({ abi: told({ ...strings, ...changed }) })

/** A target that takes over all that a healthy host hands over. */
const fits: TargetFacts = {
  kernel,
  commandLine: "root=/dev/vda liveupdate=on",
  khoTree: healthy.khoTree,
  luoState: healthy.luoState,
  running: known(strings),
  ...holds({})
}

const noDebugfs = {
  khoTree: absent("/sys/kernel/debug/kho/in/fdt"),
  luoState: absent("/sys/kernel/debug/kho/out/sub_fdts/LUO")
} as const
const otherBuild = { running: unknown("/boot/vmlinuz-7.3.4 is another build than the one that runs") } as const
const reason = "the image can't be looked into: it is compressed with bzip2"
const opaque = holds({
  compression: "bzip2",
  banner: notTold(reason),
  release: notTold(reason),
  config: notTold(reason),
  abi: notTold(reason)
})
const damaged = {
  contents: { _tag: "refused", error: new KernelImageInvalid({ path: kernel, reason: "damaged", detail: "its end" }) }
} as const

type Case = readonly [what: string, facts: Partial<TargetFacts>, verdict: Verdict, detail: string, next?: string]

/** No check without its cases. */
const cases: { readonly [C in TargetCheck]: ReadonlyArray<Case> } = {
  "target-image": [
    ["read", {}, "ok", "Linux 7.3.5 (/boot/vmlinuz-7.3.5, zstd)"],
    ["not compressed", holds({ compression: "none" }), "ok", "not compressed"],
    ["bzip2", opaque, "unknown", "it is compressed with bzip2", "gzip, xz, zstd or lz4"],
    ["damaged", damaged, "fail", `${kernel} is damaged (its end)`, "copy the kernel again"]
  ],
  "target-config": [
    ["all of it", {}, "ok", "with KHO, LUO and the memfd handler"],
    ["no LUO", holds({ config: without("CONFIG_LIVEUPDATE=y") }), "fail", "without CONFIG_LIVEUPDATE", "LIVEUPDATE=y"],
    ["no KHO", holds({ config: without("CONFIG_KEXEC_HANDOVER=y") }), "fail", "without CONFIG_KEXEC_HANDOVER"],
    [
      "no handler",
      holds({ config: without("CONFIG_LIVEUPDATE_MEMFD=y"), abi: told({ ...strings, memfd: [] }) }),
      "fail",
      "without CONFIG_LIVEUPDATE_MEMFD"
    ],
    ["a handler before it had an option", holds({ config: without("CONFIG_LIVEUPDATE_MEMFD=y") }), "ok", "handler"],
    [
      "KHO off unless told",
      holds({ config: without("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y") }),
      "fail",
      "only where its command line says so",
      "kho=on"
    ],
    [
      "KHO off unless told, and told",
      { ...holds({ config: without("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y") }), commandLine: "kho=on liveupdate=on" },
      "ok",
      "KHO"
    ],
    [
      "not in the image, as Debian's",
      holds({ config: notTold("it was built without CONFIG_IKCONFIG") }),
      "unknown",
      "without CONFIG_IKCONFIG",
      "CONFIG_IKCONFIG=y"
    ],
    ["bzip2", opaque, "unknown", "compressed with bzip2"],
    ["damaged", damaged, "unknown", "could not be read", "target-image"]
  ],
  "target-kho": [
    ["the same", {}, "ok", "this kernel writes kho-v4, and the target reads kho-v4"],
    ["one of several", reads({ kho: ["kho-v5", "kho-v4"] }), "ok", "reads kho-v5, kho-v4"],
    ["another one", reads({ kho: ["kho-v5"] }), "fail", "writes kho-v4, but the target reads kho-v5", "reads kho-v4"],
    ["none", reads({ kho: [] }), "fail", "no kexec handover", "CONFIG_KEXEC_HANDOVER=y"],
    ["no debugfs, and the running image tells", noDebugfs, "ok", "writes kho-v4"],
    [
      "no debugfs, and the running image tells of another",
      { ...noDebugfs, running: known({ ...strings, kho: ["kho-v3"] }) },
      "fail",
      "writes kho-v3"
    ],
    ["no debugfs, no image", { ...noDebugfs, ...otherBuild }, "unknown", "another build", "running kernel's image"],
    ["not root, no image", { khoTree: eacces, ...otherBuild }, "unknown", "reads kho-v4; what this kernel writes"],
    ["bzip2", opaque, "unknown", "compressed with bzip2"],
    ["damaged", damaged, "unknown", "could not be read"]
  ],
  "target-luo": [
    ["the same", {}, "ok", "this kernel writes luo-v5, and the target reads luo-v5"],
    ["another one", reads({ luo: ["luo-v6"] }), "fail", "writes luo-v5, but the target reads luo-v6", "reads luo-v5"],
    ["none", reads({ luo: [] }), "fail", "no live update", "CONFIG_LIVEUPDATE=y"],
    ["debugfs before the image", { running: known({ ...strings, luo: ["luo-v4"] }) }, "ok", "writes luo-v5"],
    ["bzip2", opaque, "unknown", "compressed with bzip2"]
  ],
  "target-memfd": [
    ["the same", {}, "ok", "this kernel writes memfd-v2, and the target reads memfd-v2"],
    [
      "another one",
      reads({ memfd: ["memfd-v3"] }),
      "fail",
      "memfd-v2, but the target reads memfd-v3",
      "reads memfd-v2"
    ],
    ["none", reads({ memfd: [] }), "fail", "no handler for memfds", "CONFIG_LIVEUPDATE_MEMFD=y"],
    ["no image of the running kernel", otherBuild, "unknown", "reads memfd-v2; what this kernel writes is unknown"],
    ["a running kernel that has none", { running: known({ ...strings, memfd: [] }) }, "unknown", "no memfd-v… in it"],
    ["bzip2", opaque, "unknown", "compressed with bzip2"]
  ],
  "target-handlers": [
    ["none here", {}, "ok", "no other handlers"],
    [
      "the same",
      { ...reads({ vfio: ["vfio-pci-v1"] }), running: known({ ...strings, vfio: ["vfio-pci-v1"] }) },
      "ok",
      "reads vfio-pci-v1, too"
    ],
    [
      "one that the target lacks, one of another version, one that it has",
      {
        ...reads({ iommufd: ["iommufd-v2"], kvm_vm: ["kvm_vm_luo_v1"] }),
        running: known({ ...strings, vfio: ["vfio-pci-v1"], iommufd: ["iommufd-v1"], kvm_vm: ["kvm_vm_luo_v1"] })
      },
      "fail",
      "may hand over files as iommufd-v1, vfio-pci-v1, which the target doesn't read",
      "reads iommufd-v1, vfio-pci-v1, or stop the VMs"
    ],
    ["more there than here", reads({ vfio: ["vfio-pci-v1"] }), "ok", "no other handlers"],
    ["no image of the running kernel", otherBuild, "unknown", "another build", "running kernel's image"],
    ["bzip2", opaque, "unknown", "compressed with bzip2"]
  ]
}

for (const check of TargetCheck.literals)
  describe(check, () => {
    for (const [what, facts, ...says] of cases[check])
      it(`${what}: ${says[0]}`, () => {
        const findings = TargetChecks.judge({ ...fits, ...facts })
        assertFinding(
          findings.find((_) => _.check === check),
          ...says
        )
      })
  })

describe("all of them", () => {
  it("a target that fits: every check says ok, in the order of the list, and can be sent", () => {
    const findings = TargetChecks.judge(fits)
    assert.deepStrictEqual(
      findings.map(({ check, verdict }) => [check, verdict]),
      TargetCheck.literals.map((check) => [check, "ok"])
    )
    const Sent = Schema.parseJson(Schema.Array(Finding))
    assert.deepStrictEqual(Schema.decodeSync(Sent)(Schema.encodeSync(Sent)(findings)), findings)
  })

  it("nothing but what is proven fails", () => {
    const nothing = TargetChecks.judge({ ...fits, ...opaque, ...noDebugfs, ...otherBuild })
    assert.deepStrictEqual(new Set(nothing.map(({ verdict }) => verdict)), new Set(["unknown"]))
  })
})
