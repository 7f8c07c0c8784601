import * as Effect from "effect/Effect"

/** Up to this many bytes the kernel's work is waited for on the spot: to hand it to another thread would take longer. */
const LIMIT = 1 << 20

/** What a file costs the kernel besides its bytes, in bytes. */
const FILE = 4096

/** What a session has been asked for. */
export interface Work {
  /** Of all its files so far; infinite when the size of one is unknown. */
  bytes: number
  /** Requests on another thread that haven't come back. */
  underWay: number
}

export const none = (): Work => ({ bytes: 0, underWay: 0 })

/** A session takes one request after another (`session->mutex`): this thread doesn't wait behind a long one. */
const fits = (work: Work, bytes: number): boolean => work.underWay === 0 && bytes <= LIMIT

/**
 * A request whose time grows with a file: done `now`, on the spot, or `later`, on libuv's pool, where nothing interrupts it.
 * Its answer is a value or a negated errno.
 */
export const forFile = <A, E>(
  work: Work,
  bytes: number | undefined,
  now: () => number,
  later: () => Promise<number>,
  then: (answer: number) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const size = bytes ?? Number.POSITIVE_INFINITY
  work.bytes += size + FILE
  if (fits(work, size)) return then(now())
  return Effect.flatMap(
    Effect.uninterruptible(
      Effect.promise(() => {
        work.underWay++
        return later().finally(() => work.underWay--)
      })
    ),
    then
  )
}

/** A request whose time grows with all of them. */
export const forAll = (work: Work, now: () => number, later: () => Promise<number>): Effect.Effect<number> =>
  Effect.suspend(() => (fits(work, work.bytes) ? Effect.succeed(now()) : Effect.uninterruptible(Effect.promise(later))))
