/**
 * How each fault of the matrix is made: a script that the agent itself runs at a moment of the phase (`LIVEUPDATE_CHECKPOINTS`), so that
 * it comes neither too early nor too late; and what takes its cause away again.
 */
import { RAM_FD } from "../../src/vmm/Vm.ts"
import * as TestHost from "../e2e/TestHost.ts"
import type { Fault, PhaseName, Runnable } from "./Matrix.ts"
import { isBefore } from "./Matrix.ts"

/** The guest that the fault is made for; the other one is a bystander. */
export const victim = "a"
export const bystander = "b"
export const disk = "/var/lib/e2e/a.img"

export const directory = "/var/lib/e2e"
export const script = `${directory}/fault`
const once = `${directory}/fault.begun`

/** There when the script came to its end: the fault is made. */
export const doneFile = `${directory}/fault.made`

/** Beside the agent: ffi-rs's native part is there. */
const holder = "/usr/lib/liveupdate/holder.mjs"

/** What is there when the program that holds a file in a session has it. */
export const held = `${directory}/held`

export interface Made {
  /** Shell, run by the agent at the checkpoint. */
  readonly at: string
  /** `before:PHASE`, unless it has to come at another moment. */
  readonly checkpoint: string
  /** More for `agent upgrade`. */
  readonly options: ReadonlyArray<string>
  /** Shell, run before the live update. */
  readonly prepare: string
  /** Shell, run when it has ended: the cause is gone then. */
  readonly remedy: string
  /** Shell, run in the end: fails when the agent can't have met the fault, so that a cell doesn't pass for want of one. */
  readonly felt: string
}

