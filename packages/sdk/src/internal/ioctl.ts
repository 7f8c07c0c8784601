/**
 * Requests and argument structs of `/dev/liveupdate` and of a session, as in `include/uapi/linux/liveupdate.h`.
 *
 * `_IO` numbers carry no size; every struct begins with its own size in bytes (u32), little-endian on both architectures
 * the SDK supports.
 */
export const CREATE_SESSION = 0xba00
export const RETRIEVE_SESSION = 0xba01
export const PRESERVE_FD = 0xba40
export const RETRIEVE_FD = 0xba41
export const FINISH = 0xba42
export const GET_NAME = 0xba43

/** LIVEUPDATE_SESSION_NAME_LENGTH, the terminating NUL included. */
export const SESSION_NAME_LENGTH = 64

/** struct liveupdate_ioctl_create_session and …_retrieve_session: u32 size, s32 fd (out), u8 name[64]; 72 bytes. */
export const sessionArgument = (name: string): Buffer => {
  const argument = Buffer.alloc(8 + SESSION_NAME_LENGTH)
  argument.writeUInt32LE(argument.length, 0)
  argument.writeInt32LE(-1, 4)
  argument.write(name, 8, "utf8")
  return argument
}

/** struct liveupdate_session_preserve_fd and …_retrieve_fd: u32 size, s32 fd (in or out), u64 token; 16 bytes. */
export const fileArgument = (fd: number, token: bigint): Buffer => {
  const argument = Buffer.alloc(16)
  argument.writeUInt32LE(argument.length, 0)
  argument.writeInt32LE(fd, 4)
  argument.writeBigUInt64LE(token, 8)
  return argument
}

/** Where both structs above return a file descriptor. */
export const returnedFd = (argument: Buffer): number => argument.readInt32LE(4)

/** struct liveupdate_session_finish: u32 size, u32 reserved (0); 8 bytes. */
export const finishArgument = (): Buffer => {
  const argument = Buffer.alloc(8)
  argument.writeUInt32LE(argument.length, 0)
  return argument
}

/** struct liveupdate_session_get_name: u32 size, u32 reserved (0), u8 name[64] (out); 72 bytes. */
export const getNameArgument = (): Buffer => {
  const argument = Buffer.alloc(8 + SESSION_NAME_LENGTH)
  argument.writeUInt32LE(argument.length, 0)
  return argument
}

export const returnedName = (argument: Buffer): string => {
  const name = argument.subarray(8)
  const end = name.indexOf(0)
  return name.toString("utf8", 0, end === -1 ? name.length : end)
}
