/** The file of a kernel image. */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"

/** Why there are no bytes, as `KernelImageInvalid` says it. */
export interface Refusal {
  readonly reason: "missing" | "unreadable" | "not-a-kernel"
  readonly detail: string
}

// A kernel is a tenth of it.
const MOST_BYTES = 1 << 30

const readBytes = (path: string, most: number): { readonly bytes: Buffer; readonly size: number } => {
  const fd = Fs.openSync(path, "r")
  try {
    const stat = Fs.fstatSync(fd)
    if (!stat.isFile()) throw Object.assign(new Error("it is not a regular file"), { code: "ENOTFILE" })
    if (stat.size > MOST_BYTES) throw Object.assign(new Error(`it has ${stat.size} bytes`), { code: "ENOTFILE" })
    const bytes = Buffer.alloc(Math.min(most, stat.size))
    return { bytes: bytes.subarray(0, Fs.readSync(fd, bytes, 0, bytes.length, 0)), size: stat.size }
  } finally {
    Fs.closeSync(fd)
  }
}

/** The first `most` bytes of a regular file, and how many it has. */
export const read = (
  path: string,
  most = MOST_BYTES
): Effect.Effect<{ readonly bytes: Buffer; readonly size: number }, Refusal> =>
  Effect.try({
    try: () => readBytes(path, most),
    catch: (error) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown"
      const reason = code === "ENOENT" ? "missing" : code === "ENOTFILE" ? "not-a-kernel" : "unreadable"
      return { reason, detail: error instanceof Error ? error.message : String(error) }
    }
  })
