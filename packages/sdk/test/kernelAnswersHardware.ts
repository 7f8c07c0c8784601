/** The part of `kernelAnswers.ts` that is about KVM, VFIO and iommufd. */
import type { Operation } from "../src/LiveUpdateError.ts"
import {
  type Answers,
  adopt,
  at,
  buffer,
  converted,
  descriptors,
  type KernelFunction,
  known,
  never,
  paths
} from "./kernelAnswer.ts"

const ioas = "drivers/iommu/iommufd/ioas.c"
const table = "drivers/iommu/iommufd/io_pagetable.c"
const hwpt = "drivers/iommu/iommufd/hw_pagetable.c"
const iommufd = "drivers/iommu/iommufd/main.c"
const iommuDevice = "drivers/iommu/iommufd/device.c"
const iommu = "drivers/iommu/iommu.c"
const cdev = "drivers/vfio/device_cdev.c"
const vfio = "drivers/vfio/vfio_main.c"
const kvm = "virt/kvm/kvm_main.c"

export const hardwareFunctions = {
  iommufd_fops_open: at(iommufd, "ENOMEM"),
  iommufd_fops_ioctl: at(iommufd, "ENOIOCTLCMD", "EINVAL"),
  _iommufd_object_alloc: at(iommufd, "ENOMEM"),
  iommufd_get_object: at(iommufd, "ENOENT"),
  iommufd_object_remove: at(iommufd, "ENOENT", "EBUSY"),
  iommufd_ctx_from_fd: at(iommufd, "EBADF", "EBADFD"),
  iommufd_ucmd_respond: at("drivers/iommu/iommufd/iommufd_private.h", "EFAULT"),
  iommufd_ioas_alloc_ioctl: at(ioas, "EOPNOTSUPP"),
  iommufd_ioas_map_file: at(ioas, "EOPNOTSUPP", "EOVERFLOW", "EINVAL"),
  iommufd_ioas_unmap: at(ioas, "EOVERFLOW", "ENOENT"),
  iommufd_hwpt_alloc: at(hwpt, "EOPNOTSUPP", "EINVAL"),
  iommufd_hwpt_paging_alloc: at(hwpt, "ENODEV", "EOPNOTSUPP"),
  iopt_map_file_pages: at(table, "EINVAL", "EOVERFLOW", "ENXIO", "EBADF"),
  iopt_alloc_area_pages: at(table, "ENOMEM", "EINVAL"),
  iopt_insert_area: at(table, "EPERM", "EINVAL", "EOVERFLOW"),
  iopt_check_iova: at(table, "EINVAL", "EOVERFLOW", "EEXIST"),
  iopt_alloc_iova: at(table, "EOVERFLOW", "EINVAL", "ENOSPC"),
  iopt_table_add_domain: at(table, "EEXIST", "EINVAL"),
  iopt_check_iova_alignment: at(table, "EADDRINUSE"),
  iopt_reserve_iova: at(table, "EADDRINUSE", "ENOMEM"),
  iopt_unmap_iova: at(table, "EINVAL", "EOVERFLOW"),
  iopt_unmap_iova_range: at(table, "EBUSY", "ENOENT", "EDEADLOCK"),
  incr_user_locked_vm: at("drivers/iommu/iommufd/pages.c", "ENOMEM"),
  pfn_reader_next: at("drivers/iommu/iommufd/pages.c", "EINVAL"),
  iommufd_bind_iommu: at(iommuDevice, "EINVAL", "EPERM"),
  iommufd_get_group: at(iommuDevice, "ENODEV"),
  iommufd_device_change_pt: at(iommuDevice, "EINVAL"),
  iommufd_device_do_replace: at(iommuDevice, "EINVAL"),
  iommufd_hw_pagetable_attach: at(iommuDevice, "ENOMEM", "EINVAL"),
  iommu_device_claim_dma_owner: at(iommu, "EINVAL", "ENODEV", "EPERM"),
  __iommu_take_dma_ownership: at(iommu, "EBUSY"),
  __iommu_attach_group: at(iommu, "EBUSY", "EINVAL"),
  __iommu_attach_device: at(iommu, "ENODEV"),
  vfio_device_fops_cdev_open: at(cdev, "ENODEV", "EPERM"),
  vfio_df_ioctl_bind_iommufd: at(cdev, "EINVAL", "EFAULT"),
  vfio_df_ioctl_attach_pt: at(cdev, "EFAULT", "EINVAL", "EOPNOTSUPP"),
  vfio_df_ioctl_detach_pt: at(cdev, "EFAULT", "EINVAL", "EOPNOTSUPP"),
  vfio_device_block_group: at("drivers/vfio/group.c", "EBUSY"),
  vfio_allocate_device_file: at(vfio, "ENOMEM"),
  vfio_df_open: at(vfio, "EINVAL"),
  vfio_df_device_first_open: at(vfio, "ENODEV"),
  vfio_device_fops_unl_ioctl: at(vfio, "EINVAL"),
  vfio_device_pm_runtime_get: at(vfio, "EIO"),
  vfio_pci_core_match_token_uuid: at("drivers/vfio/pci/vfio_pci_core.c", "EINVAL", "EACCES"),
  kvm_create_vm: at(kvm, "ENOMEM", "ENOENT"),
  kvm_dev_ioctl: at(kvm, "EINVAL"),
  kvm_enable_virtualization: at(kvm, "EBUSY"),
  kvm_enable_virtualization_cpu: at(kvm, "EIO"),
  kvm_vm_ioctl: at(kvm, "EIO", "EFAULT", "EINVAL"),
  kvm_arch_init_vm: at("arch/x86/kvm/x86.c", "EINVAL"),
  kvm_gmem_create: at("virt/kvm/guest_memfd.c", "EINVAL"),
  __kvm_gmem_create: at("virt/kvm/guest_memfd.c", "ENOMEM", "ENOENT")
} satisfies Readonly<Record<string, KernelFunction>>

