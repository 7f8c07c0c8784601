/** The host and the jump. */
import * as KernelImage from "../../src/KernelImage.ts"
import * as E from "../../src/LiveUpdateError.ts"
import * as SdNotify from "../../src/SdNotify.ts"
import { at, type Sections } from "./Section.ts"

const limit = (which: E.LimitReached["limit"], errno: string) =>
  new E.LimitReached({ ...at("session.preserve", errno), limit: which })

export const host = {
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
    unasked: "`KernelImage.inspect`, `KernelImageContents.read`",
    examples: [
      ["another file", new KernelImage.KernelImageInvalid({ path: "/boot/x", reason: "not-a-kernel", detail: "" })],
      ["damaged, cut short", new KernelImage.KernelImageInvalid({ path: "/boot/x", reason: "damaged", detail: "" })]
    ]
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
  NotifyFailed: {
    group: "host",
    who: "systemd: it isn't there, or too busy to listen",
    again: "yes",
    examples: [["", new SdNotify.NotifyFailed({ socket: SdNotify.systemSocket, reason: "ECONNREFUSED" })]]
  }
} satisfies Partial<Sections>
