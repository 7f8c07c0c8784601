/**
 * Every kind of file through a real kexec, on a kernel with the test fixture's handlers (`qemu-host/kernel/handlers`): a guest's RAM that two
 * PCI devices see through an IOMMU, the devices, a VM and its memory.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cells from "../faults/Cells.ts"
import * as Injected from "../faults/Injected.ts"
import * as KernelLog from "./KernelLog.ts"
import * as TestHost from "./TestHost.ts"

/** The addresses of both of QEMU's edu and of both nvme, which vfio-pci took at boot. */
const addresses = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(
    host.output(
      "sh",
      "-ec",
      "cd /sys/bus/pci/drivers/vfio-pci; for id in 0x11e8 0x0010; do grep -l $id */device | cut -d/ -f1; done"
    ),
    (lines) => {
      const [edu = "", edu2 = "", nvme = "", nvme2 = ""] = lines.split("\n")
      return [edu, nvme, edu2, nvme2] as const
    }
  )
)

/** vfio-pci would want to know who has the physical function, so that is another driver's; the address of a virtual one, which vfio-pci has. */
const virtualFunction = (address: string) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    host.output(
      "sh",
      "-ec",
      `cd /sys/bus/pci/devices/${address}; echo pci-pf-stub >driver_override; echo ${address} >driver/unbind
      echo ${address} >/sys/bus/pci/drivers_probe; echo 1 >sriov_numvfs; basename $(readlink virtfn0)`
    )
  )

/** As it was. */
const physicalFunction = (address: string) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    host.output(
      "sh",
      "-ec",
      `cd /sys/bus/pci/devices/${address}; echo 0 >sriov_numvfs; echo >driver_override; echo ${address} >driver/unbind
      echo ${address} >/sys/bus/pci/drivers_probe`
    )
  )

/** What each device says: its vendor and number, and its first register. */
const looks = { edu: { id: "11e81234", bar: "10000ed" }, nvme: { id: "101b36", bar: "f0107ff" } }

/** What a mode of the program says, which has to end well. */
const said = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    Effect.map(host.program("handlers", ...args), ({ code, stderr, stdout }) => {
      assert.strictEqual(code, 0, stderr)
      return JSON.parse(stdout)
    })
  )

/** Takes everything through a jump; what was said before it. */
const jump = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const before = yield* host.bootId
  const file = "/var/lib/handlers-before.json"
  const kernel = yield* host.otherKernel
  const lost = yield* Effect.flip(
    Effect.sandbox(host.program("handlers", "before", ...(yield* addresses), kernel, file))
  )
  assert.include(String(lost), "runs a new kernel")
  assert.notStrictEqual(yield* host.bootId, before)
  yield* host.resumeEnded
  return JSON.parse(yield* host.output("cat", file))
})

interface Refused {
  readonly refusals: unknown
  readonly virtual: unknown
  readonly freeze: unknown
}

/** What is refused: nothing of it jumps. */
const askRefused = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  yield* host.resumeEnded
  // Only the first nvme has virtual functions.
  const [edu, nvme, , nvme2] = yield* addresses
  const kernel = yield* host.otherKernel
  const before = yield* host.bootId
  const refused: Refused = yield* Effect.acquireUseRelease(
    virtualFunction(nvme),
    (address) => said("refused", edu, nvme2, address, kernel),
    () => physicalFunction(nvme)
  )
  assert.strictEqual(yield* host.bootId, before)
  return refused
})

interface After {
  readonly retrieved: unknown
  readonly qemu: unknown
}

/** What is said on both sides of the jump. */
const cross = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  yield* host.resumeEnded
  const [edu, nvme] = yield* addresses
  const before: unknown = yield* jump
  const after: After = yield* said("after", edu, nvme)
  return { edu, before, ...after }
})

/** A blank disk: such a guest only has to be there, and would take its time to boot from anything else. */
const passthrough = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const [edu] = yield* addresses
  const blank = "/var/lib/e2e/blank.img"
  yield* host.output("sh", "-ec", `mkdir -p $(dirname ${blank}); truncate -s 1M ${blank}`)
  yield* host.runVm({
    id: "passthrough",
    memory: "96M",
    accelerator: "kvm",
    cpu: TestHost.demoGuest.cpu,
    disks: [{ path: blank, format: "raw" }],
    args: ["-object", "iommufd,id=iommufd0", "-device", `vfio-pci,host=${edu},iommufd=iommufd0`]
  })
})

/** What keeps all guests of a host from going: one that has a device, and a kernel without its handlers. */
const askAgent = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  // Beside the guests of the tests that come next.
  yield* Effect.all([passthrough, Cells.start], { concurrency: "unbounded", discard: true })
  const history = yield* host.history
  const kernel = yield* host.otherKernel
  const without = yield* host.output("sh", "-c", "ls /boot/vmlinuz-*-host-b")
  // None stands in another one's way: each has the device, and the lock, for a moment.
  const ask = (command: string, image: string) => host.agent(command, "--all", "--kernel", image)
  const [plan, mainline, upgrade] = yield* Effect.all(
    [ask("plan", kernel), ask("upgrade", without), ask("upgrade", kernel)],
    { concurrency: "unbounded" }
  )
  // Its VMM just ends: to ask for it takes seconds.
  yield* host.output("sh", "-ec", "pkill -f '[v]fio-pci,host='; while pgrep -f '[v]fio-pci,host='; do sleep 0.05; done")
  return { history, plan, mainline, upgrade }
})

