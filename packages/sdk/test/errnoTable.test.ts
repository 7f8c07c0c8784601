import { constants } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { fromErrno } from "../src/internal/errnoTable.ts"
import { LiveUpdateError, Operation } from "../src/LiveUpdateError.ts"

const { EBUSY, EEXIST, ENOENT, EINVAL, EIO, ENOEXEC, EMEDIUMTYPE } = { EMEDIUMTYPE: 124, ...constants.errno }

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

  it("keeps operation and number of what it doesn't know", () => {
    const error = fromErrno("session.finish", -EMEDIUMTYPE, { session: "vm-1" })
    assert.strictEqual(error._tag, "UnexpectedErrno")
    assert.strictEqual(error._tag === "UnexpectedErrno" ? error.number : 0, EMEDIUMTYPE)
    assert.include(error.message, 'session "vm-1"')
    assert.include(error.message, "session.finish: errno 124")
  })

  it("answers every operation and errno with a member of the family that survives encoding", () => {
    const encode = Schema.encodeSync(LiveUpdateError)
    const decode = Schema.decodeUnknownSync(LiveUpdateError)
    for (const operation of Operation.literals)
      for (let errno = 1; errno < 140; errno++) {
        const error = fromErrno(operation, -errno, { session: "s", token: 7n, path: "/p" })
        assert.strictEqual(decode(JSON.parse(JSON.stringify(encode(error))))._tag, error._tag)
        assert.match(error.message, /\w+.*\. \w/)
        assert.isTrue(error.message.endsWith(error.next))
      }
  })
})