/** The victim's VMM: the agent says which, or it is on record, or the first process has started it. */
const vmmOf = (phase: PhaseName) => `$(
  if [ -n "$LIVEUPDATE_VMM_PID" ]; then echo "$LIVEUPDATE_VMM_PID"
  else ${
    isBefore(phase)
      ? `sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' /var/lib/liveupdate/vms/${victim}/vm.json`
      : `cut -d' ' -f1 /run/liveupdate/vms/${victim}/started`
  }; fi
)`

export const journal = "/var/lib/liveupdate/journal"

const straceLog = `${directory}/strace.log`

/** The agent's system calls fail from outside, as the kernel itself would answer: `what` is strace's own way of saying which. */
const inject = (what: string): Partial<Made> => ({
  at: `
  setsid strace -f -p $LIVEUPDATE_AGENT_PID -e trace=ioctl -e inject=ioctl:${what} >${straceLog} 2>&1 </dev/null &
  until grep -q attached ${straceLog}; do sleep 0.05; done`,
  remedy: "pkill strace; true",
  felt: `grep -q INJECTED ${straceLog}`
})

const fill = "/var/lib/liveupdate/fill"
const consoles = [victim, bystander].map(TestHost.consoleOf).join(" ")
const agent = "/usr/bin/agent"
const node = "/usr/lib/liveupdate/node"

const corrupt = `printf X | dd of=${journal} bs=1 seek=30 conv=notrunc status=none`

/** The program `holder.ts` takes a descriptor of another process and preserves its file, in its own session or in that process's. */
const hold = (how: string) => `
  rm -f ${held}
  setsid ${node} ${holder} ${how} >${directory}/holder.log 2>&1 </dev/null &
  until [ -e ${held} ]; do kill -0 $!; sleep 0.05; done`

const faults: { readonly [F in Fault]: (phase: PhaseName) => Partial<Made> } = {
  "agent-killed": () => ({ at: "kill -KILL $LIVEUPDATE_AGENT_PID; sleep 1" }),
  "vmm-dies": (phase) => ({
    at: `pid=${vmmOf(phase)}; kill -KILL $pid; while [ -e /proc/$pid/exe ]; do sleep 0.02; done`
  }),
  "qmp-hangs": (phase) => {
    const forGood = isBefore(phase) && !["preserve-state", "jump"].includes(phase)
    return {
      at: `pid=${vmmOf(phase)}; echo $pid >${directory}/stopped; kill -STOP $pid; ${forGood ? "" : `setsid sh -c "sleep 6; kill -CONT $pid" </dev/null >/dev/null 2>&1 &`}`,
      remedy: `[ -e ${directory}/stopped ] && kill -CONT $(cat ${directory}/stopped); rm -f ${directory}/stopped; true`
    }
  },
  deadline: (phase) => ({ at: "sleep 4", options: ["--deadline", `${phase}=3`] }),
  "disk-full": () => ({
    // What the guests write has its room, as on a host with disks for them: QEMU would stop a guest whose disk can't grow, as it does
    // without a live update. What the kernel gives root beyond what others get is filled as well.
    at: `fallocate -n -l $(stat -c %s ${disk}) ${disk}
      for console in ${consoles}; do fallocate -n -o $(stat -c %s $console) -l 4M $console; done
      fallocate -l $(df --output=avail -B1 / | tail -1) ${fill} || true; cat /dev/zero >${fill}2 2>/dev/null || true`,
    remedy: `rm -f ${fill} ${fill}2`
  }),
  "journal-corrupt": (phase) => ({
    at: isBefore(phase) && phase !== "preflight" ? `${corrupt}; kill -KILL $LIVEUPDATE_AGENT_PID; sleep 1` : corrupt
  }),
  enomem: (phase) => inject(`error=ENOMEM:when=${phase === "preserve-running" ? "3+" : "1+"}`),
  "token-used": () => ({
    at: hold(`token $LIVEUPDATE_AGENT_PID liveupdate-vm-${victim} 2`),
    remedy: "pkill -f [h]older.mjs; true"
  }),
  "already-preserved": (phase) => ({
    at:
      phase === "preserve-running"
        ? hold(`descriptor ${vmmOf(phase)} ${RAM_FD}`)
        : hold(`file $LIVEUPDATE_AGENT_PID liveupdate-state-${victim}`),
    remedy: "pkill -f [h]older.mjs; true"
  }),
  "image-replaced": (phase) => ({
    prepare: `cp "$kernel" /boot/vmlinuz-target`,
    at:
      phase === "jump"
        ? `${node} ${holder} unload`
        : phase === "load-kernel"
          ? `cp "/boot/vmlinuz-$(uname -r)" /boot/vmlinuz-target`
          : "echo something else >/boot/vmlinuz-target",
    remedy: "rm -f /boot/vmlinuz-target"
  }),
  "retrieve-fails": () => inject("error=EIO:when=1+"),
  "vmm-wont-start": () => ({
    checkpoint: "before:jump",
    at: `mv ${disk} ${disk}.away; sync`,
    remedy: `[ -e ${disk}.away ] && mv ${disk}.away ${disk}; true`
  }),
  "load-fails": () => ({
    checkpoint: "after:save-state",
    at: `
      fd=$(ls -l /proc/$LIVEUPDATE_AGENT_PID/fd | sed -n 's/.* \\([0-9]*\\) -> .memfd:liveupdate-state-${victim}.*/\\1/p')
      head -c 4096 /dev/urandom | dd of=/proc/$LIVEUPDATE_AGENT_PID/fd/$fd bs=1 seek=2000 conv=notrunc status=none`
  }),
  "finish-refused": () => inject("error=EBUSY:when=1+"),
  "second-agent": (phase) => ({
    at: isBefore(phase)
      ? `timeout 4 ${agent} upgrade --vm ${bystander} --kernel /boot/vmlinuz-$(uname -r) >${directory}/second.log 2>&1 || true`
      : `timeout 4 ${agent} resume >${directory}/second.log 2>&1 || true`
  }),
  "power-cut": () => ({ at: "echo b >/proc/sysrq-trigger; sleep 60" })
}

export const make = ({ phase, fault }: Runnable): Made => complete(phase, faults[fault](phase))

/** With everything that isn't said. */
export const complete = (phase: PhaseName, made: Partial<Made>): Made => ({
  checkpoint: made.checkpoint ?? `before:${phase}`,
  options: made.options ?? [],
  prepare: made.prepare ?? "true",
  remedy: made.remedy ?? "true",
  felt: made.felt ?? "true",
  // Once, and where there is a VM only for the victim: what comes after it is to find everything as it is left.
  at: `#!/bin/sh
[ -e ${once} ] && exit 0
[ -z "$LIVEUPDATE_VM" ] || [ "$LIVEUPDATE_VM" = ${victim} ] || exit 0
: >${once}
sync ${once}
set -e
${made.at ?? "true"}
: >${doneFile}
`
})

export const forget = `rm -f ${once} ${doneFile} ${straceLog} ${directory}/second.log`
