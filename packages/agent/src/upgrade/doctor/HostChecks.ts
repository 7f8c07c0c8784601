/**
 * Whether the host is ready: who runs this, who else is at work, what waits for the operator, and who brings the VMs back at boot.
 *
 * @since 0.1.0
 */
import { type Facts, type Process, reasonOf, value } from "./Facts.ts"
import { fail, type Judgement, ok, unknown, warn } from "./Finding.ts"

const name = ({ pid, name }: Process): string => `${name} (pid ${pid})`

/**
 * @since 0.1.0
 * @category checks
 */
export const root = (facts: Facts): Judgement =>
  facts.root
    ? ok("runs as root")
    : fail("this is not root: a live update needs it, and so do the checks that are unknown", "Run it as root")

/**
 * Who has the host's lock is at a live update, or brings VMs back after one.
 *
 * @since 0.1.0
 * @category checks
 */
export const agent = ({ lockHolder, root }: Facts): Judgement => {
  if (lockHolder._tag !== "known")
    return unknown(
      `whether another agent is at work can't be seen: ${reasonOf(lockHolder)}`,
      root ? "See: fuser -v /run/liveupdate/host.lock" : "Run it as root"
    )
  return lockHolder.value === undefined
    ? ok("no other agent is at work")
    : fail(`${name(lockHolder.value)} is at a live update of this host`, "Wait for it: agent status --follow")
}

/**
 * A session that is open is on its way to the next kernel, or came from the previous one and waits to be finished; from outside they
 * look alike. What nobody has retrieved yet is not among them: the kernel doesn't list it.
 *
 * @since 0.1.0
 * @category checks
 */
export const sessions = ({ lockHolder, sessions: fact }: Facts): Judgement => {
  if (fact._tag !== "known")
    return unknown(`which sessions are open can't be seen: ${reasonOf(fact)}`, "Run it as root")
  if (fact.value.length === 0) return ok("no session is open")
  const holders = new Map(fact.value.map(({ process }) => [process.pid, process]))
  const detail = [...holders.values()]
    .map((holder) => {
      const held = fact.value.filter(({ process }) => process.pid === holder.pid).map(({ session }) => session)
      return `${held.sort().join(", ")} in ${name(holder)}`
    })
    .join("; ")
  const next =
    value(lockHolder) !== undefined
      ? "Another agent is at work on them: agent status --follow"
      : holders.has(1)
        ? "Don't reboot. systemd holds them for a service, see: systemd-analyze fdstore UNIT; for the others: agent status, then agent resume"
        : "Don't reboot. See what they are: agent status; take them up again: agent resume"
  return warn(`sessions that are open: ${detail}`, next)
}

/**
 * @since 0.1.0
 * @category checks
 */
export const lastRun = ({ lastRun: fact, lockHolder, pendingRun }: Facts): Judgement => {
  const working = value(lockHolder) !== undefined
  const pending = value(pendingRun)
  if (pending !== undefined && !working)
    return fail(`live update ${pending} was interrupted before its jump`, "Give its VMs back first: agent resume")
  if (fact._tag === "absent") return ok("no live update was run here yet")
  if (fact._tag === "unknown") return unknown(`the last live update is not known: ${fact.reason}`, "See: agent status")
  const { run, result } = fact.value
  if (result === "needs-operator")
    return warn(`live update ${run} left a VM to the operator`, "Don't reboot. See: agent status; then: agent resume")
  if (result !== undefined) return ok(`live update ${run}: ${result}`)
  return working
    ? ok(`live update ${run} is under way`)
    : warn(`live update ${run} has no outcome`, "See: agent status; then: agent resume")
}

/**
 * @since 0.1.0
 * @category checks
 */
