/**
 * Where a server listens: `127.0.0.1:9842`, `[::1]:9842`, `localhost:9842`, `:9842` for all addresses.
 *
 * @since 0.1.0
 */
import { isIPv4, isIPv6 } from "node:net"

/**
 * @since 0.1.0
 * @category models
 */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

const NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/

/**
 * Reads one; `undefined` for what is none. Port 0 is whichever is free.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parse = (text: string): ListenAddress | undefined => {
  const [, bracketed, plain = "", digits] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits ?? Number.NaN)
  if (!(port <= 65535)) return undefined
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined
  // Linux answers for IPv4 there as well, unless it was told not to (net.ipv6.bindv6only).
  if (plain === "") return { host: "::", port }
  // 300.1.1.1 would be looked up as a name.
  const known = /^[\d.]+$/.test(plain) ? isIPv4(plain) : NAME.test(plain)
  return known ? { host: plain, port } : undefined
}

/**
 * @since 0.1.0
 * @category codecs
 */
export const format = ({ host, port }: ListenAddress): string => `${isIPv6(host) ? `[${host}]` : host}:${port}`
