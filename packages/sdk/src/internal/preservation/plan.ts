/**
 * In which order files are preserved, or why they can't be: pure, so that everything is known before the kernel is asked.
 */
import * as Either from "effect/Either"
import {
  DependencyCycle,
  DependencyMissing,
  FileNameInvalid,
  FileTwice,
  TokenTaken
} from "../../errors/PreservationErrors.ts"
import { LimitReached } from "../../LiveUpdateError.ts"
import * as Token from "../../Token.ts"
import { MAX_FILES } from "../manifest/description.ts"

export type PlanError = DependencyCycle | DependencyMissing | TokenTaken | FileNameInvalid | FileTwice | LimitReached

/** A file that has to come first, known by its identity: `what` is for people. */
export interface Requirement {
  readonly identity: string
  readonly what: string
}

export interface Candidate {
  readonly name: string
  readonly token: Token.Token
  /** Equal for descriptors of one file. */
  readonly identity: string
  /** Names of files that have to come first. */
  readonly dependsOn: ReadonlyArray<string>
  readonly requires: ReadonlyArray<Requirement>
}

/** What a session is to hold: `held` is in it already. */
export interface Request<C extends Candidate> {
  readonly session: string
  readonly held: ReadonlyArray<Candidate>
  readonly added: ReadonlyArray<C>
}

/** A file at its place, with the names of all that it needs, each before it. */
export type Planned<C extends Candidate> = C & { readonly needs: ReadonlyArray<string> }

const checkNamesAndTokens = <C extends Candidate>({
  session,
  held,
  added
}: Request<C>): Either.Either<void, PlanError> => {
  const names = new Set<string>()
  const owners = new Map<bigint, string>([[Token.manifest, "manifest"]])
  for (const { name, token } of [...held, ...added]) {
    if (!Token.isName(name) || names.has(name)) return Either.left(new FileNameInvalid({ session, file: name }))
    const by = owners.get(token)
    if (by !== undefined) return Either.left(new TokenTaken({ session, token, file: name, by }))
    names.add(name)
    owners.set(token, name)
  }
  return names.size > MAX_FILES
    ? Either.left(new LimitReached({ operation: "session.preserve", errno: "none", session, limit: "files" }))
    : Either.void
}

const checkFiles = <C extends Candidate>(requests: ReadonlyArray<Request<C>>): Either.Either<void, PlanError> => {
  const seen = new Map<string, { readonly session: string; readonly file: string }>()
  for (const { session, held, added } of requests)
    for (const { name, identity } of [...held, ...added]) {
      const other = seen.get(identity)
      if (other !== undefined) return Either.left(new FileTwice({ session, file: name, other }))
      seen.set(identity, { session, file: name })
    }
  return Either.void
}

/** The names of all that each added file needs, whether it said so or is known to. */
const resolve = <C extends Candidate>({
  session,
  held,
  added
}: Request<C>): Either.Either<ReadonlyArray<Planned<C>>, DependencyMissing> => {
  const names = new Set<string>()
  const byIdentity = new Map<string, string>()
  for (const { name, identity } of [...held, ...added]) {
    names.add(name)
    byIdentity.set(identity, name)
  }
  const planned: Array<Planned<C>> = []
  for (const file of added) {
    const needs = new Set<string>()
    for (const name of file.dependsOn) {
      if (!names.has(name))
        return Either.left(new DependencyMissing({ session, file: file.name, needs: JSON.stringify(name) }))
      needs.add(name)
    }
    for (const { identity, what } of file.requires) {
      const name = byIdentity.get(identity)
      if (name === undefined) return Either.left(new DependencyMissing({ session, file: file.name, needs: what }))
      needs.add(name)
    }
    planned.push({ ...file, needs: [...needs] })
  }
  return Either.right(planned)
}

/** Depth first, in the order that was given where dependencies leave it free. */
const order = <C extends Candidate>(
  session: string,
  files: ReadonlyArray<Planned<C>>
): Either.Either<ReadonlyArray<Planned<C>>, DependencyCycle> => {
  const byName = new Map(files.map((file) => [file.name, file]))
  const done = new Set<string>()
  const ordered: Array<Planned<C>> = []
  for (const root of files) {
    // The way from the root to the file that is being looked at, with how many of its needs have been followed.
    const path: Array<{ readonly file: Planned<C>; followed: number }> = []
    const onPath = new Map<string, number>()
    const enter = (file: Planned<C>) => {
      onPath.set(file.name, path.length)
      path.push({ file, followed: 0 })
    }
    if (!done.has(root.name)) enter(root)
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const need = top.file.needs[top.followed++]
      if (need === undefined) {
        path.pop()
        onPath.delete(top.file.name)
        done.add(top.file.name)
        ordered.push(top.file)
        continue
      }
      const start = onPath.get(need)
      if (start !== undefined) {
        const rest = path.slice(start + 1).map(({ file }) => file.name)
        return Either.left(new DependencyCycle({ session, cycle: [need, ...rest] }))
      }
      // What isn't among the files is held already.
      const file = byName.get(need)
      if (file !== undefined && !done.has(need)) enter(file)
    }
  }
  return Either.right(ordered)
}

/** The added files of every session in an order in which each comes after what it needs. */
export const plan = <C extends Candidate>(
  requests: ReadonlyArray<Request<C>>
): Either.Either<ReadonlyArray<ReadonlyArray<Planned<C>>>, PlanError> =>
  Either.gen(function* () {
    for (const request of requests) yield* checkNamesAndTokens(request)
    yield* checkFiles(requests)
    const orders: Array<ReadonlyArray<Planned<C>>> = []
    for (const request of requests) orders.push(yield* order(request.session, yield* resolve(request)))
    return orders
  })
