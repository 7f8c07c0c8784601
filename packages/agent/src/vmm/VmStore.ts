/**
 * The VMs this host's agent knows, as files: `STATE/ID/vm.json` and its neighbours, `RUNTIME/ID/qmp.sock`.
 *
 * The files are tiny and few, and the resume path reads one: synchronous calls cost less than the trips to Node's thread pool and back.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as ReplacedFile from "./ReplacedFile.ts"
import { codeOf } from "./SystemError.ts"
import { VM_ID_PATTERN, type VmPaths, type VmRecord } from "./Vm.ts"
import { decodeRecord } from "./VmRecordCodec.ts"

/**
 * @since 0.1.0
 * @category errors
 */
export class VmNotFound extends Data.TaggedError("VmNotFound")<{
  readonly id: string
  readonly known: ReadonlyArray<string>
  readonly where?: string
}> {
  override get message(): string {
    const where = this.where ?? "this host"
    const known = this.known.length === 0 ? `${where} has none` : `${where} has ${this.known.join(", ")}`
    return `no VM "${this.id}": ${known}`
  }
}

/**
 * A record is there but can't be read: nothing is assumed of its VM.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmRecordCorrupt extends Data.TaggedError("VmRecordCorrupt")<{
  readonly id: string
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `VM ${this.id}: its record ${this.path} is damaged: ${this.reason}; restore it, or stop the VMM and remove the directory`
  }
}

/**
 * The file system refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmStoreFailed extends Data.TaggedError("VmStoreFailed")<{
  readonly operation: string
  readonly path: string
  readonly code: string
}> {
  override get message(): string {
    return `can't ${this.operation} ${this.path}: ${this.code}`
  }
}

/**
 * Where the store keeps its files.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmStoreRoots {
  /** Survives the kexec. */
  readonly state: string
  /** Does not (tmpfs). */
  readonly runtime: string
}

/**
 * @since 0.1.0
 * @category constants
 */
export const defaultRoots: VmStoreRoots = { state: "/var/lib/liveupdate/vms", runtime: "/run/liveupdate/vms" }

/**
 * @since 0.1.0
 * @category services
 */
export class VmStore extends Context.Tag("@liveupdate/agent/vmm/VmStore")<
  VmStore,
  {
    /** The ids that have a record, in order; damaged ones too. */
    readonly ids: Effect.Effect<ReadonlyArray<string>, VmStoreFailed>
    /** All records. One damaged record fails it: an upgrade must not overlook a VM. */
    readonly list: Effect.Effect<ReadonlyArray<VmRecord>, VmRecordCorrupt | VmNotFound | VmStoreFailed>
    readonly get: (id: string) => Effect.Effect<VmRecord, VmNotFound | VmRecordCorrupt | VmStoreFailed>
    /** The files of a VM whose id is valid; creates both directories (0700). */
    readonly prepare: (id: string) => Effect.Effect<VmPaths, VmStoreFailed>
    /** Writes the record. When this returns, it outlives a power cut, and the jump. */
    readonly put: (record: VmRecord) => Effect.Effect<void, VmStoreFailed>
    /** Forgets the VM: record, console and log. Harmless on an unknown id. */
    readonly remove: (id: string) => Effect.Effect<void, VmStoreFailed>
  }
>() {}

const RECORD = "vm.json"

const attempt = <A>(operation: string, path: string, run: () => A): Effect.Effect<A, VmStoreFailed> =>
  Effect.try({ try: run, catch: (error) => new VmStoreFailed({ operation, path, code: codeOf(error) }) })

/** `mkdir` leaves an existing directory's mode alone: a looser one is made tight. */
const privateDirectory = (path: string): void => {
  fs.mkdirSync(path, { recursive: true, mode: 0o700 })
  fs.chmodSync(path, 0o700)
}

const make = (roots: VmStoreRoots): VmStore["Type"] => {
  const pathsOf = (id: string): VmPaths => {
    const [stateDir, runtimeDir] = [join(roots.state, id), join(roots.runtime, id)]
    return {
      stateDir,
      runtimeDir,
      consolePath: join(stateDir, "console.log"),
      logPath: join(stateDir, "qemu.log"),
      qmpPath: join(runtimeDir, "qmp.sock")
    }
  }

  const ids: VmStore["Type"]["ids"] = attempt("list", roots.state, () =>
    fs.existsSync(roots.state)
      ? fs
          .readdirSync(roots.state)
          .filter((id) => VM_ID_PATTERN.test(id) && fs.existsSync(join(roots.state, id, RECORD)))
          .sort()
      : []
  )

  const get = Effect.fn("VmStore.get")(function* (id: string) {
    const path = join(roots.state, id, RECORD)
    // An id from a command line may be a path that leads elsewhere.
    const text = VM_ID_PATTERN.test(id)
      ? yield* attempt("read", path, () => fs.readFileSync(path, "utf8")).pipe(
          Effect.catchIf(
            (error) => error.code === "ENOENT",
            () => Effect.succeed(undefined)
          )
        )
      : undefined
    if (text === undefined) return yield* new VmNotFound({ id, known: yield* ids })
    const value = yield* Effect.try({
      try: (): unknown => JSON.parse(text),
      catch: () => new VmRecordCorrupt({ id, path, reason: "not JSON" })
    })
    const record = yield* Either.mapLeft(decodeRecord(value), (reason) => new VmRecordCorrupt({ id, path, reason }))
    if (record.id !== id) return yield* new VmRecordCorrupt({ id, path, reason: `it is the record of ${record.id}` })
    return record
  })

  const prepare = Effect.fn("VmStore.prepare")(function* (id: string) {
    const paths = pathsOf(id)
    for (const directory of [roots.state, roots.runtime, paths.stateDir, paths.runtimeDir]) {
      yield* attempt("create", directory, () => privateDirectory(directory))
    }
    return paths
  })

  const put = Effect.fn("VmStore.put")(function* (record: VmRecord) {
    const { stateDir } = yield* prepare(record.id)
    yield* attempt("write", join(stateDir, RECORD), () => {
      ReplacedFile.write(join(stateDir, RECORD), `${JSON.stringify(record, undefined, 2)}\n`)
      ReplacedFile.syncDirectory(roots.state)
    })
  })

  const remove = Effect.fn("VmStore.remove")(function* (id: string) {
    if (!VM_ID_PATTERN.test(id)) return
    const { runtimeDir, stateDir } = pathsOf(id)
    for (const directory of [runtimeDir, stateDir]) {
      yield* attempt("remove", directory, () => fs.rmSync(directory, { recursive: true, force: true }))
    }
  })

  return { ids, list: Effect.flatMap(ids, (all) => Effect.forEach(all, get)), get, prepare, put, remove }
}

/**
 * A store under the given roots.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAt = (roots: VmStoreRoots): Layer.Layer<VmStore> => Layer.succeed(VmStore, make(roots))

/**
 * The host's store: `/var/lib/liveupdate/vms` and `/run/liveupdate/vms`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<VmStore> = layerAt(defaultRoots)
