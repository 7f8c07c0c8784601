/** A simulated host whose kernel has handlers for devices, with the files that a guest of it would have. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as GuestMemfd from "../../src/GuestMemfd.ts"
import * as Iommufd from "../../src/Iommufd.ts"
import { errnoName } from "../../src/internal/errno.ts"
import type { Request } from "../../src/internal/ioctl.ts"
import { Kernel } from "../../src/internal/Kernel.ts"
import type { Fields, Given } from "../../src/internal/struct.ts"
import * as Kexec from "../../src/Kexec.ts"
import * as KvmVm from "../../src/KvmVm.ts"
import * as LiveUpdate from "../../src/LiveUpdate.ts"
import type { LiveUpdateError } from "../../src/LiveUpdateError.ts"
import * as Memfd from "../../src/Memfd.ts"
import type * as SimulatedHost from "../../src/SimulatedHost.ts"
import * as Token from "../../src/Token.ts"
import * as VfioDevice from "../../src/VfioDevice.ts"

export const address = "0000:01:00.0"

export const host = (options: Omit<SimulatedHost.Options, "profile"> = {}) =>
  Kexec.layerMemory.pipe(
    Layer.provideMerge(LiveUpdate.layerMemory({ profile: "handlers", pciDevices: [{ address }], ...options }))
  )

type Services = Layer.Layer.Success<ReturnType<typeof host>>

/** A program on such a host, with a scope that ends before it. */
export const on =
  (options: Omit<SimulatedHost.Options, "profile"> = {}) =>
  <A, E>(program: Effect.Effect<A, E, Services | Scope.Scope>): Effect.Effect<A, E> =>
    program.pipe(Effect.scoped, Effect.provide(host(options)))

export const RAM = 2 << 20
export const GUEST = 64 << 10

export const tokens = Token.names({ ram: 1n, iommu: 2n, nic: 3n, vm: 4n, memory: 5n })

export const sealedMemfd = Effect.gen(function* () {
  const memfd = yield* Memfd.create({ name: "ram", size: RAM })
  yield* Memfd.addSeals(memfd, "seal", "grow", "shrink")
  return memfd
})

/** RAM that a device sees through an iommufd, the device, a VM and its memory. */
export const guest = Effect.gen(function* () {
  const ram = yield* sealedMemfd
  const iommu = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommu)
  yield* Iommufd.map(ioas, { memfd: ram, iova: 0n })
  const nic = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommu)
  yield* VfioDevice.attach(nic, ioas)
  const vm = yield* KvmVm.create()
  const memory = yield* GuestMemfd.create(vm, { size: GUEST })
  return { ram, iommu, ioas, nic, vm, memory }
})

export const load = Kexec.load({ kernel: "/boot/vmlinuz-of-nobody", commandLine: "liveupdate=on" })

/** What comes of an operation: nothing, or its error's name with the kernel's own. */
export const said = <A, R>(operation: Effect.Effect<A, LiveUpdateError, R>): Effect.Effect<string, never, R> =>
  Effect.match(operation, {
    onSuccess: () => "ok",
    onFailure: ({ _tag, errno }) => `${_tag} ${errno}`
  })

/** A request as it is, and the errno's name or the answer. */
export const request = <F extends Fields>(fd: number, { encode, number }: Request<F>, given: Given<F>) =>
  Effect.map(Kernel, (kernel) => {
    const answer = kernel.ioctl(fd, number, encode(given))
    return answer < 0 ? errnoName(-answer) : answer
  })
