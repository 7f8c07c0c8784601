/**
 * Every series that the agent gives to Prometheus, once: name, type, help, labels. Names follow Prometheus' rules: base units, `_total` of
 * counters, `_info` of what only has labels.
 *
 * @since 0.1.0
 */
import type * as Event from "../upgrade/Event.ts"

/**
 * What a label says, and its values where they are known beforehand: a series with only such labels is there from the first scrape on, so
 * that `increase()` sees the first time too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Label {
  readonly what: string
  readonly values?: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Series<Labels extends string = string> {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly unit?: "seconds" | "bytes"
  /** One line; `# HELP` of it. */
  readonly help: string
  readonly labels: Readonly<Record<Labels, Label>>
  /** Upper bounds of a histogram, ascending, without `+Inf`. */
  readonly buckets?: ReadonlyArray<number>
  /** Missing until there is something to say. */
  readonly when?: string
}

/**
 * What became of a live update. `refused` has no log: nothing was touched.
 *
 * @since 0.1.0
 * @category models
 */
export type Result = "succeeded" | "rolled_back" | "parked" | "dry_run" | "lost" | "refused"

/**
 * How an outcome is counted.
 *
 * @since 0.1.0
 * @category accessors
 */
export const resultOf: Readonly<Record<Event.Result, Result>> = {
  upgraded: "succeeded",
  "rolled-back": "rolled_back",
  "needs-operator": "parked",
  "dry-run": "dry_run",
  "cold-boot": "lost",
  lost: "lost"
}

const make = <const Labels extends string = never>(
  series: Omit<Series<Labels>, "labels"> & { readonly labels?: Readonly<Record<Labels, Label>> }
): Series<Labels> => ({ ...series, labels: series.labels ?? ({} as Readonly<Record<Labels, Label>>) })

const results: Readonly<Record<Result, true>> = {
  succeeded: true,
  rolled_back: true,
  parked: true,
  dry_run: true,
  lost: true,
  refused: true
}

/**
 * @since 0.1.0
 * @category series
 */
export const runs = make({
  name: "liveupdate_runs_total",
  type: "counter",
  help: "Live updates that came to this result; one whose VMs were parked and came back later counts under both.",
  labels: {
    result: {
      what: "`succeeded`; `rolled_back` before the jump; `parked`: a VM waits for the operator; `dry_run`; `lost`: the host went down, and the guests with it; `refused`: nothing was touched",
      values: Object.keys(results)
    }
  }
})

/**
 * @since 0.1.0
 * @category series
 */
export const unfinished = make({
  name: "liveupdate_runs_unfinished",
  type: "gauge",
  help: "Live updates without a result: under way, or interrupted and not taken up again."
})

/**
 * @since 0.1.0
 * @category series
 */
export const errors = make({
  name: "liveupdate_errors_total",
  type: "counter",
  help: "Steps of live updates that failed, and live updates that were refused.",
  labels: {
    step: { what: "the step, or the phase where no step could tell; `preflight` of one that was refused" },
    error: { what: "the error's tag (docs/errors.md), `unknown` where it has none" },
    operation: {
      what: "what was asked of the kernel or the VMM, such as `session.preserve`; empty where it was neither"
    },
    errno: { what: "the kernel's name for its answer, such as `EBUSY`; empty where there was none" }
  },
  when: "something has failed"
})

/**
 * @since 0.1.0
 * @category series
 */
export const blackout = make({
  name: "liveupdate_blackout_seconds",
  type: "histogram",
  unit: "seconds",
  help: "How long a guest stood still, from the call that pauses it to the answer that it runs.",
  labels: {
    result: {
      what: "`succeeded`: it came through the jump; `rolled_back`: it was given back before",
      values: ["succeeded", "rolled_back"]
    }
  },
  buckets: [0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 30, 60]
})

/**
 * @since 0.1.0
 * @category series
 */
