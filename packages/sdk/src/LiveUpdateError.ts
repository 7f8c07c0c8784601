/**
 * Every way in which a live update operation can be refused, as one closed family of tagged errors.
 *
 * The same errno means different things at different operations (EBUSY alone has five meanings), so each pair of
 * operation and errno is translated once, at the edge. What the table doesn't know becomes `UnexpectedErrno` and keeps both.
 * Every member says `operation`, `errno`, the session, token, kind and path that apply, and what to do `next`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Device from "./errors/DeviceErrors.ts"
import * as File from "./errors/FileErrors.ts"
import * as Hardware from "./errors/HardwareErrors.ts"
import * as Kexec from "./errors/KexecErrors.ts"
import { NotPreservable } from "./errors/NotPreservable.ts"
import * as Session from "./errors/SessionErrors.ts"

export * from "./errors/DeviceErrors.ts"
export * from "./errors/FileErrors.ts"
export * from "./errors/HardwareErrors.ts"
export * from "./errors/KexecErrors.ts"
export * from "./errors/NotPreservable.ts"
export { Operation, type Subject } from "./errors/Origin.ts"
export * from "./errors/SessionErrors.ts"

/**
 * The whole family, as a schema: for what is journaled, sent and read again.
 *
 * @since 0.1.0
 * @category models
 */
export const LiveUpdateError = Schema.Union(
  Device.DeviceBusy,
  Device.DeviceMissing,
  Device.PermissionDenied,
  Device.HandoverUnreadable,
  Device.LimitReached,
  Device.HandleClosed,
  Device.Unsupported,
  Device.WrongKind,
  Device.InvalidArgument,
  Device.UnexpectedErrno,
  Session.SessionExists,
  Session.SessionNotFound,
  Session.SessionAlreadyRetrieved,
  Session.InvalidSessionName,
  Session.FinishRefused,
  File.AlreadyPreserved,
  File.ManagedUntilFinish,
  File.TokenInUse,
  File.TokenNotFound,
  File.NoHandler,
  File.PreserveRefused,
  NotPreservable,
  File.MemoryFrozen,
  File.InvalidSize,
  File.NotOfThisSession,
  File.RetrieveFailed,
  File.NotFound,
  Hardware.DriverMissing,
  Hardware.DeviceInUse,
  Hardware.DeviceGone,
  Hardware.BindRefused,
  Hardware.NotIsolated,
  Hardware.PageTableRefused,
  Hardware.MappingsFrozen,
  Hardware.AddressInUse,
  Hardware.InvalidMapping,
  Hardware.ObjectNotFound,
  Hardware.VmOfAnotherProcess,
  Kexec.KexecNotLoaded,
  Kexec.KexecBusy,
  Kexec.KernelImageRejected,
  Kexec.FreezeFailed,
  Kexec.HostLocked
)

/**
 * @since 0.1.0
 * @category models
 */
export type LiveUpdateError = typeof LiveUpdateError.Type
