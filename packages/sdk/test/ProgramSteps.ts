/** What the random programs of `descriptors.test.ts` consist of. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as GuestMemfd from "../src/GuestMemfd.ts"
import * as Handle from "../src/Handle.ts"
import * as Iommufd from "../src/Iommufd.ts"
import * as KvmVm from "../src/KvmVm.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Preservation from "../src/Preservation.ts"
import type { Finished, IncomingSession, OutgoingSession } from "../src/Session.ts"
import * as Token from "../src/Token.ts"
import * as VfioDevice from "../src/VfioDevice.ts"

/** What a program has in hand. */
export interface State {
  readonly memfds: Array<Memfd.Memfd>
  readonly managed: Array<Memfd.Managed>
  readonly iommufds: Array<Iommufd.Iommufd>
  readonly spaces: Array<Iommufd.Ioas>
  readonly devices: Array<VfioDevice.VfioDevice & VfioDevice.Binding>
  readonly vms: Array<KvmVm.KvmVm>
  readonly memories: Array<GuestMemfd.GuestMemfd>
  /** Of any kind but memfd. */
  readonly managedOthers: Array<ManagedOther>
  readonly outgoing: Array<OutgoingSession>
  readonly incoming: Array<IncomingSession>
  readonly finished: Array<Finished>
  readonly preservations: Array<Preservation.Preservation>
}

type ManagedOther = Iommufd.Managed | VfioDevice.Managed | KvmVm.Managed | GuestMemfd.Managed

export const nothing = (): State => ({
  memfds: [],
  managed: [],
  iommufds: [],
  spaces: [],
  devices: [],
  vms: [],
  memories: [],
  managedOthers: [],
  outgoing: [],
  incoming: [],
  finished: [],
  preservations: []
})

/** Handles of an inner scope are no more when it ends. */
export const copyOf = (state: State): State => ({
  memfds: [...state.memfds],
  managed: [...state.managed],
  iommufds: [...state.iommufds],
  spaces: [...state.spaces],
  devices: [...state.devices],
  vms: [...state.vms],
  memories: [...state.memories],
  managedOthers: [...state.managedOthers],
  outgoing: [...state.outgoing],
  incoming: [...state.incoming],
  finished: [...state.finished],
  preservations: [...state.preservations]
})

type Step = (state: State, a: number, b: number) => Effect.Effect<void, unknown, LiveUpdate.LiveUpdate | Scope.Scope>

const pick = <A>(from: ReadonlyArray<A>, index: number): Effect.Effect<A, "nothing there"> => {
  const found = from[index % Math.max(1, from.length)]
  return found === undefined ? Effect.fail("nothing there" as const) : Effect.succeed(found)
}

const keep = <A, E, R>(into: Array<A>, effect: Effect.Effect<A, E, R>) =>
  Effect.map(effect, (value) => void into.push(value))

/** Over a mebibyte: preserved on another thread. */
const sizes = [0, 4096, (1 << 20) + 4096]

/** The last of each kind, each before those that it needs. */
const ownedOf = ({ devices, iommufds, memfds, memories, vms }: State): ReadonlyArray<Handle.Owned> => [
  ...memories.slice(-1),
  ...devices.slice(-1),
  ...vms.slice(-1),
  ...iommufds.slice(-1),
  ...memfds.slice(-1)
]

export const pciDevices = ["0000:01:00.0", "0000:02:00.0"].map((address) => ({ address }))
export const addressOf = (index: number): string => pciDevices[index % pciDevices.length]?.address ?? ""

const kinds = {
  ram: Memfd.Memfd,
  state: Memfd.Memfd,
  iommu: Iommufd.Iommufd,
  nic: VfioDevice.VfioDevice,
  vm: KvmVm.KvmVm,
  memory: GuestMemfd.GuestMemfd
}

/** Some memfds; or files of several kinds with what they need, which is preserved unless it is another one that they need. */
const filesOf = (state: State, a: number, b: number): Preservation.Files =>
  Object.fromEntries(
    (b % 2 === 0 ? state.memfds.slice(a % 3, (a % 3) + 1 + (b % 3)) : ownedOf(state).slice(a % 5)).map(
      (file, index) => [
        `f${a}-${index}`,
        {
          file,
          token: Token.make(BigInt(a * 10 + index)),
          ...(b % 5 === 0 && index > 0 ? { dependsOn: [`f${a}-0`] } : {})
        }
      ]
    )
  )

