import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { type Raw, said } from "../Raw.ts"
import { handover } from "../Scenario.ts"

const preserveText = (raw: Raw, session: number, token: bigint, text: string): string =>
  said(raw.preserve(session, raw.memfd(text), token))

const many = 2000

export const sessions = [
  handover(
    "A session with one memfd comes through the jump; then it is finished and closed.",
    {
      before: { preserved: "ok" },
      after: { session: "ok", name: "simple", text: "hello kexec world", finished: "ok", closed: "ok", again: "ENOENT" }
    },
    (raw) => ({ preserved: preserveText(raw, raw.create("simple"), 0x1an, "hello kexec world") }),
    (raw) => {
      const session = raw.retrieveSession("simple")
      const name = raw.getName(session)
      const text = raw.text(raw.retrieve(session, 0x1an))
      const finished = said(raw.finish(session))
      const closed = said(raw.close(session))
      return { session: said(session), name, text, finished, closed, again: said(raw.retrieveSession("simple")) }
    }
  ),
  handover(
    "Several sessions, empty ones and full ones, each with its own.",
    {
      before: { one: "ok", two: "ok", three: "ok" },
      after: { empty1: "ok", empty2: "ok", one: "first", two: "second", three: "third" }
    },
    (raw) => {
      raw.create("multi-empty-1")
      raw.create("multi-empty-2")
      const [first, second] = [raw.create("multi-1"), raw.create("multi-2")]
      return {
        one: preserveText(raw, first, 0x1001n, "first"),
        two: preserveText(raw, second, 0x2002n, "second"),
        three: preserveText(raw, second, 0x3003n, "third")
      }
    },
    (raw) => {
      const empty = [raw.retrieveSession("multi-empty-1"), raw.retrieveSession("multi-empty-2")]
      const [first, second] = [raw.retrieveSession("multi-1"), raw.retrieveSession("multi-2")]
      return {
        one: raw.text(raw.retrieve(first, 0x1001n)),
        two: raw.text(raw.retrieve(second, 0x2002n)),
        three: raw.text(raw.retrieve(second, 0x3003n)),
        empty1: said(raw.finish(empty[0] ?? -1)),
        empty2: said(raw.finish(empty[1] ?? -1))
      }
    }
  ),
  handover(
    "A session is retrieved once: again is EINVAL while somebody has it, ENOENT when it is finished and closed.",
    { before: {}, after: { first: "ok", second: "EINVAL", finished: "EINVAL", closed: "ENOENT" } },
    (raw) => {
      raw.create("once")
      return {}
    },
    (raw) => {
      const session = raw.retrieveSession("once")
      const second = said(raw.retrieveSession("once"))
      raw.finish(session)
      const finished = said(raw.retrieveSession("once"))
      raw.close(session)
      return { first: said(session), second, finished, closed: said(raw.retrieveSession("once")) }
    }
  ),
  handover(
    "The longest name and bytes that are no text come through.",
    { before: { longest: "ok", bytes: "ok" }, after: { longest: "ok", name: "L".repeat(63), bytes: "ok" } },
    (raw) => {
      const argument = ioctl.sessionArgument("")
      argument.fill(0xfe, 8, 20)
      return {
        longest: said(raw.create("L".repeat(63))),
        bytes: said(raw.request(raw.device(), ioctl.CREATE_SESSION, argument))
      }
    },
    (raw) => {
      const session = raw.retrieveSession("L".repeat(63))
      const argument = ioctl.sessionArgument("")
      argument.fill(0xfe, 8, 20)
      return {
        longest: said(session),
        name: raw.getName(session),
        bytes: said(raw.request(raw.device(), ioctl.RETRIEVE_SESSION, argument))
      }
    }
  ),
  handover(
    "A session that was closed before the jump stays behind, and so does what was never in one.",
    { before: { closed: "ok" }, after: { session: "ENOENT" } },
    (raw) => {
      const session = raw.create("left-behind")
      preserveText(raw, session, 1n, "lost")
      return { closed: said(raw.close(session)) }
    },
    (raw) => ({ session: said(raw.retrieveSession("left-behind")) })
  ),
  handover(
    "An incoming session of a name doesn't keep anybody from a new one of the same name.",
    { before: {}, after: { incoming: "ok", outgoing: "ok", both: "same same", second: "EEXIST" } },
    (raw) => {
      raw.create("same")
      return {}
    },
    (raw) => {
      const outgoing = raw.create("same")
      const incoming = raw.retrieveSession("same")
      const both = `${raw.getName(outgoing)} ${raw.getName(incoming)}`
      return { incoming: said(incoming), outgoing: said(outgoing), both, second: said(raw.create("same")) }
    }
  ),
  handover(
    "FINISH may be repeated; after it the session is empty, and still an incoming one.",
    {
      before: { preserved: "ok" },
      after: { first: "ok", second: "ok", retrieve: "ENOENT", preserve: "EINVAL", name: "finish-twice" }
    },
    (raw) => ({ preserved: preserveText(raw, raw.create("finish-twice"), 1n, "x") }),
    (raw) => {
      const session = raw.retrieveSession("finish-twice")
      return {
        first: said(raw.finish(session)),
        second: said(raw.finish(session)),
        retrieve: said(raw.retrieve(session, 1n)),
        preserve: said(raw.preserve(session, raw.memfd("y"), 1n)),
        name: raw.getName(session)
      }
    }
  ),
  handover(
    "Closing the last descriptor of a retrieved session finishes it: what was retrieved lives on, all else is gone.",
    {
      before: { one: "ok", two: "ok" },
      after: { early: "ok", open: "EINVAL", closed: "ENOENT", text: "kept", free: "ok" }
    },
    (raw) => {
      const session = raw.create("closed-unfinished")
      return { one: preserveText(raw, session, 1n, "kept"), two: preserveText(raw, session, 2n, "lost") }
    },
    (raw) => {
      const session = raw.retrieveSession("closed-unfinished")
      const other = raw.dup(session)
      const memfd = raw.retrieve(session, 1n)
      const early = said(raw.close(session))
      const open = said(raw.retrieveSession("closed-unfinished"))
      raw.close(other)
      return {
        early,
        open,
        closed: said(raw.retrieveSession("closed-unfinished")),
        text: raw.text(memfd),
        free: said(raw.preserve(raw.create("next"), memfd, 1n))
      }
    }
  ),
  handover(
    "Requests on an incoming session check their struct as before, and the direction first.",
    {
      before: {},
      after: {
        preserve: "EINVAL",
        short: "EINVAL",
        tail: "E2BIG",
        zeros: "ok",
        reserved: "EINVAL",
        retrieveTail: "E2BIG"
      }
    },
    (raw) => {
      raw.create("structs")
      return {}
    },
    (raw) => {
      const session = raw.retrieveSession("structs")
      const sized = (argument: Buffer, size: number) => {
        argument.writeUInt32LE(size, 0)
        return argument
      }
      const finish = (argument: Buffer) => said(raw.request(session, ioctl.FINISH, argument))
      const reserved = ioctl.finishArgument()
      reserved.writeUInt32LE(1, 4)
      return {
        preserve: said(raw.preserve(session, -1, 1n)),
        short: finish(sized(Buffer.alloc(8), 7)),
        tail: finish(sized(Buffer.alloc(16, 1).fill(0, 4, 8), 16)),
        reserved: finish(reserved),
        retrieveTail: said(raw.request(session, ioctl.RETRIEVE_FD, sized(Buffer.alloc(24, 1), 24))),
        zeros: finish(sized(Buffer.alloc(16), 16))
      }
    }
  ),
  handover(
    "2000 sessions come through.",
    { before: { created: many }, after: { retrieved: many, finished: many } },
    (raw) => ({
      created: Array.from({ length: many }, (_, i) => raw.create(`crowd-${i}`)).filter((fd) => fd >= 0).length
    }),
    (raw) => {
      const fds = Array.from({ length: many }, (_, i) => raw.retrieveSession(`crowd-${i}`)).filter((fd) => fd >= 0)
      return { retrieved: fds.length, finished: fds.filter((fd) => raw.finish(fd) === 0).length }
    }
  )
]
