/**
 * A PCI device that a guest has for itself, through VFIO's character device (`/dev/vfio/devices/vfioN`).
 *
 * Open, bind to an iommufd, attach an address space or a page table; preserve its memfds, then the iommufd, then the device.
 *
 * What may not be done: once it is preserved, no binding, no attaching, and no reset from outside; its guest must be paused with the
 * device's interrupts off and awake (D0) when the jump freezes it, or the jump fails with EINVAL. From that moment on every
 * operation on it answers EIO, **even if the jump fails after all**. After the jump it is blocked until it is bound to its
 * iommufd again, and its session can't be finished before (`FinishRefused`).
 *
 * Preserving a device takes the handler that is proposed for it (`vfio-pci-v1`). Mainline 7.3 has none: `NoHandler`.
 * Sources: `include/uapi/linux/vfio.h`, `drivers/vfio/device_cdev.c`, `drivers/vfio/pci/`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type AfterFreeze, afterFreeze, type Managed as ManagedHandle, type Owned, type Retrievable } from "./Handle.ts"
import type * as Iommufd from "./Iommufd.ts"
import { EINVAL } from "./internal/errno.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import { Kernel } from "./internal/Kernel.ts"
import * as Refusal from "./internal/refusal.ts"
import { O_RDWR } from "./internal/uapi.ts"
import { DriverMissing, type LiveUpdateError, NotFound } from "./LiveUpdateError.ts"

/**
 * A device that this process decides about.
 *
 * @since 0.1.0
 * @category models
 */
export type VfioDevice = Owned<"vfio">

/**
 * A device that came through a handover and whose session isn't finished: bind it to its iommufd, and it works.
 *
 * @since 0.1.0
 * @category models
 */
export type Managed = ManagedHandle<"vfio">

/**
 * Tells `IncomingSession.retrieve` that a VFIO device is expected at a token.
 *
 * @since 0.1.0
 * @category retrieval
 */
export const VfioDevice: Retrievable<Managed> = {
  kind: "vfio",
  manage: (origin) => ({ kind: "vfio", custody: "managed", ...origin })
}

/**
 * That a device is bound, and to what. One that this process owns requires its iommufd.
 *
 * @since 0.1.0
 * @category models
 */
export interface Binding {
  readonly iommufd: Iommufd.Iommufd | Iommufd.Managed
  /** The device's number inside the iommufd. */
  readonly deviceId: number
}

/**
 * What sysfs says of a PCI device.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  /** `0000:00:04.0` */
  readonly address: string
  /** `vfio-pci`, or another VFIO driver. */
  readonly driver: Option.Option<string>
  readonly virtualFunction: boolean
  /** As the PCI core knows it: `D0`, `D3hot`, …, `unknown`. */
  readonly powerState: string
}

const kind = { kind: "vfio" } as const

const PCI = "/sys/bus/pci/devices"
const DEVICES = "/dev/vfio/devices"

/** How the link of one that came through a handover reads: the proposed handler opens it without its node. */
const RETRIEVED = "anon_inode:[vfio-device-liveupdate]"

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** `00:04.0` lies in domain 0000; anything else than an address would lead somewhere else in sysfs. */
const inSysfs = (address: string): Effect.Effect<string, LiveUpdateError> => {
  const full = /^([0-9a-f]{4}:)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i.exec(address)
  return full === null
    ? Effect.fail(new NotFound({ ...kind, operation: "vfio.find", errno: "none", path: address }))
    : Effect.succeed(`${PCI}/${(full[1] ?? "0000:").toLowerCase()}${full[2]?.toLowerCase()}`)
}

/** The character device of a PCI device: sysfs has its name, and the name is also that of the node. */
const nodeOf = Effect.fnUntraced(function* (address: string): Effect.fn.Return<string, LiveUpdateError> {
  const path = yield* inSysfs(address)
  yield* Fd.ask("vfio.find", { ...kind, path }, (kernel) => kernel.readLink(path))
  const names = yield* Fd.ask("vfio.find", { ...kind, path: `${path}/vfio-dev` }, (kernel) =>
    kernel.readDirectory(`${path}/vfio-dev`)
  ).pipe(Effect.catchTag("NotFound", (error) => Effect.fail(new DriverMissing(error))))
  const name = names.find((candidate) => candidate.startsWith("vfio"))
  return name === undefined
    ? yield* new DriverMissing({ ...kind, operation: "vfio.find", errno: "none", path })
    : `${DEVICES}/${name}`
})

