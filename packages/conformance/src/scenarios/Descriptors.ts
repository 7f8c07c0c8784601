import * as Fs from "node:fs"
import { type Raw, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const count = (): number => Fs.readdirSync("/proc/self/fd").length

const isFree = (raw: Raw, memfd: number): string => said(raw.calls.ftruncate(memfd, 0))

export const descriptors = [
  scenario(
    "A session ends with its last descriptor, not with its first.",
    { throughDuplicate: "ok", name: "last", sameName: "EEXIST", frozen: "EPERM", free: "ok", nameFree: "ok" },
    (raw) => {
      const session = raw.create("last")
      const other = raw.dup(session)
      const memfd = raw.memfd("x")
      raw.close(session)
      const throughDuplicate = said(raw.preserve(other, memfd, 1n))
      const name = raw.getName(other)
      const sameName = said(raw.create("last"))
      const frozen = isFree(raw, memfd)
      raw.close(other)
      return { throughDuplicate, name, sameName, frozen, free: isFree(raw, memfd), nameFree: said(raw.create("last")) }
    }
  ),
  scenario("A closed session answers EBADF.", { preserve: "EBADF", finish: "EBADF", close: "EBADF" }, (raw) => {
    const session = raw.create("closed")
    raw.close(session)
    return {
      preserve: said(raw.preserve(session, 0, 1n)),
      finish: said(raw.finish(session)),
      close: said(raw.calls.close(session))
    }
  }),
  scenario("Closing asynchronously is closing.", { closed: 0, free: "ok", again: "EBADF" }, async (raw) => {
    const session = raw.create("async")
    const memfd = raw.memfd("x")
    raw.preserve(session, memfd, 1n)
    const closed = await raw.calls.closeAsync(session)
    return { closed, free: isFree(raw, memfd), again: said(await raw.calls.closeAsync(session)) }
  }),
  scenario(
    "The session holds the file: it stays preserved when the caller closes its descriptor.",
    { closed: "ok", held: "EBUSY", released: "ok" },
    (raw) => {
      const [one, two] = [raw.create("holds-1"), raw.create("holds-2")]
      const memfd = raw.memfd("x")
      const other = raw.open(`/proc/self/fd/${memfd}`)
      raw.preserve(one, memfd, 1n)
      const closed = said(raw.close(memfd))
      const held = said(raw.preserve(two, other, 1n))
      raw.close(one)
      return { closed, held, released: said(raw.preserve(two, other, 1n)) }
    }
  ),
  scenario("Closing one session leaves the files of another alone.", { freed: "ok", held: "EPERM" }, (raw) => {
    const [one, two] = [raw.create("apart-1"), raw.create("apart-2")]
    const [a, b] = [raw.memfd("a"), raw.memfd("b")]
    raw.preserve(one, a, 1n)
    raw.preserve(two, b, 1n)
    raw.close(one)
    return { freed: isFree(raw, a), held: isFree(raw, b) }
  }),
  scenario(
    "A session can't be opened again through /proc; the device can, when nobody has it open: so it never can.",
    { session: "ENXIO", device: "EBUSY" },
    (raw) => ({
      session: said(raw.open(`/proc/self/fd/${raw.create("reopen")}`)),
      device: said(raw.open(`/proc/self/fd/${raw.device()}`))
    })
  ),
  scenario("Two descriptors of a session are one open file; two sessions are not.", { same: 0, other: true }, (raw) => {
    const session = raw.create("kcmp-1")
    return {
      same: raw.calls.kcmpFile(session, raw.dup(session)),
      other: raw.calls.kcmpFile(session, raw.create("kcmp-2")) > 0
    }
  }),
  scenario("No request that is refused leaves a descriptor behind.", { left: 0 }, (raw) => {
    const session = raw.create("leak")
    const before = count()
    for (let round = 0; round < 20; round++) {
      raw.create("leak")
      raw.create("")
      raw.retrieveSession("nobody")
      raw.retrieve(session, 1n)
      raw.preserve(session, -1, 1n)
      raw.preserve(session, session, 1n)
      raw.close(raw.create("another"))
    }
    return { left: count() - before }
  }),
  scenario(
    "A session is no file to be read, written, resized or sealed.",
    { read: "ESPIPE", write: "ESPIPE", truncate: true, allocate: true, seals: "EINVAL", device: "EINVAL" },
    (raw) => {
      const session = raw.create("no-file")
      const { calls } = raw
      return {
        read: said(calls.read(session, Buffer.alloc(1), 0)),
        write: said(calls.write(session, Buffer.alloc(1), 0)),
        truncate: calls.ftruncate(session, 0) < 0,
        allocate: calls.fallocate(session, 0, 0, 1) < 0,
        seals: said(calls.fcntl(session, 1034, 0)),
        device: said(calls.read(raw.device(), Buffer.alloc(1), 0))
      }
    }
  )
]
