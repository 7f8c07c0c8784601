/**
 * Which agent this is.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category constants
 */
export const VERSION = "0.1.0"
