/** What a program may ask of iommufds, VFIO devices and KVM. */
import * as Hardware from "../Hardware.ts"
import { type Raw, said } from "../Raw.ts"
import type { Files, Index } from "./Files.ts"

/** Numbers of address spaces are given by the iommufd, from 1 on; a wrong one is as good a question. */
export type HardwareOperation =
  | { readonly do: "openIommufd" | "createVm" }
  | { readonly do: "openDevice"; readonly node: keyof typeof Hardware.nodes }
  | { readonly do: "allocateIoas"; readonly iommufd: Index }
  | {
      readonly do: "map"
      readonly iommufd: Index
      readonly ioas: number
      readonly memory: Index
      readonly iova: number
      readonly pages: number
    }
  | {
      readonly do: "unmap"
      readonly iommufd: Index
      readonly ioas: number
      readonly iova: number
      readonly pages: number
    }
  | { readonly do: "destroy"; readonly iommufd: Index; readonly object: number }
  | { readonly do: "bind"; readonly device: Index; readonly iommufd: Index }
  | { readonly do: "attach"; readonly device: Index; readonly to: number }
  | { readonly do: "detach" | "information"; readonly device: Index }
  | { readonly do: "createMemory"; readonly vm: Index; readonly pages: number; readonly flags: number }
  /** Of a guest: more pages than one, and sealed before it is mapped, or not. */
  | { readonly do: "guestRam"; readonly pages: number; readonly sealed: boolean }

const named = (id: number): string => (id < 0 ? said(id) : `number ${id}`)

export const apply = (raw: Raw, files: Files, operation: HardwareOperation): string => {
  switch (operation.do) {
    case "openIommufd":
      return files.keep("iommufd", Hardware.openIommufd(raw))
    case "openDevice":
      return files.keep("device", raw.open(Hardware.nodes[operation.node]))
    case "createVm":
      return files.keep("vm", Hardware.createVm(raw))
    case "createMemory":
      return files.keep(
        "memory",
        Hardware.createMemory(raw, files.pick("vm", operation.vm), operation.pages, operation.flags)
      )
    case "guestRam":
      return files.keep("memfd", (operation.sealed ? Hardware.sealedMemory : Hardware.memory)(raw, operation.pages))
    case "allocateIoas":
      return named(Hardware.allocateIoas(raw, files.pick("iommufd", operation.iommufd)))
    case "map": {
      // Whether a file has pages at all the kernel finds only when a device is attached; the model says so at once.
      const memfd = files.pickOnly("memfd", operation.memory)
      return Hardware.map(raw, files.pick("iommufd", operation.iommufd), { ...operation, memfd })
    }
    case "unmap":
      return Hardware.unmap(raw, files.pick("iommufd", operation.iommufd), operation)
    case "destroy":
      return Hardware.destroy(raw, files.pick("iommufd", operation.iommufd), operation.object)
    case "bind":
      return Hardware.bind(raw, files.pick("device", operation.device), files.pick("iommufd", operation.iommufd))
    case "attach":
      return Hardware.attach(raw, files.pick("device", operation.device), operation.to)
    case "detach":
      return Hardware.detach(raw, files.pick("device", operation.device))
    case "information":
      return Hardware.information(raw, files.pick("device", operation.device))
  }
}