layer(TestHost.layer("handlers", { passthrough: true, flavour: "handlers", programs: ["handlers"] }), {
  timeout: 600_000,
  excludeTestServices: true
})("every kind of file on the kernel with handlers", (it) => {
  // A program's start takes seconds, so each says all it has to say at once, to the first test that asks.
  const refused = Effect.runSync(Effect.cached(askRefused))
  const crossed = Effect.runSync(Effect.cached(cross))
  const refusals = Effect.runSync(Effect.cached(askAgent))

  /** Asked of each kernel, before it is left. */
  const hasLostNothing = (when: string) =>
    it.effect(`has lost no memory in all of this, and said nothing else: the kernel ${when}`, () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        assert.deepStrictEqual(yield* KernelLog.complaints(host.output), [])
      })
    )

  it.effect("is refused with the reason: the wrong order, what isn't there, what is preserved already", () =>
    Effect.gen(function* () {
      const yes = { answer: "yes" }
      assert.deepStrictEqual((yield* refused).refusals, {
        memory: {
          wrongOrder: "NoHandler ENOENT",
          twice: "AlreadyPreserved EBUSY",
          map: "MappingsFrozen EBUSY",
          unmap: "MappingsFrozen EBUSY",
          unsealed: "NotPreservable: unsealed-mapping",
          mappedAllTheSame: "PreserveRefused EINVAL"
        },
        device: {
          unbound: "NoHandler ENOENT",
          check: "NotPreservable: not-bound",
          withoutIommufd: "NoHandler ENOENT",
          missing: "DependencyMissing",
          twice: "AlreadyPreserved EBUSY",
          attach: "DeviceInUse EBUSY",
          afterwards: "ok"
        },
        virtualMachine: { vm: "AlreadyPreserved EBUSY", memory: "AlreadyPreserved EBUSY" },
        capabilities: { memfd: yes, iommufd: yes, vfio: yes, kvm_vm: yes, guest_memfd: yes }
      })
    })
  )

  it.effect("is no virtual function, which is refused before anything is asked of the kernel, and by it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* refused).virtual, {
        check: "NotPreservable: virtual-function",
        iommufd: "ok",
        device: "NoHandler ENOENT"
      })
    })
  )

  it.effect(
    "that refuses the freeze is named; no jump happens, sessions work on, a device that was frozen is dead",
    () =>
      Effect.gen(function* () {
        assert.deepStrictEqual((yield* refused).freeze, {
          jump: {
            _tag: "FreezeFailed",
            errno: "ENOENT",
            kind: "guest_memfd",
            object: "handler guest_memfd_luo_v1",
            token: "7"
          },
          device: "DeviceGone EIO",
          sessionWorks: "ok",
          name: "refusals",
          again: "ok"
        })
      })
  )

  hasLostNothing("before its first jump")

  it.effect("goes through a jump: memory as it was, devices bound and read, the session finished when both are", () =>
    Effect.gen(function* () {
      const { before, edu, retrieved } = yield* crossed
      const ok = { iommufd: "ok", edu: "ok", nvme: "ok", vm: "ok", memory: "ok" }
      assert.deepStrictEqual(before, {
        checks: ok,
        looks,
        ioas: 1,
        preserved: { ...ok, ram: "ok", more: "ok" }
      })
      assert.deepStrictEqual(retrieved, {
        unbound: { facts: edu, finish: "FinishRefused EBUSY", node: "DeviceInUse EBUSY", foreign: "NotIsolated EPERM" },
        twice: {
          ram: "ManagedUntilFinish EBUSY",
          iommufd: "ManagedUntilFinish EBUSY",
          edu: "ManagedUntilFinish EBUSY",
          vm: "ManagedUntilFinish EBUSY",
          memory: "ManagedUntilFinish EBUSY"
        },
        oneUnbound: "FinishRefused EBUSY",
        attached: { edu: "ok", nvme: "ok" },
        contents: { ram: "in the RAM", more: "in more of it", pagesLost: 0 },
        looks,
        owned: { vm: "ok", node: "ok", device: "ok" }
      })
    })
  )

  it.effect("is what QEMU starts on after it: it binds the devices, sees both, and the session can be finished", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* crossed).qemu, {
        devices: ["1234:11e8", "1b36:10"],
        // A guest with such a device is refused before anything is touched: its VMM can't save it.
        savable: false,
        finish: "ok"
      })
    })
  )

  it.effect("keeps a guest from a live update when its VMM can't save it with such a device: plan says so", () =>
    Effect.gen(function* () {
      const { history, plan, upgrade } = yield* refusals
      for (const refused of [plan, upgrade]) {
        assert.strictEqual(refused.code, 5, refused.stdout)
        assert.match(`${refused.stdout}${refused.stderr}`, /VM passthrough can't be saved: .*VFIO migration/)
      }
      const host = yield* TestHost.TestHost
      assert.deepStrictEqual(yield* host.history, history)
    })
  )

  it.effect("has to have its handler on the next kernel: a target without is refused, guests never paused", () =>
    Effect.gen(function* () {
      const { history, mainline } = yield* refusals
      assert.strictEqual(mainline.code, 5, mainline.stdout)
      assert.include(
        mainline.stderr,
        "this kernel may hand over files as iommufd-v1, vfio-pci-v1, kvm_vm_luo_v1, guest_memfd_luo_v1, which the target doesn't read"
      )
      const host = yield* TestHost.TestHost
      assert.deepStrictEqual(yield* host.history, history)
      yield* Cells.bothCountOn
    })
  )

  for (const { name, run } of Injected.undone) it.effect(name, () => run)

  hasLostNothing("before its second jump")

  it.effect(Injected.upgraded.name, () => Injected.upgraded.run)

  hasLostNothing("after it")

  it.effect(Injected.unreadable.name, () => Injected.unreadable.run)
})
