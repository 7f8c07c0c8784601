/**
 * A session's name as the name of a stored descriptor. systemd takes at most 255 characters of printable ASCII without ":"
 * (sd_pid_notify_with_fds(3)), a session's name is up to 63 bytes of anything but NUL: every byte that is no letter, digit, ".", "_"
 * or "-" becomes "%" and two hexadecimal digits. What doesn't begin with the prefix is somebody else's.
 */
import { isUtf8 } from "node:buffer"

const PREFIX = "liveupdate-session-"

const isPlain = (byte: number): boolean => /[A-Za-z0-9._-]/.test(String.fromCharCode(byte))

export const encode = (session: string): string =>
  PREFIX +
  [...Buffer.from(session, "utf8")]
    .map((byte) => (isPlain(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`))
    .join("")

export const decode = (name: string): string | undefined => {
  const rest = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : ""
  if (!/^(?:[A-Za-z0-9._-]|%[0-9a-f]{2})+$/.test(rest)) return undefined
  const bytes = Buffer.from(
    [...rest.matchAll(/%(..)|(.)/g)].map(([, hex, plain = ""]) =>
      hex === undefined ? plain.charCodeAt(0) : Number.parseInt(hex, 16)
    )
  )
  return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString("utf8") : undefined
}
