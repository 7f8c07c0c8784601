import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MADV_POPULATE_WRITE } from "../../../sdk/src/internal/uapi.ts"
import {
  allocateIoas,
  attach,
  bind,
  boundDevice,
  createMemory,
  createVm,
  destroy,
  detach,
  information,
  map,
  memory,
  nodes,
  openIommufd,
  PAGE,
  seal,
  sealedMemory,
  unmap
} from "../Hardware.ts"
import { said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

/** For kernels that have handlers for files other than memfds. */
export const hardware = [
  scenario(
    "An iommufd is preserved with what is mapped through it: that stays until its session ends, and what is made later is ordinary.",
    {
      memfd: "ok",
      iommufd: "ok",
      twice: "EBUSY",
      elsewhere: "EBUSY",
      map: "EBUSY",
      unmap: "EBUSY",
      destroy: "EBUSY",
      nobody: "ENOENT",
      inTheLater: "ok",
      laterIsGone: "ok",
      mapAfter: "ok",
      unmapAfter: "ok",
      destroyAfter: "ok"
    },
    (raw) => {
      const iommufd = openIommufd(raw)
      const ioas = allocateIoas(raw, iommufd)
      const empty = allocateIoas(raw, iommufd)
      const memfd = sealedMemory(raw, 2)
      map(raw, iommufd, { ioas, memfd, iova: 0x10000 })
      const session = raw.create("iommufd")
      const there = { ioas, memfd, iova: 0x20000 }
      const before = {
        memfd: said(raw.preserve(session, memfd, 1n)),
        iommufd: said(raw.preserve(session, iommufd, 2n)),
        twice: said(raw.preserve(session, iommufd, 3n)),
        elsewhere: said(raw.preserve(raw.create("iommufd-too"), iommufd, 1n)),
        map: map(raw, iommufd, there),
        unmap: unmap(raw, iommufd, { ioas, iova: 0x10000 }),
        destroy: destroy(raw, iommufd, empty),
        nobody: destroy(raw, iommufd, 99)
      }
      const later = allocateIoas(raw, iommufd)
      const inTheLater = map(raw, iommufd, { ...there, ioas: later })
      const laterIsGone = destroy(raw, iommufd, later)
      raw.close(session)
      return {
        ...before,
        inTheLater,
        laterIsGone,
        mapAfter: map(raw, iommufd, there),
        unmapAfter: unmap(raw, iommufd, { ioas, iova: 0x10000 }),
        destroyAfter: destroy(raw, iommufd, empty)
      }
    }
  ),
  scenario(
    "Memory has to be sealed when it is mapped: later is too late. What was refused can be tried again.",
    { unsealed: "EINVAL", sealedLater: "EINVAL", mapsOn: "ok", without: "ok" },
    (raw) => {
      const iommufd = openIommufd(raw)
      const ioas = allocateIoas(raw, iommufd)
      const memfd = memory(raw, 2)
      map(raw, iommufd, { ioas, memfd, iova: 0 })
      const session = raw.create("unsealed")
      const unsealed = said(raw.preserve(session, iommufd, 2n))
      seal(raw, memfd)
      raw.preserve(session, memfd, 1n)
      const sealedLater = said(raw.preserve(session, iommufd, 2n))
      const mapsOn = map(raw, iommufd, { ioas, memfd, iova: 0x1000, from: 1 })
      unmap(raw, iommufd, { ioas, iova: 0, pages: 2 })
      return { unsealed, sealedLater, mapsOn, without: said(raw.preserve(session, iommufd, 2n)) }
    }
  ),
  scenario(
    "Memory that is mapped has to be preserved in the same session, before.",
    { nowhere: "ENOENT", elsewhere: "ENOENT", here: "ok" },
    (raw) => {
      const iommufd = openIommufd(raw)
      const ioas = allocateIoas(raw, iommufd)
      const memfd = sealedMemory(raw)
      map(raw, iommufd, { ioas, memfd, iova: 0 })
      const session = raw.create("mapped")
      const nowhere = said(raw.preserve(session, iommufd, 2n))
      const other = raw.create("mapped-other")
      raw.preserve(other, memfd, 1n)
      const elsewhere = said(raw.preserve(session, iommufd, 2n))
      raw.close(other)
      raw.preserve(session, memfd, 1n)
      return { nowhere, elsewhere, here: said(raw.preserve(session, iommufd, 2n)) }
    }
  ),
  scenario(
    "A VFIO device is preserved when it is bound, after its iommufd; it stays where it is attached until its session ends.",
    {
      unbound: "ENOENT",
      bound: "ok",
      attached: "ok",
      alone: "ENOENT",
      iommufd: "ok",
      device: "ok",
      twice: "EBUSY",
      attach: "EBUSY",
      detach: "EBUSY",
      works: "ok",
      attachAfter: "ok",
      detachAfter: "ok"
    },
    (raw) => {
      const session = raw.create("device")
      const device = raw.open(nodes.edu)
      const unbound = said(raw.preserve(session, device, 2n))
      const iommufd = openIommufd(raw)
      const bound = bind(raw, device, iommufd)
      const ioas = allocateIoas(raw, iommufd)
      const before = {
        unbound,
        bound,
        attached: attach(raw, device, ioas),
        alone: said(raw.preserve(session, device, 2n)),
        iommufd: said(raw.preserve(session, iommufd, 1n)),
        device: said(raw.preserve(session, device, 2n)),
        twice: said(raw.preserve(session, raw.dup(device), 3n)),
        attach: attach(raw, device, ioas),
        detach: detach(raw, device),
        works: information(raw, device)
      }
      raw.close(session)
      return { ...before, attachAfter: attach(raw, device, ioas), detachAfter: detach(raw, device) }
    }
  ),
  scenario(
    "A VFIO device does nothing before it is bound, and is bound once.",
    {
      information: "EINVAL",
      attach: "EINVAL",
      wrongFile: "EBADFD",
      closed: "EBADF",
      bound: "ok",
      again: "EINVAL",
      other: "EINVAL"
    },
    (raw) => {
      const device = raw.open(nodes.nvme)
      const iommufd = openIommufd(raw)
      const ioas = allocateIoas(raw, iommufd)
      return {
        information: information(raw, device),
        attach: attach(raw, device, ioas),
        wrongFile: bind(raw, device, memory(raw)),
        closed: bind(raw, device, 9999),
        bound: bind(raw, device, iommufd),
        again: bind(raw, device, iommufd),
        other: bind(raw, raw.open(nodes.nvme), iommufd)
      }
    }
  ),
  scenario(
    "A session holds a device and its iommufd when everybody has closed them; they are free when it ends.",
    { device: "ok", held: "EINVAL", free: "ok" },
    (raw) => {
      const session = raw.create("held")
      const { device, iommufd } = boundDevice(raw, nodes.edu)
      raw.preserve(session, iommufd, 1n)
      const preserved = said(raw.preserve(session, device, 2n))
      raw.close(device)
      raw.close(iommufd)
      const held = boundDevice(raw, nodes.edu)
      raw.close(held.device)
      raw.close(session)
      return { device: preserved, held: held.bound, free: boundDevice(raw, nodes.edu).bound }
    }
  ),
  scenario(
    "A VM is preserved once, whichever descriptor it is.",
    { first: "ok", twice: "EBUSY", after: "ok" },
    (raw) => {
      const vm = createVm(raw)
      const session = raw.create("vm")
      const first = said(raw.preserve(session, vm, 1n))
      const twice = said(raw.preserve(session, raw.dup(vm), 2n))
      raw.close(session)
      return { first, twice, after: said(raw.preserve(raw.create("vm"), vm, 1n)) }
    }
  ),
  scenario(
    "Memory of a VM is preserved if it began shared; then no page comes or goes until its session ends.",
    {
      notShared: "ENOENT",
      shared: "ok",
      twice: "EBUSY",
      punch: "EPERM",
      allocate: "EPERM",
      crooked: "EINVAL",
      there: "ok",
      firstTouch: "EFAULT",
      afterwards: "ok"
    },
    async (raw) => {
      const vm = createVm(raw)
      const session = raw.create("memory")
      const fd = createMemory(raw, vm, 2)
      const fallocate = (mode: number, at: number) => said(raw.calls.fallocate(fd, mode, at, PAGE))
      const touch = async (bytes: number) => said(await raw.calls.madviseFile(fd, bytes, [MADV_POPULATE_WRITE]))
      await touch(PAGE)
      const before = {
        notShared: said(raw.preserve(session, createMemory(raw, vm, 1, 0), 1n)),
        shared: said(raw.preserve(session, fd, 1n)),
        twice: said(raw.preserve(session, fd, 2n)),
        punch: fallocate(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0),
        allocate: fallocate(FALLOC_FL_KEEP_SIZE, PAGE),
        crooked: fallocate(FALLOC_FL_KEEP_SIZE, 1),
        there: await touch(PAGE),
        firstTouch: await touch(2 * PAGE)
      }
      raw.close(session)
      return { ...before, afterwards: await touch(2 * PAGE) }
    }
  )
]
