import type { PciDevice } from "../../SimulatedHost.ts"
import { ENOENT } from "../errno.ts"

/** A device and its character device, if its driver gives it one. */
export interface PciFunction {
  readonly device: PciDevice
  readonly driver: string
  /** `/dev/vfio/devices/vfio0` */
  readonly node: string | undefined
  /** What /proc/PID/fdinfo says of its files. */
  readonly path: string
}

/** The host's PCI devices, and what sysfs says of them. */
export interface PciBus {
  readonly at: (address: string) => PciFunction | undefined
  readonly behind: (node: string) => PciFunction | undefined
  /** Nothing: the path is not about PCI devices. */
  readonly readLink: (path: string) => string | number | undefined
  readonly readFile: (path: string) => string | number | undefined
  readonly readDirectory: (path: string) => ReadonlyArray<string> | number | undefined
}

const BUS = "/sys/bus/pci/devices"
const CLASS = "/sys/class/vfio-dev"
const NODES = "/dev/vfio/devices"

/** `vfio-pci`, and drivers for certain devices that are built on it, such as `mlx5-vfio-pci`. */
const isVfio = (driver: string): boolean => driver.endsWith("vfio-pci")

export const make = (devices: ReadonlyArray<PciDevice>): PciBus => {
  const functions = devices.map((device, index): PciFunction & { readonly name: string } => {
    const driver = device.driver ?? "vfio-pci"
    const name = `vfio${index}`
    return {
      device,
      driver,
      name,
      node: isVfio(driver) ? `${NODES}/${name}` : undefined,
      path: `/sys/devices/pci0000:00/${device.address}`
    }
  })
  const links = new Map<string, string>()
  const texts = new Map<string, () => string>()
  const directories = new Map<string, ReadonlyArray<string>>()
  for (const { device, driver, name, node } of functions) {
    const { address, powerState = () => "D0" as const, virtualFunction = false } = device
    links.set(`${BUS}/${address}`, `../../../devices/pci0000:00/${address}`)
    links.set(`${BUS}/${address}/driver`, `../../../bus/pci/drivers/${driver}`)
    if (virtualFunction) links.set(`${BUS}/${address}/physfn`, "../0000:00:00.0")
    texts.set(`${BUS}/${address}/power_state`, () => `${powerState()}\n`)
    if (node === undefined) continue
    directories.set(`${BUS}/${address}/vfio-dev`, [name])
    links.set(`${CLASS}/${name}/device`, `../../../${address}`)
  }
  /** What isn't there isn't looked for on this machine, whose devices are others. */
  const within = <A>(path: string, found: A | undefined): A | number | undefined =>
    found ?? (path.startsWith(`${BUS}/`) || path.startsWith(`${CLASS}/`) ? -ENOENT : undefined)

  return {
    at: (address) => functions.find(({ device }) => device.address === address),
    behind: (node) => functions.find((one) => one.node === node),
    readLink: (path) => within(path, links.get(path)),
    readFile: (path) => within(path, texts.get(path)?.()),
    readDirectory: (path) => within(path, directories.get(path))
  }
}
