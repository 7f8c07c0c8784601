/**
 * The system calls the SDK needs, through ffi-rs, behind one typed table.
 *
 * Every function answers as the kernel does inside: a value `>= 0`, or the negated errno. That keeps ffi-rs's own rules
 * in this file: a wrong signature or a wrong argument aborts the whole process, `errnoCode` is stale unless the value is
 * -1, and Buffers given to an asynchronous call are not kept alive by ffi-rs.
 */
import { readFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"
import { DataType, load, open } from "ffi-rs"

const library = "liveupdate-libc"

interface Signature {
  readonly symbol: string
  readonly parameters: ReadonlyArray<DataType>
  readonly result: DataType
  /** EINTR says "nothing was done": call again. Not for `reboot` and `close`, where that isn't so. */
  readonly restart: boolean
}

const signature = (
  symbol: string,
  parameters: ReadonlyArray<DataType>,
  result: DataType,
  restart = true
): Signature => ({
  symbol,
  parameters,
  result,
  restart
})

/** Made with the first call and not with the import: a program that never calls never loads native code. */
const makeTable = () => {
  const { I32, I64, U32, U64, U8Array, String: Str } = DataType
  return {
    open: signature("open", [Str, I32, U32], I32),
    close: signature("close", [I32], I32, false),
    ioctl: signature("ioctl", [I32, U64, U8Array], I32),
    fcntl: signature("fcntl", [I32, I32, I64], I32),
    flock: signature("flock", [I32, I32], I32, false),
    memfdCreate: signature("memfd_create", [Str, U32], I32),
    reboot: signature("reboot", [I32], I32, false),
    syscall: signature("syscall", [I64, I64, I64, I64, I64, I64, I64], I64),
    kexecFileLoad: signature("syscall", [I64, I64, I64, I64, U8Array, I64, I64], I64)
  } as const
}

const EINTR = 4

let table: ReturnType<typeof makeTable> | undefined
const ensureOpen = (): ReturnType<typeof makeTable> => {
  if (table !== undefined) return table
  // An empty path is the process itself: Node is linked against libc, glibc or musl alike.
  open({ library, path: "" })
  if (!isMainThread) pinAddon()
  table = makeTable()
  return table
}

/**
 * Loaded only from a worker, the addon would be unmapped when that worker ends, under a thread-local destructor of its
 * own: the process crashes. A second reference to the shared object keeps it mapped.
 */
const pinAddon = (): void => {
  const addon = /(\/\S*ffi-rs\S*\.node)$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[1]
  if (addon !== undefined) open({ library: "liveupdate-ffi-rs", path: addon })
}

const validate = (s: Signature, args: ReadonlyArray<unknown>): void => {
  s.parameters.forEach((type, index) => {
    const value = args[index]
    const fits =
      type === DataType.U8Array
        ? Buffer.isBuffer(value)
        : type === DataType.String
          ? typeof value === "string" && !value.includes("\0")
          : typeof value === "number" && Number.isSafeInteger(value)
    if (!fits) throw new TypeError(`libc.${s.symbol}: argument ${index} does not fit its C type`)
  })
}

interface Answer {
  readonly value: number
  readonly errnoCode: number
}

const parameters = (s: Signature, args: ReadonlyArray<unknown>) => ({
  library,
  funcName: s.symbol,
  retType: s.result,
  paramsType: [...s.parameters],
  paramsValue: [...args],
  errno: true as const
})

type Name = keyof ReturnType<typeof makeTable>

const call = (name: Name, args: ReadonlyArray<unknown>): number => {
  const s = ensureOpen()[name]
  validate(s, args)
  for (;;) {
    const answer = load(parameters(s, args)) as unknown as Answer
    if (answer.value !== -1) return answer.value
    if (answer.errnoCode !== EINTR || !s.restart) return -answer.errnoCode
  }
}

/** Arguments of calls in flight: ffi-rs passes their addresses to another thread without holding them. */
const inFlight = new Set<ReadonlyArray<unknown>>()

const callAsync = async (name: Name, args: ReadonlyArray<unknown>): Promise<number> => {
  const s = ensureOpen()[name]
  validate(s, args)
  inFlight.add(args)
  try {
    for (;;) {
      const answer = (await load({ ...parameters(s, args), runInNewThread: true as const })) as unknown as Answer
      if (answer.value !== -1) return answer.value
      if (answer.errnoCode !== EINTR || !s.restart) return -answer.errnoCode
    }
  } finally {
    inFlight.delete(args)
  }
}

// x86-64 and arm64 share the numbers of everything newer than 2018; kexec_file_load is older.
const SYS_pidfd_open = 434
const SYS_pidfd_getfd = 438
const SYS_kexec_file_load = process.arch === "arm64" ? 294 : 320

export const O_RDWR = 0o2
export const O_CREAT = 0o100
export const O_CLOEXEC = 0o2000000

export const openFile = (path: string, flags: number): number => call("open", [path, flags | O_CLOEXEC, 0o600])
export const close = (fd: number): number => call("close", [fd])

/** For descriptors whose end is work: closing an outgoing session gives back every page that it preserved. */
export const closeAsync = (fd: number): Promise<number> => callAsync("close", [fd])

/** `argument` is read and written by the kernel in place. */
export const ioctl = (fd: number, request: number, argument: Buffer): number => call("ioctl", [fd, request, argument])

/** The same on a thread of libuv's pool: for requests whose cost grows with the file (preserve, retrieve, finish). */
export const ioctlAsync = (fd: number, request: number, argument: Buffer): Promise<number> =>
  callAsync("ioctl", [fd, request, argument])

export const fcntl = (fd: number, command: number, argument: number): number => call("fcntl", [fd, command, argument])

export const LOCK_EX = 2
export const LOCK_NB = 4
export const flock = (fd: number, operation: number): number => call("flock", [fd, operation])

export const memfdCreate = (name: string, flags: number): number => call("memfdCreate", [name, flags])

export const pidfdOpen = (pid: number): number => call("syscall", [SYS_pidfd_open, pid, 0, 0, 0, 0, 0])
export const pidfdGetfd = (pidfd: number, fd: number): number =>
  call("syscall", [SYS_pidfd_getfd, pidfd, fd, 0, 0, 0, 0])

/** Blocks for as long as the kernel reads, checks and lays out the image, so it runs on the pool. */
export const kexecFileLoad = (
  kernelFd: number,
  initrdFd: number,
  commandLine: string,
  flags: number
): Promise<number> => {
  const line = Buffer.from(`${commandLine}\0`, "utf8")
  return callAsync("kexecFileLoad", [SYS_kexec_file_load, kernelFd, initrdFd, line.length, line, flags, 0])
}

/** Returns only if the kernel refused. */
export const reboot = (command: number): number => call("reboot", [command])
