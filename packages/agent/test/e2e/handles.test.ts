/**
 * What is not memory: iommufd, a PCI device behind an IOMMU, KVM VMs and their memory. The real kernel makes them, the device reads
 * and writes the memory that is mapped for it, and what can't be preserved is refused with the name of the kernel work that brings it.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestHost from "./TestHost.ts"

/** QEMU's `edu` becomes vfio-pci's; its address. */
const bindToVfio = Effect.flatMap(TestHost.TestHost, (host) =>
  host.output(
    "sh",
    "-ec",
    `cd /sys/bus/pci/devices
     address=$(grep -l 0x11e8 */device | cut -d/ -f1 | head -n 1)
     echo vfio-pci >$address/driver_override
     echo $address >/sys/bus/pci/drivers_probe
     echo $address`
  )
)

const missing = (handler: string, orElse = "") =>
  `NoHandler ENOENT: It takes the proposed ${handler}, which mainline 7.3 doesn't have${orElse}`

layer(TestHost.layer("handles", { passthrough: true, programs: ["handles"] }), {
  timeout: 600_000,
  excludeTestServices: true
})("handles on the real kernel", (it) => {
  it.effect("are made, checked and used; what has no handler is refused, and nothing of it is left", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const address = yield* bindToVfio
      const said = yield* host.program("handles", address)
      assert.strictEqual(said.code, 0, said.stderr)
      const seen = JSON.parse(said.stdout)
      assert.deepStrictEqual(seen.memory, {
        iova: String(0x10_0000),
        chosenElsewhere: true,
        again: "AddressInUse EEXIST",
        unsealed: "NotPreservable: unsealed-mapping",
        unmap: "ok",
        unmapAgain: "ObjectNotFound ENOENT",
        mapOnceMore: "ok",
        check: "ok",
        wrongKind: "NotPreservable: wrong-kind",
        required: [true]
      })
      assert.deepStrictEqual(seen.virtualMachine, {
        size: 2 << 20,
        odd: "InvalidSize none",
        type: "Unsupported EINVAL",
        check: "ok",
        checkMemory: "ok",
        wrongKind: "NotPreservable: wrong-kind"
      })
      assert.deepStrictEqual(seen.device, {
        unbound: "NotPreservable: not-bound",
        wrongFile: "WrongKind EBADFD",
        twice: "BindRefused EINVAL",
        automatic: true,
        ownTable: true,
        mark: "NoHandler none: It takes the proposed iommufd handler (iommufd-v1), which mainline 7.3 doesn't have",
        check: "ok",
        facts: { address, driver: "vfio-pci", virtualFunction: false, powerState: "D0" },
        mapWhileAttached: "ok",
        crooked: "InvalidMapping EINVAL",
        interrupts: "InvalidMapping EINVAL",
        missing: "NotFound ENOENT"
      })
      assert.strictEqual(seen.dma, "seen by the device")
      assert.deepStrictEqual(seen.preservation, {
        name: "handles",
        memfd: "ok",
        iommufd: missing(
          "iommufd handler (iommufd-v1)",
          "; a kernel that has it says so when mapped memory is not in the same session"
        ),
        vfio: missing(
          "vfio-pci handler (vfio-pci-v1)",
          "; a kernel that has it says so of a device that isn't bound, is no whole device of vfio-pci, or whose iommufd is not in the same session"
        ),
        kvm_vm: missing("KVM handlers (kvm_vm_luo_v1, kvm_vcpu_luo_v1)"),
        guest_memfd: missing("guest_memfd handler (guest_memfd_luo_v1)"),
        unmapWhileMemfdIsPreserved: "ok"
      })
      const [yes, no] = [{ answer: "yes" }, { answer: "no" }]
      assert.deepStrictEqual(seen.capabilities, {
        refusesTwice: yes,
        tellsNames: yes,
        preserves: { memfd: yes, iommufd: no, vfio: no, kvm_vm: no, guest_memfd: no },
        vfioWithoutDevice: "unknown",
        // A handler would refuse it as it is, so its answer says nothing.
        vfioWithUnbound: "unknown"
      })
      assert.strictEqual(seen.sessionsLeft, "ok")
      assert.strictEqual(seen.leaked, 0)
    })
  )
})
