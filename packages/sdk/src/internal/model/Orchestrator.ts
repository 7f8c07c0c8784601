import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENXIO, ESPIPE } from "../errno.ts"
import * as ioctl from "../ioctl.ts"
import * as FileSet from "./FileSet.ts"
import * as Request from "./Request.ts"
import type { Special, Specials } from "./Specials.ts"

/** What a jump carries of a session. */
export interface CarriedSession {
  readonly name: string
  readonly files: ReadonlyArray<FileSet.CarriedFile>
}

interface OutgoingSession {
  readonly direction: "outgoing"
  readonly name: string
  readonly files: FileSet.Outgoing
}

interface IncomingSession {
  readonly direction: "incoming"
  readonly name: string
  readonly files: FileSet.Incoming
  retrieved: boolean
}

type Session = OutgoingSession | IncomingSession

// Layouts are in ../ioctl.ts.
const FD = 4
const NAME = 8
const TOKEN = 8
const RESERVED = 4

/** Bytes up to the NUL, or all 64 of them: names are compared as bytes and may be no text. */
const nameOf = (struct: Buffer): Buffer => {
  const field = struct.subarray(NAME, NAME + ioctl.SESSION_NAME_LENGTH)
  const end = field.indexOf(0)
  return end === -1 ? field : field.subarray(0, end)
}
const textOf = (name: Buffer): string => name.toString("latin1")

/** `/dev/liveupdate` and its sessions on one kernel, from its boot to its end: `luo_core.c` and `luo_session.c`. */
export interface Orchestrator {
  /** A descriptor of the device, or a negated errno. */
  readonly open: () => number
  /** `luo_session_serialize`: 0, or the errno of the file that could not be frozen; then everything is as before. */
  readonly serialize: () => number
  /** What the next kernel gets. What came from the previous one and isn't finished is lost. */
  readonly handOver: () => ReadonlyArray<CarriedSession>
  /** The end without a next kernel: lets go of everything that the model holds. */
  readonly end: () => void
}

