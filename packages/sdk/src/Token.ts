/**
 * The caller's name for a preserved file inside its session: a u64, the only thing that finds the file again after the
 * jump. People read names better, so a token may have one: the manifest keeps it, errors and logs show it.
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand"

/**
 * A u64 that is known to be one: 0 to 2^64-1.
 *
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

/**
 * Whether a text may name a file: 1 to 64 letters, digits and `. _ : / @ + -`, the first a letter or digit. `manifest` is
 * taken.
 *
 * @since 0.1.0
 * @category names
 */
export const isName = (text: string): boolean => NAME.test(text) && text !== "manifest"

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}$/

/**
 * Tokens under their names, as constants of a program: `Token.names({ ram: 1n, state: 2n })`. Throws when a name isn't one
 * (see `isName`), a token isn't one or is there twice, or is 0.
 *
 * @since 0.1.0
 * @category names
 */
export const names = <const Name extends string>(
  tokens: {
    readonly [N in Name]: bigint
  }
): { readonly [N in Name]: Token } => {
  const seen = new Set<bigint>([manifest])
  for (const [name, token] of Object.entries<bigint>(tokens)) {
    if (!isName(name)) throw new TypeError(`"${name}" can't name a file of a session`)
    if (seen.has(make(token))) throw new TypeError(`Token ${token} of "${name}" is taken`)
    seen.add(token)
  }
  // Every value went through `make`.
  return tokens as { readonly [N in Name]: Token }
}

/**
 * Reads a token from its decimal digits, as JSON carries it: numbers there lose what is above 2^53. `undefined` for anything
 * but the digits that `String` writes of it.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parse = (text: unknown): Token | undefined => {
  if (typeof text !== "string" || !/^(0|[1-9][0-9]{0,19})$/.test(text)) return undefined
  const value = BigInt(text)
  return value <= MAX ? make(value) : undefined
}

/**
 * A token as people read it: `"ram" (token 1)`, or `token 1`.
 *
 * @since 0.1.0
 * @category names
 */
export const format = (token: bigint, name?: string): string =>
  name === undefined ? `token ${token}` : `"${name}" (token ${token})`
