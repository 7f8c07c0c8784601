/**
 * Files that go through a handover together: all of them, or none.
 *
 * ```ts
 * import { type Memfd, Preservation, Token } from "@liveupdate/sdk"
 * import { Effect, Schema } from "effect"
 *
 * const tokens = Token.names({ ram: 1n, state: 2n })
 * const Config = Schema.Struct({ cpus: Schema.Number })
 *
 * const handOver = (ram: Memfd.Memfd, state: Memfd.Memfd) =>
 *   Effect.gen(function* () {
 *     const vm = yield* Preservation.open({ session: "vm-42", files: { ram: { file: ram, token: tokens.ram } } })
 *     // … the guest is paused, its state saved …
 *     yield* vm.extend({ state: { file: state, token: tokens.state } })
 *     yield* vm.complete(Config, { cpus: 2 })
 *   })
 * ```
 *
 * On the next kernel: `Preservation.restore(session, Config, { ram: Memfd.Memfd, state: Memfd.Memfd })`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import {
  type DependencyCycle,
  type DependencyMissing,
  type FileNameInvalid,
  FilesDiffer,
  type FileTwice,
  PreservationClosed,
  type TokenTaken
} from "./errors/PreservationErrors.ts"
import type { Managed, Owned, Retrievable } from "./Handle.ts"
import * as Fd from "./internal/fd.ts"
import { locate } from "./internal/locate.ts"
import * as MemfdRules from "./internal/memfd.ts"
import * as Identity from "./internal/preservation/identity.ts"
import { type Candidate, type Planned, plan } from "./internal/preservation/plan.ts"
import * as LiveUpdate from "./LiveUpdate.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import * as Manifest from "./Manifest.ts"
import * as Memfd from "./Memfd.ts"
import type { IncomingSession, OutgoingSession } from "./Session.ts"
import * as Token from "./Token.ts"

export * from "./errors/PreservationErrors.ts"

/**
 * A file, its token, and the names of files that have to be preserved before it. What its handle knows needn't be said: an
 * iommufd comes after the memfds mapped through it, a VFIO device after its iommufd, a guest_memfd after its VM.
 *
 * @since 0.1.0
 * @category models
 */
export interface File {
  readonly file: Owned
  readonly token: Token.Token
  readonly dependsOn?: ReadonlyArray<string>
}

/**
 * Files of one session under their names (see `Token.isName`).
 *
 * @since 0.1.0
 * @category models
 */
export type Files = Readonly<Record<string, File>>

/**
 * What `open` makes of one session.
 *
 * @since 0.1.0
 * @category models
 */
export interface Contents {
  readonly session: string
  readonly files: Files
}

/**
 * Found before the kernel is asked for anything, and all or none after that: whatever it is, nothing is preserved.
 *
 * @since 0.1.0
 * @category errors
 */
export type PreservationError =
  | DependencyCycle
  | DependencyMissing
  | TokenTaken
  | FileNameInvalid
  | FileTwice
  | PreservationClosed
  | Manifest.ManifestInvalid
  | LiveUpdateError

/**
 * A session that is being filled. When a step of it fails or is interrupted, the session is closed and the kernel gives every
 * file back, those of earlier steps and of sessions that were opened with it too: there is no unpreserve for a single file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Preservation {
  readonly session: string
  /** The session's, to be held by somebody else too, over this process's end. */
  readonly fd: number
  /** Preserves more files, which may need those that are there. */
  readonly extend: (files: Files) => Effect.Effect<void, PreservationError>
  /** Writes the manifest, which lists the files and holds the caller's data, and preserves it. Nothing can be added after it. */
  readonly complete: <A, I>(schema: Schema.Schema<A, I>, data: NoInfer<A>) => Effect.Effect<void, PreservationError>
}

interface Entry extends Candidate {
  readonly file: Owned
}

interface Member {
  readonly session: OutgoingSession
  held: ReadonlyArray<Entry>
  described: ReadonlyArray<Manifest.File>
  complete: boolean
}

/** Sessions that share one fate. */
interface Group {
  readonly scope: Scope.CloseableScope
  readonly identities: Identity.Identities
  /** A step takes one permit, the rollback all: it waits for steps under way, as they use what it closes. */
  readonly steps: Effect.Semaphore
  rolledBack: boolean
}

const ALL = 1_000_000

const rollBack = (group: Group): Effect.Effect<void> =>
  Effect.suspend(() => {
    group.rolledBack = true
    return group.steps.withPermits(ALL)(Scope.close(group.scope, Exit.void))
  })

