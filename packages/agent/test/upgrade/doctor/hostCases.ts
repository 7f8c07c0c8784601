/** The checks of `HostChecks.ts`. */
import { absent, known, unknown } from "../../../src/upgrade/doctor/Facts.ts"
import { type Cases, eacces, other } from "./cases.ts"

export const hostCases = {
  root: [
    ["root", {}, "ok", "runs as root"],
    ["somebody else", { root: false }, "fail", "this is not root", "Run it as root"]
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
    ["another one", { firstProcess: known("openrc-init") }, "warn", "openrc-init", "/usr/lib/liveupdate/early"],
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
    ["starts what isn't there", { early: absent("x") }, "fail", "/usr/lib/liveupdate/early", "Install the package"],
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
} satisfies Cases
