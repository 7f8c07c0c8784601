/** Requests to iommufd, VFIO and KVM as a program makes them: raw numbers and structs, a negated errno or the number that came back. */
import * as ioctl from "../../sdk/src/internal/ioctl.ts"
import type { Fields, Given, Values } from "../../sdk/src/internal/struct.ts"
import { F_ADD_SEALS, type Raw, said } from "./Raw.ts"

/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW: include/uapi/linux/fcntl.h */
const SEALS = 0x1 | 0x2 | 0x4
export const PAGE = 4096

/** The nodes of the two devices that a host for this has, an `edu` and an `nvme`. */
export const nodes = { edu: "/dev/vfio/devices/vfio0", nvme: "/dev/vfio/devices/vfio1" } as const

const ask = <F extends Fields>(
  raw: Raw,
  fd: number,
  request: ioctl.Request<F>,
  given: Given<F>
): number | Values<F> => {
  const argument = request.encode(given)
  const answer = raw.request(fd, request.number, argument)
  return answer < 0 ? answer : request.decode(argument)
}

/** What came of a request whose answer doesn't matter. */
const outcome = <F extends Fields>(raw: Raw, fd: number, request: ioctl.Request<F>, given: Given<F>): string => {
  const answer = ask(raw, fd, request, given)
  return said(typeof answer === "number" ? answer : 0)
}

/** A memfd of so many pages. */
export const memory = (raw: Raw, pages = 1): number => {
  const fd = raw.memfd("")
  raw.calls.ftruncate(fd, pages * PAGE)
  return fd
}
export const seal = (raw: Raw, memfd: number): string => said(raw.calls.fcntl(memfd, F_ADD_SEALS, SEALS))
export const sealedMemory = (raw: Raw, pages = 1): number => {
  const fd = memory(raw, pages)
  seal(raw, fd)
  return fd
}

export const openIommufd = (raw: Raw): number => raw.open("/dev/iommu")

/** The number of a new address space. */
export const allocateIoas = (raw: Raw, iommufd: number): number => {
  const answer = ask(raw, iommufd, ioctl.iommufd.allocateIoas, {})
  return typeof answer === "number" ? answer : answer.out_ioas_id
}

export interface Place {
  readonly ioas: number
  readonly memfd: number
  readonly iova: number
  readonly pages?: number
  /** The first page of the memfd. */
  readonly from?: number
}

export const map = (raw: Raw, iommufd: number, { from = 0, ioas, iova, memfd, pages = 1 }: Place): string =>
  outcome(raw, iommufd, ioctl.iommufd.mapFile, {
    flags: ioctl.IOMMU_IOAS_MAP_FIXED_IOVA | ioctl.IOMMU_IOAS_MAP_READABLE | ioctl.IOMMU_IOAS_MAP_WRITEABLE,
    ioas_id: ioas,
    fd: memfd,
    start: BigInt(from * PAGE),
    length: BigInt(pages * PAGE),
    iova: BigInt(iova)
  })

export const unmap = (raw: Raw, iommufd: number, place: Pick<Place, "ioas" | "iova" | "pages">): string =>
  outcome(raw, iommufd, ioctl.iommufd.unmap, {
    ioas_id: place.ioas,
    iova: BigInt(place.iova),
    length: BigInt((place.pages ?? 1) * PAGE)
  })

export const destroy = (raw: Raw, iommufd: number, id: number): string =>
  outcome(raw, iommufd, ioctl.iommufd.destroy, { id })

export const bind = (raw: Raw, device: number, iommufd: number): string =>
  outcome(raw, device, ioctl.vfio.bindIommufd, { iommufd })
export const attach = (raw: Raw, device: number, to: number): string =>
  outcome(raw, device, ioctl.vfio.attach, { pt_id: to })
export const detach = (raw: Raw, device: number): string => outcome(raw, device, ioctl.vfio.detach, {})
export const information = (raw: Raw, device: number): string => outcome(raw, device, ioctl.vfio.getInfo, {})

/** A device that is bound to an iommufd of its own. */
export const boundDevice = (raw: Raw, node: string) => {
  const iommufd = openIommufd(raw)
  const device = raw.open(node)
  return { iommufd, device, bound: bind(raw, device, iommufd) }
}

export const createVm = (raw: Raw): number => raw.requestNumber(raw.open("/dev/kvm"), ioctl.KVM_CREATE_VM, 0)

/** It began shared, and can be mapped, unless `flags` say otherwise. */
export const createMemory = (
  raw: Raw,
  vm: number,
  pages: number,
  flags = ioctl.GUEST_MEMFD_FLAG_MMAP | ioctl.GUEST_MEMFD_FLAG_INIT_SHARED
): number => {
  const request = ioctl.kvm.createGuestMemfd
  const argument = request.encode({ size: BigInt(pages * PAGE), flags: BigInt(flags) })
  return raw.request(vm, request.number, argument)
}
