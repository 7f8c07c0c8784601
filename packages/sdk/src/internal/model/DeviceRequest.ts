import { EFAULT, EINVAL } from "../errno.ts"
import type { Request } from "../ioctl.ts"
import type { Fields, Given, Values } from "../struct.ts"
import { copyIn } from "./Request.ts"

/** One request of a device's file. */
export interface DeviceRequest {
  readonly number: number
  /** Works on the caller's struct in place. */
  readonly answer: (argument: Buffer) => number
}

/**
 * A request with a struct. `execute` answers a number, or the fields that the kernel writes back.
 *
 * Where the struct says its own size the caller has to know all of it, and what the kernel doesn't know of it must be 0
 * (`iommufd_fops_ioctl` in `drivers/iommu/iommufd/main.c`, `vfio_df_ioctl_bind_iommufd` in `drivers/vfio/device_cdev.c`). They
 * would do with less of some structs; the SDK sends all of each.
 */
export const withStruct = <F extends Fields>(
  request: Request<F>,
  execute: (values: Values<F>) => number | Given<F>
): DeviceRequest => ({
  number: request.number,
  answer: (argument) => {
    if (argument.length < request.bytes) return -EFAULT
    const saysSize = Object.values(request.fields)[0] === "length"
    const size = saysSize ? argument.readUInt32LE(0) : request.bytes
    if (size < request.bytes) return -EINVAL
    const struct = copyIn(argument, size, request.bytes)
    if (typeof struct === "number") return struct
    const answer = execute(request.decode(struct))
    if (typeof answer === "number") return answer
    request.update(argument, answer)
    return 0
  }
})

/** `unknown`: what the driver answers to a number that isn't in its table. */
export const dispatch = (
  table: ReadonlyArray<DeviceRequest>,
  unknown: number,
  request: number,
  argument: Buffer
): number => table.find(({ number }) => number === request)?.answer(argument) ?? unknown
