/**
 * Unix sockets that carry file descriptors (SCM_RIGHTS) and credentials (SCM_CREDENTIALS): the structs of unix(7) and cmsg(3), built by
 * hand. Their layout is that of 64-bit little-endian Linux, with glibc and musl alike.
 *
 * All calls answer as `internal/libc` does: a value `>= 0`, or the negated errno. None of them blocks.
 */
import * as errno from "./errno.ts"
import { addressOf, sockets, systemCalls } from "./libc.ts"

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SCM_RIGHTS = 1
const SCM_CREDENTIALS = 2
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x40000000

/** sizeof sun_path; a path has to leave room for its NUL, an abstract name hasn't. */
const SUN_PATH = 108

/** struct sockaddr_un: u16 family, u8 path[108]. A name that begins with "@" is abstract: a NUL stands in its place. */
const socketAddress = (path: string): Buffer | undefined => {
  const abstract = path.startsWith("@")
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`, "utf8")
  if (name.length > SUN_PATH) return undefined
  const address = Buffer.alloc(2 + name.length)
  address.writeUInt16LE(AF_UNIX, 0)
  name.copy(address, 2)
  return address
}

const open = (type: number, path: string, use: (fd: number, address: Buffer) => number): number => {
  const address = socketAddress(path)
  if (address === undefined) return -errno.ENAMETOOLONG
  const fd = sockets.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (fd < 0) return fd
  const answer = use(fd, address)
  if (answer >= 0) return fd
  systemCalls.close(fd)
  return answer
}

/** A listening socket at a path where nothing is yet; EADDRINUSE otherwise. */
export const listen = (path: string, backlog: number): number =>
  open(SOCK_STREAM, path, (fd, address) => {
    const bound = sockets.bind(fd, address)
    return bound < 0 ? bound : sockets.listen(fd, backlog)
  })

/**
 * A connection to whoever listens at a path: ENOENT and ECONNREFUSED when nobody does, EAGAIN when too many wait there. The
 * other side needn't have accepted it: what is sent waits in the kernel, descriptors included.
 */
export const connect = (path: string): number => open(SOCK_STREAM, path, sockets.connect)

/** A socket that sends datagrams to a path. */
export const connectDatagram = (path: string): number => open(SOCK_DGRAM, path, sockets.connect)

/** A socket that receives datagrams at a path where nothing is yet. */
export const bindDatagram = (path: string): number => open(SOCK_DGRAM, path, sockets.bind)

export const accept = (listener: number): number => sockets.accept(listener, SOCK_NONBLOCK | SOCK_CLOEXEC)

/** The effective user id of whoever connected, as of then. struct ucred: i32 pid, u32 uid, u32 gid. */
export const peerUser = (fd: number): number => {
  const credentials = Buffer.alloc(128)
  const length = Buffer.alloc(128)
  length.writeUInt32LE(12, 0)
  const answer = sockets.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length)
  return answer < 0 ? answer : credentials.readUInt32LE(4)
}

/** More descriptors than this in one message are thrown away by the kernel before anybody sees them. */
const MAX_FILES = 8

/**
 * A message in one piece of memory, as its structs point at each other: struct msghdr (56 bytes) at 0, struct iovec (16) at 64,
 * control data at 80, bytes at 160.
 */
const IOVEC = 64
const CONTROL = 80
const BYTES = 160
const CMSG_HEADER = 16
const controlLength = (files: number) => CMSG_HEADER + Math.ceil((files * 4) / 8) * 8
/** struct ucred: i32 pid, u32 uid, u32 gid. */
const CREDENTIALS = 12
const CREDENTIALS_SPACE = CMSG_HEADER + 16

const message = (bytes: number, control: number): Buffer => {
  const memory = Buffer.alloc(BYTES + Math.max(bytes, 1))
  const address = addressOf(memory)
  memory.writeBigUInt64LE(address + BigInt(IOVEC), 16)
  memory.writeBigUInt64LE(1n, 24)
  memory.writeBigUInt64LE(control === 0 ? 0n : address + BigInt(CONTROL), 32)
  memory.writeBigUInt64LE(BigInt(control), 40)
  memory.writeBigUInt64LE(address + BigInt(BYTES), IOVEC)
  memory.writeBigUInt64LE(BigInt(bytes), IOVEC + 8)
  return memory
}

/**
 * All or nothing, for messages as small as ours are: with them a duplicate of `file`, which the kernel holds from now on. `pid`: in the
 * name of another process, as the receiver sees it (CAP_SYS_ADMIN).
 */
export const send = (fd: number, bytes: Buffer, file?: number, pid?: number): number => {
  const rights = file === undefined ? 0 : controlLength(1)
  const memory = message(bytes.length, rights + (pid === undefined ? 0 : CREDENTIALS_SPACE))
  bytes.copy(memory, BYTES)
  const header = (at: number, length: number, type: number) => {
    memory.writeBigUInt64LE(BigInt(CMSG_HEADER + length), at)
    memory.writeInt32LE(SOL_SOCKET, at + 8)
    memory.writeInt32LE(type, at + 12)
  }
  if (file !== undefined) {
    header(CONTROL, 4, SCM_RIGHTS)
    memory.writeInt32LE(file, CONTROL + CMSG_HEADER)
  }
  if (pid !== undefined) {
    header(CONTROL + rights, CREDENTIALS, SCM_CREDENTIALS)
    memory.writeInt32LE(pid, CONTROL + rights + CMSG_HEADER)
    memory.writeUInt32LE(process.getuid?.() ?? 0, CONTROL + rights + CMSG_HEADER + 4)
    memory.writeUInt32LE(process.getgid?.() ?? 0, CONTROL + rights + CMSG_HEADER + 8)
  }
  return sockets.sendmsg(fd, memory, MSG_DONTWAIT | MSG_NOSIGNAL)
}

export interface Received {
  /** Empty at the end of a stream. */
  readonly bytes: Buffer
  /** Descriptors that are this process's to close. */
  readonly files: ReadonlyArray<number>
}

/** What has come, at most `length` bytes of it, or the negated errno: EAGAIN when there is nothing yet. */
export const receive = (fd: number, length: number): Received | number => {
  const memory = message(length, controlLength(MAX_FILES))
  const count = sockets.recvmsg(fd, memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
  if (count < 0) return count
  const files: Array<number> = []
  const end = CONTROL + Number(memory.readBigUInt64LE(40))
  for (let at = CONTROL; at + CMSG_HEADER <= end; ) {
    const size = Number(memory.readBigUInt64LE(at))
    if (size < CMSG_HEADER) break
    if (memory.readInt32LE(at + 8) === SOL_SOCKET && memory.readInt32LE(at + 12) === SCM_RIGHTS)
      for (let file = at + CMSG_HEADER; file + 4 <= at + size; file += 4) files.push(memory.readInt32LE(file))
    at += Math.ceil(size / 8) * 8
  }
  return { bytes: memory.subarray(BYTES, BYTES + count), files }
}

/** A pipe, close-on-exec: whoever holds its write end can be waited for. */
export const pipe = (): { readonly read: number; readonly write: number } | number => {
  const ends = Buffer.alloc(128)
  const answer = sockets.pipe(ends, SOCK_CLOEXEC)
  return answer < 0 ? answer : { read: ends.readInt32LE(0), write: ends.readInt32LE(4) }
}

const POLLIN = 1

/** struct pollfd: i32 fd, i16 events, i16 revents. */
const pollEntries = (fds: ReadonlyArray<number>): Buffer => {
  const entries = Buffer.alloc(Math.max(128, fds.length * 8))
  fds.forEach((fd, index) => {
    entries.writeInt32LE(fd, index * 8)
    entries.writeInt16LE(POLLIN, index * 8 + 4)
  })
  return entries
}

/** Those of `fds` that have something to say: data, an end, an error. Blocks for `timeoutMs`, for ever if it is -1. */
export const waitFor = (fds: ReadonlyArray<number>, timeoutMs: number): ReadonlyArray<number> => {
  const entries = pollEntries(fds)
  const answer = sockets.poll(entries, fds.length, timeoutMs)
  return answer <= 0 ? [] : fds.filter((_, index) => entries.readInt16LE(index * 8 + 6) !== 0)
}

/** Whether `fd` has something to say, within `timeoutMs`; the wait is on another thread. */
export const waitForAsync = async (fd: number, timeoutMs: number): Promise<boolean> =>
  (await sockets.pollAsync(pollEntries([fd]), 1, timeoutMs)) > 0
