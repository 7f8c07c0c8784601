/**
 * What Node and libraries throw, in a word or a line.
 *
 * @since 0.1.0
 */

/**
 * The code of a failed system call, such as `ENOENT`; else what the error says.
 *
 * @since 0.1.0
 * @category pure
 */
export const codeOf = (error: unknown): string =>
  error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error)

/**
 * The first line of what it says: parsers draw what they didn't understand below it.
 *
 * @since 0.1.0
 * @category pure
 */
export const firstLineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? ""
