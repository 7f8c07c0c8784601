/** Facts of a host on which nothing is wrong. */
import * as Facts from "../../../src/upgrade/doctor/Facts.ts"

const { known, absent } = Facts

const yes = { answer: "yes" } as const
const no = { answer: "no" } as const

/** A kernel of the series 7.3, asked for everything. */
export const capabilities = {
  refusesTwice: yes,
  tellsNames: yes,
  preserves: {
    memfd: yes,
    iommufd: no,
    kvm_vm: no,
    guest_memfd: no,
    vfio: { answer: "unknown", reason: "No device was given to ask with" }
  }
} as const

export const healthy: Facts.Facts = {
  root: true,
  release: "7.3.4",
  machine: "x86_64",
  commandLine: "root=/dev/vda liveupdate=on",
  config: known(
    [
      "CONFIG_KEXEC_FILE=y",
      "CONFIG_KEXEC_HANDOVER=y",
      "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y",
      "CONFIG_LIVEUPDATE=y",
      "# CONFIG_KEXEC_SIG is not set"
    ].join("\n")
  ),
  device: { _tag: "usable" },
  deviceHolders: known([]),
  sessions: known([]),
  capabilities: known(capabilities),
  scratch: known("0x1000000\n0x2000000\n0x800000"),
  khoTree: known("\u00d0\r\u00fe\u00ed\0\0\0\u0001kho-v4\0\0"),
  luoState: known("luo-v5\0\0\0\0\0\u0001"),
  meminfo: known("MemTotal:       16384000 kB\nMemFree:         1024000 kB\nMemAvailable:    8388608 kB"),
  guests: known([]),
  imageBytes: known(12 << 20),
  nodeBytes: known(96 << 20),
  snapshotBytes: absent("/var/lib/liveupdate/resume.blob"),
  hugePages: known("always within_size [advise] never deny force"),
  lockdown: known("[none] integrity confidentiality"),
  kexecDisabled: known("0"),
  kexecLoadsLeft: known("-1"),
  kexecLoaded: known("0"),
  lockHolder: known(undefined),
  pendingRun: absent("/run/liveupdate/upgrade.json"),
  lastRun: known({ run: "20261124T145348Z-8a", result: "upgraded" }),
  firstProcess: known("systemd"),
  unit: known({ path: "/etc/systemd/system/liveupdate-resume.service", masked: false }),
  unitWantedBy: ["sysinit.target"],
  early: known(true),
  firstProcessMark: known(""),
  directories: [
    known({ path: "/var/lib/liveupdate", uid: 0, mode: 0o700 }),
    known({ path: "/run/liveupdate", uid: 0, mode: 0o700 })
  ]
}

const unreadable = (path: string) => Facts.unknown(`${path} can't be read (EACCES)`)

/** The same host, seen by somebody who isn't root. */
export const notRoot: Facts.Facts = {
  ...healthy,
  root: false,
  device: { _tag: "skipped", reason: "" },
  deviceHolders: Facts.unknown("only root sees what others have open"),
  sessions: Facts.unknown("only root sees what others have open"),
  capabilities: Facts.unknown("/dev/liveupdate is not open to this process"),
  scratch: unreadable("/sys/kernel/debug/kho/out/scratch_len"),
  khoTree: unreadable("/sys/kernel/debug/kho/out/fdt"),
  luoState: unreadable("/sys/kernel/debug/kho/out/sub_fdts/LUO"),
  guests: Facts.unknown("can't list /var/lib/liveupdate/vms: EACCES"),
  lockHolder: unreadable("/run/liveupdate/host.lock"),
  pendingRun: unreadable("/run/liveupdate/upgrade.json"),
  lastRun: unreadable("/var/lib/liveupdate/runs"),
  firstProcessMark: unreadable("/run/liveupdate/first-process")
}