export const make = (
  context: FileSet.FileContext,
  specials: Specials,
  carried: ReadonlyArray<CarriedSession>
): Orchestrator => {
  const { faults, rules } = context
  const outgoing = new Map<string, OutgoingSession>()
  const incoming = new Map<string, IncomingSession>()
  let inUse = false
  let unread: ReadonlyArray<CarriedSession> = carried
  let unreadable = false

  /** `luo_session_release`. A session that can't be finished stays on its list without a descriptor. */
  const release = (session: Session): void => {
    if (session.direction === "outgoing") {
      session.files.unpreserve()
      outgoing.delete(session.name)
    } else if (session.files.finish() === 0) incoming.delete(session.name)
  }

  const isOutgoing = (session: Session) => session.direction === "outgoing"
  const isIncoming = (session: Session) => session.direction === "incoming"

  const returnFd = (struct: Buffer, fd: number): number => {
    if (fd < 0) return fd
    struct.writeInt32LE(fd, FD)
    return 0
  }

  const sessionRequests: ReadonlyArray<Request.Request<Session>> = [
    {
      number: ioctl.FINISH,
      size: 8,
      isValid: isIncoming,
      execute: (session, struct) => {
        if (rules.reservedChecked && struct.readUInt32LE(RESERVED) !== 0) return -EINVAL
        return session.direction === "incoming" ? session.files.finish() : -EINVAL
      }
    },
    {
      number: ioctl.PRESERVE_FD,
      size: 16,
      isValid: isOutgoing,
      execute: (session, struct) =>
        session.direction === "outgoing"
          ? session.files.preserve(struct.readBigUInt64LE(TOKEN), struct.readInt32LE(FD))
          : -EINVAL
    },
    {
      number: ioctl.RETRIEVE_FD,
      size: 16,
      isValid: isIncoming,
      execute: (session, struct) =>
        session.direction === "incoming"
          ? returnFd(struct, session.files.retrieve(struct.readBigUInt64LE(TOKEN)))
          : -EINVAL
    },
    ...(rules.getName
      ? [
          {
            number: ioctl.GET_NAME,
            size: 72,
            execute: (session: Session, struct: Buffer) => {
              if (struct.readUInt32LE(RESERVED) !== 0) return -EINVAL
              // strscpy copies words: the NUL's word is filled up with zeros, what lies behind it stays the caller's.
              const words = Math.floor(session.name.length / 8) + 1
              struct.write(session.name.padEnd(words * 8, "\0"), NAME, "latin1")
              return 0
            }
          }
        ]
      : [])
  ]

  const special = (session: Session): Special => ({
    ioctl: (request, argument) => Request.dispatch(sessionRequests, session, request, argument),
    // An inode without a file system has no way to it but its descriptors.
    reopen: () => -ENXIO,
    unreadable: -ESPIPE,
    release: () => release(session)
  })

  const create = (struct: Buffer): number =>
    returnFd(
      struct,
      specials.open(() => {
        const bytes = nameOf(struct)
        const terminated = bytes.length < ioctl.SESSION_NAME_LENGTH
        if (rules.namesChecked && (bytes.length === 0 || !terminated)) return -EINVAL
        const name = textOf(terminated ? bytes : bytes.subarray(0, -1))
        if (outgoing.size >= rules.sessions.max) return -rules.sessions.errno
        if (outgoing.has(name)) return -EEXIST
        const session: OutgoingSession = { direction: "outgoing", name, files: FileSet.outgoing(context, () => name) }
        outgoing.set(name, session)
        return special(session)
      })
    )

  const retrieve = (struct: Buffer): number =>
    returnFd(
      struct,
      specials.open(() => {
        const session = incoming.get(textOf(nameOf(struct)))
        if (session === undefined) return -ENOENT
        if (session.retrieved) return -EINVAL
        session.retrieved = true
        return special(session)
      })
    )

  const deviceRequests: ReadonlyArray<Request.Request<undefined>> = [
    { number: ioctl.CREATE_SESSION, size: 72, execute: (_, struct) => create(struct) },
    { number: ioctl.RETRIEVE_SESSION, size: 72, execute: (_, struct) => retrieve(struct) }
  ]

  /** `luo_session_deserialize`: at the first open, once, and its failure is for ever. */
  const deserialize = (): boolean => {
    for (const { files, name } of unread) {
      const set = FileSet.incoming(context, name, files)
      if (set === undefined) {
        unreadable = true
        break
      }
      incoming.set(name, { direction: "incoming", name, files: set, retrieved: false })
    }
    unread = []
    return !unreadable
  }

  const lose = (): void => {
    for (const { files } of incoming.values()) files.abandon()
    for (const { files } of unread) for (const { state } of files) state.finish(false)
    unread = []
  }

  const open = (): number => {
    const fault = faults.open()
    if (fault < 0) return fault
    return specials.open(() => {
      if (inUse) return -EBUSY
      if (!deserialize()) return -EIO
      inUse = true
      return {
        ioctl: (request, argument) => Request.dispatch(deviceRequests, undefined, request, argument),
        reopen: open,
        unreadable: -EINVAL,
        release: () => {
          inUse = false
        }
      }
    })
  }

  return {
    open,
    serialize: () => {
      const sessions = [...outgoing.values()]
      for (const [index, { files }] of sessions.entries()) {
        const answer = files.freeze()
        if (answer < 0) {
          for (const frozen of sessions.slice(0, index).reverse()) frozen.files.unfreeze()
          return answer
        }
      }
      return 0
    },
    handOver: () => {
      lose()
      return [...outgoing.values()].map(({ files, name }) => ({ name, files: files.handOver() }))
    },
    end: () => {
      lose()
      for (const { files } of outgoing.values()) files.unpreserve()
    }
  }
}
