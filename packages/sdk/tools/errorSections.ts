/**
 * What the page "errors and what to do" says of each error beyond what the code says itself: whose doing it is, whether to try
 * again, and examples whose next steps are printed. A new error without an entry doesn't compile, or fails the page's test.
 */
import * as Custody from "../src/Custody.ts"
import * as KernelImage from "../src/KernelImage.ts"
import * as E from "../src/LiveUpdateError.ts"
import * as Manifest from "../src/Manifest.ts"
import * as Preservation from "../src/Preservation.ts"
import * as SimulatedHost from "../src/SimulatedHost.ts"

export type AnyError =
  | E.LiveUpdateError
  | Custody.HoldFailed
  | Custody.HolderSilent
  | KernelImage.KernelImageInvalid
  | Manifest.ManifestInvalid
  | Preservation.DependencyCycle
  | Preservation.DependencyMissing
  | Preservation.TokenTaken
  | Preservation.FileNameInvalid
  | Preservation.FileTwice
  | Preservation.PreservationClosed
  | Preservation.FilesDiffer
  | SimulatedHost.NotJumped

/** In the order of the page. */
export const groups = {
  after: [
    "After the jump",
    "The guests stand still, and their memory waits in sessions. **Don't reboot, and don't end the keeper:** that would free it. Waiting loses nothing more; `agent resume` takes it up again."
  ],
  host: [
    "The host and the jump",
    "The jump did not happen. What had been preserved is ordinary again, or still preserved as before, and the guests run on."
  ],
  file: ["Files and memory", "What can be preserved, and what may be done with it meanwhile. The guests run on."],
  device: ["Devices of a guest", "Answers of the drivers: KVM, VFIO, iommufd. The guests run on."],
  program: [
    "The program that embeds the SDK",
    "Usually nothing that an operator can mend: the program asked for something that makes no sense. Keep the message for its authors."
  ]
} as const

export type Group = keyof typeof groups

export interface Section<Err extends AnyError> {
  readonly group: Group
  /** Whose doing it is. */
  readonly who: string
  /** Whether the same call is worth repeating. */
  readonly again: string
  /** Found by the SDK before the kernel was asked: where. */
  readonly unasked?: string
  /** One for each next step that there is; the label says when it is this one. */
  readonly examples: readonly [readonly [label: string, error: Err], ...ReadonlyArray<readonly [string, Err]>]
}

export type Sections = { readonly [Tag in AnyError["_tag"]]: Section<Extract<AnyError, { _tag: Tag }>> }

const at = <O extends E.Operation>(operation: O, errno: string, kind?: string) => ({
  operation,
  errno,
  ...(kind === undefined ? {} : { kind })
})

const preserve = { ...at("session.preserve", "EBUSY", "memfd"), session: "vm-1", token: 1n }

const limit = (which: E.LimitReached["limit"], errno: string) =>
  new E.LimitReached({ ...at("session.preserve", errno), limit: which })

const handler = (kind: string) => new E.NoHandler(at("session.preserve", "ENOENT", kind))

const [firstReason, ...otherReasons] = E.Reason.literals

const because = (reason: E.Reason): readonly [string, E.NotPreservable] => [
  `\`${reason}\``,
  new E.NotPreservable({ ...at("session.preserve", "none"), reasons: [reason] })
]

