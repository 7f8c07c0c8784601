/** Mistakes of the program that embeds the SDK. */
import * as E from "../../src/LiveUpdateError.ts"
import * as Preservation from "../../src/Preservation.ts"
import * as SimulatedHost from "../../src/SimulatedHost.ts"
import { at, type Sections } from "./Section.ts"

export const program = {
  SessionExists: {
    group: "program",
    who: "the program, or another run of it that has not ended",
    again: "yes, when that session is closed",
    examples: [["", new E.SessionExists(at("session.create", "EEXIST"))]]
  },
  InvalidSessionName: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`LiveUpdate.create` and `retrieve`",
    examples: [["", new E.InvalidSessionName(at("session.create", "EINVAL"))]]
  },
  TokenInUse: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [["", new E.TokenInUse(at("session.preserve", "EEXIST"))]]
  },
  NotOfThisSession: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Finished.own`",
    examples: [["", new E.NotOfThisSession(at("session.finish", "none"))]]
  },
  HandleClosed: {
    group: "program",
    who: "the program: it uses a handle after its scope",
    again: "no",
    examples: [["", new E.HandleClosed(at("memfd.stat", "EBADF"))]]
  },
  WrongKind: {
    group: "program",
    who: "the program, or whoever gave it the number of a descriptor",
    again: "no",
    examples: [["", new E.WrongKind(at("memfd.seal", "EINVAL"))]]
  },
  InvalidArgument: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [
      ["`memfd.create`", new E.InvalidArgument(at("memfd.create", "EINVAL"))],
      ["otherwise", new E.InvalidArgument(at("memfd.seal", "EINVAL"))]
    ]
  },
  InvalidSize: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`GuestMemfd.create`",
    examples: [["", new E.InvalidSize(at("memfd.resize", "EINVAL"))]]
  },
  InvalidMapping: {
    group: "program",
    who: "the program: it doesn't follow the guest's layout, or the hardware's",
    again: "no",
    unasked: "`Iommufd.map`",
    examples: [["", new E.InvalidMapping(at("iommufd.map", "EINVAL"))]]
  },
  AddressInUse: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [["", new E.AddressInUse(at("iommufd.map", "EEXIST"))]]
  },
  ObjectNotFound: {
    group: "program",
    who: "the program: it uses an object after its scope",
    again: "no",
    examples: [["", new E.ObjectNotFound(at("iommufd.map", "ENOENT"))]]
  },
  DependencyCycle: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.DependencyCycle({ session: "vm-1", cycle: ["ram"] })]]
  },
  DependencyMissing: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.DependencyMissing({ session: "vm-1", file: "nic", needs: "iommu" })]]
  },
  TokenTaken: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.TokenTaken({ session: "vm-1", token: 0n, file: "ram", by: "manifest" })]]
  },
  FileNameInvalid: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.FileNameInvalid({ session: "vm-1", file: "" })]]
  },
  FileTwice: {
    group: "program",
    who: "the program, or a VMM that has one file under two descriptors",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.FileTwice({ session: "vm-1", file: "a", other: { session: "vm-1", file: "b" } })]]
  },
  PreservationClosed: {
    group: "program",
    who: "the program; it was told of the failure before",
    again: "no",
    unasked: "`extend`, `complete`",
    examples: [
      ["complete", new Preservation.PreservationClosed({ session: "vm-1", state: "complete" })],
      ["rolled back", new Preservation.PreservationClosed({ session: "vm-1", state: "rolled back" })]
    ]
  },
  NotJumped: {
    group: "program",
    who: "the program, in a test of it",
    again: "no",
    unasked: "`SimulatedHost.simulateKexec`",
    examples: [["", new SimulatedHost.NotJumped()]]
  }
} satisfies Partial<Sections>
