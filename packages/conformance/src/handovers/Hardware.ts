import { MADV_POPULATE_WRITE } from "../../../sdk/src/internal/uapi.ts"
import {
  allocateIoas,
  attach,
  bind,
  boundDevice,
  createMemory,
  createVm,
  destroy,
  information,
  map,
  memory,
  nodes,
  openIommufd,
  PAGE,
  sealedMemory,
  unmap
} from "../Hardware.ts"
import { said } from "../Raw.ts"
import { handover } from "../Scenario.ts"

/** For kernels that have handlers for files other than memfds. */
export const hardware = [
  handover(
    "An iommufd comes back with its address spaces, their numbers, and what was mapped into them; it is frozen until the finish.",
    {
      before: { memfd: "ok", iommufd: "ok" },
      after: {
        unretrieved: "EBUSY",
        map: "EBUSY",
        unmap: "EBUSY",
        destroy: "EBUSY",
        noSuchSpace: "ENOENT",
        again: "EBUSY",
        finish: "ok",
        there: "EEXIST",
        thereToo: "EEXIST",
        free: "ok",
        unmapped: "ok",
        inTheOther: "ok"
      }
    },
    (raw) => {
      const iommufd = openIommufd(raw)
      // The first number is not used by what goes along.
      const gone = allocateIoas(raw, iommufd)
      const ioas = allocateIoas(raw, iommufd)
      allocateIoas(raw, iommufd)
      destroy(raw, iommufd, gone)
      const memfd = sealedMemory(raw, 4)
      map(raw, iommufd, { ioas, memfd, iova: 0x10000, pages: 1, from: 3 })
      map(raw, iommufd, { ioas, memfd, iova: 0x20000, pages: 2 })
      const session = raw.create("spaces")
      return {
        memfd: said(raw.preserve(session, memfd, 1n)),
        iommufd: said(raw.preserve(session, iommufd, 2n))
      }
    },
    (raw) => {
      const [ioas, other] = [2, 3]
      const session = raw.retrieveSession("spaces")
      const unretrieved = said(raw.finish(session))
      const iommufd = raw.retrieve(session, 2n)
      const memfd = raw.retrieve(session, 1n)
      const managed = {
        unretrieved,
        map: map(raw, iommufd, { ioas, memfd, iova: 0x30000 }),
        unmap: unmap(raw, iommufd, { ioas, iova: 0x10000 }),
        destroy: destroy(raw, iommufd, other),
        noSuchSpace: unmap(raw, iommufd, { ioas: 1, iova: 0 }),
        again: said(raw.preserve(raw.create("spaces-again"), iommufd, 1n))
      }
      return {
        ...managed,
        finish: said(raw.finish(session)),
        there: map(raw, iommufd, { ioas, memfd, iova: 0x10000 }),
        thereToo: map(raw, iommufd, { ioas, memfd, iova: 0x21000 }),
        free: map(raw, iommufd, { ioas, memfd, iova: 0x11000 }),
        unmapped: unmap(raw, iommufd, { ioas, iova: 0x20000, pages: 2 }),
        inTheOther: map(raw, iommufd, { ioas: other, memfd, iova: 0x10000 })
      }
    }
  ),
  handover(
    "A VFIO device comes back to its own iommufd; its session is finished when it is bound, and nobody else opens it before.",
    {
      before: { bound: "ok", attached: "ok", memfd: "ok", iommufd: "ok", device: "ok" },
      after: {
        node: "EBUSY",
        other: "ok",
        information: "EINVAL",
        again: "EBUSY",
        unbound: "EBUSY",
        foreign: "EPERM",
        bound: "ok",
        works: "ok",
        attached: "ok",
        finish: "ok",
        nodeAfter: "ok",
        preservedAgain: "ok"
      }
    },
    (raw) => {
      const { bound, device, iommufd } = boundDevice(raw, nodes.edu)
      const ioas = allocateIoas(raw, iommufd)
      const memfd = sealedMemory(raw, 2)
      map(raw, iommufd, { ioas, memfd, iova: 0x100000, pages: 2 })
      const attached = attach(raw, device, ioas)
      const session = raw.create("passed-through")
      return {
        bound,
        attached,
        memfd: said(raw.preserve(session, memfd, 1n)),
        iommufd: said(raw.preserve(session, iommufd, 2n)),
        device: said(raw.preserve(session, device, 3n))
      }
    },
    (raw) => {
      const node = said(raw.open(nodes.edu))
      const other = said(raw.open(nodes.nvme))
      const session = raw.retrieveSession("passed-through")
      const device = raw.retrieve(session, 3n)
      const memfd = raw.retrieve(session, 1n)
      const before = {
        node,
        other,
        information: information(raw, device),
        again: said(raw.preserve(raw.create("passed-again"), memfd, 1n)),
        unbound: said(raw.finish(session)),
        foreign: bind(raw, device, openIommufd(raw))
      }
      const iommufd = raw.retrieve(session, 2n)
      const after = {
        bound: bind(raw, device, iommufd),
        works: information(raw, device),
        // The device took the first number of its iommufd.
        attached: attach(raw, device, 2),
        finish: said(raw.finish(session)),
        nodeAfter: said(raw.open(nodes.edu))
      }
      const again = raw.create("passed-again-too")
      raw.preserve(again, memfd, 1n)
      raw.preserve(again, iommufd, 2n)
      return { ...before, ...after, preservedAgain: said(raw.preserve(again, device, 3n)) }
    }
  ),
  handover(
    "A VM comes back, and its memory with it, pages and holes; a page that wasn't there can come now.",
    {
      before: { vm: "ok", memory: "ok" },
      after: { memory: "ok", vm: "ok", managed: "EBUSY", first: "ok", second: "ok", allocates: "ok", finish: "ok" }
    },
    async (raw) => {
      const vm = createVm(raw)
      const fd = createMemory(raw, vm, 4)
      await raw.calls.madviseFile(fd, PAGE, [MADV_POPULATE_WRITE])
      const session = raw.create("guest")
      return { vm: said(raw.preserve(session, vm, 1n)), memory: said(raw.preserve(session, fd, 2n)) }
    },
    async (raw) => {
      const session = raw.retrieveSession("guest")
      const fd = raw.retrieve(session, 2n)
      const vm = raw.retrieve(session, 1n)
      return {
        memory: said(fd),
        vm: said(vm),
        managed: said(raw.preserve(raw.create("guest-again"), fd, 1n)),
        first: said(await raw.calls.madviseFile(fd, PAGE, [MADV_POPULATE_WRITE])),
        second: said(await raw.calls.madviseFile(fd, 4 * PAGE, [MADV_POPULATE_WRITE])),
        allocates: said(createMemory(raw, vm, 1)),
        finish: said(raw.finish(session))
      }
    }
  ),
  handover(
    "What isn't retrieved is thrown away with its session: memory, and a VM that nobody asked for.",
    {
      before: { vm: "ok", memory: "ok", memfd: "ok" },
      after: { closed: "ok", gone: "ENOENT" }
    },
    async (raw) => {
      const vm = createVm(raw)
      const fd = createMemory(raw, vm, 2)
      await raw.calls.madviseFile(fd, PAGE, [MADV_POPULATE_WRITE])
      const session = raw.create("unwanted")
      return {
        vm: said(raw.preserve(session, vm, 1n)),
        memory: said(raw.preserve(session, fd, 2n)),
        memfd: said(raw.preserve(session, memory(raw), 3n))
      }
    },
    (raw) => {
      const session = raw.retrieveSession("unwanted")
      return { closed: said(raw.close(session)), gone: said(raw.retrieveSession("unwanted")) }
    }
  )
]
