/**
 * What is measured, in the order in which it is shown.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface Operation {
  readonly title: string
  readonly unit: "µs" | "ms"
  /** What one unit of `Measurement.amount` is. */
  readonly per: "session" | "file" | "call" | "GiB"
}

/**
 * @since 0.1.0
 * @category constants
 */
export const operations: Readonly<Record<string, Operation>> = {
  sessions: { title: "create and close, one by one", unit: "µs", per: "session" },
  "sessions.create": { title: "  of it create", unit: "µs", per: "session" },
  "sessions.close": { title: "  of it close", unit: "µs", per: "session" },
  "files.preserve": { title: "preserve small files", unit: "µs", per: "file" },
  "files.close": { title: "give them back", unit: "µs", per: "file" },
  "files.retrieve": { title: "retrieve small files", unit: "µs", per: "file" },
  "small-folios.preserve": { title: "preserve 4 KiB folios", unit: "ms", per: "GiB" },
  "small-folios.close": { title: "give them back", unit: "ms", per: "GiB" },
  "small-folios.retrieve": { title: "retrieve 4 KiB folios", unit: "ms", per: "GiB" },
  "huge-folios.preserve": { title: "preserve huge folios", unit: "ms", per: "GiB" },
  "huge-folios.close": { title: "give them back", unit: "ms", per: "GiB" },
  "huge-folios.retrieve": { title: "retrieve huge folios", unit: "ms", per: "GiB" },
  memfds: { title: "create, size and close a memfd", unit: "µs", per: "file" },
  seals: { title: "ask a memfd for its seals", unit: "µs", per: "call" }
}
