import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Owned } from "../Handle.ts"
import type { LiveUpdateError } from "../LiveUpdateError.ts"
import * as Manifest from "../Manifest.ts"
import * as Token from "../Token.ts"
import * as Fd from "./fd.ts"
import { type FileStatus, Kernel } from "./Kernel.ts"
import type { PreservedFiles } from "./PreservedFiles.ts"
import { retrieveFile, type State } from "./retrieveFile.ts"

interface Unfinished {
  readonly session: string
  readonly fd: number
  readonly state: State
  /** Tokens whose files are in the registry. */
  readonly known: Set<bigint>
}

/**
 * The unfinished sessions that this process holds. They may have been retrieved by another process that ended, and then only
 * their manifests tell which files they manage.
 */
export interface IncomingSessions {
  readonly isEmpty: () => boolean
  /** For as long as the scope lives, and the session isn't finished. */
  readonly hold: (session: string, fd: number, state: Unfinished["state"]) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Enters into the registry what the manifests say about files like this one: same kind, same size. Asking the kernel for a
   * token again gives another descriptor of the same file, so what was retrieved is compared without a change; what wasn't is
   * retrieved by this, as its session's owner has yet to do anyway.
   */
  readonly learn: (file: Owned, status: FileStatus) => Effect.Effect<void>
}

const learnFrom = (
  held: Unfinished,
  files: PreservedFiles,
  like: { readonly kind: string; readonly size: number }
): Effect.Effect<void, LiveUpdateError | Manifest.ManifestInvalid, Scope.Scope> =>
  Effect.gen(function* () {
    const kernel = yield* Kernel
    const { session, known } = held
    const token = Token.manifest
    const memfd = yield* retrieveFile(held, { session, token, kind: "memfd" })
    const manifest = yield* Manifest.read(Schema.Unknown, {
      kind: "memfd",
      custody: "managed",
      fd: memfd,
      session,
      token
    })
    for (const file of manifest.files) {
      if (known.has(file.token) || file.kind !== like.kind) continue
      if (file.size !== undefined && file.size !== like.size) continue
      const subject = { session, token: file.token, file: file.name, kind: file.kind }
      const again = yield* retrieveFile(held, subject, file.size)
      const status = yield* Fd.status("session.retrieveFile", subject, again)
      const handle = { kind: file.kind, custody: "managed", fd: again } as const
      files.enterManaged(kernel, handle, status, { session, token: file.token, file: file.name })
      known.add(file.token)
    }
  })

export const make = (files: PreservedFiles): IncomingSessions => {
  const held = new Set<Unfinished>()
  const unfinished = () => [...held].filter(({ state }) => !state.finished)
  return {
    isEmpty: () => unfinished().length === 0,
    hold: (session, fd, state) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            const entry: Unfinished = { session, fd, state, known: new Set() }
            held.add(entry)
            return entry
          }),
          (entry) => Effect.sync(() => held.delete(entry))
        )
      ),
    learn: (file, status) =>
      Effect.forEach(
        unfinished(),
        (session) =>
          learnFrom(session, files, { kind: file.kind, size: status.size }).pipe(
            Effect.scoped,
            // A session without a manifest, or with another program's, tells nothing.
            Effect.ignore
          ),
        { discard: true }
      )
  }
}
