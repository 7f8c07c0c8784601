/**
 * The system calls the SDK needs, through ffi-rs, behind one typed table.
 *
 * Every function answers as the kernel does inside: a value `>= 0`, or the negated errno. That keeps ffi-rs's own rules
 * in this file: a wrong signature or a wrong argument aborts the whole process, `errnoCode` is stale unless the value is
 * -1, and Buffers given to an asynchronous call are not kept alive by ffi-rs.
 */
import * as Fs from "node:fs"
import { isMainThread } from "node:worker_threads"
import { DataType, load, open } from "ffi-rs"
import type { FileStatus, SystemCalls } from "./Kernel.ts"
import { F_DUPFD_CLOEXEC, O_CLOEXEC } from "./uapi.ts"

const library = "liveupdate-libc"

interface Signature {
  readonly symbol: string
  readonly parameters: ReadonlyArray<DataType>
  readonly result: DataType
  /** EINTR says "nothing was done": call again. Not for `reboot` and `close`, where that isn't so. */
  readonly restart: boolean
  /**
   * Set for what is called often, and may be called twice: asking ffi-rs for errno doubles the cost of a call, so it isn't
   * asked for. A call that was refused has done nothing, and is made again to hear why.
   */
  readonly quick?: { readonly call: FfiCall }
}

