/**
 * What the bytes of an uncompressed kernel say of it. Pure.
 */
import { gunzipSync } from "node:zlib"

const isText = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x20 && byte < 0x7f

/**
 * The strings that begin with `prefix`, whole ones only: nothing printable before them, NUL behind them. Before a literal stands
 * another's NUL; but a handler's string is in its struct, behind a pointer (`memfd_luo_handler` in `mm/memfd_luo.c`). `rest` is what
 * may stand between.
 */
const strings = (kernel: Buffer, prefix: string, rest: RegExp): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (let at = kernel.indexOf(prefix, 0, "latin1"); at !== -1; at = kernel.indexOf(prefix, at + 1, "latin1")) {
    if (isText(kernel[at - 1])) continue
    const end = kernel.indexOf(0, at)
    // A version is short, a banner at most a page (init/version.c).
    if (end === -1 || end - at > 4096) continue
    const string = kernel.toString("latin1", at, end)
    if (rest.test(string.slice(prefix.length))) found.add(string)
  }
  return [...found]
}

/** The strings of an interface, such as luo-v5; more than one if it reads more than one. */
export const versions = (kernel: Buffer, prefix: string): ReadonlyArray<string> => strings(kernel, prefix, /^\d+$/)

/**
 * What /proc/version says: `linux_banner` in `init/version-timestamp.c`. `init/version.c` has a weak one without a number,
 * which the linker leaves in the image.
 */
export const banner = (kernel: Buffer): string | undefined => {
  const found = strings(kernel, "Linux version ", /^\S+ \(.* #\d+ .*\n$/s)
  return found.length === 1 ? found[0]?.trimEnd() : undefined
}

const CONFIG_START = "IKCFG_ST"
const CONFIG_MOST_BYTES = 16 << 20

/** `kernel/configs.c`: compressed with gzip between two marks. `undefined`: there is none. Throws when it is damaged. */
export const config = (kernel: Buffer): string | undefined => {
  const start = kernel.indexOf(`${CONFIG_START}\x1f\x8b`, 0, "latin1")
  if (start === -1) return undefined
  const from = start + CONFIG_START.length
  const end = kernel.indexOf("IKCFG_ED", from, "latin1")
  const compressed = kernel.subarray(from, end === -1 ? kernel.length : end)
  return gunzipSync(compressed, { maxOutputLength: CONFIG_MOST_BYTES }).toString("latin1")
}
