import { assert, describe, it } from "@effect/vitest"
import * as PlanCommand from "../../src/cli/PlanCommand.ts"
import * as JumpWay from "../../src/upgrade/JumpWay.ts"
import * as Plan from "../../src/upgrade/Plan.ts"
import { event } from "../report/runs.ts"

const wayOf = (jump: JumpWay.JumpWay): Plan.PlannedWay => ({
  jump,
  ...JumpWay.descriptions[jump],
  measured: undefined
})

const plan: Plan.Plan = {
  jump: "direct",
  ways: [wayOf("direct"), wayOf("systemd")],
  from: "7.2.13",
  to: "7.3.4",
  kernel: "/boot/vmlinuz-7.3.4",
  sessions: [
    {
      session: "liveupdate-index",
      files: [
        { name: "manifest", token: "0", kind: "memfd", bytes: undefined, whileRunning: true, ifJumpFails: "kept" }
      ]
    },
    {
      session: "liveupdate-vm-a",
      vm: "a",
      files: [
        { name: "ram", token: "1", kind: "memfd", bytes: 1 << 30, whileRunning: true, ifJumpFails: "kept" },
        { name: "state", token: "2", kind: "memfd", bytes: undefined, whileRunning: false, ifJumpFails: "kept" }
      ]
    }
  ],
  phases: [
    { phase: "pause", side: "before", deadline: 30, undo: "the guest runs again" },
    { phase: "jump", side: "at", deadline: undefined, undo: "none: it can't be undone" }
  ],
  hooks: { "pre-pause": ["/etc/liveupdate/hooks/pre-pause/10-net"] },
  irreversible: ["the jump"],
  measured: undefined,
  memory: { preserved: 1 << 30, available: 2 << 30 },
  unknown: [],
  refusals: []
}

describe("agent plan, for a person", () => {
  it("what goes along, in order, and when", () => {
    const text = PlanCommand.render(plan)
    assert.include(text, "Kernel 7.2.13 → 7.3.4 (/boot/vmlinuz-7.3.4)")
    assert.match(
      text,
      /liveupdate-vm-a\n +1 +ram +memfd, 1024 MiB, while the guests run, kept if the jump fails\n +2 +state +memfd, size not known yet, in the blackout, kept/
    )
    assert.match(text, /pause +before +30 s +undo: the guest runs again/)
    assert.include(text, "hook pre-pause: /etc/liveupdate/hooks/pre-pause/10-net")
    assert.include(text, "not known: no live update that went this way was measured on this host yet")
    assert.include(text, "Nothing stands in its way.")
  })

  it("which way it is for, what that costs, and what the other way would cost and undo differently", () => {
    const [direct, systemd] = [wayOf("direct"), wayOf("systemd")]
    const blackout = { vm: "a", total: 6600, kernel: 2000, vmmStart: 500, stateSave: 60, stateLoad: 60, ours: 3980 }
    const text = PlanCommand.render({
      ...plan,
      ways: [direct, { ...systemd, measured: { run: "s", blackouts: [blackout] } }]
    })
    assert.match(
      text,
      /\nThis way \(--jump direct, the agent makes the reboot call at once\):\n {2}services end as in a power cut, .*\n {2}what services have stored with systemd is lost\n {2}the shortest blackout: .*\n\nThe other way \(--jump systemd, systemctl kexec\):\n {2}services are stopped in order /
    )
    const [, other = ""] = text.split("The other way")
    assert.include(
      other,
      "  undo of load-kernel: the next kernel is unloaded, liveupdate-resume.service is stopped, its store emptied\n"
    )
    assert.match(
      other,
      /\n {2}undo of jump: none once systemctl kexec has returned; if the host stays, .* stay stopped\n/
    )
    assert.include(
      other,
      "  blackout: a: 6600 ms (kernel 2000, VMM start 500, state save 60, state load 60, ours 3980), as in run s"
    )
    const turned = PlanCommand.render({ ...plan, jump: "systemd", ways: [systemd, direct] })
    assert.match(turned, /\nThis way \(--jump systemd, systemctl kexec\):\n/)
    assert.match(turned, /\nThe other way \(--jump direct, (?:.*\n)+ {2}undo of jump: none: it can't be undone; /)
  })

  it("the way that a run took", () => {
    const jump = (detail: Record<string, unknown>) => [event("old", 1000, { step: "jump", status: "started", detail })]
    assert.strictEqual(JumpWay.taken(jump({ way: "systemd" })), "systemd")
    assert.strictEqual(JumpWay.taken(jump({ way: "direct" })), "direct")
    // Before there were two of them.
    assert.strictEqual(JumpWay.taken(jump({ peakResidentKiB: 1 })), "direct")
  })

  it("which file a failing jump doesn't give back, and what to do then", () => {
    const device = {
      name: "nic",
      token: "3",
      kind: "vfio",
      bytes: undefined,
      whileRunning: false,
      ifJumpFails: "lost"
    } as const
    const sessions = [...plan.sessions, { session: "other", files: [device] }]
    assert.deepStrictEqual(Plan.lostByFailure(plan.sessions), [])
    const [said, ...more] = Plan.lostByFailure(sessions)
    assert.isEmpty(more)
    assert.match(said ?? "", /^file nic of session other: the device is reset .* Close it, open the device anew/)
    assert.include(
      PlanCommand.render({ ...plan, sessions }),
      "3  nic       vfio, size not known yet, in the blackout, lost"
    )
  })

  it("how long guests stood still the last time, and in which run", () => {
    const blackout = { vm: "a", total: 2780, kernel: 1270, vmmStart: 920, stateSave: 190, stateLoad: 70, ours: 330 }
    const text = PlanCommand.render({ ...plan, measured: { run: "r", blackouts: [blackout] } })
    assert.include(
      text,
      "a: 2780 ms (kernel 1270, VMM start 920, state save 190, state load 70, ours 330), as in run r"
    )
  })

  it("everything that would refuse it", () => {
    const refusals = ["one thing.", "another thing."]
    const text = PlanCommand.render({ ...plan, refusals })
    assert.match(text, /It would be refused:\n {2}one thing\.\n {2}another thing\.$/)
    assert.strictEqual(
      new PlanCommand.WouldBeRefused({ refusals }).message,
      "It would be refused: one thing. (and 1 more)"
    )
  })
})
