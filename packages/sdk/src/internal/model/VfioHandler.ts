import { EBADF, EBADFD, EBUSY, EINVAL, EIO, ENODEV, ENOENT, ENOTTY, ENXIO, EOPNOTSUPP, EPERM } from "../errno.ts"
import * as ioctl from "../ioctl.ts"
import type { SystemCalls } from "../Kernel.ts"
import { dispatch, withStruct } from "./DeviceRequest.ts"
import type { FileHandler, IncomingFiles } from "./FileHandler.ts"
import type { IommufdContext } from "./IommufdContext.ts"
import type { Iommufds } from "./IommufdHandler.ts"
import type { PciBus, PciFunction } from "./PciBus.ts"
import { type Special, type Specials, table } from "./Specials.ts"

/** An open character device: `struct vfio_device_file` (drivers/vfio/vfio.h). */
interface DeviceFile {
  /** Different for every one of a kernel. */
  readonly name: string
  readonly pci: PciFunction
  bound: { readonly iommufd: IommufdContext; readonly id: number } | undefined
  /** Whether it may be bound to this iommufd; absent, to any. */
  mayBind?: (iommufd: IommufdContext) => boolean
  isPreserved: boolean
  /** The jump has reset the device under it (`liveupdate_frozen`), whether there was a jump then or not. */
  isReset: boolean
}

/**
 * The VFIO devices of one kernel (`drivers/vfio/device_cdev.c`, `drivers/vfio/vfio_main.c`), and the handler that is proposed for
 * them (`drivers/vfio/pci/vfio_pci_liveupdate.c`).
 */
export interface VfioDevices {
  readonly handler: FileHandler
  /** A descriptor of the device behind a node, or a negated errno. */
  readonly open: (node: string) => number
  /** The previous kernel has preserved it: it is opened by its session alone, until that is finished. */
  readonly expect: (address: string) => void
  readonly settle: (address: string) => void
  /** A device that comes through a handover. */
  readonly comeBack: (address: string, mayBind: (iommufd: IommufdContext) => boolean) => number
  readonly isBound: (fd: number) => boolean
}

// include/uapi/linux/vfio.h: VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_FLAGS_PCI, VFIO_PCI_NUM_REGIONS, VFIO_PCI_NUM_IRQS.
const INFO = { flags: 0x1 | 0x2, num_regions: 9, num_irqs: 5 } as const
const VFIO_DEVICE_ATTACH_PASID = 0x1

