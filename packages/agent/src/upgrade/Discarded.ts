/**
 * A guest that its operator has given up after the jump. Noted in the VM's runtime directory, a tmpfs: it holds for this handover only.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type { VmPaths } from "../vmm/Vm.ts"

const fileOf = (paths: VmPaths): string => Path.join(paths.runtimeDir, "discarded")

/**
 * @since 0.1.0
 * @category operations
 */
export const note = (paths: VmPaths): Effect.Effect<void> =>
  Effect.sync(() => Fs.writeFileSync(fileOf(paths), "", { mode: 0o600 }))

/**
 * @since 0.1.0
 * @category observing
 */
export const isNoted = (paths: VmPaths): Effect.Effect<boolean> => Effect.sync(() => Fs.existsSync(fileOf(paths)))
