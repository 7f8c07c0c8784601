/** After the jump. */
import * as Custody from "../../src/Custody.ts"
import * as E from "../../src/LiveUpdateError.ts"
import * as Manifest from "../../src/Manifest.ts"
import * as Preservation from "../../src/Preservation.ts"
import { at, type Sections } from "./Section.ts"

export const after = {
  HandoverUnreadable: {
    group: "after",
    who: "the two kernels: the next one doesn't read what the one before wrote, or it was damaged",
    again: "no: the kernel gives the same answer until it is rebooted",
    examples: [["", new E.HandoverUnreadable(at("device.open", "EIO"))]]
  },
  SessionNotFound: {
    group: "after",
    who: "whoever gave the name; or the kernel before handed nothing over",
    again: "no",
    examples: [["", new E.SessionNotFound(at("session.retrieve", "ENOENT"))]]
  },
  SessionAlreadyRetrieved: {
    group: "after",
    who: "another process, or an earlier run of this one: it has the session, or the keeper has",
    again: "yes, when that process has ended: the keeper gives the session to the next one",
    examples: [["", new E.SessionAlreadyRetrieved(at("session.retrieve", "EINVAL"))]]
  },
  TokenNotFound: {
    group: "after",
    who: "the program: it asks for a file that was not preserved in this session",
    again: "no",
    examples: [["", new E.TokenNotFound(at("session.retrieveFile", "ENOENT"))]]
  },
  RetrieveFailed: {
    group: "after",
    who: "the kernel's handler for this kind of file: out of memory, or the two kernels differ",
    again: "no: the answer is kept for this token",
    examples: [["", new E.RetrieveFailed(at("session.retrieveFile", "EIO"))]]
  },
  FinishRefused: {
    group: "after",
    who: "a file of the session that isn't ready",
    again: "yes, after that; nothing was finished",
    examples: [["", new E.FinishRefused(at("session.finish", "EBUSY"))]]
  },
  HoldFailed: {
    group: "after",
    who: "the keeper or systemd: it could not be started, or didn't take the session",
    again: "yes: leave the process as it is, mend the reason, retrieve again in another one",
    examples: [["", new Custody.HoldFailed({ session: "vm-1", reason: "ENOSPC" })]]
  },
  HolderSilent: {
    group: "after",
    who: "the keeper or systemd: it runs, but can't be understood",
    again: "yes, with the version of the program that started it",
    examples: [["", new Custody.HolderSilent({ holder: "keeper", reason: "no answer" })]]
  },
  ManifestInvalid: {
    group: "after",
    who: "the program that wrote the manifest, in another version; or it was damaged. Before the jump: data that can't be written",
    again: "yes, with the version that wrote it",
    examples: [
      ["`version` and damage", new Manifest.ManifestInvalid({ reason: "version", where: "byte 8", detail: "2" })],
      ["`magic`", new Manifest.ManifestInvalid({ reason: "magic", where: "byte 0", detail: "" })],
      ["`too-large`", new Manifest.ManifestInvalid({ reason: "too-large", where: "data", detail: "" })],
      ["`data`", new Manifest.ManifestInvalid({ reason: "data", where: "data", detail: "" })]
    ]
  },
  FilesDiffer: {
    group: "after",
    who: "two versions of a program that don't agree on what is handed over",
    again: "yes, with the program that fits",
    unasked: "`Preservation.restore`",
    examples: [["", new Preservation.FilesDiffer({ session: "vm-1", missing: ["ram"], unexpected: [], otherKind: [] })]]
  }
} satisfies Partial<Sections>