export const shares = make({
  name: "liveupdate_blackout_share_seconds_total",
  type: "counter",
  unit: "seconds",
  help: "Who spent the blackouts of guests that came through a jump; the shares add up to their sum.",
  labels: {
    who: {
      what: "as in docs/blackout.md: the kernel, the VMM's start, saving and loading its state, the agent",
      values: ["kernel", "vmm_start", "state_save", "state_load", "agent"]
    }
  }
})

/**
 * @since 0.1.0
 * @category series
 */
export const phases = make({
  name: "liveupdate_phase_duration_seconds",
  type: "histogram",
  unit: "seconds",
  help: "How long each part of a live update took that went well, for each VM or the host.",
  labels: {
    phase: { what: "a step, or a part of what lies between the kernels: `jump`, `kernel-boot`, `boot`, `start-agent`" }
  },
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  when: "a live update came to a result"
})

/**
 * @since 0.1.0
 * @category series
 */
export const kexecs = make({
  name: "liveupdate_kexecs_total",
  type: "counter",
  help: "Jumps that came to the next kernel.",
  labels: { way: { what: "`--jump` of `agent upgrade`", values: ["direct", "systemd"] } }
})

/**
 * @since 0.1.0
 * @category series
 */
export const sessions = make({
  name: "liveupdate_sessions_preserved_total",
  type: "counter",
  help: "Sessions that went through a jump: one for each VM, and the one that lists them."
})

/**
 * @since 0.1.0
 * @category series
 */
export const files = make({
  name: "liveupdate_files_preserved_total",
  type: "counter",
  help: "Files that went through a jump in these sessions: guest RAM, device state, manifests."
})

/**
 * @since 0.1.0
 * @category series
 */
export const bytes = make({
  name: "liveupdate_preserved_bytes_total",
  type: "counter",
  unit: "bytes",
  help: "Bytes that went through a jump.",
  labels: {
    content: {
      what: "`memory`: of guests, in place; `state`: of their devices, written and read",
      values: ["memory", "state"]
    }
  }
})

/**
 * @since 0.1.0
 * @category series
 */
export const lastRun = make({
  name: "liveupdate_last_run_timestamp_seconds",
  type: "gauge",
  unit: "seconds",
  help: "When the last live update that has a result came to it, in seconds since 1970.",
  labels: { result: { what: "as in `liveupdate_runs_total`" } },
  when: "a live update came to a result"
})

/**
 * @since 0.1.0
 * @category series
 */
export const lastBlackout = make({
  name: "liveupdate_last_blackout_seconds",
  type: "gauge",
  unit: "seconds",
  help: "How long each guest stood still the last time that guests came through a jump.",
  labels: { vm: { what: "id of the VM" } },
  when: "a guest came through a jump"
})

/**
 * @since 0.1.0
 * @category series
 */
export const vms = make({
  name: "liveupdate_vms",
  type: "gauge",
  help: "VMs of this host now.",
  labels: {
    state: {
      what: "`running`: their VMM runs; `parked`: their memory is kept, don't reboot",
      values: ["running", "parked"]
    }
  },
  when: "whoever holds the sessions answers"
})

/**
 * @since 0.1.0
 * @category series
 */
export const kernel = make({
  name: "liveupdate_kernel_info",
  type: "gauge",
  help: "The running kernel; its value is 1.",
  labels: {
    release: { what: "as `uname -r` says it" },
    previous_release: {
      what: "of the kernel that handed over to it in a live update; empty where it was booted otherwise"
    }
  }
})

/**
 * @since 0.1.0
 * @category series
 */
export const agent = make({
  name: "liveupdate_agent_info",
  type: "gauge",
  help: "The agent that tells all this; its value is 1.",
  labels: { version: { what: "its version" } }
})

/**
 * All of them, in the order in which they are told.
 *
 * @since 0.1.0
 * @category series
 */
export const all: ReadonlyArray<Series> = [
  runs,
  unfinished,
  errors,
  blackout,
  shares,
  phases,
  kexecs,
  sessions,
  files,
  bytes,
  lastRun,
  lastBlackout,
  vms,
  kernel,
  agent
]
