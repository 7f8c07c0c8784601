/**
 * The caller's name for a preserved file inside its session: a u64, the only thing that finds the file again after the
 * jump.
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand"

/**
 * @since 0.1.0
 * @category models
 */
export type Token = bigint & Brand.Brand<"@liveupdate/sdk/Token">

const MAX = 0xffff_ffff_ffff_ffffn

/**
 * A token from 0 to 2^64-1; throws on anything else.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Brand.refined<Token>(
  (value) => value >= 0n && value <= MAX,
  (value) => Brand.error(`A token is an unsigned 64-bit integer, not ${value}`)
)

/**
 * Where the manifest of a session lives, so that the next kernel's process finds it without knowing anything else.
 *
 * @since 0.1.0
 * @category constants
 */
export const manifest: Token = make(0n)
