/** Files and memory. */
import * as E from "../../src/LiveUpdateError.ts"
import { at, type Sections } from "./Section.ts"

const preserve = { ...at("session.preserve", "EBUSY", "memfd"), session: "vm-1", token: 1n }

const handler = (kind: string) => new E.NoHandler(at("session.preserve", "ENOENT", kind))

const [firstReason, ...otherReasons] = E.Reason.literals

const because = (reason: E.Reason): readonly [string, E.NotPreservable] => [
  `\`${reason}\``,
  new E.NotPreservable({ ...at("session.preserve", "none"), reasons: [reason] })
]

export const file = {
  AlreadyPreserved: {
    group: "file",
    who: "the holder that the message names; without one, another process",
    again: "no, not before the holder's session is closed or finished",
    examples: [
      ["the holder is known", new E.AlreadyPreserved({ ...preserve, holder: { session: "vm-2", token: 1n } })],
      ["it is not", new E.AlreadyPreserved(preserve)]
    ]
  },
  ManagedUntilFinish: {
    group: "file",
    who: "the live update before this one: its session was never finished",
    again: "yes, after `finish`",
    examples: [["", new E.ManagedUntilFinish({ ...preserve, holder: { session: "vm-1", token: 1n } })]]
  },
  NoHandler: {
    group: "file",
    who: "the running kernel: nothing in it can preserve this kind of file",
    again: "no, not on this kernel",
    unasked: "`Iommufd.markPageTable`",
    examples: [
      ["memfd", handler("memfd")],
      ["vfio", handler("vfio")],
      ["iommufd", handler("iommufd")],
      ["guest_memfd", handler("guest_memfd")],
      ["kvm_vm", handler("kvm_vm")]
    ]
  },
  NotPreservable: {
    group: "file",
    who: "whoever created the file",
    again: "no, not as it is",
    unasked: "`check` of each kind, and `session.preserve` to explain what the kernel refused",
    examples: [because(firstReason), ...otherReasons.map(because)]
  },
  PreserveRefused: {
    group: "file",
    who: "the kernel's handler for this kind of file",
    again: "when the kernel log's reason is mended",
    examples: [["", new E.PreserveRefused(at("session.preserve", "EINVAL"))]]
  },
  MemoryFrozen: {
    group: "file",
    who: "the program: the memfd is preserved, or sealed",
    again: "not while its session lasts",
    examples: [
      ["EPERM", new E.MemoryFrozen(at("memfd.resize", "EPERM"))],
      ["EBUSY", new E.MemoryFrozen(at("memfd.seal", "EBUSY"))]
    ]
  }
} satisfies Partial<Sections>
