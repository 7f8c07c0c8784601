import { assert, describe, it } from "@effect/vitest"
import * as LiveUpdateError from "@liveupdate/sdk/LiveUpdateError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Doctor from "../../src/upgrade/Doctor.ts"
import * as Facts from "../../src/upgrade/doctor/Facts.ts"
import { Check, Finding, type Verdict } from "../../src/upgrade/doctor/Finding.ts"
import { capabilities, healthy, notRoot } from "./facts.ts"

const { known, absent, unknown } = Facts

const opening = (errno: string) => ({ operation: "device.open", errno, path: "/dev/liveupdate" }) as const
const refused = (error: LiveUpdateError.LiveUpdateError) => ({ device: { _tag: "refused", error } }) as const
const missing = refused(new LiveUpdateError.DeviceMissing(opening("ENOENT")))
const busy = refused(new LiveUpdateError.DeviceBusy(opening("EBUSY")))
const denied = refused(new LiveUpdateError.PermissionDenied(opening("EACCES")))

const noDebugfs = absent("/sys/kernel/debug/kho/out/scratch_len")
const eacces = unknown("it can't be read (EACCES)")
const other = { pid: 812, name: "vmmd" }

const asked = (changed: Partial<Omit<typeof capabilities, "preserves">> | object, preserves: object = {}) =>
  known({ ...capabilities, ...changed, preserves: { ...capabilities.preserves, ...preserves } })

/** What differs from a healthy host, what the check says of it, and words of its detail and of what to do. */
type Case = readonly [what: string, facts: Partial<Facts.Facts>, verdict: Verdict, detail: string, next?: string]

