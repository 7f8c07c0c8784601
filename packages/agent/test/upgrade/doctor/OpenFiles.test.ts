import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as Effect from "effect/Effect"
import * as OpenFiles from "../../../src/upgrade/doctor/OpenFiles.ts"

const proc = Fs.mkdtempSync(Path.join(Os.tmpdir(), "proc-"))
afterAll(() => Fs.rmSync(proc, { recursive: true }))

const { pid: ownPid } = process
const makeProcess = (pid: number | string, name: string, ...links: ReadonlyArray<string>) => {
  Fs.mkdirSync(`${proc}/${pid}/fd`, { recursive: true })
  Fs.writeFileSync(`${proc}/${pid}/comm`, `${name}\n`)
  links.forEach((link, fd) => void Fs.symlinkSync(link, `${proc}/${pid}/fd/${fd}`))
}

describe("OpenFiles.scan", () => {
  makeProcess(1, "systemd", "/dev/null", "anon_inode:[luo_session] vm-9")
  makeProcess(30, "quiet", "/dev/null", "anon_inode:[eventfd]", "/dev/liveupdate.old")
  makeProcess(812, "vmmd", "/dev/liveupdate", "/dev/liveupdate", "anon_inode:[luo_session] a b", "socket:[17]")
  // Ended between two looks.
  Fs.mkdirSync(`${proc}/900`)
  makeProcess("self", "not a pid", "/dev/liveupdate")

  it("names who has the device open, once, and who holds which sessions", () => {
    const vmmd = { pid: 812, name: "vmmd" }
    assert.deepStrictEqual(OpenFiles.scan(proc), {
      deviceHolders: [vmmd],
      sessions: [
        { session: "vm-9", process: { pid: 1, name: "systemd" } },
        { session: "a b", process: vmmd }
      ]
    })
  })

  it("a /proc that isn't there is empty", () => {
    assert.deepStrictEqual(OpenFiles.scan(`${proc}/none`), { deviceHolders: [], sessions: [] })
  })

  it("a process that has ended has no name", () => {
    assert.deepStrictEqual(OpenFiles.processOf(900, proc), { pid: 900, name: "a process" })
  })
})

describe("OpenFiles.lockedBy", () => {
  const file = { dev: 0x1a, ino: 567 }
  const held = "2: FLOCK  ADVISORY  WRITE 1234 00:1a:567 0 EOF"

  it("finds who has a file flocked among others", () => {
    const text = ["1: POSIX  ADVISORY  WRITE 7 00:1a:567 0 EOF", held, "3: FLOCK  ADVISORY  WRITE 8 00:1a:5678 0 EOF"]
    assert.strictEqual(OpenFiles.lockedBy(text.join("\n"), file), 1234)
  })

  it("who waits for it does not have it", () => {
    assert.strictEqual(OpenFiles.lockedBy("2: -> FLOCK  ADVISORY  WRITE 99 00:1a:567 0 EOF", file), undefined)
    assert.strictEqual(OpenFiles.lockedBy(`${held}\n2: -> FLOCK  ADVISORY  WRITE 99 00:1a:567 0 EOF`, file), 1234)
  })

  it("the device is part of a file's name, also where its numbers are large", () => {
    assert.strictEqual(OpenFiles.lockedBy(held, { ...file, dev: 0x1b }), undefined)
    // 259:1048575, as new_encode_dev in include/linux/kdev_t.h packs it.
    const large = "1: FLOCK  ADVISORY  WRITE 5 103:fffff:9 0 EOF"
    assert.strictEqual(OpenFiles.lockedBy(large, { dev: 0xfff103ff, ino: 9 }), 5)
  })

  // A file system whose device number stat(2) doesn't change, as /run is one.
  it.scoped.skipIf(!Fs.existsSync("/dev/shm"))("the kernel's own words for the host's lock", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync("/dev/shm/doctor-")),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
      )
      const path = `${directory}/host.lock`
      const holder = () => OpenFiles.lockedBy(Fs.readFileSync("/proc/locks", "latin1"), Fs.statSync(path))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* HostLock.acquire(path)
          assert.strictEqual(holder(), ownPid)
        })
      )
      assert.strictEqual(holder(), undefined)
    })
  )

  it("nobody", () => assert.strictEqual(OpenFiles.lockedBy("", file), undefined))
})
