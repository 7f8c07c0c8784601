/**
 * Every ioctl that the SDK makes: its number, and the struct that goes with it. One table, held to the kernel's headers by
 * `packages/conformance/test/kernelHeaders.test.ts`.
 */
import { type Fields, type Struct, struct } from "./struct.ts"

export interface Request<F extends Fields> extends Struct<F> {
  readonly number: number
  /** The macro in the kernel's header. */
  readonly macro: string
}

const request = <F extends Fields>(macro: string, number: number, name: string, fields: F): Request<F> => ({
  macro,
  number,
  ...struct(name, fields)
})

/** LIVEUPDATE_SESSION_NAME_LENGTH, the terminating NUL included. */
export const SESSION_NAME_LENGTH = 64

/**
 * include/uapi/linux/liveupdate.h. Type 0xBA; `_IO` numbers carry no size, so every struct begins with its own. The first two
 * go to `/dev/liveupdate`, the others to a session.
 */
export const liveupdate = {
  createSession: request("LIVEUPDATE_IOCTL_CREATE_SESSION", 0xba00, "liveupdate_ioctl_create_session", {
    size: "length",
    fd: "s32",
    name: SESSION_NAME_LENGTH
  }),
  retrieveSession: request("LIVEUPDATE_IOCTL_RETRIEVE_SESSION", 0xba01, "liveupdate_ioctl_retrieve_session", {
    size: "length",
    fd: "s32",
    name: SESSION_NAME_LENGTH
  }),
  preserveFd: request("LIVEUPDATE_SESSION_PRESERVE_FD", 0xba40, "liveupdate_session_preserve_fd", {
    size: "length",
    fd: "s32",
    token: "u64"
  }),
  retrieveFd: request("LIVEUPDATE_SESSION_RETRIEVE_FD", 0xba41, "liveupdate_session_retrieve_fd", {
    size: "length",
    fd: "s32",
    token: "u64"
  }),
  finish: request("LIVEUPDATE_SESSION_FINISH", 0xba42, "liveupdate_session_finish", {
    size: "length",
    reserved: "u32"
  }),
  getName: request("LIVEUPDATE_SESSION_GET_NAME", 0xba43, "liveupdate_session_get_name", {
    size: "length",
    reserved: "u32",
    name: SESSION_NAME_LENGTH
  })
} as const

/** include/uapi/linux/iommufd.h. Type ';' (0x3b), `_IO` numbers from 0x80. */
export const iommufd = {
  destroy: request("IOMMU_DESTROY", 0x3b80, "iommu_destroy", { size: "length", id: "u32" }),
  allocateIoas: request("IOMMU_IOAS_ALLOC", 0x3b81, "iommu_ioas_alloc", {
    size: "length",
    flags: "u32",
    out_ioas_id: "u32"
  }),
  unmap: request("IOMMU_IOAS_UNMAP", 0x3b86, "iommu_ioas_unmap", {
    size: "length",
    ioas_id: "u32",
    iova: "u64",
    length: "u64"
  }),
  allocateHwpt: request("IOMMU_HWPT_ALLOC", 0x3b89, "iommu_hwpt_alloc", {
    size: "length",
    flags: "u32",
    dev_id: "u32",
    pt_id: "u32",
    out_hwpt_id: "u32",
    __reserved: "u32",
    data_type: "u32",
    data_len: "u32",
    data_uptr: "u64",
    fault_id: "u32",
    __reserved2: "u32"
  }),
  mapFile: request("IOMMU_IOAS_MAP_FILE", 0x3b8f, "iommu_ioas_map_file", {
    size: "length",
    flags: "u32",
    ioas_id: "u32",
    fd: "s32",
    start: "u64",
    length: "u64",
    iova: "u64"
  })
} as const

/** enum iommufd_ioas_map_flags */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 0x1
export const IOMMU_IOAS_MAP_WRITEABLE = 0x2
export const IOMMU_IOAS_MAP_READABLE = 0x4

/** include/uapi/linux/vfio.h. Type ';' (0x3b), `_IO` numbers from 100. */
export const vfio = {
  getInfo: request("VFIO_DEVICE_GET_INFO", 0x3b6b, "vfio_device_info", {
    argsz: "length",
    flags: "u32",
    num_regions: "u32",
    num_irqs: "u32",
    cap_offset: "u32",
    pad: "u32"
  }),
  bindIommufd: request("VFIO_DEVICE_BIND_IOMMUFD", 0x3b76, "vfio_device_bind_iommufd", {
    argsz: "length",
    flags: "u32",
    iommufd: "s32",
    out_devid: "u32",
    token_uuid_ptr: "u64"
  }),
  attach: request("VFIO_DEVICE_ATTACH_IOMMUFD_PT", 0x3b77, "vfio_device_attach_iommufd_pt", {
    argsz: "length",
    flags: "u32",
    pt_id: "u32",
    pasid: "u32"
  }),
  detach: request("VFIO_DEVICE_DETACH_IOMMUFD_PT", 0x3b78, "vfio_device_detach_iommufd_pt", {
    argsz: "length",
    flags: "u32",
    pasid: "u32"
  })
} as const

/** include/uapi/linux/kvm.h. Type 0xAE; `_IOWR` numbers carry the size of their struct. */
export const kvm = {
  createGuestMemfd: request("KVM_CREATE_GUEST_MEMFD", 0xc040aed4, "kvm_create_guest_memfd", {
    size: "u64",
    flags: "u64",
    reserved: 48
  })
} as const

/** Requests whose argument is a number and no struct (include/uapi/linux/kvm.h). */
export const KVM_CREATE_VM = 0xae01
export const KVM_CHECK_EXTENSION = 0xae03

export const KVM_CAP_GUEST_MEMFD = 234
export const KVM_CAP_GUEST_MEMFD_FLAGS = 244
export const GUEST_MEMFD_FLAG_MMAP = 0x1
export const GUEST_MEMFD_FLAG_INIT_SHARED = 0x2

export const CREATE_SESSION = liveupdate.createSession.number
export const RETRIEVE_SESSION = liveupdate.retrieveSession.number
export const PRESERVE_FD = liveupdate.preserveFd.number
export const RETRIEVE_FD = liveupdate.retrieveFd.number
export const FINISH = liveupdate.finish.number
export const GET_NAME = liveupdate.getName.number

/** struct liveupdate_ioctl_create_session and …_retrieve_session: u32 size, s32 fd (out), u8 name[64]; 72 bytes. */
export const sessionArgument = (name: string): Buffer => liveupdate.createSession.encode({ fd: -1, name })

/** struct liveupdate_session_preserve_fd and …_retrieve_fd: u32 size, s32 fd (in or out), u64 token; 16 bytes. */
export const fileArgument = (fd: number, token: bigint): Buffer => liveupdate.preserveFd.encode({ fd, token })

/** Where both structs above return a file descriptor. */
export const returnedFd = (argument: Buffer): number => argument.readInt32LE(fdOffset)

const fdOffset = liveupdate.preserveFd.offsetOf("fd")

/** struct liveupdate_session_finish: u32 size, u32 reserved (0); 8 bytes. */
export const finishArgument = (): Buffer => liveupdate.finish.encode({})

/** struct liveupdate_session_get_name: u32 size, u32 reserved (0), u8 name[64] (out); 72 bytes. */
export const getNameArgument = (): Buffer => liveupdate.getName.encode({})

export const returnedName = (argument: Buffer): string => liveupdate.getName.decode(argument).name