const iommufdIoctl = [
  "iommufd_fops_ioctl",
  "vfs_ioctl",
  "ioctl(2)",
  "copy_struct_from_user",
  "iommufd_ucmd_respond"
] as const
const vfioIoctl = ["vfio_device_fops_unl_ioctl", "vfs_ioctl", "ioctl(2)", "vfio_device_pm_runtime_get"] as const
const bindIoctl = ["vfs_ioctl", "ioctl(2)", "copy_struct_from_user"] as const
const attaching = [
  "iommufd_get_object",
  "iommufd_hwpt_paging_alloc",
  "iopt_table_add_domain",
  "iopt_check_iova_alignment",
  "iopt_reserve_iova",
  "incr_user_locked_vm",
  "pfn_reader_next",
  "memfd_pin_folios"
] as const

/** An older kernel, which doesn't know the request or a field of it. */
const anyIoctl = {
  ENOIOCTLCMD: converted,
  ENOTTY: "Unsupported",
  EBADF: "HandleClosed",
  E2BIG: "Unsupported",
  EFAULT: buffer
} as const satisfies Answers["means"]

const vfioAnswers = {
  ENOTTY: "Unsupported",
  EBADF: "HandleClosed",
  EFAULT: buffer
} as const satisfies Answers["means"]

const driver = {
  ...paths,
  ENOENT: "DriverMissing",
  ENXIO: "DriverMissing",
  ENODEV: "DriverMissing"
} as const satisfies Answers["means"]

const opening = ["open(2)", "chrdev_open", "misc_open"] as const

type HardwareOperation = Extract<Operation, `${"iommufd" | "vfio" | "kvm"}.${string}`>

