/**
 * From a VM's configuration to QEMU's arguments. Pure: the same configuration gives the same arguments, as a saved state loads only into
 * the machine it came from.
 *
 * @since 0.1.0
 */
import { MONITOR_FD, RAM_FD, type VmConfig, type VmDisk, type VmPaths } from "./Vm.ts"

/** In QEMU's `key=value,…` options a comma in a value is written twice. */
const escape = (value: string): string => value.replaceAll(",", ",,")

/**
 * A disk as `-blockdev` and `-device`. JSON, as paths may hold any character.
 *
 * File locking stays QEMU's default (`auto`): two VMMs can't write to one image, and a VMM that waits for its state, or has saved it,
 * holds no lock, so a handover doesn't meet its own lock. Discards go through to the image, or a guest's `fstrim` would be in vain.
 */
const disk = (config: VmDisk, index: number): ReadonlyArray<string> => {
  const node = `disk${index}`
  const cache = { direct: config.cache === "none", "no-flush": false }
  const blockdev = {
    driver: config.format,
    "node-name": node,
    "read-only": config.readonly,
    discard: "unmap",
    cache,
    file: {
      driver: config.path.startsWith("/dev/") ? "host_device" : "file",
      filename: config.path,
      "read-only": config.readonly,
      discard: "unmap",
      cache
    }
  }
  const device = [
    "virtio-blk-pci",
    `drive=${node}`,
    `id=virtio-${node}`,
    ...(config.cache === "writethrough" ? ["write-cache=off"] : []),
    ...(config.serial === undefined ? [] : [`serial=${escape(config.serial)}`])
  ]
  return ["-blockdev", JSON.stringify(blockdev), "-device", device.join(",")]
}

const option = (name: string, value: string | undefined): ReadonlyArray<string> =>
  value === undefined ? [] : [name, value]

/**
 * QEMU's arguments. A fresh and an incoming start differ in `-incoming defer` only.
 *
 * RAM is a file backend on an inherited memfd and not `memory-backend-memfd`: the latter always makes a memory of its own, and newer
 * QEMUs leave shared RAM out of the saved state (`x-ignore-shared`) only for backends that have a path.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: VmConfig,
  paths: Pick<VmPaths, "consolePath">,
  options: { readonly incoming: boolean }
): ReadonlyArray<string> => [
  "-name",
  escape(config.id),
  // Only what is asked for: no default network card or VGA (each brings an option ROM), no configuration from outside.
  "-nodefaults",
  "-no-user-config",
  "-display",
  "none",
  "-object",
  `memory-backend-file,id=ram,size=${config.memoryBytes},mem-path=/proc/self/fd/${RAM_FD},share=on`,
  "-machine",
  `${config.machine},memory-backend=ram`,
  "-m",
  `size=${config.memoryBytes / 1024}k`,
  "-accel",
  config.accelerator,
  "-cpu",
  config.cpu,
  "-smp",
  `cpus=${config.cpus}`,
  "-chardev",
  `socket,id=qmp,fd=${MONITOR_FD},server=on,wait=off`,
  "-mon",
  "chardev=qmp,mode=control",
  // Appended to: after a live update the console goes on where it was.
  "-chardev",
  `file,id=console,path=${escape(paths.consolePath)},append=on`,
  "-serial",
  "chardev:console",
  ...option("-kernel", config.kernel),
  ...option("-initrd", config.initrd),
  ...option("-append", config.cmdline),
  ...config.disks.flatMap(disk),
  ...(options.incoming ? ["-incoming", "defer"] : []),
  ...config.args
]
