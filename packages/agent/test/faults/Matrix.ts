/**
 * What may go wrong in a live update, in every phase of it, and what must be true after. The test makes each of these cells real on the
 * QEMU host; docs/faults.md is made from this table.
 */
import * as After from "../../src/upgrade/phases/After.ts"
import * as Before from "../../src/upgrade/phases/Before.ts"

export type PhaseName = Before.Name | After.Name

export const phases: ReadonlyArray<PhaseName> = [...Before.phases, ...After.phases].map(({ name }) => name)

const before: ReadonlyArray<PhaseName> = Before.phases.map(({ name }) => name)
const after: ReadonlyArray<PhaseName> = After.phases.map(({ name }) => name)

/** How a cell ends. In all but the last two the other guest has missed nothing. */
export const ends = {
  refused: "refused before anything is touched (exit code 4, 5 or 7): the guests never stood still",
  undone: "undone by the agent (exit code 6): the guests run on under the old kernel",
  "given-back": "undone by somebody else (the watchdog, the next command): the guests run on under the old kernel",
  upgraded: "the guests run on under the new kernel, and nothing is left to do",
  parked: "parked, its memory kept; when the cause is gone, `agent resume` brings it back under the new kernel",
  unusable: "parked, its memory kept; its saved state is not to be used, so it can only be given up: `agent discard`",
  ended: "the guest has ended with its VMM, as it would have without a live update; nothing else has",
  "cold-boot":
    "as after any power cut: the host boots, its disks are whole, `agent resume` says what became of the run",
  lost: "both guests have ended, their disks are as after a power cut: the next kernel can't read what was handed over, `agent resume` says so (exit code 8)"
} as const

export type End = keyof typeof ends

/** What is done, at which end of the intent to begin the phase, and how it must end; or why it can't happen there. */
export type Cell =
  | { readonly phase: PhaseName; readonly fault: Fault; readonly end: End }
  | { readonly phase: PhaseName; readonly fault: Fault; readonly never: string }

export const faults = {
  "agent-killed": "SIGKILL to the agent between the phase's intent and its effect",
  "vmm-dies": "SIGKILL to one guest's VMM",
  "qmp-hangs":
    "one guest's VMM is stopped (SIGSTOP); it goes on when the agent has given up, or 6 s later after the jump",
  deadline: "the phase takes longer than its deadline",
  "disk-full": "no byte is left on the disk of the journal",
  "journal-corrupt":
    "a byte of the journal is changed, and before the jump the agent is killed, so that somebody has to read it",
  enomem: "the kernel has no memory for what the agent asks of a session (ENOMEM)",
  "token-used": "somebody else has a file in the VM's session, at the token that the agent is about to use",
  "already-preserved": "somebody else has preserved the very file in a session of theirs",
  "image-replaced": "the next kernel's image is another file; at the jump: the loaded image was unloaded",
  "retrieve-fails": "the kernel doesn't give back what a session holds (EIO)",
  "vmm-wont-start": "the VM's disk is not there any more",
  "load-fails": "the saved state is damaged",
  "finish-refused": "the kernel refuses to finish the session (EBUSY)",
  "second-agent": "another `agent upgrade`, or `agent resume` after the jump, comes in the middle",
  "power-cut": "the machine is reset, and nothing is written back"
} as const

export type Fault = keyof typeof faults

const row = (fault: Fault, all: Partial<Record<PhaseName, End>>, never: string): ReadonlyArray<Cell> =>
  phases.map((phase) => {
    const end = all[phase]
    return end === undefined ? { phase, fault, never } : { phase, fault, end }
  })

const each = (names: ReadonlyArray<PhaseName>, end: End) =>
  Object.fromEntries(names.map((name) => [name, end])) as Partial<Record<PhaseName, End>>

export const cells: ReadonlyArray<Cell> = [
  ...row("agent-killed", { ...each(before, "given-back"), ...each(after, "upgraded") }, "never"),
  ...row(
    "vmm-dies",
    {
      ...each(["preflight", "load-kernel", "preserve-running", "pause", "save-state"], "ended"),
      // All of the guest is in its session by then.
      ...each(["preserve-state", "jump"], "upgraded"),
      // The next resume, which systemd starts at boot, takes another one.
      ...each(["retrieve", "restore", "resume"], "upgraded"),
      ...each(["verify", "finish", "report"], "ended")
    },
    "never"
  ),
  ...row(
    "qmp-hangs",
    {
      preflight: "refused",
      ...each(["load-kernel", "preserve-running", "pause", "save-state"], "given-back"),
      ...each(["preserve-state", "jump", ...after], "upgraded")
    },
    "never"
  ),
  ...row(
    "deadline",
    {
      ...each(["load-kernel", "preserve-running", "pause", "save-state", "preserve-state"], "undone"),
      // Parked, until systemd's start of the resume comes, at the same boot.
      ...each(after, "upgraded")
    },
    "nothing is begun yet, or nothing may end it half-way"
  ),
  ...row("disk-full", { ...each(before, "upgraded"), preflight: "refused", ...each(after, "upgraded") }, "never"),
  ...row(
    "journal-corrupt",
    { ...each(before, "given-back"), preflight: "refused", ...each(after, "upgraded") },
    "never"
  ),
  ...row(
    "enomem",
    each(["load-kernel", "preserve-running", "preserve-state"], "undone"),
    "nothing is asked of a session"
  ),
  ...row(
    "token-used",
    { "preserve-state": "undone" },
    "no session that others could be in, or no token that is still free"
  ),
  ...row("already-preserved", { ...each(["preserve-running", "preserve-state"], "undone") }, "no file is preserved"),
  ...row(
    "image-replaced",
    {
      preflight: "refused",
      "load-kernel": "undone",
      ...each(["preserve-running", "pause", "save-state", "preserve-state"], "upgraded"),
      jump: "undone"
    },
    "the image has done its work"
  ),
  // Parked, until systemd's start of the resume comes, at the same boot.
  ...row("retrieve-fails", { retrieve: "upgraded" }, "nothing is retrieved"),
  ...row("vmm-wont-start", { restore: "parked" }, "no VMM is started"),
  ...row("load-fails", { restore: "unusable" }, "no state is loaded"),
  ...row("finish-refused", { finish: "upgraded", report: "upgraded" }, "nothing is finished"),
  ...row("second-agent", each(phases, "upgraded"), "never"),
  ...row("power-cut", each(phases, "cold-boot"), "never")
]

/** The cells that can happen. */
export const runnable = cells.filter((cell): cell is Extract<Cell, { end: End }> => "end" in cell)

export type Runnable = (typeof runnable)[number]

export const isBefore = (phase: PhaseName): boolean => before.includes(phase)
