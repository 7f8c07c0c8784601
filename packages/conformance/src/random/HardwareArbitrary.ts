/** What there is to ask of iommufds, VFIO devices and KVM, at random. */
import * as FastCheck from "effect/FastCheck"
import { few, file, only } from "./Arbitrary.ts"
import type { Operation, Sequence } from "./Operation.ts"

const { constantFrom, record } = FastCheck

/** Numbers in an iommufd: of address spaces, page tables, devices. */
const number = constantFrom(1, 1, 1, 2, 2, 3, 4)
// Of whole pages: others, too, the kernel takes until a device is attached.
const iova = constantFrom(0x10000, 0x11000, 0x12000, 0x20000)
const pages = constantFrom(1, 1, 2)

export const iommufdOperations = [
  { weight: 4, arbitrary: record({ do: only("openIommufd") }) },
  { weight: 6, arbitrary: record({ do: only("allocateIoas"), iommufd: few }) },
  { weight: 8, arbitrary: record({ do: only("map"), iommufd: few, ioas: number, memory: few, iova, pages }) },
  { weight: 4, arbitrary: record({ do: only("unmap"), iommufd: few, ioas: number, iova, pages }) },
  { weight: 2, arbitrary: record({ do: only("destroy"), iommufd: few, object: number }) },
  {
    weight: 4,
    arbitrary: record({ do: only("guestRam"), pages: constantFrom(2, 3), sealed: constantFrom(true, true, false) })
  },
  // Memory stays as long as it may be mapped: what is mapped beyond its end the kernel finds only when a device is attached.
  { weight: 1, arbitrary: file("dupFile") },
  { weight: 1, arbitrary: file("reopenFile") },
  { weight: 2, arbitrary: file("closeFile") },
  { weight: 2, arbitrary: file("look") }
]

export const deviceOperations = [
  { weight: 4, arbitrary: record({ do: only("openDevice"), node: constantFrom("edu" as const, "nvme" as const) }) },
  { weight: 6, arbitrary: record({ do: only("bind"), device: few, iommufd: few }) },
  { weight: 4, arbitrary: record({ do: only("attach"), device: few, to: number }) },
  { weight: 2, arbitrary: record({ do: only("detach"), device: few }) },
  { weight: 2, arbitrary: record({ do: only("information"), device: few }) },
  { weight: 2, arbitrary: record({ do: only("createVm") }) },
  {
    weight: 3,
    arbitrary: record({
      do: only("createMemory"),
      vm: few,
      pages: constantFrom(0, 1, 4),
      flags: constantFrom(3, 3, 1, 0, 4)
    })
  }
]

/** What a VMM does; a sequence that begins with some of it comes far. */
const vmm: Sequence = [
  { do: "openIommufd" },
  { do: "allocateIoas", iommufd: 0 },
  { do: "guestRam", pages: 2, sealed: true },
  { do: "map", iommufd: 0, ioas: 1, memory: 0, iova: 0x10000, pages: 2 },
  { do: "openDevice", node: "edu" },
  { do: "bind", device: 0, iommufd: 0 },
  { do: "createVm" },
  { do: "createMemory", vm: 0, pages: 4, flags: 3 },
  { do: "create", name: "a" },
  ...[1, 0, 2, 3, 4].map((file): Operation => ({ do: "preserve", session: 0, file, token: String(file) }))
]

export const beginning: FastCheck.Arbitrary<Sequence> = FastCheck.nat(vmm.length).map((length) => vmm.slice(0, length))
