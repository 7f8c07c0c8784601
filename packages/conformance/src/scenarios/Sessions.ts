import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { type Raw, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const longest = "n".repeat(63)
const many = 2000

/** A create request whose name field is these bytes. */
const named = (raw: Raw, bytes: Buffer): number => {
  const argument = ioctl.sessionArgument("")
  bytes.copy(argument, 8)
  return raw.request(raw.device(), ioctl.CREATE_SESSION, argument)
}

export const sessions = [
  scenario(
    "A name can be used once: a second session of that name is EEXIST, until the first one is closed.",
    { first: "ok", second: "EEXIST", closed: "ok", third: "ok" },
    (raw) => {
      const fd = raw.create("duplicate")
      const second = said(raw.create("duplicate"))
      return { first: said(fd), second, closed: said(raw.close(fd)), third: said(raw.create("duplicate")) }
    }
  ),
  scenario("Sessions of different names live side by side.", { one: "ok", two: "ok", upperCase: "ok" }, (raw) => ({
    one: said(raw.create("distinct-1")),
    two: said(raw.create("distinct-2")),
    upperCase: said(raw.create("DISTINCT-1"))
  })),
  scenario(
    "A name fills 63 bytes; its NUL has to be within the field's 64.",
    { longest: "ok", none: "EINVAL" },
    (raw) => ({
      longest: said(raw.create(longest)),
      none: said(named(raw, Buffer.alloc(64, "X")))
    })
  ),
  scenario("An empty name is EINVAL.", { empty: "EINVAL" }, (raw) => ({ empty: said(raw.create("")) })),
  scenario(
    "A name ends at its first NUL: what lies behind it makes no difference.",
    { first: "ok", same: "EEXIST", name: "short" },
    (raw) => {
      const first = raw.create("short")
      return {
        first: said(first),
        same: said(named(raw, Buffer.from("short\0and more"))),
        name: raw.getName(first)
      }
    }
  ),
  scenario(
    "A name is bytes: bytes that are no UTF-8 are as good as any.",
    { first: "ok", same: "EEXIST", other: "ok" },
    (raw) => ({
      first: said(named(raw, Buffer.from([0xff, 0xfe, 0x80]))),
      same: said(named(raw, Buffer.from([0xff, 0xfe, 0x80]))),
      other: said(named(raw, Buffer.from([0xff, 0xfe, 0x81])))
    })
  ),
  scenario(
    "A session says its name, the longest one too; slashes and spaces are part of it.",
    { plain: "a session/with a slash", longest },
    (raw) => ({
      plain: raw.getName(raw.create("a session/with a slash")),
      longest: raw.getName(raw.create(longest))
    })
  ),
  scenario(
    "GET_NAME writes the name and its NUL, up to the end of the eight bytes that this is in; what lies behind stays the caller's.",
    { short: "ab......X", full: "12345678........X", size: 72 },
    (raw) => {
      const bytes = (name: string, end: number) => {
        const argument = ioctl.getNameArgument()
        argument.fill("X", 8)
        raw.request(raw.create(name), ioctl.GET_NAME, argument)
        return { text: argument.toString("latin1", 8, 8 + end).replaceAll("\0", "."), size: argument.readUInt32LE(0) }
      }
      const short = bytes("ab", 9)
      return { short: short.text, full: bytes("12345678", 17).text, size: short.size }
    }
  ),
  scenario("GET_NAME insists on its reserved field being 0.", { answer: "EINVAL" }, (raw) => {
    const argument = ioctl.getNameArgument()
    argument.writeUInt32LE(1, 4)
    return { answer: said(raw.request(raw.create("reserved"), ioctl.GET_NAME, argument)) }
  }),
  scenario(
    "Nothing to retrieve: a session that was made here is none that came from the previous kernel.",
    { unknown: "ENOENT", outgoing: "ENOENT", empty: "ENOENT", unterminated: "ENOENT" },
    (raw) => {
      raw.create("made-here")
      const argument = ioctl.sessionArgument("")
      argument.fill("X", 8)
      return {
        unknown: said(raw.retrieveSession("unknown")),
        outgoing: said(raw.retrieveSession("made-here")),
        empty: said(raw.retrieveSession("")),
        unterminated: said(raw.request(raw.device(), ioctl.RETRIEVE_SESSION, argument))
      }
    }
  ),
  scenario("A refused create leaves the caller's struct as it was.", { answer: "EEXIST", untouched: true }, (raw) => {
    raw.create("taken")
    const argument = ioctl.sessionArgument("taken")
    const before = Buffer.from(argument)
    const answer = said(raw.request(raw.device(), ioctl.CREATE_SESSION, argument))
    return { answer, untouched: argument.equals(before) }
  }),
  scenario("A session's descriptor is close-on-exec.", { flags: 1 }, (raw) => ({
    flags: raw.calls.fcntl(raw.create("cloexec"), 1, 0)
  })),
  scenario("2000 sessions can be made and closed, twice.", { first: many, second: many, closed: many }, (raw) => {
    const make = () => Array.from({ length: many }, (_, index) => raw.create(`many-${index}`)).filter((fd) => fd >= 0)
    const fds = make()
    const closed = fds.filter((fd) => raw.close(fd) === 0).length
    return { first: fds.length, closed, second: make().length }
  })
]
