import { constants } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { numbers } from "../src/internal/errno.ts"
import { fromErrno } from "../src/internal/errnoTable.ts"
import { LiveUpdateError, Operation } from "../src/LiveUpdateError.ts"
import { answers, functions } from "./kernelAnswers.ts"

const { EBUSY, EEXIST, ENOENT, EINVAL, EIO, ENOEXEC, EMEDIUMTYPE } = numbers

describe("errno numbers", () => {
  it("are those that Node knows", () => {
    const known: Readonly<Record<string, number>> = numbers
    const aliases = ["EWOULDBLOCK", "ENOTSUP"]
    for (const [name, number] of Object.entries(constants.errno))
      if (!aliases.includes(name)) assert.strictEqual(known[name], number, name)
  })

  it("run from 1 to 133 with the two gaps that Linux has", () => {
    const all = new Set<number>(Object.values(numbers))
    const gaps = Array.from({ length: 133 }, (_, index) => index + 1).filter((number) => !all.has(number))
    assert.deepStrictEqual(gaps, [41, 58])
    assert.strictEqual(Math.max(...all), 133)
  })
})

describe("errno table", () => {
  it.each([
    ["device.open", EBUSY, "DeviceBusy"],
    ["device.open", ENOENT, "DeviceMissing"],
    ["device.open", EIO, "HandoverUnreadable"],
    ["session.create", EEXIST, "SessionExists"],
    ["session.retrieve", ENOENT, "SessionNotFound"],
    ["session.retrieve", EINVAL, "SessionAlreadyRetrieved"],
    ["session.preserve", EBUSY, "AlreadyPreserved"],
    ["session.preserve", EEXIST, "TokenInUse"],
    ["session.preserve", ENOENT, "NoHandler"],
    ["session.retrieveFile", ENOENT, "TokenNotFound"],
    ["session.finish", EBUSY, "FinishRefused"],
    ["kexec.load", ENOEXEC, "KernelImageRejected"],
    ["kexec.load", EBUSY, "KexecBusy"],
    ["kexec.jump", EINVAL, "KexecNotLoaded"],
    ["kexec.jump", EBUSY, "KexecBusy"],
    ["kexec.jump", EIO, "FreezeFailed"]
  ] as const)("%s with errno %i is %s", (operation, errno, tag) => {
    assert.strictEqual(fromErrno(operation, -errno)._tag, tag)
  })

  it.each(Operation.literals)(
    "%s: every errno of every kernel function that it reaches means what it should",
    (operation) => {
      const { means, reaches } = answers[operation]
      for (const name of reaches)
        for (const errno of functions[name].errnos) {
          const meaning = means[errno]
          assert.isDefined(meaning, `${name} can answer ${errno} to ${operation}: say what that means`)
          if (typeof meaning === "object" || errno === "ENOIOCTLCMD" || errno === "EDEADLOCK") continue
          const error = fromErrno(operation, -numbers[errno])
          assert.strictEqual(error._tag, meaning, `${operation}: ${errno} from ${name}`)
          assert.notStrictEqual(error._tag, "UnexpectedErrno")
          assert.strictEqual(error.errno, errno)
        }
      const reached = new Set<string>(reaches.flatMap((name) => functions[name].errnos))
      for (const errno of Object.keys(means))
        assert.isTrue(reached.has(errno), `${operation}: nothing answers ${errno}`)
    }
  )

  it("keeps operation and number of what it doesn't know", () => {
    const error = fromErrno("session.finish", -EMEDIUMTYPE, { session: "vm-1" })
    assert.strictEqual(error._tag, "UnexpectedErrno")
    assert.strictEqual(error._tag === "UnexpectedErrno" ? error.number : 0, EMEDIUMTYPE)
    assert.include(error.message, 'session "vm-1"')
    assert.include(error.message, "session.finish: EMEDIUMTYPE")
  })

  it("answers every operation and errno with a member of the family that says all it knows and survives encoding", () => {
    const encode = Schema.encodeSync(LiveUpdateError)
    const decode = Schema.decodeUnknownSync(LiveUpdateError)
    const encoded = new Set<string>()
    const names = new Map<number, string>(Object.entries(numbers).map(([name, number]) => [number, name]))
    const subject = { session: "s", token: 7n, kind: "memfd", path: "/p" }
    for (const operation of Operation.literals)
      for (let errno = 1; errno <= 133; errno++) {
        const error = fromErrno(operation, -errno, subject)
        const { session, token, kind, path } = error
        assert.deepStrictEqual({ session, token, kind, path }, subject)
        assert.strictEqual(error.operation, operation)
        assert.strictEqual(error.errno, names.get(errno) ?? `errno ${errno}`)
        if (!encoded.has(error._tag)) assert.deepStrictEqual(decode(JSON.parse(JSON.stringify(encode(error)))), error)
        encoded.add(error._tag)
        assert.match(error.next, /^\w.{15,}/)
        assert.match(error.message, /\w+.* \(session "s", token 7, memfd, \/p\) \[\w+\.\w+: \w.*\]\. \w/)
        assert.isTrue(error.message.endsWith(error.next))
      }
  }, 60_000)
})
