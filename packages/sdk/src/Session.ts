/**
 * A named set of preserved files: outgoing while they are being collected, incoming after the jump.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kind, Managed, Owned, Retrievable } from "./Handle.ts"
import type { LiveUpdateError, NotOfThisSession } from "./LiveUpdateError.ts"
import type { Token } from "./Token.ts"

/**
 * A session on its way to the next kernel. Leaving its scope closes it, and the kernel gives every file back to normal
 * life: there is no unpreserve for a single file (`luo_session_release` in `kernel/liveupdate/luo_session.c`).
 *
 * @since 0.1.0
 * @category models
 */
export interface OutgoingSession {
  readonly direction: "outgoing"
  readonly name: string
  /** The kernel gives everything back when the last duplicate of it is closed: whoever has one keeps the session over this process's end. */
  readonly fd: number
  /**
   * The name as the kernel has it (LIVEUPDATE_SESSION_GET_NAME, Linux 7.2; struct liveupdate_session_get_name: u32 size, u32 reserved
   * = 0, u8 name[64]; 72 bytes); `name` where the kernel can't be asked.
   */
  readonly askName: Effect.Effect<string, LiveUpdateError>
  /**
   * Preserves a file under a token. A memfd's pages are pinned and its holes filled, and its size is frozen; its contents
   * stay writable until the jump, so guest RAM can be preserved while the guest runs. The cost grows with the number of
   * folios (about 5 µs each for 4 KiB folios under emulation), and is paid on another thread.
   *
   * `name` is for people: errors say it beside the token. Fails with `AlreadyPreserved`, `ManagedUntilFinish`, `TokenInUse`, `NoHandler`, `NotPreservable`, `PreserveRefused`,
   * `LimitReached`.
   */
  readonly preserve: (file: Owned, token: Token, name?: string) => Effect.Effect<void, LiveUpdateError>
}

/**
 * What is known of a file before it is retrieved, as from a manifest.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetrieveOptions {
  /** For people: errors say it beside the token. */
  readonly name?: string
  /**
   * The file's size. A memfd of at most 1 MiB is retrieved on the spot, which takes a small part of the time; another thread does
   * it for bigger ones, and where the size isn't known. A number that is wrong does no harm but to keep this thread busy.
   */
  readonly bytes?: number
}

/**
 * A session that came from the previous kernel. Its end is `finish`. Leaving its scope unfinished does not close it: the
 * kernel would throw away what was not retrieved, so the `Custody` keeps it and it can be retrieved again.
 *
 * @since 0.1.0
 * @category models
 */
export interface IncomingSession {
  readonly direction: "incoming"
  readonly name: string
  /**
   * The name as the kernel has it (LIVEUPDATE_SESSION_GET_NAME, Linux 7.2; struct liveupdate_session_get_name: u32 size, u32 reserved
   * = 0, u8 name[64]; 72 bytes); `name` where the kernel can't be asked.
   */
  readonly askName: Effect.Effect<string, LiveUpdateError>
  /**
   * The file at a token, in any order; asking again gives another descriptor of the same file. Closed with the scope,
   * while the session goes on to hold the file.
   *
   * Fails with `TokenNotFound`, `RetrieveFailed` (sticky for that token).
   */
  readonly retrieve: <H extends Managed>(
    kind: Retrievable<H>,
    token: Token,
    options?: RetrieveOptions
  ) => Effect.Effect<H, LiveUpdateError, Scope.Scope>
  /**
   * Ends the handover: files that were retrieved become ordinary, those that were not are freed. Fails with
   * `FinishRefused`, and then nothing was finished.
   */
  readonly finish: Effect.Effect<Finished, LiveUpdateError>
}

/**
 * The proof that a session is finished.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finished {
  readonly session: string
  /**
   * The same descriptor as a handle that this process decides about: it may be preserved again, resized, closed. It lives as
   * long as the scope that it was retrieved in. Fails with `NotOfThisSession`.
   *
   * A descriptor doesn't tell what its file requires: say it with `Iommufd.withMapped`, `VfioDevice.withIommufd`,
   * `GuestMemfd.withVm` before it is preserved again.
   */
  readonly own: <K extends Kind>(handle: Managed<K>) => Effect.Effect<Owned<K>, NotOfThisSession>
}
