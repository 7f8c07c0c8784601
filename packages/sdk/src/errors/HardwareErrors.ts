/**
 * Answers of the drivers whose files a VMM holds: KVM, VFIO, iommufd.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

/** What brings the driver of a kind of file. */
const drivers: Readonly<Record<string, string>> = {
  iommufd: "Load the module iommufd, or build the kernel with CONFIG_IOMMUFD",
  vfio: "Build the kernel with CONFIG_VFIO_PCI and CONFIG_VFIO_DEVICE_CDEV, and bind the device to vfio-pci: write vfio-pci to its driver_override, unbind it, write its address to /sys/bus/pci/drivers_probe",
  kvm_vm: "Load kvm_intel or kvm_amd (CONFIG_KVM), and see that the firmware leaves virtualization on"
}

/**
 * The driver behind this kind of file isn't there, or doesn't have the device (ENOENT, ENXIO, EOPNOTSUPP when it is opened).
 *
 * @since 0.1.0
 * @category errors
 */
export class DriverMissing extends Schema.TaggedError<DriverMissing>()("DriverMissing", origin) {
  get next(): string {
    return drivers[this.kind ?? ""] ?? "Load the driver's module, or build a kernel that has it"
  }
  override get message(): string {
    return sentence(this, "There is no driver for it")
  }
}

/**
 * Somebody else has the device (EBUSY): its group is open through `/dev/vfio/GROUP` (`vfio_device_block_group` in
 * `drivers/vfio/group.c`), another iommufd or driver owns the DMA of its IOMMU group (`iommu_device_claim_dma_owner`), or another
 * hypervisor the processor's virtualization (`kvm_enable_virtualization`). With the proposed handler also: it is preserved, and can't
 * be attached to anything else, or it came through a handover and only its session opens it.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceInUse extends Schema.TaggedError<DeviceInUse>()("DeviceInUse", origin) {
  get next(): string {
    return "Find who has it, or another device of its IOMMU group: fuser -v /dev/vfio/* /dev/vfio/devices/* /dev/kvm"
  }
  override get message(): string {
    return sentence(this, "Somebody else has the device")
  }
}

/**
 * The device has been taken away or its driver unbound (ENODEV), or it doesn't wake up (EIO). With the proposed handler also: a jump
 * has reset it and then failed (EIO); it works again when it is closed and opened anew.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceGone extends Schema.TaggedError<DeviceGone>()("DeviceGone", origin) {
  get next(): string {
    return "Look at the kernel log; plug it in and bind it again"
  }
  override get message(): string {
    return sentence(this, "The device is gone")
  }
}

/**
 * The device can't be bound to this iommufd (EINVAL): it is bound already, through this descriptor or another
 * (`vfio_df_open` in `drivers/vfio/vfio_main.c`), or its DMA isn't cache coherent (`iommufd_bind_iommu` in
 * `drivers/iommu/iommufd/device.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class BindRefused extends Schema.TaggedError<BindRefused>()("BindRefused", origin) {
  get next(): string {
    return "A device is bound once, through one descriptor; adopt that one from the process that has it"
  }
  override get message(): string {
    return sentence(this, "The device can't be bound to this iommufd")
  }
}

/**
 * The device can't be kept apart from others (EPERM): another iommufd has a device of its IOMMU group
 * (`iommu_device_claim_dma_owner` in `drivers/iommu/iommu.c`), or its interrupts are not isolated and a guest could raise some that
 * aren't its own (`iommufd_bind_iommu`).
 *
 * @since 0.1.0
 * @category errors
 */
export class NotIsolated extends Schema.TaggedError<NotIsolated>()("NotIsolated", origin) {
  get next(): string {
    return "Bind all devices of its IOMMU group to one iommufd (ls /sys/bus/pci/devices/ADDRESS/iommu_group/devices), and switch interrupt remapping on (CONFIG_IRQ_REMAP, intremap=on) or accept that there is none (iommufd.allow_unsafe_interrupts=1)"
  }
  override get message(): string {
    return sentence(this, "The device can't be kept apart from others")
  }
}

/**
 * The page table doesn't fit the device, or the other devices of its IOMMU group (EINVAL).
 *
 * @since 0.1.0
 * @category errors
 */
export class PageTableRefused extends Schema.TaggedError<PageTableRefused>()("PageTableRefused", origin) {
  get next(): string {
    return "Allocate a page table for this device, or attach the IOAS and let the kernel choose"
  }
  override get message(): string {
    return sentence(this, "The page table does not fit the device")
  }
}

/**
 * The mappings can't be changed now (EBUSY): the iommufd is preserved, or an object of it still needs the range
 * (`iopt_unmap_iova_range` in `drivers/iommu/iommufd/io_pagetable.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class MappingsFrozen extends Schema.TaggedError<MappingsFrozen>()("MappingsFrozen", origin) {
  get next(): string {
    return "Map before it is preserved, or after its session was closed or finished"
  }
  override get message(): string {
    return sentence(this, "The mappings can't be changed now: the iommufd is preserved, or they are in use")
  }
}

/**
 * Something is mapped at these addresses already (EEXIST).
 *
 * @since 0.1.0
 * @category errors
 */
export class AddressInUse extends Schema.TaggedError<AddressInUse>()("AddressInUse", origin) {
  get next(): string {
    return "Unmap it, choose other addresses, or let the kernel choose (no iova)"
  }
  override get message(): string {
    return sentence(this, "Something is mapped at these addresses")
  }
}

/**
 * No mapping can be made of this (EINVAL, EOVERFLOW): addresses, offset or length are no multiples of the IOMMU's page size, lie in
 * a range that the hardware reserves or beyond its reach, or the file is no memfd (`iopt_check_iova`,
 * `memfd_pin_folios`).
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidMapping extends Schema.TaggedError<InvalidMapping>()("InvalidMapping", origin) {
  get next(): string {
    return "Use multiples of 4096 bytes outside the device's reserved regions (/sys/bus/pci/devices/*/iommu_group/reserved_regions)"
  }
  override get message(): string {
    return sentence(this, "No mapping can be made of this")
  }
}

/**
 * The iommufd has no object of this number, or no whole mapping at this address (ENOENT).
 *
 * @since 0.1.0
 * @category errors
 */
export class ObjectNotFound extends Schema.TaggedError<ObjectNotFound>()("ObjectNotFound", origin) {
  get next(): string {
    return "Use an IOAS, a page table or a mapping inside the scope that made it; unmap as it was mapped"
  }
  override get message(): string {
    return sentence(this, "The iommufd has nothing there")
  }
}

/**
 * The VM belongs to another process (EIO from `kvm_vm_ioctl` in `virt/kvm/kvm_main.c`): one that was adopted can be preserved, but
 * only the process that created it may change it.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmOfAnotherProcess extends Schema.TaggedError<VmOfAnotherProcess>()("VmOfAnotherProcess", origin) {
  get next(): string {
    return "Let the process that created the VM do it, and adopt what it makes"
  }
  override get message(): string {
    return sentence(this, "The VM belongs to another process")
  }
}
