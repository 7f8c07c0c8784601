import { assert, describe, it } from "@effect/vitest"
import * as QemuCommandLine from "../../src/vmm/QemuCommandLine.ts"
import type { VmConfig } from "../../src/vmm/Vm.ts"

const config: VmConfig = {
  id: "web-1",
  memoryBytes: 192 * 2 ** 20,
  cpus: 2,
  machine: "pc-q35-7.2,vmport=off",
  accelerator: "kvm",
  cpu: "host",
  kernel: "/boot/guest",
  cmdline: "console=ttyS0 root=/dev/vda",
  disks: [
    { path: '/images/a,b "c".img', format: "raw", readonly: false, cache: "none", serial: "a,b" },
    { path: "/dev/vg/data", format: "raw", readonly: true, cache: "writethrough" }
  ],
  binary: "/usr/bin/qemu-system-x86_64",
  args: ["-device", "virtio-rng-pci"]
}

const make = (incoming: boolean) =>
  QemuCommandLine.make(config, { consolePath: "/var/lib/x,y/console.log" }, { incoming })

/** The values given to an option. */
const given = (argv: ReadonlyArray<string>, option: string): ReadonlyArray<string> =>
  argv.filter((_, index) => argv[index - 1] === option)

describe("QemuCommandLine", () => {
  it("differs between fresh and incoming in -incoming only", () => {
    const incoming = make(true)
    const at = incoming.indexOf("-incoming")
    assert.strictEqual(incoming[at + 1], "defer")
    assert.deepStrictEqual([...incoming.slice(0, at), ...incoming.slice(at + 2)], [...make(false)])
  })

  it("backs the machine's RAM with the inherited memfd", () => {
    assert.deepStrictEqual(given(make(false), "-object"), [
      "memory-backend-file,id=ram,size=201326592,mem-path=/proc/self/fd/3,share=on"
    ])
    assert.deepStrictEqual(given(make(false), "-machine"), ["pc-q35-7.2,vmport=off,memory-backend=ram"])
    assert.deepStrictEqual(given(make(false), "-m"), ["size=196608k"])
  })

  it("keeps odd names whole", () => {
    const argv = make(false)
    assert.include(given(argv, "-chardev"), "file,id=console,path=/var/lib/x,,y/console.log,append=on")
    const [first, second] = given(argv, "-blockdev").map((text) => JSON.parse(text))
    assert.deepStrictEqual(first.file.filename, '/images/a,b "c".img')
    assert.deepStrictEqual(first.cache, { direct: true, "no-flush": false })
    assert.strictEqual(second.file.driver, "host_device")
    assert.isTrue(second["read-only"])
    assert.deepStrictEqual(given(argv, "-device"), [
      "virtio-blk-pci,drive=disk0,id=virtio-disk0,serial=a,,b",
      "virtio-blk-pci,drive=disk1,id=virtio-disk1,write-cache=off",
      "virtio-rng-pci"
    ])
  })

  it("puts the operator's arguments last", () => {
    assert.deepStrictEqual(make(true).slice(-2), ["-device", "virtio-rng-pci"])
  })
})