const own = (fd: number): VfioDevice => {
  const device: VfioDevice = { ...kind, custody: "owned", fd, check: Effect.suspend(() => check(device)) }
  return device
}

/**
 * Opens a device by its PCI address or by the path of its character device; closed with the scope. Nothing can be done with it
 * before it is bound. Fails with `NotFound` (no such PCI device), `DriverMissing` (it is not bound to a VFIO driver), `DeviceGone`,
 * `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = Effect.fn("VfioDevice.open")(function* (
  where: { readonly address: string } | { readonly path: string }
): Effect.fn.Return<VfioDevice, LiveUpdateError, Scope.Scope> {
  const path = "path" in where ? where.path : yield* nodeOf(where.address)
  return own(yield* Fd.scoped(Fd.call("vfio.open", { ...kind, path }, (kernel) => kernel.openFile(path, O_RDWR))))
})

/**
 * The same device as a handle that requires this iommufd: for one that came through a handover and was bound to it since. What `bind`
 * answers for devices that this process owns requires its iommufd already.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withIommufd = (device: VfioDevice, iommufd: Iommufd.Iommufd): VfioDevice => ({
  ...own(device.fd),
  requires: Effect.succeed([iommufd])
})

/**
 * A duplicate of the descriptor that a VMM holds (`pidfd_getfd`, needs ptrace rights over it), and the iommufd that the VMM has
 * bound it to. Fails with `NotFound`, `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("VfioDevice.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
  readonly iommufd: Iommufd.Iommufd
}): Effect.fn.Return<VfioDevice, LiveUpdateError, Scope.Scope> {
  return withIommufd(own(yield* Fd.adopt("vfio.adopt", kind, options)), options.iommufd)
})

/**
 * Binds the device to an iommufd, for as long as the descriptor is open (VFIO_DEVICE_BIND_IOMMUFD; struct
 * vfio_device_bind_iommufd: u32 argsz, u32 flags = 0, s32 iommufd, u32 out_devid, u64 token_uuid_ptr = 0; 24 bytes). Wakes it.
 *
 * After a jump it has to be the iommufd that came with it: both managed.
 *
 * Fails with `DeviceInUse`, `BindRefused`, `NotIsolated`, `DeviceGone` (also when a jump that failed has reset it).
 *
 * @since 0.1.0
 * @category operations
 */
export const bind = Effect.fn("VfioDevice.bind")(function* <D extends VfioDevice | Managed>(
  device: D,
  iommufd: Iommufd.Iommufd | Iommufd.Managed
): Effect.fn.Return<D & Binding, LiveUpdateError> {
  const answer = yield* Fd.requestAsync("vfio.bind", kind, device.fd, ioctl.vfio.bindIommufd, { iommufd: iommufd.fd })
  return {
    ...device,
    ...(device.custody === "owned" && iommufd.custody === "owned" ? { requires: Effect.succeed([iommufd]) } : {}),
    iommufd,
    deviceId: answer.out_devid
  }
})

/**
 * Lets the device see memory through an address space or a page table, until the scope is left (VFIO_DEVICE_ATTACH_IOMMUFD_PT and
 * …_DETACH_IOMMUFD_PT; struct vfio_device_attach_iommufd_pt: u32 argsz, u32 flags = 0, u32 pt_id (in and out), u32 pasid = 0; 16
 * bytes; …_detach_…: the same without pt_id, 12 bytes). Attaching another one replaces the first.
 *
 * Answers the number of the page table that the device has now. Fails with `ObjectNotFound`, `PageTableRefused`, `DeviceInUse`,
 * `LimitReached` (what is mapped is pinned now).
 *
 * @since 0.1.0
 * @category operations
 */
export const attach = Effect.fn("VfioDevice.attach")(function* (
  device: (VfioDevice | Managed) & Binding,
  to: Iommufd.Ioas<Iommufd.Iommufd | Iommufd.Managed> | Iommufd.PageTable
): Effect.fn.Return<number, LiveUpdateError, Scope.Scope> {
  const subject = { ...kind, object: `${to.type} ${to.id}` }
  const { pt_id } = yield* Effect.acquireRelease(
    Fd.requestAsync("vfio.attach", subject, device.fd, ioctl.vfio.attach, { pt_id: to.id }),
    // A device that is gone, or preserved, has nothing to be detached from.
    () => Effect.ignore(Fd.requestAsync("vfio.detach", subject, device.fd, ioctl.vfio.detach, {}))
  )
  return pt_id
})