export const make = (real: SystemCalls, specials: Specials, bus: PciBus, iommufds: Iommufds): VfioDevices => {
  const files = table<DeviceFile>(specials)
  /** Addresses of devices that are bound through one of their files. */
  const inUse = new Set<string>()
  const incoming = new Set<string>()
  let count = 0

  const { find } = files

  /** `vfio_df_ioctl_bind_iommufd` */
  const bind = (file: DeviceFile) =>
    withStruct(ioctl.vfio.bindIommufd, (given) => {
      const { address } = file.pci.device
      if (given.iommufd < 0 || given.flags !== 0 || file.bound !== undefined) return -EINVAL
      if (typeof real.status(given.iommufd) === "number") return -EBADF
      const iommufd = iommufds.find(given.iommufd)
      if (iommufd === undefined) return -EBADFD
      if (inUse.has(address)) return -EINVAL
      // The proposed iommufd handler makes the iommufd that it preserves the owner of the device's DMA. What it answers to
      // another one isn't known: what `iommu_device_claim_dma_owner` (drivers/iommu/iommu.c) says to everybody but the owner.
      if (file.mayBind?.(iommufd) === false) return -EPERM
      inUse.add(address)
      file.bound = { iommufd, id: iommufd.bind() }
      return { out_devid: file.bound.id }
    })

  /** A preserved device stays where it is: `iommufd_device_is_preserved` in the series for the IOMMU. */
  const attach = (file: DeviceFile) =>
    withStruct(ioctl.vfio.attach, ({ flags, pt_id }) => {
      if ((flags & ~VFIO_DEVICE_ATTACH_PASID) !== 0 || file.bound === undefined) return -EINVAL
      if (flags !== 0) return -EOPNOTSUPP
      if (file.isPreserved) return -EBUSY
      const table = file.bound.iommufd.attach(file.bound.id, pt_id)
      return table < 0 ? table : { pt_id: table }
    })
  const detach = (file: DeviceFile) =>
    withStruct(ioctl.vfio.detach, ({ flags }) => {
      if ((flags & ~VFIO_DEVICE_ATTACH_PASID) !== 0 || file.bound === undefined) return -EINVAL
      if (flags !== 0) return -EOPNOTSUPP
      if (file.isPreserved) return -EBUSY
      file.bound.iommufd.detach(file.bound.id)
      return 0
    })

  const unbind = (file: DeviceFile): void => {
    if (file.bound === undefined) return
    inUse.delete(file.pci.device.address)
    file.bound.iommufd.unbind(file.bound.id)
    file.bound = undefined
  }

  const openFile = (pci: PciFunction, link: string, reopen: () => number, mayBind?: DeviceFile["mayBind"]): number =>
    specials.open(() => {
      const file: DeviceFile = {
        name: `vfio ${count++}`,
        pci,
        bound: undefined,
        isPreserved: false,
        isReset: false,
        ...(mayBind === undefined ? {} : { mayBind })
      }
      const bindRequest = bind(file)
      const requests = [bindRequest, attach(file), detach(file), withStruct(ioctl.vfio.getInfo, () => INFO)]
      const special: Special = {
        // `vfio_device_fops_unl_ioctl`: nothing but BIND before it is bound.
        ioctl: (request, argument) => {
          if (file.isReset) return -EIO
          if (file.bound === undefined && request !== bindRequest.number) return -EINVAL
          return dispatch(requests, -ENOTTY, request, argument)
        },
        reopen,
        unreadable: -EINVAL,
        release: () => unbind(file),
        link,
        // `vfio_device_show_fdinfo`
        information: `vfio-device-syspath: ${pci.path}\n`
      }
      return files.enter(special, file)
    })
  const open = (node: string): number => {
    const pci = bus.behind(node)
    if (pci === undefined) return -ENOENT
    return incoming.has(pci.device.address) ? -EBUSY : openFile(pci, node, () => open(node))
  }

  /** `vfio_pci_liveupdate_freeze` */
  const freeze = (file: DeviceFile): number => {
    const { interruptsOn, powerState } = file.pci.device
    if (interruptsOn?.() === true || (powerState?.() ?? "D0") !== "D0") return -EINVAL
    file.isReset = true
    return 0
  }

  /** The address, and the token of its iommufd. */
  const handedOver = (address: string, iommufdToken: bigint) => {
    let fd = -1
    let devices: IncomingFiles["devices"] | undefined
    return {
      arrive: (next: IncomingFiles["devices"]) => {
        devices = next
        next.vfio.expect(address)
      },
      retrieve: (session: IncomingFiles) => {
        fd = session.devices.vfio.comeBack(address, ({ name }) => session.retrievedAt(iommufdToken) === name)
        return fd
      },
      // `vfio_pci_liveupdate_can_finish`
      canFinish: (retrieved: boolean) => retrieved && devices?.vfio.isBound(fd) === true,
      // `pci_liveupdate_finish`
      finish: () => devices?.vfio.settle(address)
    }
  }

  return {
    open,
    expect: (address) => incoming.add(address),
    settle: (address) => void incoming.delete(address),
    comeBack: (address, mayBind) => {
      const pci = bus.at(address)
      // `vfio_device_liveupdate_cdev_open`: a file without a node.
      return pci?.node === undefined
        ? -ENODEV
        : openFile(pci, "anon_inode:[vfio-device-liveupdate]", () => -ENXIO, mayBind)
    },
    isBound: (fd) => find(fd)?.bound !== undefined,
    handler: {
      compatible: "vfio-pci-v1",
      // `vfio_pci_liveupdate_can_preserve`: bound (`vfio_device_cdev_opened`), vfio-pci itself, no virtual function.
      canPreserve: (fd) => {
        const file = find(fd)
        return file?.bound !== undefined && file.pci.driver === "vfio-pci" && file.pci.device.virtualFunction !== true
      },
      identify: (fd) => find(fd)?.name ?? `closed:${fd}`,
      /**
       * `iommufd_device_preserve` looks for the token of the iommufd in the session, and only for a device that is attached. A device
       * that isn't would come back without the iommufd that it needs, so here it is looked for in any case.
       */
      preserve: (fd, session) => {
        const file = find(fd)
        if (file?.bound === undefined) return -EINVAL
        const iommufdToken = session.tokenOf(file.bound.iommufd.name)
        if (iommufdToken === undefined) return -ENOENT
        file.isPreserved = true
        return {
          unpreserve: () => {
            file.isPreserved = false
          },
          freeze: () => freeze(file),
          handOver: () => {
            real.close(fd)
            return handedOver(file.pci.device.address, iommufdToken)
          }
        }
      }
    }
  }
}