/** What ffi-rs takes. One object for all quick calls of a signature: to make it costs as much as to make the call. */
interface FfiCall {
  readonly library: string
  readonly funcName: string
  readonly retType: DataType
  readonly paramsType: Array<DataType>
  paramsValue: Array<unknown>
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

/** None of its parameters is a Buffer: of those ffi-rs makes a description with every call. */
const quick = (symbol: string, parameters: ReadonlyArray<DataType>, result: DataType): Signature => ({
  ...signature(symbol, parameters, result),
  quick: { call: { library, funcName: symbol, retType: result, paramsType: [...parameters], paramsValue: [] } }
})

/** Made with the first call and not with the import: a program that never calls never loads native code. */
const makeTable = () => {
  const { I32, I64, U32, U64, U8Array, String: Str } = DataType
  return {
    open: signature("open", [Str, I32, U32], I32),
    close: signature("close", [I32], I32, false),
    ioctl: signature("ioctl", [I32, U64, U8Array], I32),
    ioctlNumber: signature("ioctl", [I32, U64, I64], I32),
    ioctlAddress: quick("ioctl", [I32, U64, I64], I32),
    fcntl: quick("fcntl", [I32, I32, I64], I32),
    flock: signature("flock", [I32, I32], I32, false),
    fallocate: signature("fallocate", [I32, I32, I64, I64], I32),
    lseek: signature("lseek", [I32, I64, I32], I64),
    mmap: signature("mmap", [I64, U64, I32, I32, I32, I64], I64),
    madvise: signature("madvise", [I64, U64, I32], I32),
    munmap: signature("munmap", [I64, U64], I32),
    memfdCreate: quick("memfd_create", [Str, U32], I32),
    reboot: signature("reboot", [I32], I32, false),
    socket: signature("socket", [I32, I32, I32], I32),
    bind: signature("bind", [I32, U8Array, U32], I32),
    listen: signature("listen", [I32, I32], I32),
    connect: signature("connect", [I32, U8Array, U32], I32, false),
    accept: signature("accept4", [I32, U64, U64, I32], I32),
    getsockopt: signature("getsockopt", [I32, I32, I32, U8Array, U8Array], I32),
    sendmsg: signature("sendmsg", [I32, U8Array, I32], I64),
    recvmsg: signature("recvmsg", [I32, U8Array, I32], I64),
    pipe: signature("pipe2", [U8Array, I32], I32),
    poll: signature("poll", [U8Array, U64, I32], I32),
    syscall: signature("syscall", [I64, I64, I64, I64, I64, I64, I64], I64),
    kexecFileLoad: signature("syscall", [I64, I64, I64, I64, U8Array, I64, I64], I64)
  } as const
}

/** Kept beside the table, as an enumeration of ffi-rs's is looked up anew with every use (scripts/esbuild-options.mjs). */
let buffers: DataType | undefined
let strings: DataType | undefined

const EINTR = 4
const EBADF = 9
const EINVAL = 22

let table: ReturnType<typeof makeTable> | undefined
const ensureOpen = (): ReturnType<typeof makeTable> => {
  if (table !== undefined) return table
  // An empty path is the process itself: Node is linked against libc, glibc or musl alike.
  open({ library, path: "" })
  if (!isMainThread) pinAddon()
  table = makeTable()
  buffers = DataType.U8Array
  strings = DataType.String
  return table
}

/**
 * Loaded only from a worker, the addon would be unmapped when that worker ends, under a thread-local destructor of its
 * own: the process crashes. A second reference to the shared object keeps it mapped.
 */
const pinAddon = (): void => {
  const addon = /(\/\S*ffi-rs\S*\.node)$/m.exec(Fs.readFileSync("/proc/self/maps", "utf8"))?.[1]
  if (addon !== undefined) open({ library: "liveupdate-ffi-rs", path: addon })
}

const validate = (s: Signature, args: ReadonlyArray<unknown>): void => {
  for (let index = 0; index < s.parameters.length; index++) {
    const value = args[index]
    const type = s.parameters[index]
    const fits =
      typeof value === "number"
        ? type !== strings && type !== buffers && Number.isSafeInteger(value)
        : type === buffers
          ? Buffer.isBuffer(value)
          : type === strings && typeof value === "string" && !value.includes("\0")
    if (!fits) throw new TypeError(`libc.${s.symbol}: argument ${index} does not fit its C type`)
  }
}

interface Answer {
  readonly value: number
  readonly errnoCode: number
}

const isAnswer = (value: unknown): value is Answer =>
  typeof value === "object" &&
  value !== null &&
  "value" in value &&
  typeof value.value === "number" &&
  "errnoCode" in value &&
  typeof value.errnoCode === "number"

/** With `errno: true` ffi-rs answers both; its own type says so only for some signatures. */
const answerFrom = (value: unknown): Answer => {
  if (!isAnswer(value)) throw new TypeError("ffi-rs answered no value with an errno")
  return value
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

const callQuickly = (call: FfiCall, args: Array<unknown>): number => {
  call.paramsValue = args
  // All quick signatures answer an I32, and none asks for errno: the answer is a number.
  return load(call) as unknown as number
}

const call = (name: Name, args: Array<unknown>): number => {
  const s = ensureOpen()[name]
  validate(s, args)
  if (s.quick !== undefined) {
    const value = callQuickly(s.quick.call, args)
    if (value !== -1) return value
  }
  for (;;) {
    const answer = answerFrom(load(parameters(s, args)))
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
      const answer = answerFrom(await load({ ...parameters(s, args), runInNewThread: true as const }))
      if (answer.value !== -1) return answer.value
      if (answer.errnoCode !== EINTR || !s.restart) return -answer.errnoCode
    }
  } finally {
    inFlight.delete(args)
  }
}

// x86-64 and arm64 share the numbers of everything newer than 2018; these two are older.
const SYS_kexec_file_load = process.arch === "arm64" ? 294 : 320
const SYS_kcmp = process.arch === "arm64" ? 272 : 312
const SYS_pidfd_open = 434
const SYS_pidfd_getfd = 438

// include/uapi/linux/kcmp.h
const KCMP_FILE = 0

const isErrno = (error: unknown): error is { readonly errno: number } =>
  typeof error === "object" && error !== null && "errno" in error && typeof error.errno === "number"

/** For Node's own calls, which throw on a number that can't be a descriptor. */
const isDescriptor = (fd: number): boolean => Number.isSafeInteger(fd) && fd >= 0 && fd <= 0x7fff_ffff

const isSize = (bytes: number): boolean => Number.isSafeInteger(bytes) && bytes >= 0

/** Node's own calls throw `errno`, negated like ours, and cost a fifth of a call through ffi-rs. */
const answerOf = <A>(run: () => A): A | number => {
  try {
    return run()
  } catch (error) {
    if (isErrno(error)) return error.errno
    throw error
  }
}

/** The same about a descriptor. */
const answerOn = <A>(fd: number, run: () => A): A | number => (isDescriptor(fd) ? answerOf(run) : -EBADF)

// include/uapi/asm-generic/mman-common.h
const PROT_READ_WRITE = 3
const MAP_SHARED = 1

/** All advice goes to one mapping, which is gone again afterwards: what stays are the pages that it brought into being. */
const adviseMapping = async (fd: number, length: number, advice: ReadonlyArray<number>): Promise<number> => {
  const address = call("mmap", [0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0])
  if (address < 0) return address
  try {
    for (const one of advice) {
      const answer = await callAsync("madvise", [address, length, one])
      if (answer < 0) return answer
    }
    return 0
  } finally {
    call("munmap", [address, length])
  }
}

/** The type of a request, include/uapi/asm-generic/ioctl.h; LIVEUPDATE_IOCTL_TYPE, include/uapi/linux/liveupdate.h. */
const isLiveUpdate = (request: number): boolean => ((request >> 8) & 0xff) === 0xba

/** Where the argument of a quick ioctl lies during the call, so that its address is a number that is known. */
const stage = { buffer: Buffer.alloc(0), address: 0 }
const STAGE_BYTES = 256

const ioctl = (fd: number, request: number, argument: Buffer): number => {
  if (!isLiveUpdate(request) || argument.length > STAGE_BYTES) return call("ioctl", [fd, request, argument])
  if (stage.address === 0) {
    stage.buffer = Buffer.alloc(STAGE_BYTES)
    stage.address = Number(addressOf(stage.buffer))
  }
  argument.copy(stage.buffer)
  const answer = call("ioctlAddress", [fd, request, stage.address])
  stage.buffer.copy(argument, 0, 0, argument.length)
  return answer
}

/**
 * Node's own open and close cost a tenth of those through ffi-rs. A worker keeps account of what it opens with them and
 * closes that at its end, whoever has the number by then: there they are not used.
 */
const openFile = (path: string, flags: number): number =>
  isMainThread && !path.includes("\0")
    ? answerOf(() => Fs.openSync(path, flags, 0o600))
    : call("open", [path, flags | O_CLOEXEC, 0o600])

const close = (fd: number): number =>
  isMainThread
    ? answerOn(fd, () => {
        Fs.closeSync(fd)
        return 0
      })
    : call("close", [fd])

/** The running kernel. */
export const systemCalls: SystemCalls = {
  openFile,
  close,
  closeAsync: (fd) => callAsync("close", [fd]),
  dup: (fd) => call("fcntl", [fd, F_DUPFD_CLOEXEC, 0]),
  ioctl,
  ioctlAsync: (fd, request, argument) => callAsync("ioctl", [fd, request, argument]),
  ioctlNumber: (fd, request, argument) => call("ioctlNumber", [fd, request, argument]),
  fcntl: (fd, command, argument) => call("fcntl", [fd, command, argument]),
  flock: (fd, operation) => call("flock", [fd, operation]),
  memfdCreate: (name, flags) => call("memfdCreate", [name, flags]),
  // Node would take a negative size for 0.
  ftruncate: (fd, size) =>
    isSize(size)
      ? answerOn(fd, () => {
          Fs.ftruncateSync(fd, size)
          return 0
        })
      : -EINVAL,
  fallocate: (fd, mode, offset, length) => call("fallocate", [fd, mode, offset, length]),
  seek: (fd, offset, whence) => call("lseek", [fd, offset, whence]),
  madviseFile: (fd, length, advice) => adviseMapping(fd, length, advice),
  status: (fd) =>
    answerOn(fd, (): FileStatus => {
      const { dev, ino, mode, size, nlink, blocks } = Fs.fstatSync(fd)
      return { dev, ino, mode, size, links: nlink, allocated: blocks * 512 }
    }),
  fileSystem: (fd) => answerOn(fd, () => Fs.statfsSync(`/proc/self/fd/${fd}`).type),
  read: (fd, bytes, position) => answerOn(fd, () => Fs.readSync(fd, bytes, 0, bytes.length, position)),
  write: (fd, bytes, position) => answerOn(fd, () => Fs.writeSync(fd, bytes, 0, bytes.length, position)),
  readFile: (path) => answerOf(() => Fs.readFileSync(path, "utf8")),
  readLink: (path) => answerOf(() => Fs.readlinkSync(path)),
  readDirectory: (path) => answerOf(() => Fs.readdirSync(path)),
  pidfdOpen: (pid) => call("syscall", [SYS_pidfd_open, pid, 0, 0, 0, 0, 0]),
  pidfdGetfd: (pidfd, fd) => call("syscall", [SYS_pidfd_getfd, pidfd, fd, 0, 0, 0, 0]),
  kcmpFile: (one, other) => call("syscall", [SYS_kcmp, process.pid, process.pid, KCMP_FILE, one, other, 0]),
  kexecFileLoad: (kernelFd, initrdFd, commandLine, flags) => {
    const line = Buffer.from(`${commandLine}\0`, "utf8")
    return callAsync("kexecFileLoad", [SYS_kexec_file_load, kernelFd, initrdFd, line.length, line, flags, 0])
  },
  kexecLoaded: () => Fs.readFileSync("/sys/kernel/kexec_loaded", "utf8").trim() === "1",
  // The call itself returns only if the kernel refused.
  reboot: (command) => Promise.resolve(call("reboot", [command]))
}

/**
 * Sockets are the running kernel's also where the rest of it is a model: they lead to another process. All Buffers are
 * structs built by hand (`internal/unixSocket.ts`).
 */
export const sockets = {
  socket: (domain: number, type: number): number => call("socket", [domain, type, 0]),
  bind: (fd: number, address: Buffer): number => call("bind", [fd, address, address.length]),
  listen: (fd: number, backlog: number): number => call("listen", [fd, backlog]),
  connect: (fd: number, address: Buffer): number => call("connect", [fd, address, address.length]),
  accept: (fd: number, flags: number): number => call("accept", [fd, 0, 0, flags]),
  getsockopt: (fd: number, level: number, option: number, value: Buffer, length: Buffer): number =>
    call("getsockopt", [fd, level, option, value, length]),
  sendmsg: (fd: number, message: Buffer, flags: number): number => call("sendmsg", [fd, message, flags]),
  recvmsg: (fd: number, message: Buffer, flags: number): number => call("recvmsg", [fd, message, flags]),
  pipe: (ends: Buffer, flags: number): number => call("pipe", [ends, flags]),
  poll: (entries: Buffer, count: number, timeoutMs: number): number => call("poll", [entries, count, timeoutMs]),
  /** On libuv's pool, of which it blocks one of four threads: keep the time-out short. */
  pollAsync: (entries: Buffer, count: number, timeoutMs: number): Promise<number> =>
    callAsync("poll", [entries, count, timeoutMs])
} as const

/**
 * Where a Buffer's bytes lie, for a struct that points to them. They stay there as long as the Buffer is referenced, if it is
 * not smaller than what V8 keeps in its own heap (64 bytes).
 */
export const addressOf = (buffer: Buffer): bigint => {
  ensureOpen()
  const { BigInt: Big, U64, U8Array } = DataType
  const address: unknown = load({
    library,
    funcName: "memmove",
    retType: Big,
    paramsType: [U8Array, U8Array, U64],
    paramsValue: [buffer, buffer, 0]
  })
  if (typeof address !== "bigint") throw new TypeError("memmove answered no address")
  return BigInt.asUintN(64, address)
}
