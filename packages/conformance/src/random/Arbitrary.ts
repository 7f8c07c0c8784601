/** What there is to ask of sessions and memfds, at random. */
import * as FastCheck from "effect/FastCheck"
import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import type { Operation } from "./Operation.ts"

const { constantFrom, nat, oneof, record, string } = FastCheck

export const few = nat(7)
const token = constantFrom("0", "1", "2", "3", "18446744073709551615")
const name = (prefix: string) =>
  oneof(
    { weight: 8, arbitrary: constantFrom("a", "b", "c", "d") },
    { weight: 1, arbitrary: constantFrom("", "a b/c", "\u00ff\u00fe", "x".repeat(63)) }
  ).map((text) => (text === "" ? "" : `${prefix}${text}`.slice(0, 63)))

export const only = <Do extends Operation["do"]>(what: Do) => FastCheck.constant(what)

const session = (what: "finish" | "getName" | "dupSession" | "closeSession") => record({ do: only(what), session: few })
export const file = (what: "dupFile" | "reopenFile" | "closeFile" | "look") => record({ do: only(what), file: few })

const number = oneof(
  {
    weight: 6,
    arbitrary: constantFrom(
      ioctl.CREATE_SESSION,
      ioctl.RETRIEVE_SESSION,
      ioctl.PRESERVE_FD,
      ioctl.RETRIEVE_FD,
      ioctl.FINISH,
      ioctl.GET_NAME
    )
  },
  { weight: 1, arbitrary: constantFrom(0xba02, 0xba3f, 0xba44, 0xbaff, 0xbb00, 0xbb40, 0x4048ba00, 0x8010ba41, 0) }
)
const rawRequest = record({
  do: only("raw"),
  on: constantFrom("device" as const, "session" as const, "file" as const),
  index: few,
  request: number,
  size: oneof(constantFrom(0, 4, 7, 8, 9, 15, 16, 17, 71, 72, 73, 80, 128), nat(128)),
  bytes: oneof(
    { weight: 3, arbitrary: FastCheck.constant("") },
    // A descriptor that isn't there, and then a name, a token, a tail.
    { weight: 3, arbitrary: string({ maxLength: 12 }).map((text) => `\xff\xff\xff\xff${text}`) },
    { weight: 1, arbitrary: nat(115).map((length) => "X".repeat(length)) }
  )
})

/** A struct with a tail that this kernel knows nothing of. */
const tailed = record({
  do: only("raw"),
  on: constantFrom("device" as const, "session" as const),
  index: few,
  request: constantFrom(ioctl.CREATE_SESSION, ioctl.RETRIEVE_SESSION, ioctl.PRESERVE_FD, ioctl.GET_NAME),
  size: constantFrom(80, 128),
  bytes: constantFrom("", "\xff\xff\xff\xff", "X".repeat(76), `${"\xff\xff\xff\xff".padEnd(75, "\0")}X`)
})

const MFD_ALLOW_SEALING = 0x2
const MFD_HUGETLB = 0x4
const MFD_NOEXEC_SEAL = 0x8

export const sessionOperations = (prefix: string) => [
  { weight: 6, arbitrary: record({ do: only("create"), name: name(prefix) }) },
  { weight: 2, arbitrary: record({ do: only("retrieveSession"), name: name(prefix) }) },
  { weight: 14, arbitrary: record({ do: only("preserve"), session: few, file: few, token }) },
  { weight: 1, arbitrary: record({ do: only("preserveSession"), session: few, other: few }) },
  { weight: 2, arbitrary: record({ do: only("retrieve"), session: few, token }) },
  { weight: 1, arbitrary: session("finish") },
  { weight: 2, arbitrary: session("getName") },
  { weight: 2, arbitrary: session("dupSession") },
  { weight: 4, arbitrary: session("closeSession") },
  { weight: 1, arbitrary: record({ do: only("sameSession"), session: few, other: few }) },
  { weight: 4, arbitrary: rawRequest },
  { weight: 1, arbitrary: tailed }
]

export const fileOperations = [
  {
    weight: 6,
    arbitrary: record({
      do: only("memfd"),
      flags: oneof(
        { weight: 6, arbitrary: FastCheck.constant(MFD_ALLOW_SEALING) },
        { weight: 1, arbitrary: constantFrom(0, MFD_NOEXEC_SEAL, MFD_HUGETLB) }
      ),
      text: constantFrom("", "one", "two")
    })
  },
  {
    weight: 1,
    arbitrary: record({ do: only("open"), path: constantFrom("/dev/null", "/dev/liveupdate", "/nowhere") })
  },
  { weight: 1, arbitrary: file("dupFile") },
  { weight: 1, arbitrary: file("reopenFile") },
  { weight: 2, arbitrary: file("closeFile") },
  { weight: 4, arbitrary: file("look") },
  { weight: 4, arbitrary: record({ do: only("resize"), file: few, size: constantFrom(-1, 0, 3, 4096, 8192) }) },
  { weight: 2, arbitrary: record({ do: only("write"), file: few, at: constantFrom(0, 3, 4096) }) },
  // Not against writing: that waits for pinned pages.
  { weight: 1, arbitrary: record({ do: only("seal"), file: few, seals: constantFrom(0x1, 0x2, 0x4, 0x6, 0x10, 0x40) }) }
]

export const rest = [
  { weight: 1, arbitrary: record({ do: only("closeDevice") }) },
  { weight: 1, arbitrary: record({ do: only("jumpWithoutImage") }) }
]
