/** Devices of a guest. */
import * as E from "../../src/LiveUpdateError.ts"
import { at, type Sections } from "./Section.ts"

export const device = {
  MappingsFrozen: {
    group: "device",
    who: "the program: the iommufd is preserved, or the range is in use",
    again: "not while its session lasts",
    examples: [["", new E.MappingsFrozen(at("iommufd.map", "EBUSY"))]]
  },
  DriverMissing: {
    group: "device",
    who: "the host: a module isn't loaded, or the device is bound to another driver",
    again: "yes, after that",
    unasked: "`VfioDevice.find`",
    examples: [
      ["iommufd", new E.DriverMissing(at("iommufd.open", "ENOENT", "iommufd"))],
      ["vfio", new E.DriverMissing(at("vfio.open", "ENOENT", "vfio"))],
      ["kvm_vm", new E.DriverMissing(at("kvm.open", "ENOENT", "kvm_vm"))]
    ]
  },
  DeviceInUse: {
    group: "device",
    who: "another process or driver",
    again: "yes, when it has let go",
    examples: [["", new E.DeviceInUse(at("vfio.bind", "EBUSY", "vfio"))]]
  },
  DeviceGone: {
    group: "device",
    who: "the hardware, or whoever unbound it",
    again: "yes, when it is back",
    examples: [["", new E.DeviceGone(at("vfio.bind", "ENODEV", "vfio"))]]
  },
  BindRefused: {
    group: "device",
    who: "the program: the device is bound already; or the hardware",
    again: "no",
    examples: [["", new E.BindRefused(at("vfio.bind", "EINVAL", "vfio"))]]
  },
  NotIsolated: {
    group: "device",
    who: "the host: which devices share an IOMMU group, and interrupt remapping",
    again: "no, not before that is changed",
    examples: [["", new E.NotIsolated(at("vfio.bind", "EPERM", "vfio"))]]
  },
  PageTableRefused: {
    group: "device",
    who: "the program: it attaches a page table to a device of another IOMMU",
    again: "no",
    examples: [["", new E.PageTableRefused(at("vfio.attach", "EINVAL", "vfio"))]]
  },
  VmOfAnotherProcess: {
    group: "device",
    who: "the program: KVM lets only the process that created a VM change it",
    again: "no",
    examples: [["", new E.VmOfAnotherProcess(at("kvm.createGuestMemfd", "EIO", "kvm_vm"))]]
  }
} satisfies Partial<Sections>
