/**
 * What somebody may have meant who mistyped a name.
 *
 * @since 0.1.0
 */

/**
 * How many letters have to change to make one word of the other (Levenshtein).
 *
 * @since 0.1.0
 * @category pure
 */
export const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/**
 * The known name that is the least far away, the first of those that are equally near; none where nothing is known.
 *
 * @since 0.1.0
 * @category pure
 */
export const nearest = (
  name: string,
  known: ReadonlyArray<string>,
  far: (name: string, known: string) => number = distance
): string | undefined =>
  known.reduce<string | undefined>(
    (best, next) => (best === undefined || far(name, next) < far(name, best) ? next : best),
    undefined
  )
