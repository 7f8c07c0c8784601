/** Everything that a guest with a device of its own has, through handovers as one preservation. */
import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Capabilities from "../../src/Capabilities.ts"
import * as GuestMemfd from "../../src/GuestMemfd.ts"
import * as Handle from "../../src/Handle.ts"
import * as Iommufd from "../../src/Iommufd.ts"
import * as Kexec from "../../src/Kexec.ts"
import * as KvmVm from "../../src/KvmVm.ts"
import * as LiveUpdate from "../../src/LiveUpdate.ts"
import * as Memfd from "../../src/Memfd.ts"
import * as Preservation from "../../src/Preservation.ts"
import type { OutgoingSession } from "../../src/Session.ts"
import * as SimulatedHost from "../../src/SimulatedHost.ts"
import * as Token from "../../src/Token.ts"
import * as VfioDevice from "../../src/VfioDevice.ts"
import { address, GUEST, guest, load, on, RAM, said, tokens } from "./HandlersHost.ts"

type Guest = Effect.Effect.Success<typeof guest>

interface Carried {
  readonly ram: Memfd.Memfd
  readonly iommu: Iommufd.Iommufd
  readonly nic: VfioDevice.VfioDevice
  readonly vm: KvmVm.KvmVm
  readonly memory: GuestMemfd.GuestMemfd
}

const Data = Schema.Struct({ guest: Schema.String })
const data = { guest: "vm-42" }

/** Named in an order that is none of theirs. */
const filesOf = ({ iommu, memory, nic, ram, vm }: Carried) => ({
  memory: { file: memory, token: tokens.memory },
  nic: { file: nic, token: tokens.nic },
  vm: { file: vm, token: tokens.vm },
  iommu: { file: iommu, token: tokens.iommu },
  ram: { file: ram, token: tokens.ram }
})

const kinds = {
  ram: Memfd.Memfd,
  iommu: Iommufd.Iommufd,
  nic: VfioDevice.VfioDevice,
  vm: KvmVm.KvmVm,
  memory: GuestMemfd.GuestMemfd
}

const preserve = (files: Carried) => Preservation.preserve({ session: "vm-42", files: filesOf(files) }, Data, data)

const positions = { ...tokens, manifest: Token.manifest }
const inOrder = [tokens.vm, tokens.memory, tokens.ram, tokens.iommu, tokens.nic, Token.manifest]

