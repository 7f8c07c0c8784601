/**
 * A guest without an operating system: a boot sector that sleeps until the timer interrupt and then writes the next digit to the serial
 * console. The digit is kept in guest RAM, so the console shows whether RAM, vCPU and timer went on where they stood.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { VmConfig } from "../../src/vmm/Vm.ts"

const code = [
  [0x31, 0xc0], //                   xor ax, ax
  [0x8e, 0xd8], //                   mov ds, ax
  [0xc6, 0x06, 0x00, 0x7e, 0x30], // mov byte [0x7e00], '0'
  [0xfb], //                         sti
  [0xf4], //                   tick: hlt
  [0xa0, 0x00, 0x7e], //             mov al, [0x7e00]
  [0xba, 0xf8, 0x03], //             mov dx, 0x3f8
  [0xee], //                         out dx, al
  [0xfe, 0xc0], //                   inc al
  [0x3c, 0x3a], //                   cmp al, '9' + 1
  [0x75, 0x02], //                   jne store
  [0xb0, 0x30], //                   mov al, '0'
  [0xa2, 0x00, 0x7e], //      store: mov [0x7e00], al
  [0xeb, 0xeb] //                    jmp tick
].flat()

export const MEMORY_BYTES = 32 * 1024 * 1024

/** Its configuration, with the boot sector on a virtio disk in `directory`. */
export const make = (directory: string, id: string): VmConfig => {
  // The firmware reads by cylinders, and has to find at least one on the disk.
  const sector = new Uint8Array(2 * 1024 * 1024)
  sector.set(code)
  sector.set([0x55, 0xaa], 510)
  const path = join(directory, `${id}, boot.img`)
  fs.writeFileSync(path, sector)
  return {
    id,
    memoryBytes: MEMORY_BYTES,
    cpus: 1,
    machine: "q35",
    accelerator: "tcg",
    cpu: "max",
    disks: [{ path, format: "raw", readonly: false, cache: "writeback", serial: "boot" }],
    binary: "/usr/bin/qemu-system-x86_64",
    args: []
  }
}

/** What the guest has written so far; the firmware writes nothing to the serial port. */
export const digits = (consolePath: string): string =>
  fs.existsSync(consolePath) ? fs.readFileSync(consolePath, "latin1") : ""

/** Returns when the guest has written `count` digits more than now. */
export const ticks = (consolePath: string, count: number): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    fs.closeSync(fs.openSync(consolePath, "a"))
    const wanted = digits(consolePath).length + count
    const look = () => {
      const seen = digits(consolePath)
      if (seen.length < wanted) return
      watcher.close()
      resume(Effect.succeed(seen))
    }
    const watcher = fs.watch(consolePath, look)
    return Effect.sync(() => watcher.close())
  })

/** Whether each digit follows the one before it. */
export const isUnbroken = (seen: string): boolean => [...seen].every((digit, index) => digit === String(index % 10))