/** What the planner wants to know of the files. */
const inspect = (group: Group, session: string, files: Files): Effect.Effect<ReadonlyArray<Entry>, LiveUpdateError> =>
  Effect.forEach(Object.entries(files), ([name, { file, token, dependsOn = [] }]) =>
    Effect.gen(function* () {
      const subject = { session, token, file: name, kind: file.kind }
      const requires = yield* Effect.forEach(yield* file.requires ?? Effect.succeed([]), (required) =>
        Effect.map(group.identities.of(subject, required), (identity) => ({
          identity,
          what: `the ${required.kind} with descriptor ${required.fd}`
        }))
      )
      const identity = yield* group.identities.of(subject, file)
      return { name, token, file, identity, dependsOn, requires }
    })
  )

const check = (session: string, { name, token, file }: Entry): Effect.Effect<void, LiveUpdateError> => {
  const subject = { session, token, file: name }
  if (file.kind === "memfd") return MemfdRules.check({ ...subject, kind: file.kind }, file.fd)
  return Effect.mapError(file.check ?? Effect.void, (error) => locate(error, subject))
}

const describe = (session: string, { name, token, file, needs }: Planned<Entry>) =>
  Effect.gen(function* () {
    const described = { token, kind: file.kind, name, dependsOn: needs }
    if (file.kind !== "memfd" && file.kind !== "guest_memfd") return described
    // Frozen since it was preserved.
    const { size } = yield* Fd.status("memfd.stat", { session, token, file: name, kind: file.kind }, file.fd)
    return { ...described, size }
  })

/** One after another: the kernel would serialise them by the session's mutex (`luo_session_preserve_fd`), and order matters. */
const preserveInOrder = (member: Member, files: ReadonlyArray<Planned<Entry>>): Effect.Effect<void, LiveUpdateError> =>
  Effect.forEach(
    files,
    (file) =>
      Effect.gen(function* () {
        yield* member.session.preserve(file.file, file.token, file.name)
        const described = yield* describe(member.session.name, file)
        member.held = [...member.held, file]
        member.described = [...member.described, described]
      }),
    { discard: true }
  )

const makePreservation = (group: Group, member: Member): Preservation => {
  const session = member.session.name
  const oneAtATime = Effect.unsafeMakeSemaphore(1)
  const step = (effect: Effect.Effect<void, PreservationError>): Effect.Effect<void, PreservationError> =>
    Effect.suspend(() => {
      let begun = false
      const closed = (state: PreservationClosed["state"]) => Effect.fail(new PreservationClosed({ session, state }))
      return Effect.suspend(() => {
        if (group.rolledBack) return closed("rolled back")
        if (member.complete) return closed("complete")
        begun = true
        return effect
      }).pipe(
        group.steps.withPermits(1),
        Effect.onError(() => (begun ? rollBack(group) : Effect.void))
      )
    }).pipe(oneAtATime.withPermits(1))
  return {
    session,
    fd: member.session.fd,
    extend: (files) =>
      step(
        Effect.gen(function* () {
          const added = yield* inspect(group, session, files)
          const [ordered = []] = yield* plan([{ session, held: member.held, added }])
          yield* Effect.forEach(ordered, (file) => check(session, file), { discard: true })
          yield* preserveInOrder(member, ordered)
        })
      ).pipe(Effect.withSpan("Preservation.extend")),
    complete: (schema, data) =>
      step(
        Effect.gen(function* () {
          const manifest = yield* Manifest.write(schema, { files: member.described, data })
          yield* member.session.preserve(manifest, Token.manifest, "manifest")
          member.complete = true
        }).pipe(Effect.scoped)
      ).pipe(Effect.withSpan("Preservation.complete"))
  }
}

/**
 * Several sessions with one fate: checked together (a file may be in one of them only), then preserved in parallel. When a
 * step of one fails, now or later, all of them are rolled back.
 *
 * `concurrency`: how many sessions are filled at a time; each occupies a thread of libuv's pool while it preserves (default 3:
 * the pool has 4).
 *
 * Fails with `PreservationError`; leaving the scope rolls everything back.
 *
 * @since 0.1.0
 * @category operations
 */
export const openAll = Effect.fn("Preservation.openAll")(function* (
  sets: ReadonlyArray<Contents>,
  options: { readonly concurrency?: number } = {}
): Effect.fn.Return<ReadonlyArray<Preservation>, PreservationError, LiveUpdate.LiveUpdate | Scope.Scope> {
  const scope = yield* Effect.flatMap(Effect.scope, (outer) => Scope.fork(outer, ExecutionStrategy.sequential))
  const identities = yield* Scope.extend(Identity.make, scope)
  const group: Group = { scope, identities, steps: yield* Effect.makeSemaphore(ALL), rolledBack: false }
  return yield* Effect.gen(function* () {
    const requests = yield* Effect.forEach(sets, ({ session, files }) =>
      Effect.map(inspect(group, session, files), (added) => ({ session, held: [], added }))
    )
    const orders = yield* plan(requests)
    const filled = sets.map(({ session }, index) => ({ session, files: orders[index] ?? [] }))
    for (const { session, files } of filled) yield* Effect.forEach(files, (file) => check(session, file))
    return yield* Effect.forEach(
      filled,
      ({ session, files }) =>
        Effect.gen(function* () {
          const outgoing = yield* LiveUpdate.create(session)
          const member: Member = { session: outgoing, held: [], described: [], complete: false }
          yield* preserveInOrder(member, files)
          return makePreservation(group, member)
        }),
      { concurrency: options.concurrency ?? 3 }
    ).pipe(Scope.extend(scope))
  }).pipe(Effect.onError(() => rollBack(group)))
})

