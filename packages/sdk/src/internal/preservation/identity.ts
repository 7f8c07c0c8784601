import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Kind, Owned } from "../../Handle.ts"
import type { LiveUpdateError, Subject } from "../../LiveUpdateError.ts"
import * as Fd from "../fd.ts"
import { inodeOf, Kernel } from "../Kernel.ts"

interface OpenFile {
  readonly kind: Kind
  /** The number that it was seen under, and a duplicate of our own: the caller's may be closed and name another file later. */
  readonly seen: number
  readonly fd: number
  readonly identity: string
}

/** Gives files names that are equal for descriptors of one file, by the kernel's own measure (see `PreservedFiles`). */
export interface Identities {
  readonly of: (subject: Subject, file: Owned) => Effect.Effect<string, LiveUpdateError>
}

/** Lives as long as the scope. */
export const make: Effect.Effect<Identities, never, Scope.Scope> = Effect.map(Effect.scope, (scope) => {
  const openFiles: Array<OpenFile> = []
  return {
    of: (subject, file) =>
      Effect.gen(function* () {
        if (file.kind === "memfd") {
          return `memfd ${inodeOf(yield* Fd.status("session.preserve", subject, file.fd))}`
        }
        const kernel = yield* Kernel
        for (const known of openFiles) {
          if (known.kind !== file.kind) continue
          const answer = kernel.kcmpFile(file.fd, known.fd)
          // Where kcmp isn't to be had, the number has to do.
          if (answer === 0 || (answer < 0 && known.seen === file.fd)) return known.identity
        }
        const fd = yield* Fd.scoped(Fd.call("session.preserve", subject, () => kernel.dup(file.fd)))
        const identity = `${file.kind} ${openFiles.length}`
        openFiles.push({ kind: file.kind, seen: file.fd, fd, identity })
        return identity
      }).pipe(Scope.extend(scope))
  }
})