export const systemd = ({ firstProcess }: Facts): Judgement => {
  if (firstProcess._tag !== "known") return unknown(`process 1 is not known: ${reasonOf(firstProcess)}`, "See: ps -p 1")
  return firstProcess.value === "systemd"
    ? ok("process 1 is systemd")
    : warn(
        `process 1 is ${firstProcess.value}, not systemd`,
        "Let it start /usr/lib/liveupdate/early at boot, as liveupdate-resume.service would"
      )
}

/**
 * The unit brings VMs back at boot, and is the second way to it where the first process does.
 *
 * @since 0.1.0
 * @category checks
 */
export const resumeUnit = ({ early, firstProcessMark, unit, unitWantedBy }: Facts): Judgement => {
  // Without either, guests stand still on the next kernel until somebody types `agent resume`.
  const missing = firstProcessMark._tag === "known" ? warn : fail
  if (unit._tag === "unknown")
    return unknown(`liveupdate-resume.service can't be looked for: ${unit.reason}`, "Run it as root")
  if (unit._tag === "absent")
    return missing(
      "liveupdate-resume.service is not installed",
      "Install the package liveupdate-agent, or copy the unit to /etc/systemd/system and: systemctl enable liveupdate-resume"
    )
  if (unit.value.masked)
    return missing(
      `liveupdate-resume.service is masked: ${unit.value.path}`,
      "systemctl unmask liveupdate-resume, then: systemctl enable liveupdate-resume"
    )
  if (unitWantedBy.length === 0)
    return missing("liveupdate-resume.service is not enabled", "systemctl enable liveupdate-resume")
  if (early._tag === "unknown")
    return unknown(`/usr/lib/liveupdate/early is not known: ${early.reason}`, "Run it as root")
  if (value(early) !== true)
    return fail(
      early._tag === "absent"
        ? "what liveupdate-resume.service starts is missing: /usr/lib/liveupdate/early"
        : "/usr/lib/liveupdate/early may not be executed",
      "Install the package liveupdate-agent"
    )
  return ok(`${unit.value.path} is enabled (${unitWantedBy.join(", ")})`)
}

/**
 * A first process that starts the second half from memory says so at every boot (`packages/qemu-host/host/resume.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const earlyStart = ({ firstProcessMark }: Facts): Judgement =>
  firstProcessMark._tag === "known"
    ? ok("the first process brings VMs back before systemd starts")
    : firstProcessMark._tag === "absent"
      ? warn(
          `VMs come back when systemd gets to it: ${reasonOf(firstProcessMark)}`,
          "For a shorter blackout use a first process that starts the second half (docs/blackout.md)"
        )
      : unknown(`whether the first process brings VMs back is not known: ${firstProcessMark.reason}`, "Run it as root")

/** Bits of everybody but the owner. */
const OTHERS = 0o077

/**
 * Sockets, state and logs are root's alone; directories that aren't there yet are made so.
 *
 * @since 0.1.0
 * @category checks
 */
export const directories = ({ directories: facts }: Facts): Judgement => {
  const known = facts.flatMap((fact) => (fact._tag === "known" ? [fact.value] : []))
  const foreign = known.filter(({ uid }) => uid !== 0)
  if (foreign.length > 0)
    return fail(
      foreign.map(({ path, uid }) => `${path} belongs to user ${uid}`).join(", "),
      `chown root: ${foreign.map(({ path }) => path).join(" ")}`
    )
  const loose = known.filter(({ mode }) => (mode & OTHERS) !== 0)
  if (loose.length > 0)
    return warn(
      loose.map(({ path, mode }) => `${path} has mode 0${mode.toString(8)}`).join(", "),
      `chmod 0700 ${loose.map(({ path }) => path).join(" ")}`
    )
  const unseen = facts.flatMap((fact) => (fact._tag === "unknown" ? [fact.reason] : []))
  if (unseen.length > 0) return unknown(unseen.join("; "), "Run it as root")
  return ok(
    known.length === 0 ? "they are made with the first VM" : `${known.map(({ path }) => path).join(", ")}: root's alone`
  )
}
