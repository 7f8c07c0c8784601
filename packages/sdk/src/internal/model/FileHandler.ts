import type { Subject } from "../../SimulatedHost.ts"
import type { Devices } from "./Devices.ts"

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
  /**
   * `fd` is the kernel's own reference, good until `unpreserve` or the jump, from which on it is the handler's to close. A negated
   * errno refuses.
   */
  readonly preserve: (fd: number, session: OutgoingFiles) => Preserved | number
}

/** What a handler may ask of the session that its file is in, on the way out; proposed with the handlers that need it. */
export interface OutgoingFiles {
  /** `liveupdate_get_token_outgoing`: nothing, where the kernel answers ENOENT, when no file of this identity is in it. */
  readonly tokenOf: (identity: string) => bigint | undefined
}

/** The same on the next kernel. */
export interface IncomingFiles {
  /** `liveupdate_get_file_incoming`: retrieves the file if nobody has; the kernel's own descriptor, or a negated errno. */
  readonly fileAt: (token: bigint) => number
  /** The identity of a file that has been retrieved. */
  readonly retrievedAt: (token: bigint) => string | undefined
  /** The devices of the kernel that it is retrieved on. */
  readonly devices: Devices
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
  /** What the next kernel knows of it from its boot on, before anybody asks for the file. */
  readonly arrive?: (devices: Devices) => void
  /** The descriptor of the file that came back, which becomes the kernel's own reference to it; or a negated errno. */
  readonly retrieve: (session: IncomingFiles) => number
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
