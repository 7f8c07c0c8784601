/**
 * What a control plane may do about each error of the SDK: one handler for every tag. `settle` can't fail, so an error that a later
 * version adds doesn't compile here until somebody has thought about it. `docs/errors.md` says what each of them means.
 */
import type { LiveUpdateError } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"

type AnyError = LiveUpdateError.LiveUpdateError

export type Outcome<A> =
  | { readonly do: "go on"; readonly value: A }
  /** The same call may succeed soon. */
  | { readonly do: "retry"; readonly because: string }
  /** Not on this host as it is; nothing was touched, the guests run. */
  | { readonly do: "refuse"; readonly because: string }
  /** After the jump: the memory waits, and nobody must reboot. */
  | { readonly do: "call the operator"; readonly because: string }
  /** The program asked for something that makes no sense. */
  | { readonly do: "report a bug"; readonly because: string }

type Deed = Exclude<Outcome<never>["do"], "go on">

const say = (deed: Deed) => (error: AnyError) => Effect.succeed({ do: deed, because: error.message } as const)

const retry = say("retry")
const refuse = say("refuse")
const call = say("call the operator")
const report = say("report a bug")

export const handlers = {
  // The device and the host.
  DeviceBusy: retry,
  DeviceMissing: refuse,
  PermissionDenied: refuse,
  HostLocked: retry,
  NotFound: refuse,
  Unsupported: refuse,
  // What ran out decides: memory comes back, a limit on files doesn't.
  LimitReached: (error: LiveUpdateError.LimitReached) => (error.limit === "memory" ? retry : refuse)(error),
  UnexpectedErrno: report,

  // The jump. It did not happen, and its scope has undone what was done for it.
  KexecNotLoaded: report,
  KexecBusy: retry,
  KernelImageRejected: refuse,
  FreezeFailed: refuse,

  // Files. The guest keeps them.
  AlreadyPreserved: (error: LiveUpdateError.AlreadyPreserved) =>
    // Held by this program: it preserves a file twice. Otherwise somebody else is at a live update of the same VM.
    (error.holder === undefined ? refuse : report)(error),
  ManagedUntilFinish: (error: LiveUpdateError.ManagedUntilFinish) =>
    Effect.succeed({ do: "call the operator", because: `Session ${error.holder.session} was never finished` } as const),
  NoHandler: refuse,
  NotPreservable: refuse,
  PreserveRefused: refuse,
  MemoryFrozen: report,

  // After the jump.
  HandoverUnreadable: call,
  SessionNotFound: call,
  SessionAlreadyRetrieved: call,
  TokenNotFound: call,
  RetrieveFailed: call,
  FinishRefused: retry,

  // Devices.
  DriverMissing: refuse,
  DeviceInUse: retry,
  DeviceGone: call,
  BindRefused: refuse,
  NotIsolated: refuse,
  PageTableRefused: refuse,
  MappingsFrozen: report,
  VmOfAnotherProcess: report,

  // This program's own mistakes.
  SessionExists: report,
  InvalidSessionName: report,
  TokenInUse: report,
  NotOfThisSession: report,
  HandleClosed: report,
  WrongKind: report,
  InvalidArgument: report,
  InvalidSize: report,
  InvalidMapping: report,
  AddressInUse: report,
  ObjectNotFound: report
}

/** What came of it, whatever that is: no error is left. */
export const settle = <A, R>(program: Effect.Effect<A, AnyError, R>): Effect.Effect<Outcome<A>, never, R> =>
  program.pipe(
    Effect.map((value) => ({ do: "go on", value }) as const),
    Effect.catchTags(handlers)
  )