export const steps: Readonly<Record<string, Step>> = {
  create: ({ memfds }, a) => keep(memfds, Memfd.create({ name: "file", size: sizes[a % sizes.length] ?? 0 })),
  adopt: ({ memfds }, a) =>
    Effect.flatMap(pick(memfds, a), ({ fd }) => keep(memfds, Memfd.adopt({ pid: process.pid, fd }))),
  resize: ({ memfds }, a, b) => Effect.flatMap(pick(memfds, a), (memfd) => Memfd.resize(memfd, b * 4096)),
  close: ({ memfds }, a) => Effect.flatMap(pick(memfds, a), Handle.close),
  session: ({ outgoing }, a) => keep(outgoing, LiveUpdate.create(`session-${a % 3}`)),
  preserve: ({ memfds, outgoing }, a, b) =>
    Effect.flatMap(Effect.all([pick(outgoing, a), pick(memfds, b)]), ([session, memfd]) =>
      session.preserve(memfd, Token.make(BigInt(a)))
    ),
  open: (state, a, b) =>
    keep(state.preservations, Preservation.open({ session: `open-${a % 3}`, files: filesOf(state, a, b) })),
  openAll: (state, a, b) =>
    Effect.map(
      Preservation.openAll([
        { session: `open-${a % 3}`, files: filesOf(state, a, 0) },
        { session: `open-${b % 3}`, files: filesOf(state, a + 1, 0) }
      ]),
      (all) => void state.preservations.push(...all)
    ),
  extend: (state, a, b) =>
    Effect.flatMap(pick(state.preservations, a), (one) =>
      b % 2 === 0
        ? Effect.flatMap(Memfd.create({ name: "more", size: 4096 }), (file) =>
            one.extend({ more: { file, token: Token.make(999n) } })
          )
        : one.extend(filesOf(state, a + 10, b))
    ),
  complete: ({ preservations }, a) => Effect.flatMap(pick(preservations, a), (one) => one.complete(Schema.Null, null)),
  retrieve: ({ incoming }, a) => keep(incoming, LiveUpdate.retrieve(`carried-${a % 2}`)),
  retrieveFile: ({ incoming, managed }, a, b) =>
    Effect.flatMap(pick(incoming, a), (one) => keep(managed, one.retrieve(Memfd.Memfd, Token.make(BigInt(b % 4))))),
  restore: ({ incoming, managed, managedOthers }, a) =>
    Effect.flatMap(pick(incoming, a), (one) =>
      Effect.map(Preservation.restore(one, Schema.Null, kinds), ({ files }) => {
        managed.push(files.ram, files.state)
        managedOthers.push(files.iommu, files.nic, files.vm, files.memory)
      })
    ),
  finish: ({ finished, incoming }, a) => Effect.flatMap(pick(incoming, a), (one) => keep(finished, one.finish)),
  own: ({ finished, managed, memfds }, a, b) =>
    Effect.flatMap(Effect.all([pick(finished, a), pick(managed, b)]), ([end, handle]) => keep(memfds, end.own(handle))),
  adoptManaged: ({ managed, memfds }, a) =>
    Effect.flatMap(pick(managed, a), ({ fd }) => keep(memfds, Memfd.adopt({ pid: process.pid, fd }))),
  iommufd: ({ iommufds }) => keep(iommufds, Iommufd.open),
  space: ({ iommufds, spaces }, a) =>
    Effect.flatMap(pick(iommufds, a), (iommufd) => keep(spaces, Iommufd.allocateIoas(iommufd))),
  map: ({ memfds, spaces }, a, b) =>
    Effect.flatMap(Effect.all([pick(spaces, a), pick(memfds, b)]), ([ioas, memfd]) =>
      Effect.zipRight(Memfd.addSeals(memfd, "seal", "grow", "shrink"), Iommufd.map(ioas, { memfd }))
    ),
  unmap: ({ iommufds }, a, b) =>
    Effect.flatMap(pick(iommufds, a), (iommufd) =>
      Effect.flatMap(Iommufd.mappings(iommufd), (all) => Effect.flatMap(pick(all, b), Iommufd.unmap))
    ),
  bind: ({ devices, iommufds }, a, b) =>
    Effect.flatMap(pick(iommufds, a), (iommufd) =>
      keep(
        devices,
        Effect.flatMap(VfioDevice.open({ address: addressOf(b) }), (device) => VfioDevice.bind(device, iommufd))
      )
    ),
  attach: ({ devices, spaces }, a, b) =>
    Effect.flatMap(Effect.all([pick(devices, a), pick(spaces, b)]), ([device, ioas]) =>
      VfioDevice.attach(device, ioas)
    ),
  table: ({ devices, spaces }, a, b) =>
    Effect.flatMap(Effect.all([pick(devices, a), pick(spaces, b)]), ([device, ioas]) =>
      Iommufd.allocatePageTable(ioas, device)
    ),
  vm: ({ vms }) => keep(vms, KvmVm.create()),
  memory: ({ memories, vms }, a) =>
    Effect.flatMap(pick(vms, a), (vm) => keep(memories, GuestMemfd.create(vm, { size: 8192 }))),
  preserveOther: (state, a, b) =>
    Effect.flatMap(Effect.all([pick(state.outgoing, a), pick(ownedOf(state), b)]), ([session, file]) =>
      session.preserve(file, Token.make(BigInt(a)))
    ),
  closeOther: (state, a) => Effect.flatMap(pick(ownedOf(state), a), Handle.close),
  retrieveOther: ({ incoming, managedOthers }, a, b) =>
    Effect.flatMap(pick(incoming, a), (one) => {
      const retrievals: ReadonlyArray<Effect.Effect<ManagedOther, unknown, Scope.Scope>> = [
        one.retrieve(kinds.iommu, Token.make(3n)),
        one.retrieve(kinds.nic, Token.make(4n)),
        one.retrieve(kinds.vm, Token.make(5n)),
        one.retrieve(kinds.memory, Token.make(6n))
      ]
      return Effect.flatMap(pick(retrievals, b), (retrieval) => keep(managedOthers, retrieval))
    }),
  rebind: ({ managedOthers }, a, b) =>
    Effect.flatMap(
      Effect.all([
        pick(
          managedOthers.filter((one) => one.kind === "vfio"),
          a
        ),
        pick(
          managedOthers.filter((one) => one.kind === "iommufd"),
          b
        )
      ]),
      ([device, iommufd]) => VfioDevice.bind(device, iommufd)
    ),
  fail: () => Effect.fail("the program's own failure"),
  die: () => Effect.die("the program's own defect")
}
