import { E2BIG, EFAULT, EINVAL, ENOTTY } from "../errno.ts"

/** One row of `luo_ioctl_ops` or `luo_session_ioctl_ops`. */
export interface Request<Target> {
  readonly number: number
  /** Bytes of the struct, all of which the caller has to know: no struct has grown yet. */
  readonly size: number
  readonly isValid?: (target: Target) => boolean
  /** `struct` is the kernel's copy; it is copied back if the answer is 0. */
  readonly execute: (target: Target, struct: Buffer) => number
}

const numberOf = (request: number): number => request & 0xff

/** `copy_struct_from_user`: what this kernel doesn't know of the caller's struct must be 0. */
export const copyIn = (argument: Buffer, userSize: number, size: number): Buffer | number => {
  if (userSize > argument.length) return -EFAULT
  return argument.subarray(size, userSize).every((byte) => byte === 0)
    ? Buffer.from(argument.subarray(0, size))
    : -E2BIG
}

/** `luo_ioctl` (luo_core.c) and `luo_session_ioctl` (luo_session.c) in `kernel/liveupdate/`: the same checks in the same order. */
export const dispatch = <Target>(
  table: ReadonlyArray<Request<Target>>,
  target: Target,
  request: number,
  argument: Buffer
): number => {
  const row = table.find(({ number }) => numberOf(number) === numberOf(request))
  if (row === undefined) return -EINVAL
  if (argument.length < 4) return -EFAULT
  const userSize = argument.readUInt32LE(0)
  if (row.number !== request) return -ENOTTY
  if (row.isValid?.(target) === false) return -EINVAL
  if (userSize < row.size) return -EINVAL
  const struct = copyIn(argument, userSize, row.size)
  if (typeof struct === "number") return struct
  const answer = row.execute(target, struct)
  if (answer === 0) struct.copy(argument)
  return answer
}
