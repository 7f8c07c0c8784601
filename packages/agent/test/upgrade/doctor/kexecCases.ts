/** The checks of `KexecChecks.ts`. */
import { absent, known } from "../../../src/upgrade/doctor/Facts.ts"
import { type Cases, eacces } from "./cases.ts"

export const kexecCases = {
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
  ]
} satisfies Cases
