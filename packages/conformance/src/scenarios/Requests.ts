import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { type Raw, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const sized = (argument: Buffer, size: number): Buffer => {
  argument.writeUInt32LE(size, 0)
  return argument
}
const longer = (argument: Buffer, tail: Buffer): Buffer =>
  sized(Buffer.concat([argument, tail]), argument.length + tail.length)

/** What every request says to its struct with another size: 0, one byte less, 8 more of zeros, 8 more of which one is none. */
const sizes = (ask: (argument: Buffer) => number, argument: () => Buffer) => ({
  none: said(ask(sized(argument(), 0))),
  less: said(ask(sized(argument(), argument().length - 1))),
  zeros: said(ask(longer(argument(), Buffer.alloc(8)))),
  tail: said(ask(longer(argument(), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]))))
})

const anyNumber = (raw: Raw, fd: number, request: number): string =>
  said(raw.request(fd, request, ioctl.getNameArgument()))

export const requests = [
  scenario(
    "CREATE_SESSION takes a longer struct if what it doesn't know is 0, else it is E2BIG; a shorter one is EINVAL.",
    { none: "EINVAL", less: "EINVAL", zeros: "ok", tail: "E2BIG" },
    (raw) =>
      sizes(
        (argument) => raw.request(raw.device(), ioctl.CREATE_SESSION, argument),
        () => ioctl.sessionArgument("size")
      )
  ),
  scenario(
    "RETRIEVE_SESSION checks its struct before it looks for the session.",
    { none: "EINVAL", less: "EINVAL", zeros: "ENOENT", tail: "E2BIG" },
    (raw) =>
      sizes(
        (argument) => raw.request(raw.device(), ioctl.RETRIEVE_SESSION, argument),
        () => ioctl.sessionArgument("none")
      )
  ),
  scenario(
    "PRESERVE_FD checks its struct before it looks at the descriptor.",
    { none: "EINVAL", less: "EINVAL", zeros: "EBADF", tail: "E2BIG" },
    (raw) => {
      const session = raw.create("sizes")
      return sizes(
        (argument) => raw.request(session, ioctl.PRESERVE_FD, argument),
        () => ioctl.fileArgument(-1, 1n)
      )
    }
  ),
  scenario("GET_NAME: as CREATE_SESSION.", { none: "EINVAL", less: "EINVAL", zeros: "ok", tail: "E2BIG" }, (raw) => {
    const session = raw.create("sizes")
    return sizes((argument) => raw.request(session, ioctl.GET_NAME, argument), ioctl.getNameArgument)
  }),
  scenario(
    "A request for the other direction is EINVAL, whatever its struct says: FINISH and RETRIEVE_FD on an outgoing session.",
    { finish: "EINVAL", retrieve: "EINVAL", finishTail: "EINVAL", retrieveShort: "EINVAL" },
    (raw) => {
      const session = raw.create("direction")
      raw.preserve(session, raw.memfd("x"), 1n)
      return {
        finish: said(raw.finish(session)),
        retrieve: said(raw.retrieve(session, 1n)),
        finishTail: said(raw.request(session, ioctl.FINISH, longer(ioctl.finishArgument(), Buffer.from([1])))),
        retrieveShort: said(raw.request(session, ioctl.RETRIEVE_FD, sized(ioctl.fileArgument(-1, 1n), 4)))
      }
    }
  ),
  scenario(
    "On the device a number outside its table is EINVAL, a known number of another type ENOTTY.",
    { beyond: "EINVAL", session: "EINVAL", otherType: "ENOTTY", withSize: "ENOTTY", zero: "ENOTTY" },
    (raw) => ({
      beyond: anyNumber(raw, raw.device(), 0xba02),
      session: anyNumber(raw, raw.device(), ioctl.PRESERVE_FD),
      otherType: anyNumber(raw, raw.device(), 0xbb00),
      withSize: anyNumber(raw, raw.device(), 0x4048ba00),
      zero: anyNumber(raw, raw.device(), 0)
    })
  ),
  scenario(
    "On a session likewise.",
    { below: "EINVAL", beyond: "EINVAL", device: "EINVAL", otherType: "ENOTTY", withSize: "ENOTTY" },
    (raw) => {
      const session = raw.create("numbers")
      return {
        below: anyNumber(raw, session, 0xba3f),
        beyond: anyNumber(raw, session, 0xba44),
        device: anyNumber(raw, session, ioctl.CREATE_SESSION),
        otherType: anyNumber(raw, session, 0xbb40),
        withSize: anyNumber(raw, session, 0xc010ba40 | 0)
      }
    }
  ),
  scenario(
    "Other files don't know the requests: ENOTTY; no file at all: EBADF.",
    { memfd: "ENOTTY", null: "ENOTTY", closed: "EBADF", negative: "EBADF" },
    (raw) => {
      const closed = raw.memfd("")
      const answers = {
        memfd: said(raw.preserve(closed, closed, 1n)),
        null: said(raw.preserve(raw.open("/dev/null"), closed, 1n))
      }
      raw.close(closed)
      return {
        ...answers,
        closed: said(raw.preserve(closed, closed, 1n)),
        negative: said(raw.preserve(-1, closed, 1n))
      }
    }
  )
]