/**
 * The device's address: by the name of its node, or where there is none by what its driver says in /proc/PID/fdinfo
 * (`vfio_device_show_fdinfo` in `drivers/vfio/vfio_main.c`, Linux 6.18).
 */
const addressOf = Effect.fnUntraced(function* (
  device: VfioDevice | Managed
): Effect.fn.Return<string, LiveUpdateError> {
  const link = yield* Fd.linkOf(kind, device.fd)
  if (link === RETRIEVED) {
    const path = `/proc/self/fdinfo/${device.fd}`
    const text = yield* Fd.ask("file.inspect", { ...kind, path }, (kernel) => kernel.readFile(path))
    const found = /^vfio-device-syspath:\s*(\S+)$/m.exec(text)?.[1]
    return found === undefined
      ? yield* new NotFound({ ...kind, operation: "file.inspect", errno: "none", path })
      : baseName(found)
  }
  const parent = `/sys/class/vfio-dev/${baseName(link)}/device`
  return baseName(yield* Fd.ask("file.inspect", { ...kind, path: parent }, (kernel) => kernel.readLink(parent)))
})

/**
 * What sysfs says about the device. Fails with `NotFound` when the descriptor is no VFIO device, or the device is gone.
 *
 * @since 0.1.0
 * @category accessors
 */
export const facts = Effect.fn("VfioDevice.facts")(function* (
  device: VfioDevice | Managed
): Effect.fn.Return<Facts, LiveUpdateError> {
  const address = yield* addressOf(device)
  const path = `${PCI}/${address}`
  const link = (name: string) =>
    Fd.ask("file.inspect", { ...kind, path: `${path}/${name}` }, (kernel) => kernel.readLink(`${path}/${name}`)).pipe(
      Effect.asSome,
      Effect.catchTag("NotFound", () => Effect.succeedNone)
    )
  const driver = yield* link("driver")
  const physicalFunction = yield* link("physfn")
  const powerState = yield* Fd.ask("file.inspect", { ...kind, path: `${path}/power_state` }, (kernel) =>
    kernel.readFile(`${path}/power_state`)
  )
  return {
    address,
    driver: Option.map(driver, baseName),
    virtualFunction: Option.isSome(physicalFunction),
    powerState: powerState.trim()
  }
})

/** Every request but BIND answers EINVAL as long as the descriptor is not bound (`vfio_device_fops_unl_ioctl`). */
const isBound = (device: VfioDevice): Effect.Effect<boolean> =>
  Effect.map(
    Kernel,
    (kernel) => kernel.ioctl(device.fd, ioctl.vfio.getInfo.number, ioctl.vfio.getInfo.encode({})) !== -EINVAL
  )

/**
 * Says why the handler would not preserve this device, or not freeze it, before anything is done: all reasons at once. Fails with
 * `NotPreservable` (`wrong-kind`, `not-bound`, `other-driver`, `virtual-function`, `not-in-d0`).
 *
 * Whether its interrupts are off can't be seen from outside the VMM.
 * Answers what becomes of it when the jump fails (`Handle.afterFreeze`).
 *
 * @since 0.1.0
 * @category operations
 */
export const check = Effect.fn("VfioDevice.check")(function* (
  device: VfioDevice
): Effect.fn.Return<AfterFreeze, LiveUpdateError> {
  const link = yield* Fd.linkOf(kind, device.fd)
  if (!link.startsWith(`${DEVICES}/vfio`) && link !== RETRIEVED) return yield* Refusal.refuse(["wrong-kind"], kind)
  const { driver, powerState, virtualFunction } = yield* facts(device)
  const bound = yield* isBound(device)
  yield* Refusal.unlessNone(
    [
      ...Refusal.when(!bound, "not-bound"),
      ...Refusal.when(!Option.contains(driver, "vfio-pci"), "other-driver"),
      ...Refusal.when(virtualFunction, "virtual-function"),
      ...Refusal.when(powerState !== "D0" && powerState !== "unknown", "not-in-d0")
    ],
    kind
  )
  return afterFreeze.vfio
})
