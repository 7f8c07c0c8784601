/**
 * What a run was about to do, on the disk before it did it: whoever comes after an agent that died undoes that, and nothing else.
 *
 * One record a line: eight hexadecimal digits, the CRC-32 of the rest, a space, and JSON. The first record says which run, boot and VMs;
 * `intent` comes before a phase's effect and is on the disk by then, `receipt` after it, `undone` when it was taken back, `end` when there
 * is nothing more to do. The file is as long as it will become before the first guest is paused, so that a full disk is met there, and a
 * record costs no more than one block; what is not written yet is zero.
 *
 * A file with anything else in it, be it a record that is torn, is kept aside and not obeyed.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { crc32 } from "node:zlib"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Hooks } from "./Hooks.ts"

/**
 * On a disk: it is looked at after a power cut, too.
 *
 * @since 0.1.0
 * @category constants
 */
export const path = "/var/lib/liveupdate/journal"

/**
 * The journal can't be written, so nothing may be done that would have to be in it.
 *
 * @since 0.1.0
 * @category errors
 */
export class JournalUnwritable extends Data.TaggedError("JournalUnwritable")<{
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `The journal ${this.path} can't be written (${this.reason}). Make room on that disk, and see that it is not read-only.`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export const Begin = Schema.Struct({
  kind: Schema.Literal("begin"),
  version: Schema.Literal(1),
  run: Schema.String,
  boot: Schema.String,
  vms: Schema.Array(Schema.String),
  /** The image of the next kernel. */
  kernel: Schema.String,
  /** The operator's programs by the name of their hook: those of what is undone are told. */
  hooks: Hooks
})

/**
 * @since 0.1.0
 * @category models
 */
export type Begin = typeof Begin.Type

/**
 * @since 0.1.0
 * @category models
 */
export const Note = Schema.Struct({
  kind: Schema.Literal("intent", "receipt", "undone"),
  phase: Schema.String,
  vm: Schema.optionalWith(Schema.String, { exact: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export type Note = typeof Note.Type

const End = Schema.Struct({ kind: Schema.Literal("end"), result: Schema.String })

const Record = Schema.Union(Begin, Note, End)

type Record = typeof Record.Type

/**
 * What a journal says.
 *
 * @since 0.1.0
 * @category models
 */
export type Reading =
  | { readonly _tag: "none" }
  | { readonly _tag: "ended"; readonly begin: Begin; readonly result: string }
  | {
      readonly _tag: "unfinished"
      readonly begin: Begin
      /** What was begun and not undone, in order. */
      readonly intents: ReadonlyArray<Note>
    }
  /** `boot` where the first record could be read. */
  | { readonly _tag: "corrupt"; readonly reason: string; readonly boot: string | undefined }

/** Bytes. */
const ROOM = { run: 64 << 10, vm: 4 << 10 } as const

const checksum = (json: string): string => crc32(json).toString(16).padStart(8, "0")

const lineOf = (record: Record): string => {
  const json = JSON.stringify(record)
  return `${checksum(json)} ${json}\n`
}

const decode = Schema.decodeUnknownOption(Record)

const parseLine = (line: string): Record | undefined => {
  const json = line.slice(9)
  if (line.slice(0, 9) !== `${checksum(json)} `) return undefined
  try {
    const record = decode(JSON.parse(json))
    return record._tag === "Some" ? record.value : undefined
  } catch {
    return undefined
  }
}

const sameAs = (a: Note) => (b: Note) => a.phase === b.phase && a.vm === b.vm

/**
 * Reads what is in the file's bytes.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parse = (bytes: Uint8Array): Reading => {
  const end = bytes.indexOf(0)
  const written = end < 0 ? bytes : bytes.subarray(0, end)
  const lines = Buffer.from(written).toString("utf8").split("\n")
  const torn = lines.pop() !== ""
  const records = lines.map(parseLine)
  const [begin] = records
  const boot = begin?.kind === "begin" ? begin.boot : undefined
  const corrupt = (reason: string): Reading => ({ _tag: "corrupt", reason, boot })
  const rest = bytes.subarray(written.length)
  if (Buffer.compare(rest, Buffer.alloc(rest.length)) !== 0) return corrupt("there is something behind its end")
  if (torn) return corrupt(`its record ${lines.length + 1} is torn`)
  const bad = records.findIndex((record, index) => record === undefined || (record.kind === "begin") !== (index === 0))
  if (begin?.kind !== "begin" || bad >= 0) return corrupt(`its record ${Math.max(bad, 0) + 1} is none`)
  let intents: ReadonlyArray<Note> = []
  for (const record of records) {
    if (record?.kind === "end") return { _tag: "ended", begin, result: record.result }
    if (record?.kind === "intent") intents = [...intents, record]
    if (record?.kind === "undone") intents = intents.filter((intent) => !sameAs(record)(intent))
  }
  return { _tag: "unfinished", begin, intents }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)

/**
 * @since 0.1.0
 * @category operations
 */
export const read = (file: string = path): Effect.Effect<Reading> =>
  Effect.sync(() => {
    try {
      return parse(Fs.readFileSync(file))
    } catch (error) {
      return reasonOf(error) === "ENOENT"
        ? { _tag: "none" }
        : { _tag: "corrupt", reason: `it can't be read: ${reasonOf(error)}`, boot: undefined }
    }
  })

/**
 * Puts a journal that must not be obeyed out of the way, for a person to look at; returns where it is.
 *
 * @since 0.1.0
 * @category operations
 */
export const setAside = (file: string = path): Effect.Effect<string> =>
  Effect.sync(() => {
    const names = Array.from({ length: 1000 }, (_, index) => `${file}.corrupt-${index + 1}`)
    const aside = names.find((name) => !Fs.existsSync(name)) ?? `${file}.corrupt`
    try {
      Fs.renameSync(file, aside)
      return aside
    } catch {
      return file
    }
  })

/**
 * A run's journal while it runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Journal {
  /** Returns when it is on the disk; several at once cost one write. */
  readonly note: (note: Note) => Effect.Effect<void, JournalUnwritable>
  /** There is nothing left to undo. */
  readonly end: (result: string) => Effect.Effect<void, JournalUnwritable>
}

/** The kernel returns from a write only when it is on the disk. */
const SYNCED = Fs.constants.O_DSYNC

const pwrite = (fd: number, text: string, offset: number) =>
  Effect.async<void, NodeJS.ErrnoException>((resume) => {
    Fs.write(fd, text, offset, "utf8", (error) => resume(error === null ? Effect.void : Effect.fail(error)))
  })

const writer = (file: string, fd: number, from: number): Journal => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let waiting: Array<string> = []
  let offset = from
  const append = (record: Record) =>
    Effect.suspend(() => {
      waiting.push(lineOf(record))
      return turn.withPermits(1)(
        Effect.suspend(() => {
          // Whoever had its turn before has written ours as well.
          if (waiting.length === 0) return Effect.void
          const text = waiting.join("")
          waiting = []
          const at = offset
          offset += Buffer.byteLength(text)
          return pwrite(fd, text, at)
        })
      )
    }).pipe(
      Effect.uninterruptible,
      Effect.mapError((error) => new JournalUnwritable({ path: file, reason: reasonOf(error) }))
    )
  return { note: append, end: (result) => append({ kind: "end", result }) }
}

/**
 * Begins a journal in place of the last one; the descriptor is closed with the scope, the file stays. Fails when there is no room for all
 * that may have to be written.
 *
 * @since 0.1.0
 * @category constructors
 */
export const begin = (
  first: Omit<Begin, "kind" | "version">,
  file: string = path
): Effect.Effect<Journal, JournalUnwritable, Scope.Scope> =>
  Effect.gen(function* () {
    const text = lineOf({ kind: "begin", version: 1, ...first })
    const fd = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          Fs.mkdirSync(Path.dirname(file), { recursive: true, mode: 0o700 })
          const building = `${file}.new`
          const fd = Fs.openSync(
            building,
            Fs.constants.O_RDWR | Fs.constants.O_CREAT | Fs.constants.O_TRUNC | SYNCED,
            0o600
          )
          try {
            const bytes = Buffer.alloc(ROOM.run + ROOM.vm * first.vms.length)
            bytes.write(text)
            // In one piece or not at all, as far as a disk that is full lets it.
            if (Fs.writeSync(fd, bytes) !== bytes.length) throw Object.assign(new Error(), { code: "ENOSPC" })
            Fs.renameSync(building, file)
            return fd
          } catch (error) {
            Fs.closeSync(fd)
            Fs.rmSync(building, { force: true })
            throw error
          }
        },
        catch: (error) => new JournalUnwritable({ path: file, reason: reasonOf(error) })
      }),
      (fd) => Effect.sync(() => Fs.closeSync(fd))
    )
    return writer(file, fd, Buffer.byteLength(text))
  })

/**
 * Goes on with a journal that was read, to say what was undone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reopen = (file: string = path): Effect.Effect<Journal, JournalUnwritable, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          const fd = Fs.openSync(file, Fs.constants.O_RDWR | SYNCED)
          const end = Fs.readFileSync(file).indexOf(0)
          return { fd, end: end < 0 ? Fs.fstatSync(fd).size : end }
        },
        catch: (error) => new JournalUnwritable({ path: file, reason: reasonOf(error) })
      }),
      ({ fd }) => Effect.sync(() => Fs.closeSync(fd))
    ),
    ({ fd, end }) => writer(file, fd, end)
  )

/**
 * Closes a journal that was read. Where it can't be written, whoever comes next finds it as it was, and says the same once more.
 *
 * @since 0.1.0
 * @category operations
 */
export const close = (result: string, file: string = path): Effect.Effect<void> =>
  Effect.ignore(Effect.scoped(Effect.flatMap(reopen(file), (journal) => journal.end(result))))
