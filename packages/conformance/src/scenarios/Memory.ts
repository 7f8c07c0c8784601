import * as Fs from "node:fs"
import { F_ADD_SEALS, F_GET_SEALS, MFD_ALLOW_SEALING, MFD_CLOEXEC, type Raw, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const MFD_NOEXEC_SEAL = 0x8
const PUNCH_HOLE_KEEP_SIZE = 3
const PAGE = 4096
const HUGE = 2 << 20

const preserved = (raw: Raw, memfd: number): number => {
  const session = raw.create("memory")
  raw.preserve(session, memfd, 1n)
  return session
}
const sizeOf = (raw: Raw, fd: number): number => {
  const status = raw.calls.status(fd)
  return typeof status === "number" ? status : status.size
}
const page = (raw: Raw, flags?: number): number => {
  const fd = raw.memfd("", flags)
  raw.calls.ftruncate(fd, PAGE)
  return fd
}

export const memory = [
  scenario(
    "A preserved memfd's size is frozen: it can't grow or shrink, by any means, until its session is closed.",
    {
      shrink: "EPERM",
      grow: "EPERM",
      same: "ok",
      allocate: "EPERM",
      within: "EPERM",
      punch: "EPERM",
      size: PAGE,
      after: "ok"
    },
    (raw) => {
      const fd = page(raw)
      const session = preserved(raw, fd)
      const { fallocate, ftruncate } = raw.calls
      const seen = {
        shrink: said(ftruncate(fd, 1)),
        grow: said(ftruncate(fd, 2 * PAGE)),
        same: said(ftruncate(fd, PAGE)),
        allocate: said(fallocate(fd, 0, 0, 2 * PAGE)),
        within: said(fallocate(fd, 0, 0, PAGE)),
        punch: said(fallocate(fd, PUNCH_HOLE_KEEP_SIZE, 0, PAGE)),
        size: sizeOf(raw, fd)
      }
      raw.close(session)
      return { ...seen, after: said(ftruncate(fd, 2 * PAGE)) }
    }
  ),
  scenario(
    "What fallocate and ftruncate say to nonsense, they say to a preserved memfd, too.",
    { offset: "EINVAL", length: "EINVAL", mode: "EOPNOTSUPP", punch: "EOPNOTSUPP", negative: "EINVAL" },
    (raw) => {
      const fd = page(raw)
      preserved(raw, fd)
      const { fallocate, ftruncate } = raw.calls
      return {
        offset: said(fallocate(fd, 0, -1, 1)),
        length: said(fallocate(fd, 0, 0, 0)),
        mode: said(fallocate(fd, 0x40, 0, 1)),
        punch: said(fallocate(fd, 2, 0, 1)),
        negative: said(ftruncate(fd, -1))
      }
    }
  ),
  scenario(
    "Its pages stay writable; a write that would make it longer is refused as a whole, if it is no longer than a huge page.",
    { inside: 5, text: "world", beyond: "EPERM", behind: "EPERM", across: "EPERM", size: PAGE },
    (raw) => {
      const fd = page(raw)
      preserved(raw, fd)
      const { write } = raw.calls
      const inside = write(fd, Buffer.from("world"), 0)
      const text = raw.text(fd).slice(0, 5)
      return {
        inside,
        text,
        beyond: said(write(fd, Buffer.alloc(10), PAGE - 5)),
        behind: said(write(fd, Buffer.alloc(1), PAGE)),
        across: said(write(fd, Buffer.alloc(PAGE + 1), 0)),
        size: sizeOf(raw, fd)
      }
    }
  ),
  scenario(
    "A longer write ends at the last huge page that fits.",
    { written: HUGE, beyond: "EPERM", fromTheMiddle: HUGE - PAGE },
    (raw) => {
      const fd = raw.memfd("")
      raw.calls.ftruncate(fd, HUGE + PAGE)
      preserved(raw, fd)
      const { write } = raw.calls
      return {
        written: write(fd, Buffer.alloc(HUGE + PAGE + 1), 0),
        beyond: said(write(fd, Buffer.alloc(2 * PAGE), HUGE)),
        fromTheMiddle: write(fd, Buffer.alloc(HUGE + 1), PAGE)
      }
    }
  ),
  scenario(
    "A duplicate and another open file of a preserved memfd are frozen, too; another memfd isn't.",
    { duplicate: "EPERM", reopened: "EPERM", other: "ok" },
    (raw) => {
      const fd = page(raw)
      preserved(raw, fd)
      return {
        duplicate: said(raw.calls.ftruncate(raw.dup(fd), 0)),
        reopened: said(raw.calls.ftruncate(raw.open(`/proc/self/fd/${fd}`), 0)),
        other: said(raw.calls.ftruncate(page(raw), 0))
      }
    }
  ),
  scenario("A preserve fills the holes, and they stay filled.", { before: 0, held: true, after: true }, (raw) => {
    const fd = raw.memfd("")
    raw.calls.ftruncate(fd, 16 * PAGE)
    const allocated = () => {
      const status = raw.calls.status(fd)
      return typeof status === "number" ? status : status.allocated
    }
    const before = allocated()
    const session = preserved(raw, fd)
    // More where the kernel gives out huge pages.
    const held = allocated() >= 16 * PAGE
    raw.close(session)
    return { before, held, after: allocated() >= 16 * PAGE }
  }),
  scenario(
    "Sealed memfds can be preserved, with any seals; a seal counts before the frozen size and gives the same EPERM.",
    { all: "ok", noExec: "ok", unsealable: "ok", write: "EPERM" },
    (raw) => {
      const all = page(raw)
      raw.calls.fcntl(all, F_ADD_SEALS, 0x1f)
      const session = preserved(raw, all)
      return {
        all: raw.getName(session) === "memory" ? "ok" : "no session",
        noExec: said(raw.preserve(session, page(raw, MFD_CLOEXEC | MFD_NOEXEC_SEAL), 2n)),
        unsealable: said(raw.preserve(session, page(raw, MFD_CLOEXEC), 3n)),
        write: said(raw.calls.write(all, Buffer.from("x"), 0))
      }
    }
  ),
  scenario(
    "Seals can be added to a preserved memfd, but not against writing: its pages are pinned, EBUSY.",
    { grow: "ok", shrink: "ok", futureWrite: "ok", write: "EBUSY", seals: 0x16, seal: "ok", more: "EPERM" },
    (raw) => {
      const fd = page(raw)
      preserved(raw, fd)
      const add = (seals: number) => said(raw.calls.fcntl(fd, F_ADD_SEALS, seals))
      return {
        grow: add(0x4),
        shrink: add(0x2),
        futureWrite: add(0x10),
        write: add(0x8),
        seals: raw.calls.fcntl(fd, F_GET_SEALS, 0),
        seal: add(0x1),
        more: add(0x20)
      }
    }
  ),
  scenario(
    "What is wrong with a seal is said in this order: not writable, unknown, sealed, pinned. EXEC implies WRITE.",
    {
      readOnly: "EPERM",
      unknown: "EINVAL",
      exec: "EBUSY",
      seals: 0,
      sealed: "EPERM",
      sealedUnknown: "EINVAL",
      noExec: "ok"
    },
    (raw) => {
      const fd = page(raw)
      const session = preserved(raw, fd)
      const add = (to: number, seals: number) => said(raw.calls.fcntl(to, F_ADD_SEALS, seals))
      const sealed = page(raw, MFD_CLOEXEC)
      raw.preserve(session, sealed, 2n)
      const noExec = page(raw, MFD_CLOEXEC | MFD_NOEXEC_SEAL)
      raw.preserve(session, noExec, 3n)
      return {
        readOnly: add(raw.open(`/proc/self/fd/${fd}`, 0), 0x48),
        unknown: add(fd, 0x48),
        exec: add(fd, 0x20),
        seals: raw.calls.fcntl(fd, F_GET_SEALS, 0),
        sealed: add(sealed, 0x8),
        sealedUnknown: add(sealed, 0x40),
        noExec: add(noExec, 0x20)
      }
    }
  ),
  scenario("An empty memfd has no page to be pinned.", { write: "ok" }, (raw) => {
    const fd = raw.memfd("")
    preserved(raw, fd)
    return { write: said(raw.calls.fcntl(fd, F_ADD_SEALS, 0x8)) }
  }),
  scenario(
    "A file in shared memory counts once it has no name any more.",
    { linked: "ENOENT", unlinked: "ok", frozen: "EPERM" },
    (raw) => {
      const path = `/dev/shm/conformance-${process.pid}`
      const fd = raw.open(path, 0o102)
      const session = raw.create("linked")
      const linked = said(raw.preserve(session, fd, 1n))
      Fs.unlinkSync(path)
      return { linked, unlinked: said(raw.preserve(session, fd, 1n)), frozen: said(raw.calls.ftruncate(fd, PAGE)) }
    }
  ),
  scenario(
    "A memfd of 2^32 pages is EFBIG; from 2^28 pages on there is no memory for the list of them: ENOMEM. Both stay as they were.",
    { tooBig: "EFBIG", noMemory: "ENOMEM", resized: "ok", later: "ok" },
    (raw) => {
      const session = raw.create("large")
      const fd = raw.memfd("")
      raw.calls.ftruncate(fd, 2 ** 44)
      const tooBig = said(raw.preserve(session, fd, 1n))
      raw.calls.ftruncate(fd, 2 ** 41)
      const noMemory = said(raw.preserve(session, fd, 1n))
      const resized = said(raw.calls.ftruncate(fd, PAGE))
      return { tooBig, noMemory, resized, later: said(raw.preserve(session, fd, 1n)) }
    }
  ),
  scenario(
    "An EXEC-sealed memfd and one opened for reading only are no different.",
    { sealed: "ok", readOnly: "ok" },
    (raw) => {
      const session = raw.create("kinds")
      const sealed = page(raw, MFD_CLOEXEC | MFD_ALLOW_SEALING)
      raw.calls.fcntl(sealed, F_ADD_SEALS, 0x20)
      return {
        sealed: said(raw.preserve(session, sealed, 1n)),
        readOnly: said(raw.preserve(session, raw.open(`/proc/self/fd/${page(raw)}`, 0), 2n))
      }
    }
  )
]
