import { EBADF, EBUSY, EEXIST, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP, EOVERFLOW } from "../errno.ts"
import * as ioctl from "../ioctl.ts"
import { inodeOf, type SystemCalls } from "../Kernel.ts"
import { F_GET_SEALS, HUGETLBFS_MAGIC, TMPFS_MAGIC } from "../uapi.ts"
import { type DeviceRequest, withStruct } from "./DeviceRequest.ts"
import type { IncomingFiles, OutgoingFiles } from "./FileHandler.ts"

/** A range of a memfd as devices see it: `struct iopt_area` (drivers/iommu/iommufd/io_pagetable.h). */
interface Area {
  readonly iova: bigint
  readonly length: bigint
  /** A reference of the kernel's own. */
  readonly memfd: number
  readonly inode: string
  /** The seals that it carried when it was mapped. */
  readonly seals: number
}

interface Ioas {
  readonly type: "ioas"
  areas: ReadonlyArray<Area>
  /** `lu_map_immutable` of the proposed handler. */
  isImmutable: boolean
}

/** What a handover carries of an address space: its number, and what is mapped into it. */
export interface CarriedIoas {
  readonly id: number
  readonly areas: ReadonlyArray<Pick<Area, "iova" | "length"> & { readonly token: bigint }>
}

interface PageTable {
  readonly type: "page-table"
  readonly ioas: Ioas
  /** Made by attaching an address space, and gone with the last device. */
  readonly automatic: boolean
}

interface BoundDevice {
  readonly type: "device"
  table: PageTable | undefined
}

type IommufdObject = Ioas | PageTable | BoundDevice

/** What is behind an iommufd: `struct iommufd_ctx`. It lives as long as its file, or a device that is bound to it. */
export interface IommufdContext {
  /** Different for every iommufd of a kernel. */
  readonly name: string
  readonly requests: ReadonlyArray<DeviceRequest>
  /** Answers the device's number in here. */
  readonly bind: () => number
  readonly unbind: (device: number) => void
  /** To a page table or an address space: the number of the page table, or a negated errno. */
  readonly attach: (device: number, to: number) => number
  readonly detach: (device: number) => void
  /** From now on the address spaces that there are stay as they are; or the negated errno that refuses. */
  readonly preserve: (session: OutgoingFiles) => ReadonlyArray<CarriedIoas> | number
  /** It came through a handover: what was mapped is, and stays so until its session is finished. 0, or a negated errno. */
  readonly manage: (carried: ReadonlyArray<CarriedIoas>, session: IncomingFiles) => number
  readonly unfreeze: () => void
  /** Its file is closed. */
  readonly close: () => void
  /** Closes the references to what is mapped, whoever still uses it. */
  readonly end: () => void
}

const PAGE = 4096n
const ADDRESSES = 1n << 64n
// ULONG_MAX
const LAST_ADDRESS = ADDRESSES - 1n

const ACCESS = ioctl.IOMMU_IOAS_MAP_READABLE | ioctl.IOMMU_IOAS_MAP_WRITEABLE
const MAP_FLAGS = ACCESS | ioctl.IOMMU_IOAS_MAP_FIXED_IOVA

// F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, include/uapi/linux/fcntl.h
const NEEDED_SEALS = 0x1 | 0x2 | 0x4

const isAligned = (value: bigint): boolean => value % PAGE === 0n
const alignUp = (value: bigint): bigint => ((value + PAGE - 1n) / PAGE) * PAGE

/** `iopt_alloc_iova`: the lowest addresses that are free. */
const freeAddresses = (areas: ReadonlyArray<Area>, length: bigint): bigint | number => {
  let at = 0n
  for (const area of areas.toSorted((one, other) => (one.iova < other.iova ? -1 : 1))) {
    if (at + length <= area.iova) return at
    at = alignUp(area.iova + area.length)
  }
  return at + length <= ADDRESSES ? at : -ENOSPC
}

/** `iopt_check_iova` */
const checkAddresses = (areas: ReadonlyArray<Area>, iova: bigint, length: bigint): bigint | number => {
  if (!isAligned(iova)) return -EINVAL
  if (iova + length > ADDRESSES) return -EOVERFLOW
  return areas.some((area) => iova < area.iova + area.length && area.iova < iova + length) ? -EEXIST : iova
}