/**
 * Creates a session and preserves files in it, each after those that it needs. `extend` and `complete` go on from there.
 *
 * Everything that can be known is checked first: names, tokens, files that are there twice, dependencies, and what each kind's
 * `check` says. Fails with `PreservationError`, which names the file, and then nothing is preserved; leaving the scope rolls it
 * back.
 *
 * @since 0.1.0
 * @category operations
 */
export const open = (
  contents: Contents
): Effect.Effect<Preservation, PreservationError, LiveUpdate.LiveUpdate | Scope.Scope> =>
  Effect.flatMap(openAll([contents]), ([preservation]) =>
    preservation === undefined ? Effect.dieMessage("one session was asked for") : Effect.succeed(preservation)
  )

/**
 * `open` and `complete` in one: for what needs no second step.
 *
 * @since 0.1.0
 * @category operations
 */
export const preserve = <A, I>(
  contents: Contents,
  schema: Schema.Schema<A, I>,
  data: NoInfer<A>
): Effect.Effect<void, PreservationError, LiveUpdate.LiveUpdate | Scope.Scope> =>
  Effect.flatMap(open(contents), (preservation) => preservation.complete(schema, data))

/**
 * What came through the handover in a session.
 *
 * @since 0.1.0
 * @category models
 */
export interface Restored<A, Kinds> {
  readonly manifest: Manifest.Manifest<A>
  readonly files: { readonly [N in keyof Kinds]: Kinds[N] extends Retrievable<infer H> ? H : never }
}

/** Before anything but the manifest is retrieved. */
const compare = (
  session: string,
  files: ReadonlyArray<Manifest.File>,
  kinds: Readonly<Record<string, Retrievable<Managed>>>
): Effect.Effect<void, FilesDiffer> => {
  const there = new Map(files.map((file) => [file.name, file.kind]))
  const asked = Object.entries(kinds)
  const difference = {
    session,
    missing: asked.flatMap(([name]) => (there.has(name) ? [] : [name])),
    unexpected: [...there.keys()].filter((name) => !Object.hasOwn(kinds, name)),
    otherKind: asked.flatMap(([file, { kind }]) => {
      const found = there.get(file)
      return found === undefined || found === kind ? [] : [{ file, asked: kind, found }]
    })
  }
  return difference.missing.length + difference.unexpected.length + difference.otherKind.length === 0
    ? Effect.void
    : Effect.fail(new FilesDiffer(difference))
}

/**
 * Brings back what `preserve` sent along: reads the manifest, and retrieves its files in the order in which they were preserved,
 * as managed handles under their names. `kinds` says of which kind each is expected to be, and has to name all of them: one that
 * nobody asks for would be thrown away by `finish`.
 *
 * Fails with `TokenNotFound` (there is no manifest), `ManifestInvalid`, `FilesDiffer`, `RetrieveFailed`. The session is left as it
 * is, to be tried again.
 *
 * @since 0.1.0
 * @category operations
 */
export const restore = Effect.fn("Preservation.restore")(function* <
  A,
  I,
  const Kinds extends Readonly<Record<string, Retrievable<Managed>>>
>(
  session: IncomingSession,
  schema: Schema.Schema<A, I>,
  kinds: Kinds
): Effect.fn.Return<Restored<A, Kinds>, LiveUpdateError | Manifest.ManifestInvalid | FilesDiffer, Scope.Scope> {
  const manifest = yield* session.retrieve(Memfd.Memfd, Token.manifest, { name: "manifest" }).pipe(
    Effect.flatMap((memfd) => Manifest.read(schema, memfd)),
    Effect.scoped
  )
  yield* compare(session.name, manifest.files, kinds)
  const files: Record<string, Managed> = {}
  for (const { name, size, token } of manifest.files) {
    const kind = kinds[name]
    const known = size === undefined ? { name } : { name, bytes: size }
    if (kind !== undefined) files[name] = yield* session.retrieve(kind, token, known)
  }
  // Under each name is what its kind made of it.
  return { manifest, files: files as Restored<A, Kinds>["files"] }
})