describe("a guest with a device of its own", () => {
  it.effect("goes through two handovers, whole, with what belongs together", () => {
    const seen: Array<bigint> = []
    const note = ({ token }: SimulatedHost.Subject) => {
      seen.push(token)
      return undefined
    }
    const writeIn = ({ fd }: GuestMemfd.GuestMemfd, text: string) =>
      Fs.writeSync(fd, Buffer.from(text), 0, text.length, 0)

    /** The second half: what came back, owned, with its relations. */
    const takeOver = Effect.gen(function* () {
      const session = yield* LiveUpdate.retrieve("vm-42")
      const { files, manifest } = yield* Preservation.restore(session, Data, kinds)
      assert.deepStrictEqual(manifest.data, data)
      const about = Object.fromEntries(
        manifest.files.map(({ dependsOn, kind, name, size }) => [name, { kind, size, dependsOn }])
      )
      assert.deepStrictEqual(about, {
        vm: { kind: "kvm_vm", size: undefined, dependsOn: [] },
        memory: { kind: "guest_memfd", size: GUEST, dependsOn: ["vm"] },
        ram: { kind: "memfd", size: RAM, dependsOn: [] },
        iommu: { kind: "iommufd", size: undefined, dependsOn: ["ram"] },
        nic: { kind: "vfio", size: undefined, dependsOn: ["iommu"] }
      })
      for (const [name, file] of Object.entries(files))
        assert.deepInclude(file, { custody: "managed", session: "vm-42", token: Reflect.get(tokens, name) })
      const nic = yield* VfioDevice.bind(files.nic, files.iommu)
      const { own } = yield* session.finish
      const ram = yield* own(files.ram)
      const iommu = yield* Iommufd.withMapped(yield* own(files.iommu), [ram])
      const vm = yield* own(files.vm)
      return {
        ram,
        iommu,
        nic: VfioDevice.withIommufd(yield* own(nic), iommu),
        vm,
        memory: GuestMemfd.withVm(yield* own(files.memory), vm)
      }
    })

    return on({ faults: { preserve: note } })(
      Effect.gen(function* () {
        const first = Effect.gen(function* () {
          const files = yield* guest
          yield* Memfd.write(files.ram, 4096, Buffer.from("in its RAM"))
          writeIn(files.memory, "in its own memory")
          yield* preserve(files)
          yield* load
          return yield* Kexec.jump
        })
        yield* SimulatedHost.simulateKexec(Effect.scoped(first))
        assert.deepStrictEqual(seen.splice(0), inOrder)

        const second = Effect.gen(function* () {
          const files = yield* takeOver
          assert.strictEqual((yield* Memfd.read(files.ram, 4096, 10)).toString(), "in its RAM")
          yield* preserve(files)
          yield* load
          return yield* Kexec.jump
        })
        yield* SimulatedHost.simulateKexec(Effect.scoped(second))
        assert.deepStrictEqual(seen, inOrder)

        const { memory, ram } = yield* takeOver
        assert.strictEqual((yield* Memfd.read(ram, 4096, 10)).toString(), "in its RAM")
        const bytes = Buffer.alloc(17)
        Fs.readSync(memory.fd, bytes, 0, bytes.length, 0)
        assert.strictEqual(bytes.toString(), "in its own memory")
        assert.deepStrictEqual(yield* Memfd.getSeals(ram), ["seal", "shrink", "grow"])
      })
    )
  })

  for (const [position, token] of Object.entries(positions))
    it.effect(`is given back when ${position} is refused, and preserved when it isn't any more`, () => {
      let refuses = true
      const faults = {
        preserve: (file: SimulatedHost.Subject) => (refuses && file.token === token ? ("ENOMEM" as const) : undefined)
      }
      return on({ faults })(
        Effect.gen(function* () {
          const files = yield* guest
          const error = yield* Effect.flip(preserve(files))
          assert.deepInclude(error, { _tag: "LimitReached", session: "vm-42", token })
          // In the same scope all of them are free: they change, and another session takes them.
          assert.strictEqual(yield* said(Iommufd.map(files.ioas, { memfd: files.ram, length: 4096 })), "ok")
          assert.strictEqual(yield* said(Effect.scoped(VfioDevice.attach(files.nic, files.ioas))), "ok")
          refuses = false
          yield* Effect.scoped(preserve(files))
          yield* Effect.scoped(preserve(files))
        })
      )
    })

  for (const [position, token] of Object.entries(positions))
    it.effect(`stays when ${position} can't be frozen: the jump fails, and the next one takes it along`, () => {
      let refuses = true
      const faults = {
        freeze: (file: SimulatedHost.Subject) => (refuses && file.token === token ? ("EIO" as const) : undefined)
      }
      return on({ faults })(
        Effect.gen(function* () {
          const before = Effect.gen(function* () {
            yield* preserve(yield* guest)
            yield* load
            assert.strictEqual(yield* said(Kexec.jump), "FreezeFailed EIO")
            refuses = false
            return yield* Kexec.jump
          })
          yield* SimulatedHost.simulateKexec(Effect.scoped(before))
          assert.isFalse(refuses)
          const session = yield* LiveUpdate.retrieve("vm-42")
          const { files } = yield* Preservation.restore(session, Data, kinds)
          yield* VfioDevice.bind(files.nic, files.iommu)
          yield* session.finish
        })
      )
    })

  it.effect("is checked before the kernel is asked for anything", () => {
    let powerState: "D0" | "D3hot" = "D3hot"
    const asked: Array<bigint> = []
    const faults = {
      preserve: ({ token }: SimulatedHost.Subject) => {
        asked.push(token)
        return undefined
      }
    }
    return on({ faults, pciDevices: [{ address, powerState: () => powerState }] })(
      Effect.gen(function* () {
        const files = yield* guest
        const asleep = yield* Effect.flip(preserve(files))
        assert.deepInclude(asleep, { _tag: "NotPreservable", file: "nic", reasons: ["not-in-d0"] })
        powerState = "D0"
        const { vm: _, ...rest } = filesOf(files)
        const without = yield* Effect.flip(Preservation.open({ session: "vm-42", files: rest }))
        assert.deepInclude(without, { _tag: "DependencyMissing", file: "memory" })
        const open = yield* Memfd.create({ name: "open", size: 4096 })
        yield* Iommufd.map(files.ioas, { memfd: open, temporary: true })
        const unsealed = yield* Effect.flip(preserve(files))
        assert.deepInclude(unsealed, { _tag: "NotPreservable", file: "iommu", reasons: ["unsealed-mapping"] })
        assert.deepStrictEqual(asked, [])
      })
    )
  })

  it.effect("is lost whole, and no descriptor of it stays, when nobody takes it over before the next jump", () =>
    Effect.gen(function* () {
      const round = on()(
        Effect.gen(function* () {
          const jump = Effect.zipRight(load, Kexec.jump)
          const first = Effect.zipRight(Effect.flatMap(guest, preserve), jump)
          yield* SimulatedHost.simulateKexec(Effect.scoped(first))
          yield* SimulatedHost.simulateKexec(Effect.scoped(jump))
          const lost = yield* Effect.flip(LiveUpdate.retrieve("vm-42"))
          assert.strictEqual(lost._tag, "SessionNotFound")
          // Its device is anybody's.
          yield* guest
        })
      )
      const open = Effect.sync(() => Fs.readdirSync("/proc/self/fd").length)
      yield* round
      const before = yield* open
      for (let times = 0; times < 5; times++) yield* round
      assert.strictEqual(yield* open, before)
    })
  )

  it("has types that keep what is managed from what only an owner may do", () => {
    // Never run: the compiler is what is tested.
    const refused = (
      managed: { readonly [K in keyof typeof kinds]: ReturnType<(typeof kinds)[K]["manage"]> },
      owned: Guest,
      session: OutgoingSession
    ) => [
      // @ts-expect-error none of them can be preserved again
      session.preserve(managed.iommu, tokens.iommu),
      // @ts-expect-error none
      session.preserve(managed.nic, tokens.nic),
      // @ts-expect-error none
      session.preserve(managed.vm, tokens.vm),
      // @ts-expect-error none
      session.preserve(managed.memory, tokens.memory),
      // @ts-expect-error nor closed before its scope
      Handle.close(managed.nic),
      // @ts-expect-error no memory is made for a VM before it is owned
      GuestMemfd.create(managed.vm, { size: 4096 }),
      // @ts-expect-error and no relation said of what is still managed
      GuestMemfd.withVm(managed.memory, owned.vm),
      // @ts-expect-error nor to it
      VfioDevice.withIommufd(owned.nic, managed.iommu),
      VfioDevice.bind(managed.nic, managed.iommu),
      VfioDevice.withIommufd(owned.nic, owned.iommu)
    ]
    assert.isFunction(refused)
  })
})

