import * as ioctl from "../../../sdk/src/internal/ioctl.ts"
import { F_ADD_SEALS, F_GET_SEALS, MFD_CLOEXEC, type Raw, said } from "../Raw.ts"
import * as Files from "./Files.ts"
import * as HardwareOperation from "./HardwareOperation.ts"

type Index = Files.Index

/** One thing that a program may ask of the kernel, as data. Names and bytes are latin1 text, tokens decimal. */
export type Operation =
  | HardwareOperation.HardwareOperation
  | { readonly do: "create" | "retrieveSession"; readonly name: string }
  | { readonly do: "preserve"; readonly session: Index; readonly file: Index; readonly token: string }
  | { readonly do: "retrieve"; readonly session: Index; readonly token: string }
  | { readonly do: "finish" | "getName" | "dupSession" | "closeSession"; readonly session: Index }
  | { readonly do: "memfd"; readonly flags: number; readonly text: string }
  | { readonly do: "open"; readonly path: string }
  | { readonly do: "dupFile" | "reopenFile" | "closeFile" | "look"; readonly file: Index }
  | { readonly do: "resize"; readonly file: Index; readonly size: number }
  | { readonly do: "write"; readonly file: Index; readonly at: number }
  | { readonly do: "seal"; readonly file: Index; readonly seals: number }
  | { readonly do: "preserveSession"; readonly session: Index; readonly other: Index }
  | { readonly do: "sameSession"; readonly session: Index; readonly other: Index }
  | { readonly do: "closeDevice" }
  | { readonly do: "jumpWithoutImage" }
  | {
      readonly do: "raw"
      readonly on: "device" | "session" | "file"
      readonly index: Index
      readonly request: number
      /** What the struct says of its size, which may be wrong. */
      readonly size: number
      /** What follows the size, filled up with zeros. */
      readonly bytes: string
    }

export type Sequence = ReadonlyArray<Operation>

const LINUX_REBOOT_CMD_KEXEC = 0x45584543
const ARGUMENT = 128

/** A program that goes through a sequence; it may be continued on the next kernel by another. */
export const start = (raw: Raw) => {
  const sessions: Array<number> = []
  const files = Files.make()
  const { at } = Files
  const fileAt = (index: Index): number => at(files.all, index)

  const keptSession = (fd: number): string => {
    if (fd >= 0) sessions.push(fd)
    return said(fd)
  }
  /** A closed descriptor's number may come again for another file: it must not be found by its place any more. */
  const close = (list: Array<number>, index: Index): string => {
    const fd = at(list, index)
    const place = list.indexOf(fd)
    if (place >= 0) list[place] = -1
    return said(raw.close(fd))
  }

  const look = (fd: number): string => {
    const status = raw.calls.status(fd)
    if (typeof status === "number") return said(status)
    const seals = raw.calls.fcntl(fd, F_GET_SEALS, 0)
    return seals < 0 ? `${said(seals)}` : `size ${status.size} seals ${seals} text ${raw.text(fd).slice(0, 8)}`
  }

  const rawRequest = (operation: Extract<Operation, { do: "raw" }>): string => {
    const fd =
      operation.on === "device" ? raw.device() : at(operation.on === "session" ? sessions : files.all, operation.index)
    const argument = Buffer.alloc(ARGUMENT)
    argument.writeUInt32LE(operation.size, 0)
    argument.write(operation.bytes, 4, "latin1")
    const before = Buffer.from(argument)
    const answer = raw.request(fd, operation.request, argument)
    if (answer === 0 && operation.request === ioctl.RETRIEVE_FD) files.keep(undefined, ioctl.returnedFd(argument))
    else if (answer === 0 && operation.request <= ioctl.RETRIEVE_SESSION) sessions.push(ioctl.returnedFd(argument))
    // Descriptors' numbers are nobody's business.
    argument.fill(0, 4, 8)
    before.fill(0, 4, 8)
    return `${said(answer)} ${argument.equals(before) ? "untouched" : argument.toString("latin1", 8, 80)}`
  }

  const apply = (operation: Operation): string | Promise<string> => {
    switch (operation.do) {
      case "create":
        return keptSession(raw.create(operation.name))
      case "retrieveSession":
        return keptSession(raw.retrieveSession(operation.name))
      case "preserve":
        return said(raw.preserve(at(sessions, operation.session), fileAt(operation.file), BigInt(operation.token)))
      case "preserveSession":
        return said(raw.preserve(at(sessions, operation.session), at(sessions, operation.other), 99n))
      case "retrieve":
        return files.keep(undefined, raw.retrieve(at(sessions, operation.session), BigInt(operation.token)))
      case "finish":
        return said(raw.finish(at(sessions, operation.session)))
      case "getName": {
        const name = raw.getName(at(sessions, operation.session))
        return typeof name === "number" ? said(name) : `name ${name}`
      }
      case "dupSession":
        return keptSession(raw.dup(at(sessions, operation.session)))
      case "closeSession":
        return close(sessions, operation.session)
      case "sameSession":
        return String(raw.calls.kcmpFile(at(sessions, operation.session), at(sessions, operation.other)) === 0)
      case "memfd":
        return files.keep("memfd", raw.memfd(operation.text, operation.flags | MFD_CLOEXEC))
      case "open":
        return files.keep(undefined, raw.open(operation.path))
      case "dupFile":
        return files.keepAnother(fileAt(operation.file), raw.dup(fileAt(operation.file)))
      case "reopenFile":
        return files.keepAnother(fileAt(operation.file), raw.open(`/proc/self/fd/${fileAt(operation.file)}`))
      case "closeFile":
        return close(files.all, operation.file)
      case "look":
        return look(fileAt(operation.file))
      case "resize":
        return said(raw.calls.ftruncate(fileAt(operation.file), operation.size))
      case "write":
        return said(raw.calls.write(fileAt(operation.file), Buffer.from("w"), operation.at))
      case "seal":
        return said(raw.calls.fcntl(fileAt(operation.file), F_ADD_SEALS, operation.seals))
      case "closeDevice":
        return said(raw.close(raw.device()))
      case "jumpWithoutImage":
        return raw.calls.reboot(LINUX_REBOOT_CMD_KEXEC).then(said)
      case "raw":
        return rawRequest(operation)
      default:
        return HardwareOperation.apply(raw, files, operation)
    }
  }

  return async (sequence: Sequence): Promise<ReadonlyArray<string>> => {
    const results: Array<string> = []
    for (const operation of sequence) results.push(await apply(operation))
    return results
  }
}
