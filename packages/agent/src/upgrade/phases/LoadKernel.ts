/**
 * Before the jump: the host's own part. The next kernel is loaded, the second half made ready, and the list of sessions preserved.
 *
 * @since 0.1.0
 */
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Carrying } from "../Carrying.ts"
import * as Files from "../Files.ts"
import * as Handover from "../Handover.ts"
import * as HostFacts from "../HostFacts.ts"
import * as Phase from "../Phase.ts"
import * as Turn from "../Turn.ts"

/**
 * The image is copied and checked, and the second half's start-up snapshot may have to be built.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.host("load-kernel", "before", Duration.minutes(3))

/**
 * The list of sessions, for the next kernel's agent.
 *
 * @since 0.1.0
 * @category operations
 */
export const preserveIndex = ({ options: { deadlines, trace }, log, hooks, vms }: Carrying) =>
  Effect.flatMap(HostFacts.bootId, (boot) =>
    Effect.tap(Turn.ofDevice(Preservation.open({ session: Handover.indexSession, files: {} })), (preservation) =>
      preservation.complete(Handover.Index, {
        version: 1,
        run: log.run,
        boot,
        vms: [...vms.keys()].map((id) => ({ id, session: Handover.vmSession(id) })),
        ...(Object.keys(hooks).length === 0 ? {} : { hooks }),
        ...(deadlines === undefined ? {} : { deadlines }),
        ...(trace === undefined ? {} : { traceparent: trace.traceparent })
      })
    )
  )

/**
 * The file is not the one any more that was looked into.
 *
 * @since 0.1.0
 * @category errors
 */
export class ImageReplaced extends Data.TaggedError("ImageReplaced")<{ readonly path: string }> {
  override get message(): string {
    return `${this.path} was changed after it had been looked into, so what was loaded is not known. Run the live update again.`
  }
}

/** Whatever a file was changed to, the kernel has set its ctime (`inode_set_ctime_current` in `fs/inode.c`). */
const checkImage = ({ path, state }: Carrying["image"]): Effect.Effect<void, ImageReplaced> =>
  Effect.suspend(() => (Files.stateOf(path) === state ? Effect.void : Effect.fail(new ImageReplaced({ path }))))

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ options, log, vms, image }: Carrying) =>
  Effect.gen(function* () {
    yield* Kexec.load(options).pipe(Effect.zipRight(checkImage(image)), log.step("load-kernel"))
    const records = [...vms.values()].map((_) => _.record)
    yield* Effect.zipRight(options.prepare?.(records) ?? Effect.void, options.jump?.prepare ?? Effect.void).pipe(
      log.step("prepare")
    )
  })

/**
 * An image is loaded, by whomever.
 *
 * @since 0.1.0
 * @category operations
 */
export const observe = Kexec.isLoaded

/**
 * The image that a dead agent has loaded; a live one's goes with its scope.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = Kexec.unload