const cases: { readonly [C in Check]: ReadonlyArray<Case> } = {
  root: [
    ["root", {}, "ok", "runs as root"],
    ["somebody else", { root: false }, "fail", "this is not root", "Run it as root"]
  ],
  kernel: [
    ["x86-64", {}, "ok", "Linux 7.3.4, x86_64"],
    ["arm64", { machine: "aarch64" }, "ok", "Linux 7.3.4, aarch64"],
    ["32 bits", { machine: "i686" }, "fail", "on i686", "64-bit"]
  ],
  "live-update": [
    ["the device opens", {}, "ok", "/dev/liveupdate can be opened"],
    ["somebody has it", busy, "ok", "another process has it open"],
    ["built without", { ...missing, config: known("CONFIG_KEXEC_FILE=y") }, "fail", "ENOENT", "CONFIG_LIVEUPDATE=y"],
    ["no parameter", { ...missing, commandLine: "quiet" }, "fail", "offers no live update", "Boot with liveupdate=on"],
    ["turned off", { ...missing, commandLine: "liveupdate=off" }, "fail", "ENOENT", "without liveupdate=off"],
    ["KHO off", { ...missing, commandLine: "liveupdate=on kho=0" }, "fail", "ENOENT", "without kho=off"],
    ["no reason to be seen", missing, "fail", "ENOENT", "kho=on liveupdate=on"],
    ["not root", { ...denied, root: false }, "unknown", "root's alone", "Run it as root"],
    ["root in a container", denied, "fail", "denies it", "Run as root"],
    [
      "a handover that can't be read",
      refused(new LiveUpdateError.HandoverUnreadable(opening("EIO"))),
      "fail",
      "can't be read",
      "only a reboot"
    ],
    [
      "an agent at work",
      { device: { _tag: "skipped", reason: "another agent is at work" } },
      "unknown",
      "at work",
      "again"
    ]
  ],
  "device-holder": [
    ["nobody", {}, "ok", "nobody"],
    ["a process", { ...busy, deviceHolders: known([other]) }, "fail", "open in vmmd (pid 812)", "ps -fp 812"],
    [
      "two of them",
      { deviceHolders: known([other, { pid: 9, name: "sh" }]) },
      "fail",
      "vmmd (pid 812), sh (pid 9)",
      "ps -fp 812,9"
    ],
    ["a process out of sight", busy, "fail", "can't be seen", "fuser -v /dev/liveupdate"],
    ["not root", { deviceHolders: unknown("only root sees it") }, "unknown", "only root sees it", "Run it as root"]
  ],
  kho: [
    ["debugfs tells", {}, "ok", "scratch memory of 56 MiB in 3 area(s)"],
    ["live update works", { scratch: noDebugfs }, "ok", "as live update is"],
    ["live update is in use", { ...busy, scratch: eacces }, "ok", "unknown: it can't be read (EACCES)"],
    ["turned off", { ...missing, scratch: noDebugfs, commandLine: "kho=off" }, "fail", "kho=off", "Boot without it"],
    [
      "built without",
      { ...missing, scratch: noDebugfs, config: known("") },
      "fail",
      "built without",
      "CONFIG_KEXEC_HANDOVER=y"
    ],
    [
      "not the default",
      { ...missing, scratch: noDebugfs, config: known("CONFIG_KEXEC_HANDOVER=y") },
      "fail",
      "not this kernel's default",
      "Boot with kho=on"
    ],
    [
      "not the default, but turned on",
      { ...missing, scratch: noDebugfs, config: known("CONFIG_KEXEC_HANDOVER=y"), commandLine: "kho=on" },
      "ok",
      "kho=on"
    ],
    ["the default", { ...missing, scratch: noDebugfs }, "ok", "by default"],
    [
      "nothing to be seen",
      { ...missing, scratch: noDebugfs, config: eacces },
      "unknown",
      "can't be told",
      "mount -t debugfs"
    ],
    [
      "nothing to be seen by somebody else than root",
      { ...denied, root: false, scratch: eacces, config: eacces },
      "unknown",
      "can't be told",
      "Run it as root"
    ]
  ],
  abi: [
    ["both strings", {}, "ok", "KHO writes kho-v4, LUO writes luo-v5"],
    ["a string of several", { luoState: known("luo-v3-block-v1\0") }, "ok", "LUO writes luo-v3-block-v1"],
    ["no debugfs", { khoTree: noDebugfs, luoState: noDebugfs }, "unknown", "KHO's is unknown", "mount -t debugfs"],
    [
      "one of them",
      { luoState: eacces },
      "unknown",
      "KHO writes kho-v4; LUO's is unknown: it can't be read",
      "debugfs"
    ],
    ["no string in it", { khoTree: known("\u00d0\r\u00fe\u00ed") }, "unknown", "it carries none", "debugfs"]
  ],
  handlers: [
    ["what mainline has", {}, "ok", "memfd: handler (iommufd: no handler, VFIO: not known, KVM VM: no handler"],
    ["all of them", { capabilities: asked({}, { iommufd: { answer: "yes" } }) }, "ok", "iommufd: handler"],
    [
      "none for memfds",
      { capabilities: asked({}, { memfd: { answer: "no" } }) },
      "fail",
      "no handler",
      "CONFIG_LIVEUPDATE_MEMFD=y"
    ],
    [
      "memfds are not known",
      { capabilities: asked({}, { memfd: { answer: "unknown", reason: "ENOMEM" } }) },
      "unknown",
      "ENOMEM",
      "dmesg"
    ],
    ["preserves twice", { capabilities: asked({ refusesTwice: { answer: "no" } }) }, "warn", "twice", "Linux 7.1"],
    ["not asked", { capabilities: unknown("it is busy") }, "unknown", "it is busy", "run agent doctor again"],
    ["not root", { root: false, capabilities: unknown("not open") }, "unknown", "not open", "Run it as root"]
  ],
  memory: [
    ["enough", {}, "ok", "8192 MiB are available, a live update takes 120 MiB (24 MiB the next kernel, 96 MiB Node"],
    [
      "no first process to send Node to",
      { firstProcessMark: noDebugfs },
      "ok",
      "takes 24 MiB (24 MiB the next kernel)"
    ],
    [
      "a guest that has touched half of it",
      { guests: known([{ id: "a", memoryBytes: 4 * 1024 ** 3, allocatedBytes: 2 * 1024 ** 3 }]) },
      "ok",
      "2048 MiB guest RAM that no guest has touched yet, 16 MiB lists of its pages"
    ],
    [
      "a guest that has touched nothing yet",
      { guests: known([{ id: "a", memoryBytes: 16 * 1024 ** 3, allocatedBytes: 0 }]) },
      "fail",
      "16384 MiB guest RAM that no guest has touched yet, 64 MiB lists of its pages",
      "agent vm stop"
    ],
    [
      "a guest that has touched all of it",
      { guests: known([{ id: "a", memoryBytes: 16 * 1024 ** 3, allocatedBytes: 16 * 1024 ** 3 }]) },
      "ok",
      "64 MiB lists of its pages"
    ],
    [
      "guests out of sight",
      { guests: unknown("EACCES") },
      "unknown",
      "what guests take is not known: EACCES",
      "vm list"
    ],
    ["no image to measure", { imageBytes: absent("/boot/x") }, "ok", "96 MiB (96 MiB Node, sent along); the size of a"],
    ["no meminfo", { meminfo: eacces }, "unknown", "EACCES", "free -m"],
    ["an old meminfo", { meminfo: known("MemFree: 1 kB") }, "unknown", "no MemAvailable", "free -m"]
  ],
  "huge-pages": [
    ...(["always", "within_size", "advise", "force"] as const).map(
      (level): Case => [level, { hugePages: known(`x [${level}] y`) }, "ok", level]
    ),
    ["never", { hugePages: known("always [never]") }, "warn", "never", "transparent_hugepage_shmem=advise"],
    ["deny", { hugePages: known("always never [deny]") }, "warn", "deny", "transparent_hugepage_shmem=advise"],
    ["something else", { hugePages: known("?") }, "warn", '"?"', "transparent_hugepage_shmem=advise"],
    ["built without", { hugePages: absent("/sys/x") }, "warn", "there is no /sys/x", "CONFIG_TRANSPARENT_HUGEPAGE=y"],
    ["unreadable", { hugePages: eacces }, "unknown", "EACCES", "Run it as root"]
  ],
  lockdown: [
    ["none", {}, "ok", "no lockdown"],
    ["integrity", { lockdown: known("none [integrity] confidentiality") }, "warn", "integrity", "Sign"],
    ["confidentiality", { lockdown: known("none integrity [confidentiality]") }, "warn", "confidentiality", "Sign"],
    ["built without", { lockdown: absent("/sys/x") }, "ok", "built without"],
    [
      "not mounted",
      { lockdown: absent("/sys/x"), config: known("CONFIG_SECURITY_LOCKDOWN_LSM=y") },
      "unknown",
      "there is no /sys/x",
      "mount -t securityfs"
    ],
    ["no configuration", { lockdown: absent("/sys/x"), config: eacces }, "unknown", "/sys/x", "mount -t securityfs"],
    ["not root", { lockdown: eacces, root: false }, "unknown", "EACCES", "Run it as root"],
    ["something else", { lockdown: known("?") }, "unknown", '"?"', "Look it up"]
  ],
  signatures: [
    ["none", {}, "ok", "not looked at"],
    ["verified", { config: known("CONFIG_KEXEC_SIG=y") }, "ok", "only under lockdown"],
    [
      "demanded",
      { config: known("CONFIG_KEXEC_SIG=y\nCONFIG_KEXEC_SIG_FORCE=y") },
      "warn",
      "signed images only",
      "Sign"
    ],
    ["no configuration", { config: absent("/boot/config-x") }, "unknown", "/boot/config-x", "CONFIG_KEXEC_SIG_FORCE"]
  ],
  kexec: [
    ["as often as it takes", {}, "ok", "as often as it takes"],
    ["before there was a limit", { kexecLoadsLeft: absent("/proc/x") }, "ok", "kernels can be loaded"],
    ["disabled", { kexecDisabled: known("1") }, "fail", "kexec_load_disabled=1", "Reboot"],
    ["built without", { kexecDisabled: absent("/proc/x") }, "fail", "there is no /proc/x", "CONFIG_KEXEC_FILE=y"],
    ["unreadable", { kexecDisabled: eacces }, "unknown", "EACCES", "Run it as root"],
    ["no load left", { kexecLoadsLeft: known("0") }, "fail", "0 of its loads", "Only a reboot"],
    ["a load left, none to undo it", { kexecLoadsLeft: known("1") }, "warn", "one load", "Only a reboot"],
    ["two loads left", { kexecLoadsLeft: known("2") }, "ok", "2 times more"],
    ["loads unreadable", { kexecLoadsLeft: eacces }, "unknown", "EACCES", "Run it as root"]
  ],
  "kexec-loaded": [
    ["none", {}, "ok", "no kernel is loaded"],
    ["one", { kexecLoaded: known("1") }, "warn", "loaded already", "kexec -u"],
    ["unreadable", { kexecLoaded: absent("/sys/x") }, "unknown", "there is no /sys/x", "kexec"]
  ],
  agent: [
    ["none", {}, "ok", "no other agent"],
    ["one", { lockHolder: known({ pid: 77, name: "node" }) }, "fail", "node (pid 77)", "agent status --follow"],
    ["unreadable", { lockHolder: eacces }, "unknown", "EACCES", "fuser -v /run/liveupdate/host.lock"],
    ["not root", { lockHolder: eacces, root: false }, "unknown", "EACCES", "Run it as root"]
  ],
  sessions: [
    ["none", {}, "ok", "no session"],
    [
      "held by a keeper",
      {
        sessions: known(
          ["vm-web-1", "liveupdate-index"].map((session) => ({
            session,
            process: { pid: 140, name: "liveupdate-keep" }
          }))
        )
      },
      "warn",
      "liveupdate-index, vm-web-1 in liveupdate-keep (pid 140)",
      "agent resume"
    ],
    [
      "held by systemd",
      { sessions: known([{ session: "vm-9", process: { pid: 1, name: "systemd" } }]) },
      "warn",
      "vm-9 in systemd (pid 1)",
      "systemd-analyze fdstore"
    ],
    [
      "of an agent at work",
      {
        lockHolder: known({ pid: 77, name: "node" }),
        sessions: known([{ session: "vm-web-1", process: { pid: 77, name: "node" } }])
      },
      "warn",
      "vm-web-1 in node (pid 77)",
      "agent status --follow"
    ],
    ["not root", { sessions: unknown("only root") }, "unknown", "only root", "Run it as root"]
  ],
  "last-run": [
    ["upgraded", {}, "ok", "upgraded"],
    ["rolled back", { lastRun: known({ run: "r", result: "rolled-back" }) }, "ok", "r: rolled-back"],
    ["none", { lastRun: absent("/var/lib/x") }, "ok", "no live update"],
    [
      "left to the operator",
      { lastRun: known({ run: "r", result: "needs-operator" }) },
      "warn",
      "r left",
      "agent resume"
    ],
    ["no outcome", { lastRun: known({ run: "r", result: undefined }) }, "warn", "r has no outcome", "agent resume"],
    [
      "under way",
      { lastRun: known({ run: "r", result: undefined }), pendingRun: known("r"), lockHolder: known(other) },
      "ok",
      "r is under way"
    ],
    [
      "interrupted before its jump",
      { lastRun: known({ run: "r", result: undefined }), pendingRun: known("r") },
      "fail",
      "r was interrupted",
      "agent resume"
    ],
    ["not root", { lastRun: eacces }, "unknown", "EACCES", "agent status"]
  ],
  systemd: [
    ["systemd", {}, "ok", "process 1 is systemd"],
    ["another one", { firstProcess: known("openrc-init") }, "warn", "openrc-init", "/opt/liveupdate/early"],
    ["unreadable", { firstProcess: eacces }, "unknown", "EACCES", "ps -p 1"]
  ],
  "resume-unit": [
    ["enabled", {}, "ok", "liveupdate-resume.service is enabled (sysinit.target)"],
    [
      "not installed, but the first process does it",
      { unit: absent("x") },
      "warn",
      "not installed",
      "systemctl enable"
    ],
    [
      "not installed",
      { unit: absent("x"), firstProcessMark: absent("y") },
      "fail",
      "not installed",
      "systemctl enable"
    ],
    ["not enabled", { unitWantedBy: [], firstProcessMark: absent("y") }, "fail", "not enabled", "systemctl enable"],
    [
      "masked",
      { unit: known({ path: "/etc/x", masked: true }), firstProcessMark: absent("y") },
      "fail",
      "masked: /etc/x",
      "unmask"
    ],
    ["starts what isn't there", { early: absent("x") }, "fail", "/opt/liveupdate/early", "Install the agent's bundle"],
    ["starts what may not be executed", { early: known(false) }, "fail", "may not be executed", "Install"],
    ["unit unreadable", { unit: eacces }, "unknown", "EACCES", "Run it as root"],
    ["program unreadable", { early: eacces }, "unknown", "EACCES", "Run it as root"]
  ],
  "early-start": [
    ["supported", {}, "ok", "before systemd"],
    ["not supported", { firstProcessMark: absent("/run/x") }, "warn", "there is no /run/x", "docs/blackout.md"],
    ["not root", { firstProcessMark: eacces }, "unknown", "EACCES", "Run it as root"]
  ],
  directories: [
    ["root's alone", {}, "ok", "/var/lib/liveupdate, /run/liveupdate: root's alone"],
    ["not there yet", { directories: [absent("/var/lib/x"), absent("/run/x")] }, "ok", "made with the first VM"],
    [
      "open to others",
      { directories: [known({ path: "/run/x", uid: 0, mode: 0o755 })] },
      "warn",
      "/run/x has mode 0755",
      "chmod 0700 /run/x"
    ],
    [
      "somebody else's",
      { directories: [known({ path: "/run/x", uid: 1000, mode: 0o700 })] },
      "fail",
      "/run/x belongs to user 1000",
      "chown root: /run/x"
    ],
    ["unreadable", { directories: [eacces] }, "unknown", "EACCES", "Run it as root"]
  ]
}

const findingOf = (check: Check, facts: Facts.Facts): Finding => {
  const finding = Doctor.judge(facts).find((_) => _.check === check)
  return finding ?? assert.fail(`no finding for ${check}`)
}

for (const check of Check.literals)
  describe(check, () => {
    for (const [what, facts, verdict, detail, next] of cases[check])
      it(`${what}: ${verdict}`, () => {
        const finding = findingOf(check, { ...healthy, ...facts })
        assert.strictEqual(finding.verdict, verdict, finding.detail)
        assert.include(finding.detail, detail)
        // Whoever reads that something isn't as it should be reads what to do.
        assert.strictEqual(finding.next === undefined, verdict === "ok", finding.next)
        if (next !== undefined) assert.include(finding.next, next)
        assert.notInclude(`${finding.detail}${finding.next}`, "\n")
      })
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