/** `isOrdinary`: whether this machine's kernel knows the file behind a descriptor. */
export const make = (
  real: SystemCalls,
  isOrdinary: (fd: number) => boolean,
  name: string,
  onEnd: () => void
): IommufdContext => {
  const objects = new Map<number, IommufdObject>()
  /** Its file, and the devices that are bound to it. */
  let users = 1

  const insert = (object: IommufdObject): number => {
    let id = 1
    while (objects.has(id)) id++
    objects.set(id, object)
    return id
  }
  const idOf = (object: IommufdObject): number | undefined => [...objects].find(([, one]) => one === object)?.[0]
  const spaces = () => [...objects].flatMap(([id, object]) => (object.type === "ioas" ? [{ id, ioas: object }] : []))
  const setImmutable = (isImmutable: boolean): void => {
    for (const { ioas } of spaces()) ioas.isImmutable = isImmutable
  }
  const ioasAt = (id: number): Ioas | undefined => {
    const object = objects.get(id)
    return object?.type === "ioas" ? object : undefined
  }
  const tables = () => [...objects.values()].filter((object) => object.type === "page-table")
  const isAttached = (table: PageTable) =>
    [...objects.values()].some((object) => object.type === "device" && object.table === table)
  const unmapAll = (ioas: Ioas): bigint => {
    const { areas } = ioas
    ioas.areas = []
    for (const { memfd } of areas) real.close(memfd)
    return areas.reduce((bytes, { length }) => bytes + length, 0n)
  }
  const end = (): void => {
    for (const object of objects.values()) if (object.type === "ioas") unmapAll(object)
    objects.clear()
    onEnd()
  }
  const release = (): void => {
    users--
    if (users === 0) end()
  }
  /** `iommufd_device_auto_get_domain` (drivers/iommu/iommufd/device.c): an address space has one for all devices that fit it. */
  const tableFor = (target: Ioas | PageTable): PageTable =>
    target.type === "page-table"
      ? target
      : (tables().find(({ automatic, ioas }) => automatic && ioas === target) ?? {
          type: "page-table",
          ioas: target,
          automatic: true
        })
  const leave = (device: BoundDevice): void => {
    const { table } = device
    device.table = undefined
    const id = table?.automatic === true && !isAttached(table) ? idOf(table) : undefined
    if (id !== undefined) objects.delete(id)
  }

  /**
   * `iommufd_ioas_map_file` (drivers/iommu/iommufd/ioas.c), `iopt_map_file_pages`, `iopt_alloc_area_pages` (io_pagetable.c). What
   * the kernel finds only when a device is attached and it pins the pages (`memfd_pin_folios`), and the alignment that the hardware
   * asks for then, is found here at once.
   */
  const map = withStruct(ioctl.iommufd.mapFile, ({ fd, flags, ioas_id, iova, length, start }) => {
    if ((flags & ~MAP_FLAGS) !== 0) return -EOPNOTSUPP
    if (iova >= LAST_ADDRESS || length >= LAST_ADDRESS) return -EOVERFLOW
    if ((flags & ACCESS) === 0) return -EINVAL
    const ioas = ioasAt(ioas_id)
    if (ioas === undefined) return -ENOENT
    if (length === 0n) return -EINVAL
    if (start + length > ADDRESSES) return -EOVERFLOW
    const status = real.status(fd)
    if (typeof status === "number") return -EBADF
    if (ioas.isImmutable) return -EBUSY
    const isMemory = isOrdinary(fd) && [TMPFS_MAGIC, HUGETLBFS_MAGIC].includes(real.fileSystem(fd))
    if (!isMemory || !isAligned(length) || !isAligned(start)) return -EINVAL
    const place =
      (flags & ioctl.IOMMU_IOAS_MAP_FIXED_IOVA) === 0
        ? freeAddresses(ioas.areas, length)
        : checkAddresses(ioas.areas, iova, length)
    if (typeof place === "number") return place
    if (start + length > alignUp(BigInt(status.size))) return -EINVAL
    const seals = real.fcntl(fd, F_GET_SEALS, 0)
    const memfd = real.dup(fd)
    if (memfd < 0) return memfd
    ioas.areas = [...ioas.areas, { iova: place, length, memfd, inode: inodeOf(status), seals: Math.max(0, seals) }]
    return { iova: place }
  })

  /** `iommufd_ioas_unmap`, `iopt_unmap_iova_range`: whole areas only. */
  const unmap = withStruct(ioctl.iommufd.unmap, ({ ioas_id, iova, length }) => {
    const ioas = ioasAt(ioas_id)
    if (ioas === undefined) return -ENOENT
    const everything = iova === 0n && length === LAST_ADDRESS
    if (!everything && (iova >= LAST_ADDRESS || length >= LAST_ADDRESS)) return -EOVERFLOW
    if (ioas.isImmutable) return -EBUSY
    if (everything) return { length: unmapAll(ioas) }
    if (length === 0n) return -EINVAL
    if (iova + length > ADDRESSES) return -EOVERFLOW
    const touched = ioas.areas.filter((area) => iova < area.iova + area.length && area.iova < iova + length)
    const whole = touched.every((area) => iova <= area.iova && area.iova + area.length <= iova + length)
    if (touched.length === 0 || !whole) return -ENOENT
    ioas.areas = ioas.areas.filter((area) => !touched.includes(area))
    for (const { memfd } of touched) real.close(memfd)
    return { length: touched.reduce((bytes, area) => bytes + area.length, 0n) }
  })

  /** `iommufd_hwpt_alloc` (drivers/iommu/iommufd/hw_pagetable.c), for page tables of the kernel's own making. */
  const allocatePageTable = withStruct(ioctl.iommufd.allocateHwpt, (given) => {
    if (given.__reserved !== 0 || given.__reserved2 !== 0 || given.flags !== 0) return -EOPNOTSUPP
    if (given.data_type !== 0 || given.data_len !== 0) return -EINVAL
    if (objects.get(given.dev_id)?.type !== "device") return -ENOENT
    const ioas = ioasAt(given.pt_id)
    return ioas === undefined ? -EINVAL : { out_hwpt_id: insert({ type: "page-table", ioas, automatic: false }) }
  })

  /**
   * `iommufd_object_remove` (main.c): not what somebody uses. While it is preserved the handler has references to page tables,
   * these to their address spaces; no address space that goes along may lose what is mapped into it, with or without one.
   */
  const destroy = withStruct(ioctl.iommufd.destroy, ({ id }) => {
    const object = objects.get(id)
    if (object === undefined) return -ENOENT
    if (object.type === "device" || (object.type === "ioas" ? object : object.ioas).isImmutable) return -EBUSY
    if (object.type === "page-table" && isAttached(object)) return -EBUSY
    if (object.type === "ioas" && tables().some(({ ioas }) => ioas === object)) return -EBUSY
    if (object.type === "ioas") unmapAll(object)
    objects.delete(id)
    return 0
  })

  return {
    name,
    requests: [
      withStruct(ioctl.iommufd.allocateIoas, ({ flags }) =>
        flags === 0 ? { out_ioas_id: insert({ type: "ioas", areas: [], isImmutable: false }) } : -EOPNOTSUPP
      ),
      map,
      unmap,
      allocatePageTable,
      destroy
    ],
    bind: () => {
      users++
      return insert({ type: "device", table: undefined })
    },
    unbind: (id) => {
      const device = objects.get(id)
      if (device?.type === "device") leave(device)
      objects.delete(id)
      release()
    },
    // `iommufd_device_change_pt`
    attach: (id, to) => {
      const device = objects.get(id)
      const target = objects.get(to)
      if (device?.type !== "device" || target === undefined) return -ENOENT
      if (target.type === "device") return -EINVAL
      const table = tableFor(target)
      const tableId = idOf(table) ?? insert(table)
      if (device.table !== table) leave(device)
      device.table = table
      return tableId
    },
    detach: (id) => {
      const device = objects.get(id)
      if (device?.type === "device") leave(device)
    },
    preserve: (session) => {
      const isUnsealed = ({ seals }: Area) => (seals & NEEDED_SEALS) !== NEEDED_SEALS
      if (spaces().some(({ ioas }) => ioas.areas.some(isUnsealed))) return -EINVAL
      const carried: Array<CarriedIoas> = []
      for (const { id, ioas } of spaces()) {
        const mapped = ioas.areas.map(({ inode, iova, length }) => ({ iova, length, token: session.tokenOf(inode) }))
        const there = mapped.flatMap(({ token, ...area }) => (token === undefined ? [] : [{ ...area, token }]))
        if (there.length < mapped.length) return -ENOENT
        carried.push({ id, areas: there })
      }
      setImmutable(true)
      return carried
    },
    manage: (carried, session) => {
      for (const { areas, id } of carried) {
        const ioas: Ioas = { type: "ioas", areas: [], isImmutable: true }
        objects.set(id, ioas)
        for (const { token, ...area } of areas) {
          const fd = session.fileAt(token)
          if (fd < 0) return fd
          const status = real.status(fd)
          const memfd = real.dup(fd)
          if (typeof status === "number" || memfd < 0) return -EBADF
          const seals = Math.max(0, real.fcntl(fd, F_GET_SEALS, 0))
          ioas.areas = [...ioas.areas, { ...area, memfd, inode: inodeOf(status), seals }]
        }
      }
      return 0
    },
    unfreeze: () => setImmutable(false),
    close: release,
    end
  }
}
