import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { MFD_CLOEXEC, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const MFD_HUGETLB = 0x4
const many = 500

export const preserve = [
  scenario(
    "A memfd is preserved, keeps its contents, and is as before when its session is closed.",
    { preserved: "ok", held: "hello", closed: "ok", after: "hello", again: "ok" },
    (raw) => {
      const session = raw.create("one")
      const memfd = raw.memfd("hello")
      const preserved = said(raw.preserve(session, memfd, 0x1234n))
      const held = raw.text(memfd)
      const closed = said(raw.close(session))
      return {
        preserved,
        held,
        closed,
        after: raw.text(memfd),
        again: said(raw.preserve(raw.create("two"), memfd, 1n))
      }
    }
  ),
  scenario(
    "Several memfds in one session keep their contents apart.",
    { first: "ok", second: "ok", one: "data one", two: "data two" },
    (raw) => {
      const session = raw.create("several")
      const [one, two] = [raw.memfd("data one"), raw.memfd("data two")]
      return {
        first: said(raw.preserve(session, one, 0xaaaan)),
        second: said(raw.preserve(session, two, 0xbbbbn)),
        one: raw.text(one),
        two: raw.text(two)
      }
    }
  ),
  scenario(
    "Two sessions, each with a memfd that holds something and an empty one.",
    { one: "ok", empty: "ok", two: "ok", anotherEmpty: "ok", nothing: "" },
    (raw) => {
      const [first, second] = [raw.create("complex-1"), raw.create("complex-2")]
      const empty = raw.memfd("")
      return {
        one: said(raw.preserve(first, raw.memfd("one"), 0x1111n)),
        empty: said(raw.preserve(first, empty, 0x2222n)),
        two: said(raw.preserve(second, raw.memfd("two"), 0x3333n)),
        anotherEmpty: said(raw.preserve(second, raw.memfd(""), 0x4444n)),
        nothing: raw.text(empty)
      }
    }
  ),
  scenario(
    "A file without a handler is ENOENT: a device, a directory, a pipe's kind of file, a file on disk, the device itself, a session.",
    {
      null: "ENOENT",
      directory: "ENOENT",
      pidfd: "ENOENT",
      file: "ENOENT",
      device: "ENOENT",
      session: "ENOENT",
      self: "ENOENT"
    },
    (raw) => {
      const session = raw.create("unsupported")
      const other = raw.create("unsupported-2")
      const pidfd = raw.calls.pidfdOpen(process.pid)
      const refused = said(raw.preserve(session, pidfd, 1n))
      raw.calls.close(pidfd)
      return {
        null: said(raw.preserve(session, raw.open("/dev/null"), 1n)),
        directory: said(raw.preserve(session, raw.open("/dev", 0), 1n)),
        pidfd: refused,
        file: said(raw.preserve(session, raw.open("/etc/hostname", 0), 1n)),
        device: said(raw.preserve(session, raw.device(), 1n)),
        session: said(raw.preserve(session, other, 1n)),
        self: said(raw.preserve(session, session, 1n))
      }
    }
  ),
  scenario("A hugetlb memfd has no handler either.", { created: "ok", preserved: "ENOENT" }, (raw) => {
    const memfd = raw.memfd("", MFD_CLOEXEC | MFD_HUGETLB)
    return { created: said(memfd), preserved: said(raw.preserve(raw.create("hugetlb"), memfd, 1n)) }
  }),
  scenario(
    "A file is preserved once: EBUSY in the same session at another token, and in another session.",
    { first: "ok", other: "EBUSY", same: "EBUSY" },
    (raw) => {
      const [one, two] = [raw.create("double-1"), raw.create("double-2")]
      const memfd = raw.memfd("x")
      return {
        first: said(raw.preserve(one, memfd, 0x1111n)),
        other: said(raw.preserve(two, memfd, 0x2222n)),
        same: said(raw.preserve(one, memfd, 0x3333n))
      }
    }
  ),
  scenario(
    "A memfd is its inode: a duplicate and another open file of it are the same file.",
    { first: "ok", duplicate: "EBUSY", reopened: "EBUSY" },
    (raw) => {
      const session = raw.create("inode")
      const memfd = raw.memfd("x")
      return {
        first: said(raw.preserve(session, memfd, 1n)),
        duplicate: said(raw.preserve(session, raw.dup(memfd), 2n)),
        reopened: said(raw.preserve(session, raw.open(`/proc/self/fd/${memfd}`), 3n))
      }
    }
  ),
  scenario(
    "A token names one file of a session, and may be used in another session.",
    { first: "ok", sameToken: "EEXIST", otherSession: "ok", zero: "ok", largest: "ok" },
    (raw) => {
      const [one, two] = [raw.create("token-1"), raw.create("token-2")]
      return {
        first: said(raw.preserve(one, raw.memfd("a"), 7n)),
        sameToken: said(raw.preserve(one, raw.memfd("b"), 7n)),
        otherSession: said(raw.preserve(two, raw.memfd("c"), 7n)),
        zero: said(raw.preserve(one, raw.memfd("d"), 0n)),
        largest: said(raw.preserve(one, raw.memfd("e"), 0xffff_ffff_ffff_ffffn))
      }
    }
  ),
  scenario(
    "What is wrong is said in this order: token in use, no descriptor, no handler, preserved already.",
    { token: "EEXIST", tokenAndFile: "EEXIST", descriptor: "EBADF", handler: "ENOENT", preserved: "EBUSY" },
    (raw) => {
      const session = raw.create("order")
      const memfd = raw.memfd("x")
      raw.preserve(session, memfd, 1n)
      return {
        token: said(raw.preserve(session, -1, 1n)),
        tokenAndFile: said(raw.preserve(session, memfd, 1n)),
        descriptor: said(raw.preserve(session, 1_000_000, 2n)),
        handler: said(raw.preserve(session, raw.open("/dev/null"), 2n)),
        preserved: said(raw.preserve(session, memfd, 2n))
      }
    }
  ),
  scenario(
    "A refused preserve takes neither the token nor the file.",
    { refused: "ENOENT", token: "ok", file: "ok" },
    (raw) => {
      const [one, two] = [raw.create("refused-1"), raw.create("refused-2")]
      const memfd = raw.memfd("x")
      const refused = said(raw.preserve(one, raw.open("/dev/null"), 1n))
      const token = said(raw.preserve(one, raw.memfd("y"), 1n))
      raw.preserve(one, memfd, 1n)
      return { refused, token, file: said(raw.preserve(two, memfd, 1n)) }
    }
  ),
  scenario("PRESERVE_FD answers with the struct as it was.", { answer: "ok", untouched: true }, (raw) => {
    const argument = ioctl.fileArgument(raw.memfd("x"), 5n)
    const before = Buffer.from(argument)
    return {
      answer: said(raw.request(raw.create("struct"), ioctl.PRESERVE_FD, argument)),
      untouched: argument.equals(before)
    }
  }),
  scenario("500 memfds in one session.", { preserved: many, closed: "ok", again: many }, (raw) => {
    const memfds = Array.from({ length: many }, (_, index) => raw.memfd(index % 2 === 0 ? `file ${index}` : ""))
    const all = (session: number) => memfds.filter((fd, index) => raw.preserve(session, fd, BigInt(index)) === 0).length
    const first = raw.create("many-files")
    const preserved = all(first)
    return { preserved, closed: said(raw.close(first)), again: all(raw.create("many-files")) }
  })
]
