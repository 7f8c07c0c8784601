import type { Subject } from "../../SimulatedHost.ts"
import { EBADF, EBUSY, EEXIST, ENOENT, ENOSPC, errnoName } from "../errno.ts"
import type { SystemCalls } from "../Kernel.ts"
import type { Devices } from "./Devices.ts"
import type { Faults, FileHandler, HandedOver, IncomingFiles, OutgoingFiles, Preserved } from "./FileHandler.ts"
import type { Rules } from "./Profile.ts"
import type { Specials } from "./Specials.ts"

/** What every session of one kernel shares. */
export interface FileContext {
  /** References of the kernel's own. */
  readonly references: Pick<Specials, "dup" | "close"> & Pick<SystemCalls, "status">
  readonly rules: Rules
  readonly handlers: ReadonlyArray<FileHandler>
  readonly devices: Devices
  readonly faults: Faults
  /** pr_warn() */
  readonly warn: (text: string) => void
  /** `luo_preserved_files`: handler and identity of every file that a session holds. */
  readonly held: Set<string>
}

/** Outgoing: `state` until the jump. */
export interface OutgoingFile {
  readonly token: bigint
  readonly handler: FileHandler
  readonly identity: string
  /** The kernel's own reference to the open file. */
  readonly fd: number
  readonly state: Preserved
}

/** What a jump carries of a file. */
export interface CarriedFile {
  readonly token: bigint
  readonly compatible: string
  readonly state: HandedOver
}

interface IncomingFile extends CarriedFile {
  readonly handler: FileHandler
  /** 0 not tried, a negated errno, or the descriptor of the file that came back. */
  retrieved: number
  identity: string | undefined
}

const key = (handler: FileHandler, identity: string): string => `${handler.compatible} ${identity}`

/** The files of a session that is being collected; functions are named as in `kernel/liveupdate/luo_file.c`. */
export const outgoing = (context: FileContext, session: () => string) => {
  const { faults, held, references, rules } = context
  const files: Array<OutgoingFile> = []
  const subject = (file: { readonly token: bigint; readonly handler: FileHandler }): Subject => ({
    session: session(),
    token: file.token,
    handler: file.handler.compatible
  })
  const neighbours: OutgoingFiles = {
    tokenOf: (identity) => files.find((file) => file.identity === identity)?.token
  }

  /** `luo_preserve_file`, from `fget` on. */
  const preserveOpen = (token: bigint, fd: number): number => {
    const handler = context.handlers.find(({ canPreserve }) => canPreserve(fd))
    if (handler === undefined) return -ENOENT
    const identity = handler.identify(fd)
    if (rules.guard && held.has(key(handler, identity))) return -EBUSY
    const fault = faults.preserve(subject({ token, handler }))
    if (fault < 0) return fault
    const reference = references.dup(fd)
    if (reference < 0) return reference
    const state = handler.preserve(reference, neighbours)
    if (typeof state === "number") {
      references.close(reference)
      return state
    }
    held.add(key(handler, identity))
    files.push({ token, handler, identity, fd: reference, state })
    return 0
  }

  return {
    preserve: (token: bigint, fd: number): number => {
      if (files.some((file) => file.token === token)) return -EEXIST
      if (files.length >= rules.files) return -ENOSPC
      return typeof references.status(fd) === "number" ? -EBADF : preserveOpen(token, fd)
    },
    unpreserve: (): void => {
      for (const file of files.splice(0).reverse()) {
        file.state.unpreserve()
        held.delete(key(file.handler, file.identity))
        references.close(file.fd)
      }
    },
    freeze: (): number => {
      for (const [index, file] of files.entries()) {
        const answer = faults.freeze(subject(file)) || (file.state.freeze?.() ?? 0)
        if (answer < 0) {
          const { handler, token } = file
          const shown = token === 0n ? "0" : `0x${token.toString(16)}`
          context.warn(
            `luo: Freeze failed for token[${shown}] handler[${handler.compatible}] err[-${errnoName(-answer)}]`
          )
          for (const frozen of files.slice(0, index)) frozen.state.unfreeze?.()
          return answer
        }
      }
      return 0
    },
    unfreeze: (): void => {
      for (const file of files) file.state.unfreeze?.()
    },
    handOver: (): ReadonlyArray<CarriedFile> =>
      files.map(({ handler, state, token }) => ({ token, compatible: handler.compatible, state: state.handOver() }))
  }
}

export type Outgoing = ReturnType<typeof outgoing>

/** The files of a session that came from the previous kernel, or nothing when one has no handler here. */
export const incoming = (context: FileContext, session: string, carried: ReadonlyArray<CarriedFile>) => {
  const { faults, held, references, rules } = context
  const files: Array<IncomingFile> = []
  const at = (token: bigint): IncomingFile | undefined => files.find((file) => file.token === token)
  for (const file of carried) {
    const handler = context.handlers.find(({ compatible }) => compatible === file.compatible)
    if (handler === undefined) return undefined
    files.push({ ...file, handler, retrieved: 0, identity: undefined })
  }
  const subject = ({ compatible, token }: IncomingFile): Subject => ({ session, token, handler: compatible })

  /** `luo_retrieve_file` up to the session's own reference; descriptor 0 is never one of them. */
  const bringBack = (file: IncomingFile): number => {
    if (file.retrieved > 0 || (file.retrieved < 0 && rules.retrieveOnce)) return file.retrieved
    const fault = faults.retrieve(subject(file))
    if (fault < 0) {
      if (!rules.retrieveOnce) return fault
      file.state.finish(false)
      file.retrieved = fault
      return fault
    }
    file.retrieved = file.state.retrieve(neighbours)
    if (file.retrieved > 0) {
      file.identity = file.handler.identify(file.retrieved)
      held.add(key(file.handler, file.identity))
    }
    return file.retrieved
  }
  const fileAt = (token: bigint): number => {
    const file = at(token)
    return file === undefined ? -ENOENT : bringBack(file)
  }
  const neighbours: IncomingFiles = {
    fileAt,
    retrievedAt: (token) => at(token)?.identity,
    devices: context.devices
  }

  return {
    retrieve: (token: bigint): number => {
      const fd = fileAt(token)
      return fd < 0 ? fd : references.dup(fd)
    },
    finish: (): number => {
      const refuses = (file: IncomingFile) =>
        !faults.canFinish(subject(file)) || file.state.canFinish?.(file.retrieved > 0) === false
      if (files.some(refuses)) return -EBUSY
      for (const file of files.splice(0).reverse()) {
        // A retrieve that failed has cleaned up after itself.
        file.state.finish(file.retrieved !== 0)
        if (file.identity !== undefined) held.delete(key(file.handler, file.identity))
        if (file.retrieved > 0) references.close(file.retrieved)
      }
      return 0
    },
    /** Only for the end of the model itself. */
    abandon: (): void => {
      for (const file of files.splice(0)) {
        file.state.finish(file.retrieved !== 0)
        if (file.retrieved > 0) references.close(file.retrieved)
      }
    }
  }
}

export type Incoming = NonNullable<ReturnType<typeof incoming>>
