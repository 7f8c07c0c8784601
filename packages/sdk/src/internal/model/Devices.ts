import type { PciDevice } from "../../SimulatedHost.ts"
import type { SystemCalls } from "../Kernel.ts"
import type { FileHandler } from "./FileHandler.ts"
import * as GuestMemfdHandler from "./GuestMemfdHandler.ts"
import * as IommufdHandler from "./IommufdHandler.ts"
import * as KvmVmHandler from "./KvmVmHandler.ts"
import * as PciBus from "./PciBus.ts"
import type { Specials } from "./Specials.ts"
import * as VfioHandler from "./VfioHandler.ts"

/** The drivers of one kernel whose files go through a handover, and where they are found. */
export interface Devices {
  readonly iommufds: IommufdHandler.Iommufds
  readonly vfio: VfioHandler.VfioDevices
  readonly vms: KvmVmHandler.KvmVms
  readonly memories: GuestMemfdHandler.GuestMemories
  readonly handlers: ReadonlyArray<FileHandler>
  readonly bus: PciBus.PciBus
  /** open(2): a descriptor, a negated errno, or nothing when the path is none of theirs. */
  readonly open: (path: string) => number | undefined
  /** The kernel is no more: lets go of the references that it has to other files. */
  readonly end: () => void
}

const VFIO_NODES = "/dev/vfio/"

export const make = (real: SystemCalls, specials: Specials, pciDevices: ReadonlyArray<PciDevice>): Devices => {
  const bus = PciBus.make(pciDevices)
  const memories = GuestMemfdHandler.make(real, specials)
  const vms = KvmVmHandler.make(real, specials, memories.create)
  const iommufds = IommufdHandler.make(real, specials)
  const vfio = VfioHandler.make(real, specials, bus, iommufds)
  return {
    iommufds,
    vfio,
    vms,
    memories,
    handlers: [iommufds.handler, vfio.handler, vms.handler, memories.handler],
    bus,
    open: (path) => {
      if (path === IommufdHandler.path) return iommufds.open()
      if (path === KvmVmHandler.path) return vms.open()
      return path.startsWith(VFIO_NODES) ? vfio.open(path) : undefined
    },
    end: iommufds.end
  }
}
