/**
 * What a benchmark leaves, as JSON: in `packages/bench/results`, kept with the code, so that docs/performance.md is made of it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Measurement } from "./Measurement.ts"
import * as Plan from "./Plan.ts"

/**
 * On what it was measured, and when.
 *
 * @since 0.1.0
 * @category models
 */
export class About extends Schema.Class<About>("About")({
  /** `2026-11-28` */
  date: Schema.String,
  /** Of the host that was measured. */
  kernel: Schema.String,
  node: Schema.String,
  accelerator: Schema.String,
  memoryMiB: Schema.Int,
  /** Of the machine that the host runs on. */
  cores: Schema.Int,
  /** Its load average over one minute, at the beginning and at the end: an emulated host shares it with everything else. */
  load: Schema.Tuple(Schema.Number, Schema.Number)
}) {}

const figures = Schema.Struct({
  operation: Schema.String,
  rounds: Schema.Int,
  c: Schema.Number,
  sdk: Schema.Number,
  ratio: Schema.Number,
  lowest: Schema.Number,
  highest: Schema.Number,
  first: Schema.Number
})

/**
 * Of `npm run bench`.
 *
 * @since 0.1.0
 * @category models
 */
export const Calls = Schema.Struct({
  version: Schema.Literal(1),
  where: Schema.Literal("host", "here"),
  /** Missing where no host was measured. */
  about: Schema.optional(About),
  plan: Plan.Plan,
  summary: Schema.Array(figures),
  measurements: Schema.Array(Measurement)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Calls = typeof Calls.Type

const blackout = Schema.Struct({
  vm: Schema.String,
  total: Schema.Number,
  kernel: Schema.Number,
  vmmStart: Schema.Number,
  stateSave: Schema.Number,
  stateLoad: Schema.Number,
  ours: Schema.Number
})

/**
 * Of `npm run bench:eight`.
 *
 * @since 0.1.0
 * @category models
 */
export const Updates = Schema.Struct({
  version: Schema.Literal(1),
  about: About,
  updates: Schema.Array(
    Schema.Struct({
      round: Schema.Int,
      vms: Schema.Int,
      blackouts: Schema.Array(blackout),
      uncertainty: Schema.Number,
      load: Schema.Number
    })
  )
})

/**
 * @since 0.1.0
 * @category models
 */
export type Updates = typeof Updates.Type

/**
 * @since 0.1.0
 * @category codecs
 */
export const toText = <A, I>(schema: Schema.Schema<A, I>, value: A): string =>
  `${JSON.stringify(Schema.encodeSync(schema)(value), undefined, 1)}\n`

/**
 * @since 0.1.0
 * @category codecs
 */
export const fromText = <A, I>(schema: Schema.Schema<A, I>, text: string): A =>
  Schema.decodeUnknownSync(Schema.parseJson(schema))(text)
