/**
 * Before the jump: the vCPUs stand still and the disks are flushed. From here on it is blackout.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { VmConnection } from "../../vmm/Vmm.ts"
import type { CarriedVm, Carrying } from "../Carrying.ts"
import * as Phase from "../Phase.ts"

/**
 * Flushing the disks takes what it takes; a guest that has stood still for so long is better off running.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("pause", "before", Duration.seconds(30), { barrier: true })

/** How far the guest's console had come, so that a reader finds the place of the jump in it. */
const sizeOf = (path: string): number => Fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ log }: Carrying, { record, connection }: CarriedVm) =>
  connection.pause.pipe(
    log.step("pause", { vm: record.id, describe: () => ({ consoleBytes: sizeOf(record.consolePath) }) })
  )

/**
 * It stands still, with or without its state saved.
 *
 * @since 0.1.0
 * @category operations
 */
export const observe = (connection: VmConnection) =>
  Effect.map(connection.status, ({ state }) => state === "paused" || state === "saved")

/**
 * It runs when this returns; harmless when it does already.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = (connection: VmConnection) => connection.resume