export const sections: Sections = {
  HandoverUnreadable: {
    group: "after",
    who: "the two kernels: the next one doesn't read what the one before wrote, or it was damaged",
    again: "no: the kernel gives the same answer until it is rebooted",
    examples: [["", new E.HandoverUnreadable(at("device.open", "EIO"))]]
  },
  SessionNotFound: {
    group: "after",
    who: "whoever gave the name; or the kernel before handed nothing over",
    again: "no",
    examples: [["", new E.SessionNotFound(at("session.retrieve", "ENOENT"))]]
  },
  SessionAlreadyRetrieved: {
    group: "after",
    who: "another process, or an earlier run of this one: it has the session, or the keeper has",
    again: "yes, when that process has ended: the keeper gives the session to the next one",
    examples: [["", new E.SessionAlreadyRetrieved(at("session.retrieve", "EINVAL"))]]
  },
  TokenNotFound: {
    group: "after",
    who: "the program: it asks for a file that was not preserved in this session",
    again: "no",
    examples: [["", new E.TokenNotFound(at("session.retrieveFile", "ENOENT"))]]
  },
  RetrieveFailed: {
    group: "after",
    who: "the kernel's handler for this kind of file: out of memory, or the two kernels differ",
    again: "no: the answer is kept for this token",
    examples: [["", new E.RetrieveFailed(at("session.retrieveFile", "EIO"))]]
  },
  FinishRefused: {
    group: "after",
    who: "a file of the session that isn't ready",
    again: "yes, after that; nothing was finished",
    examples: [["", new E.FinishRefused(at("session.finish", "EBUSY"))]]
  },
  HoldFailed: {
    group: "after",
    who: "the keeper or systemd: it could not be started, or didn't take the session",
    again: "yes: leave the process as it is, mend the reason, retrieve again in another one",
    examples: [["", new Custody.HoldFailed({ session: "vm-1", reason: "ENOSPC" })]]
  },
  HolderSilent: {
    group: "after",
    who: "the keeper or systemd: it runs, but can't be understood",
    again: "yes, with the version of the program that started it",
    examples: [["", new Custody.HolderSilent({ holder: "keeper", reason: "no answer" })]]
  },
  ManifestInvalid: {
    group: "after",
    who: "the program that wrote the manifest, in another version; or it was damaged. Before the jump: data that can't be written",
    again: "yes, with the version that wrote it",
    examples: [
      ["`version` and damage", new Manifest.ManifestInvalid({ reason: "version", where: "byte 8", detail: "2" })],
      ["`magic`", new Manifest.ManifestInvalid({ reason: "magic", where: "byte 0", detail: "" })],
      ["`too-large`", new Manifest.ManifestInvalid({ reason: "too-large", where: "data", detail: "" })],
      ["`data`", new Manifest.ManifestInvalid({ reason: "data", where: "data", detail: "" })]
    ]
  },
  FilesDiffer: {
    group: "after",
    who: "two versions of a program that don't agree on what is handed over",
    again: "yes, with the program that fits",
    unasked: "`Preservation.restore`",
    examples: [["", new Preservation.FilesDiffer({ session: "vm-1", missing: ["ram"], unexpected: [], otherKind: [] })]]
  },

  DeviceBusy: {
    group: "host",
    who: "another process; often systemd, for a moment at boot and at shutdown",
    again: "yes, in a second",
    examples: [["", new E.DeviceBusy(at("device.open", "EBUSY"))]]
  },
  DeviceMissing: {
    group: "host",
    who: "the running kernel, or its command line",
    again: "no, not before a reboot",
    examples: [["", new E.DeviceMissing(at("device.open", "ENOENT"))]]
  },
  PermissionDenied: {
    group: "host",
    who: "the operator: it takes root, and a host that isn't locked down",
    again: "no",
    examples: [
      ["the device", new E.PermissionDenied(at("device.open", "EACCES"))],
      ["another process's descriptor", new E.PermissionDenied(at("memfd.adopt", "EPERM"))],
      ["a memfd", new E.PermissionDenied(at("memfd.create", "EACCES"))],
      ["a kernel", new E.PermissionDenied(at("kexec.load", "EPERM"))],
      ["otherwise", new E.PermissionDenied(at("file.open", "EACCES"))]
    ]
  },
  HostLocked: {
    group: "host",
    who: "another live update that runs on this host",
    again: "yes, when it is done",
    examples: [["", new E.HostLocked(at("host.lock", "EAGAIN"))]]
  },
  KernelImageInvalid: {
    group: "host",
    who: "whoever gave the path",
    again: "no",
    unasked: "`KernelImage.inspect`",
    examples: [["", new KernelImage.KernelImageInvalid({ path: "/boot/x", reason: "not-a-kernel", detail: "" })]]
  },
  KernelImageRejected: {
    group: "host",
    who: "whoever gave the image or the command line; or the host's signature policy",
    again: "no, except for ETXTBSY",
    examples: [
      ["ENOEXEC, EINVAL", new E.KernelImageRejected(at("kexec.load", "ENOEXEC"))],
      ["EKEYREJECTED and other answers about keys", new E.KernelImageRejected(at("kexec.load", "EKEYREJECTED"))],
      ["ETXTBSY", new E.KernelImageRejected(at("kexec.load", "ETXTBSY"))],
      ["EFBIG", new E.KernelImageRejected(at("kexec.load", "EFBIG"))],
      ["EIO", new E.KernelImageRejected(at("kexec.load", "EIO"))]
    ]
  },
  KexecNotLoaded: {
    group: "host",
    who: "the program, or somebody who unloaded the image (`kexec -u`)",
    again: "yes, after a load",
    examples: [["", new E.KexecNotLoaded(at("kexec.jump", "EINVAL"))]]
  },
  KexecBusy: {
    group: "host",
    who: "another process that loads an image, such as kdump's service; at the jump perhaps a file",
    again: "yes, in a second",
    examples: [
      ["a load", new E.KexecBusy(at("kexec.load", "EBUSY"))],
      ["the jump", new E.KexecBusy(at("kexec.jump", "EBUSY"))]
    ]
  },
  FreezeFailed: {
    group: "host",
    who: "a preserved file: its driver could not bring it to rest. The kernel has rolled all of them back",
    again: "yes, when the kernel log's reason is mended; a VFIO device may need its guest restarted",
    examples: [["", new E.FreezeFailed(at("kexec.jump", "EINVAL"))]]
  },
  LimitReached: {
    group: "host",
    who: "the host is too small, or too much is asked of it at once",
    again: "yes, after making room",
    examples: [
      ["memory", limit("memory", "ENOMEM")],
      ["descriptors", limit("descriptors", "EMFILE")],
      ["sessions", limit("sessions", "ENOSPC")],
      ["files", limit("files", "ENOSPC")],
      ["image", limit("image", "EADDRNOTAVAIL")],
      ["addresses", limit("addresses", "ENOSPC")]
    ]
  },
  Unsupported: {
    group: "host",
    who: "the running kernel: it is older than the request",
    again: "no",
    examples: [["", new E.Unsupported(at("session.name", "EINVAL"))]]
  },
  NotFound: {
    group: "host",
    who: "whoever gave the path, the process or the descriptor's number; or the process has ended",
    again: "no",
    unasked: "`VfioDevice.find`",
    examples: [["", new E.NotFound(at("file.open", "ENOENT"))]]
  },
  UnexpectedErrno: {
    group: "host",
    who: "unknown: a kernel that answers what 7.3 doesn't",
    again: "once; then report it",
    examples: [["", new E.UnexpectedErrno({ ...at("session.finish", "EMEDIUMTYPE"), number: 124 })]]
  },

  AlreadyPreserved: {
    group: "file",
    who: "the holder that the message names; without one, another process",
    again: "no, not before the holder's session is closed or finished",
    examples: [
      ["the holder is known", new E.AlreadyPreserved({ ...preserve, holder: { session: "vm-2", token: 1n } })],
      ["it is not", new E.AlreadyPreserved(preserve)]
    ]
  },
  ManagedUntilFinish: {
    group: "file",
    who: "the live update before this one: its session was never finished",
    again: "yes, after `finish`",
    examples: [["", new E.ManagedUntilFinish({ ...preserve, holder: { session: "vm-1", token: 1n } })]]
  },
  NoHandler: {
    group: "file",
    who: "the running kernel: nothing in it can preserve this kind of file",
    again: "no, not on this kernel",
    unasked: "`Iommufd.markPageTable`",
    examples: [
      ["memfd", handler("memfd")],
      ["vfio", handler("vfio")],
      ["iommufd", handler("iommufd")],
      ["guest_memfd", handler("guest_memfd")],
      ["kvm_vm", handler("kvm_vm")]
    ]
  },
  NotPreservable: {
    group: "file",
    who: "whoever created the file",
    again: "no, not as it is",
    unasked: "`check` of each kind, and `session.preserve` to explain what the kernel refused",
    examples: [because(firstReason), ...otherReasons.map(because)]
  },
  PreserveRefused: {
    group: "file",
    who: "the kernel's handler for this kind of file",
    again: "when the kernel log's reason is mended",
    examples: [["", new E.PreserveRefused(at("session.preserve", "EINVAL"))]]
  },
  MemoryFrozen: {
    group: "file",
    who: "the program: the memfd is preserved, or sealed",
    again: "not while its session lasts",
    examples: [
      ["EPERM", new E.MemoryFrozen(at("memfd.resize", "EPERM"))],
      ["EBUSY", new E.MemoryFrozen(at("memfd.seal", "EBUSY"))]
    ]
  },
  MappingsFrozen: {
    group: "device",
    who: "the program: the iommufd is preserved, or the range is in use",
    again: "not while its session lasts",
    examples: [["", new E.MappingsFrozen(at("iommufd.map", "EBUSY"))]]
  },

  DriverMissing: {
    group: "device",
    who: "the host: a module isn't loaded, or the device is bound to another driver",
    again: "yes, after that",
    unasked: "`VfioDevice.find`",
    examples: [
      ["iommufd", new E.DriverMissing(at("iommufd.open", "ENOENT", "iommufd"))],
      ["vfio", new E.DriverMissing(at("vfio.open", "ENOENT", "vfio"))],
      ["kvm_vm", new E.DriverMissing(at("kvm.open", "ENOENT", "kvm_vm"))]
    ]
  },
  DeviceInUse: {
    group: "device",
    who: "another process or driver",
    again: "yes, when it has let go",
    examples: [["", new E.DeviceInUse(at("vfio.bind", "EBUSY", "vfio"))]]
  },
  DeviceGone: {
    group: "device",
    who: "the hardware, or whoever unbound it",
    again: "yes, when it is back",
    examples: [["", new E.DeviceGone(at("vfio.bind", "ENODEV", "vfio"))]]
  },
  BindRefused: {
    group: "device",
    who: "the program: the device is bound already; or the hardware",
    again: "no",
    examples: [["", new E.BindRefused(at("vfio.bind", "EINVAL", "vfio"))]]
  },
  NotIsolated: {
    group: "device",
    who: "the host: which devices share an IOMMU group, and interrupt remapping",
    again: "no, not before that is changed",
    examples: [["", new E.NotIsolated(at("vfio.bind", "EPERM", "vfio"))]]
  },
  PageTableRefused: {
    group: "device",
    who: "the program: it attaches a page table to a device of another IOMMU",
    again: "no",
    examples: [["", new E.PageTableRefused(at("vfio.attach", "EINVAL", "vfio"))]]
  },
  VmOfAnotherProcess: {
    group: "device",
    who: "the program: KVM lets only the process that created a VM change it",
    again: "no",
    examples: [["", new E.VmOfAnotherProcess(at("kvm.createGuestMemfd", "EIO", "kvm_vm"))]]
  },

  SessionExists: {
    group: "program",
    who: "the program, or another run of it that has not ended",
    again: "yes, when that session is closed",
    examples: [["", new E.SessionExists(at("session.create", "EEXIST"))]]
  },
  InvalidSessionName: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`LiveUpdate.create` and `retrieve`",
    examples: [["", new E.InvalidSessionName(at("session.create", "EINVAL"))]]
  },
  TokenInUse: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [["", new E.TokenInUse(at("session.preserve", "EEXIST"))]]
  },
  NotOfThisSession: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Finished.own`",
    examples: [["", new E.NotOfThisSession(at("session.finish", "none"))]]
  },
  HandleClosed: {
    group: "program",
    who: "the program: it uses a handle after its scope",
    again: "no",
    examples: [["", new E.HandleClosed(at("memfd.stat", "EBADF"))]]
  },
  WrongKind: {
    group: "program",
    who: "the program, or whoever gave it the number of a descriptor",
    again: "no",
    examples: [["", new E.WrongKind(at("memfd.seal", "EINVAL"))]]
  },
  InvalidArgument: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [
      ["`memfd.create`", new E.InvalidArgument(at("memfd.create", "EINVAL"))],
      ["otherwise", new E.InvalidArgument(at("memfd.seal", "EINVAL"))]
    ]
  },
  InvalidSize: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`GuestMemfd.create`",
    examples: [["", new E.InvalidSize(at("memfd.resize", "EINVAL"))]]
  },
  InvalidMapping: {
    group: "program",
    who: "the program: it doesn't follow the guest's layout, or the hardware's",
    again: "no",
    unasked: "`Iommufd.map`",
    examples: [["", new E.InvalidMapping(at("iommufd.map", "EINVAL"))]]
  },
  AddressInUse: {
    group: "program",
    who: "the program",
    again: "no",
    examples: [["", new E.AddressInUse(at("iommufd.map", "EEXIST"))]]
  },
  ObjectNotFound: {
    group: "program",
    who: "the program: it uses an object after its scope",
    again: "no",
    examples: [["", new E.ObjectNotFound(at("iommufd.map", "ENOENT"))]]
  },
  DependencyCycle: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.DependencyCycle({ session: "vm-1", cycle: ["ram"] })]]
  },
  DependencyMissing: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.DependencyMissing({ session: "vm-1", file: "nic", needs: "iommu" })]]
  },
  TokenTaken: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.TokenTaken({ session: "vm-1", token: 0n, file: "ram", by: "manifest" })]]
  },
  FileNameInvalid: {
    group: "program",
    who: "the program",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.FileNameInvalid({ session: "vm-1", file: "" })]]
  },
  FileTwice: {
    group: "program",
    who: "the program, or a VMM that has one file under two descriptors",
    again: "no",
    unasked: "`Preservation.open`, `extend`",
    examples: [["", new Preservation.FileTwice({ session: "vm-1", file: "a", other: { session: "vm-1", file: "b" } })]]
  },
  PreservationClosed: {
    group: "program",
    who: "the program; it was told of the failure before",
    again: "no",
    unasked: "`extend`, `complete`",
    examples: [
      ["complete", new Preservation.PreservationClosed({ session: "vm-1", state: "complete" })],
      ["rolled back", new Preservation.PreservationClosed({ session: "vm-1", state: "rolled back" })]
    ]
  },
  NotJumped: {
    group: "program",
    who: "the program, in a test of it",
    again: "no",
    unasked: "`SimulatedHost.simulateKexec`",
    examples: [["", new SimulatedHost.NotJumped()]]
  }
}
