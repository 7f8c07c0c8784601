/** The checks of `KernelChecks.ts`. */
import { known, unknown } from "../../../src/upgrade/doctor/Facts.ts"
import { busy, type Cases, denied, eacces, missing, noDebugfs, other, unreadable } from "./cases.ts"
import { capabilities } from "./facts.ts"

const asked = (changed: Partial<Omit<typeof capabilities, "preserves">> | object, preserves: object = {}) =>
  known({ ...capabilities, ...changed, preserves: { ...capabilities.preserves, ...preserves } })

export const kernelCases = {
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
    ["a handover that can't be read", unreadable, "fail", "can't be read", "only a reboot"],
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
  ]
} satisfies Cases
