import type { Subject } from "../../SimulatedHost.ts"

/**
 * How one kind of file goes through a live update: `struct liveupdate_file_ops` (include/linux/liveupdate.h), with what the
 * kernel passes along from callback to callback kept in closures.
 */
export interface FileHandler {
  /** What the next kernel finds its handler by. */
  readonly compatible: string
  readonly canPreserve: (fd: number) => boolean
  /** Two descriptors with the same identity are the same file to this handler. */
  readonly identify: (fd: number) => string
  /** `fd` is the kernel's own reference, good until `unpreserve` or the jump. A negated errno refuses. */
  readonly preserve: (fd: number) => Preserved | number
}

/** A file between its preserve and the jump. */
export interface Preserved {
  readonly unpreserve: () => void
  readonly freeze?: () => number
  readonly unfreeze?: () => void
  /** The jump: what the next kernel knows of it. */
  readonly handOver: () => HandedOver
}

/** A file between the jump and its session's end. */
export interface HandedOver {
  /** The descriptor of the file that came back, which becomes the kernel's own reference to it; or a negated errno. */
  readonly retrieve: () => number
  readonly canFinish?: (retrieved: boolean) => boolean
  /** Frees what a retrieve didn't take. */
  readonly finish: (retrieved: boolean) => void
}

/** Failures that real handlers can have and memory hardly ever has. Answers are negated errnos, or 0. */
export interface Faults {
  readonly open: () => number
  readonly preserve: (file: Subject) => number
  readonly freeze: (file: Subject) => number
  readonly retrieve: (file: Subject) => number
  readonly canFinish: (file: Subject) => boolean
}

export const noFaults: Faults = {
  open: () => 0,
  preserve: () => 0,
  freeze: () => 0,
  retrieve: () => 0,
  canFinish: () => true
}