describe("Capabilities", () => {
  const answersOf = ({ preserves }: Capabilities.Capabilities) =>
    Object.fromEntries(Object.entries(preserves).map(([kind, { answer }]) => [kind, answer]))
  const everything: Readonly<Record<string, Capabilities.Answer["answer"]>> = {
    memfd: "yes",
    iommufd: "yes",
    vfio: "yes",
    kvm_vm: "yes",
    guest_memfd: "yes"
  }

  it.effect("sees the handlers, that for devices with a device that is bound", () =>
    on()(
      Effect.gen(function* () {
        assert.deepStrictEqual(answersOf(yield* Capabilities.probe()), { ...everything, vfio: "unknown" })
        const { nic } = yield* guest
        const found = yield* Capabilities.probe({ device: nic })
        assert.deepStrictEqual(answersOf(found), everything)
        // Nothing is left preserved by it.
        assert.deepStrictEqual(answersOf(yield* Capabilities.probe({ device: nic })), everything)
      })
    )
  )

  it.effect("doesn't take a device that the handler refuses for a kernel without one", () =>
    on()(
      Effect.gen(function* () {
        const device = yield* VfioDevice.open({ address })
        const { vfio } = (yield* Capabilities.probe({ device })).preserves
        assert.include(vfio.answer === "unknown" ? vfio.reason : vfio.answer, "not bound to an iommufd")
      })
    )
  )
})
