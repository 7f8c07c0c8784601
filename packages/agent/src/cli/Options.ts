/**
 * Options that several commands share.
 *
 * @since 0.1.0
 */
import * as Options from "@effect/cli/Options"
import type { Format } from "./Output.ts"

/**
 * @since 0.1.0
 * @category options
 */
export const output = Options.choice("output", ["human", "ndjson"] as ReadonlyArray<Format>).pipe(
  Options.withDefault("human" as Format),
  Options.withDescription("human: text; ndjson: one JSON object per line on stdout (version 1)")
)

/**
 * @since 0.1.0
 * @category options
 */
export const host = Options.text("host").pipe(
  Options.optional,
  Options.withDescription("run the command on a QEMU host instead of this machine: qemu or qemu:NAME")
)