export const hardwareAnswers: Readonly<Record<HardwareOperation, Answers>> = {
  "iommufd.open": { reaches: [...opening, "iommufd_fops_open"], means: driver },
  "iommufd.adopt": adopt,
  "iommufd.allocate": {
    reaches: [...iommufdIoctl, "_iommufd_object_alloc", "iommufd_ioas_alloc_ioctl", "iommufd_hwpt_alloc", ...attaching],
    means: {
      ...anyIoctl,
      ENOMEM: "LimitReached",
      ENOENT: "ObjectNotFound",
      EOPNOTSUPP: "Unsupported",
      EINVAL: "PageTableRefused",
      EADDRINUSE: "PageTableRefused",
      ENODEV: "DeviceGone",
      EEXIST: never("a page table is added to its address space once")
    }
  },
  "iommufd.map": {
    reaches: [
      ...iommufdIoctl,
      "iommufd_ioas_map_file",
      "iommufd_get_object",
      "iopt_map_file_pages",
      "iopt_alloc_area_pages",
      "iopt_insert_area",
      "iopt_check_iova",
      "iopt_alloc_iova",
      "incr_user_locked_vm",
      "memfd_pin_folios"
    ],
    means: {
      ...anyIoctl,
      ENOENT: "ObjectNotFound",
      EOPNOTSUPP: "Unsupported",
      EOVERFLOW: "InvalidMapping",
      EINVAL: "InvalidMapping",
      EEXIST: "AddressInUse",
      ENOSPC: "LimitReached",
      ENOMEM: "LimitReached",
      ENXIO: never("it only says that the file is no dma-buf"),
      EPERM: never("a file's pages are as writable as the mapping asks for")
    }
  },
  "iommufd.unmap": {
    reaches: [...iommufdIoctl, "iommufd_ioas_unmap", "iommufd_get_object", "iopt_unmap_iova", "iopt_unmap_iova_range"],
    means: {
      ...anyIoctl,
      ENOENT: "ObjectNotFound",
      EBUSY: "MappingsFrozen",
      EINVAL: "InvalidMapping",
      EOVERFLOW: "InvalidMapping",
      EDEADLOCK: never("no device of the kernel's own has access to a vfio-pci device's memory")
    }
  },
  // Nothing is asked of the kernel.
  "iommufd.mark": { reaches: [], means: {} },
  "iommufd.destroy": {
    reaches: [...iommufdIoctl, "iommufd_object_remove"],
    means: { ...anyIoctl, ENOENT: "ObjectNotFound", EBUSY: "MappingsFrozen", EINVAL: known }
  },
  "vfio.find": { reaches: ["open(2)", "readlink(2)"], means: { ...paths, EINVAL: "WrongKind" } },
  "vfio.open": {
    reaches: ["open(2)", "chrdev_open", "vfio_device_fops_cdev_open", "vfio_allocate_device_file"],
    means: { ...driver, ENODEV: "DeviceGone" }
  },
  "vfio.adopt": adopt,
  "vfio.bind": {
    reaches: [
      ...bindIoctl,
      "vfio_df_ioctl_bind_iommufd",
      "vfio_device_block_group",
      "vfio_pci_core_match_token_uuid",
      "iommufd_ctx_from_fd",
      "vfio_df_open",
      "vfio_df_device_first_open",
      "_iommufd_object_alloc",
      "iommufd_bind_iommu",
      "iommufd_get_group",
      "iommu_device_claim_dma_owner",
      "__iommu_take_dma_ownership"
    ],
    means: {
      ...vfioAnswers,
      E2BIG: "Unsupported",
      ENOMEM: "LimitReached",
      EBUSY: "DeviceInUse",
      EINVAL: "BindRefused",
      EPERM: "NotIsolated",
      EACCES: "PermissionDenied",
      EBADFD: "WrongKind",
      ENODEV: "DeviceGone"
    }
  },
  "vfio.attach": {
    reaches: [
      ...vfioIoctl,
      "vfio_df_ioctl_attach_pt",
      "iommufd_device_change_pt",
      "iommufd_device_do_replace",
      "iommufd_hw_pagetable_attach",
      "_iommufd_object_alloc",
      "__iommu_attach_group",
      "__iommu_attach_device",
      ...attaching
    ],
    means: {
      ...vfioAnswers,
      ENOMEM: "LimitReached",
      ENOENT: "ObjectNotFound",
      EOPNOTSUPP: "Unsupported",
      EINVAL: "PageTableRefused",
      EADDRINUSE: "PageTableRefused",
      EBUSY: "DeviceInUse",
      ENODEV: "DeviceGone",
      EIO: "DeviceGone",
      EEXIST: never("a page table is added to its address space once")
    }
  },
  "vfio.detach": {
    reaches: [...vfioIoctl, "vfio_df_ioctl_detach_pt"],
    means: { ...vfioAnswers, EIO: "DeviceGone", EINVAL: "BindRefused", EOPNOTSUPP: known }
  },
  "kvm.open": { reaches: opening, means: driver },
  "kvm.create": {
    reaches: [
      "vfs_ioctl",
      "ioctl(2)",
      "kvm_dev_ioctl",
      "kvm_create_vm",
      "kvm_arch_init_vm",
      "kvm_enable_virtualization",
      "kvm_enable_virtualization_cpu",
      "alloc_fd",
      "alloc_empty_file"
    ],
    means: {
      ...descriptors,
      ENOTTY: "Unsupported",
      EBADF: "HandleClosed",
      EINVAL: "Unsupported",
      EBUSY: "DeviceInUse",
      EIO: "DriverMissing",
      ENOENT: never("a directory in debugfs that isn't there yet")
    }
  },
  "kvm.adopt": adopt,
  "kvm.createGuestMemfd": {
    reaches: [
      "vfs_ioctl",
      "ioctl(2)",
      "kvm_vm_ioctl",
      "kvm_gmem_create",
      "__kvm_gmem_create",
      "alloc_fd",
      "alloc_empty_file"
    ],
    means: {
      ...descriptors,
      ENOTTY: "Unsupported",
      EBADF: "HandleClosed",
      EFAULT: buffer,
      EINVAL: "Unsupported",
      EIO: "VmOfAnotherProcess",
      ENOENT: never("the module can't go while it has a VM")
    }
  }
}
