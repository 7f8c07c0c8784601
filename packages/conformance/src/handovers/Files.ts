import * as Fs from "node:fs"
import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { F_ADD_SEALS, F_GET_SEALS, MFD_CLOEXEC, type Raw, said } from "../Raw.ts"
import { handover } from "../Scenario.ts"

const MFD_NOEXEC_SEAL = 0x8
const PAGE = 4096
const many = 500

const seals = (raw: Raw, fd: number): number => raw.calls.fcntl(fd, F_GET_SEALS, 0)
const statusOf = (raw: Raw, fd: number) => {
  const status = raw.calls.status(fd)
  return typeof status === "number" ? { size: status, links: status, allocated: status } : status
}
const positionOf = (fd: number): number =>
  Number(/^pos:\s*(\d+)$/m.exec(Fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1])

/** Preserves memfds, the first at token 1 and so on. */
const preserveAll = (raw: Raw, session: string, ...memfds: ReadonlyArray<number>) => {
  const fd = raw.create(session)
  return { preserved: memfds.filter((memfd, index) => raw.preserve(fd, memfd, BigInt(index + 1)) === 0).length }
}

export const files = [
  handover(
    "Files are retrieved in any order; again gives another descriptor of the same open file.",
    {
      before: { preserved: 3 },
      after: { third: "three", first: "one", second: "two", again: "two", sameFile: 0, otherNumber: true }
    },
    (raw) => preserveAll(raw, "order", raw.memfd("one"), raw.memfd("two"), raw.memfd("three")),
    (raw) => {
      const session = raw.retrieveSession("order")
      const third = raw.text(raw.retrieve(session, 3n))
      const first = raw.text(raw.retrieve(session, 1n))
      const second = raw.retrieve(session, 2n)
      const again = raw.retrieve(session, 2n)
      return {
        third,
        first,
        second: raw.text(second),
        again: raw.text(again),
        sameFile: raw.calls.kcmpFile(second, again),
        otherNumber: second !== again
      }
    }
  ),
  handover(
    "A token that nobody used is ENOENT, and takes nothing from those that are there.",
    { before: { preserved: 1 }, after: { unknown: "ENOENT", empty: "ENOENT", known: "here" } },
    (raw) => {
      raw.create("no-files")
      return preserveAll(raw, "tokens", raw.memfd("here"))
    },
    (raw) => {
      const session = raw.retrieveSession("tokens")
      return {
        unknown: said(raw.retrieve(session, 2n)),
        empty: said(raw.retrieve(raw.retrieveSession("no-files"), 1n)),
        known: raw.text(raw.retrieve(session, 1n))
      }
    }
  ),
  handover(
    "A retrieved file is managed until its session is finished: preserving it is EBUSY. Afterwards it is a file like any other.",
    {
      before: { preserved: 1 },
      after: { managed: "EBUSY", afterClose: "EBUSY", finished: "ok", free: "ok", again: "EBUSY", text: "managed" }
    },
    (raw) => preserveAll(raw, "managed", raw.memfd("managed")),
    (raw) => {
      const session = raw.retrieveSession("managed")
      const next = raw.create("managed-next")
      const memfd = raw.retrieve(session, 1n)
      const managed = said(raw.preserve(next, memfd, 1n))
      const other = raw.dup(memfd)
      raw.close(memfd)
      const afterClose = said(raw.preserve(next, other, 1n))
      const finished = said(raw.finish(session))
      const free = said(raw.preserve(next, other, 1n))
      return { managed, afterClose, finished, free, again: said(raw.preserve(next, other, 2n)), text: raw.text(other) }
    }
  ),
  handover(
    "Contents, size and holes come through, of an empty file and of a sparse one; what was written after the preserve, too.",
    {
      before: { preserved: 3, late: 4 },
      after: { empty: 0, sparse: 100 * PAGE + 1, allocated: true, end: "end", written: "late", links: 0 }
    },
    (raw) => {
      const sparse = raw.memfd("")
      raw.calls.ftruncate(sparse, 100 * PAGE + 1)
      raw.calls.write(sparse, Buffer.from("end"), 50 * PAGE)
      const written = raw.memfd("soon")
      const preserved = preserveAll(raw, "sizes", raw.memfd(""), sparse, written)
      return { ...preserved, late: raw.calls.write(written, Buffer.from("late"), 0) }
    },
    (raw) => {
      const session = raw.retrieveSession("sizes")
      const sparse = raw.retrieve(session, 2n)
      const end = Buffer.alloc(3)
      raw.calls.read(sparse, end, 50 * PAGE)
      return {
        empty: statusOf(raw, raw.retrieve(session, 1n)).size,
        sparse: statusOf(raw, sparse).size,
        // More where the kernel gives out huge pages.
        allocated: statusOf(raw, sparse).allocated >= 101 * PAGE,
        end: end.toString("latin1"),
        written: raw.text(raw.retrieve(session, 3n)),
        links: statusOf(raw, sparse).links
      }
    }
  ),
  handover(
    "The position comes through as it was at the jump; it is the open file's.",
    { before: { preserved: 2 }, after: { first: 3, rest: "456", second: 0 } },
    (raw) => {
      const moved = raw.memfd("123456")
      const preserved = preserveAll(raw, "positions", moved, raw.memfd("abc"))
      // After the preserve: the freeze takes note of it once more.
      Fs.readSync(moved, Buffer.alloc(3), 0, 3, null)
      return preserved
    },
    (raw) => {
      const session = raw.retrieveSession("positions")
      const fd = raw.retrieve(session, 1n)
      const first = positionOf(fd)
      const rest = Buffer.alloc(3)
      Fs.readSync(fd, rest, 0, 3, null)
      return { first, rest: rest.toString("latin1"), second: positionOf(raw.retrieve(session, 2n)) }
    }
  ),
  handover(
    "Seals come through; those that were added after the preserve don't.",
    {
      before: { preserved: 4, late: "ok" },
      after: { none: 0, some: 0x6, unsealable: 0x1, late: 0, grow: "EPERM", add: "ok" }
    },
    (raw) => {
      const some = raw.memfd("some")
      raw.calls.fcntl(some, F_ADD_SEALS, 0x6)
      const late = raw.memfd("late")
      const preserved = preserveAll(raw, "seals", raw.memfd("none"), some, raw.memfd("not", MFD_CLOEXEC), late)
      return { ...preserved, late: said(raw.calls.fcntl(late, F_ADD_SEALS, 0x4)) }
    },
    (raw) => {
      const session = raw.retrieveSession("seals")
      const [none, some] = [raw.retrieve(session, 1n), raw.retrieve(session, 2n)]
      return {
        none: seals(raw, none),
        some: seals(raw, some),
        unsealable: seals(raw, raw.retrieve(session, 3n)),
        late: seals(raw, raw.retrieve(session, 4n)),
        grow: said(raw.calls.ftruncate(some, PAGE)),
        add: said(raw.calls.fcntl(none, F_ADD_SEALS, 0x2))
      }
    }
  ),
  handover(
    "A memfd with F_SEAL_EXEC comes back sealed against everything: the file that it comes back as has execute permission.",
    { before: { preserved: 2, seals: 0x20 }, after: { noExec: 0x3e, text: "ro", write: "EPERM", sealed: 0x3f } },
    (raw) => {
      const noExec = raw.memfd("ro", MFD_CLOEXEC | MFD_NOEXEC_SEAL)
      const sealed = raw.memfd("rs", MFD_CLOEXEC | MFD_NOEXEC_SEAL)
      const before = seals(raw, noExec)
      raw.calls.fcntl(sealed, F_ADD_SEALS, 0x1)
      return { ...preserveAll(raw, "exec", noExec, sealed), seals: before }
    },
    (raw) => {
      const session = raw.retrieveSession("exec")
      const noExec = raw.retrieve(session, 1n)
      return {
        noExec: seals(raw, noExec),
        text: raw.text(noExec),
        write: said(raw.calls.write(noExec, Buffer.from("x"), 0)),
        sealed: seals(raw, raw.retrieve(session, 2n))
      }
    }
  ),
  handover(
    "What a retrieve gives is close-on-exec, and a preserved descriptor's own flag is lost with it, as its name is.",
    { before: { preserved: 2 }, after: { one: 1, two: 1, named: false } },
    (raw) => preserveAll(raw, "cloexec", raw.memfd("a", 0), raw.memfd("b", MFD_CLOEXEC)),
    (raw) => {
      const session = raw.retrieveSession("cloexec")
      const one = raw.retrieve(session, 1n)
      return {
        one: raw.calls.fcntl(one, 1, 0),
        two: raw.calls.fcntl(raw.retrieve(session, 2n), 1, 0),
        named: Fs.readlinkSync(`/proc/self/fd/${one}`).includes("conformance")
      }
    }
  ),
  handover(
    "A retrieved file's size is not frozen, whether its session is finished or not.",
    { before: { preserved: 1 }, after: { managed: "ok", finished: "ok", size: 1 } },
    (raw) => preserveAll(raw, "resize", raw.memfd("resize me")),
    (raw) => {
      const session = raw.retrieveSession("resize")
      const fd = raw.retrieve(session, 1n)
      const managed = said(raw.calls.ftruncate(fd, PAGE))
      raw.finish(session)
      return { managed, finished: said(raw.calls.ftruncate(fd, 1)), size: statusOf(raw, fd).size }
    }
  ),
  handover(
    "A refused retrieve leaves the caller's struct as it was.",
    { before: { preserved: 1 }, after: { answer: "ENOENT", untouched: true } },
    (raw) => preserveAll(raw, "struct", raw.memfd("x")),
    (raw) => {
      const argument = ioctl.fileArgument(-1, 9n)
      const before = Buffer.from(argument)
      const answer = said(raw.request(raw.retrieveSession("struct"), ioctl.RETRIEVE_FD, argument))
      return { answer, untouched: argument.equals(before) }
    }
  ),
  handover(
    "A file whose descriptor the caller had closed before the jump comes through all the same.",
    { before: { preserved: 1, closed: "ok" }, after: { text: "held by the session" } },
    (raw) => {
      const memfd = raw.memfd("held by the session")
      return { ...preserveAll(raw, "held", memfd), closed: said(raw.close(memfd)) }
    },
    (raw) => ({ text: raw.text(raw.retrieve(raw.retrieveSession("held"), 1n)) })
  ),
  handover(
    "500 files of a session come through, each with its own contents.",
    { before: { preserved: many }, after: { right: many, finished: "ok" } },
    (raw) => preserveAll(raw, "crowd", ...Array.from({ length: many }, (_, i) => raw.memfd(`file-data-${i}`))),
    (raw) => {
      const session = raw.retrieveSession("crowd")
      const right = Array.from({ length: many }, (_, i) => {
        const fd = raw.retrieve(session, BigInt(i + 1))
        const text = raw.text(fd)
        raw.close(fd)
        return text === `file-data-${i}`
      }).filter(Boolean).length
      return { right, finished: said(raw.finish(session)) }
    }
  )
]
