/**
 * Files that are written anew while others may read them, or the power may go: there is a whole text, the old one or the new one.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import { dirname } from "node:path"

/**
 * Returns when what a directory holds is on the disk.
 *
 * @since 0.1.0
 * @category operations
 */
export const syncDirectory = (path: string): void => {
  const fd = fs.openSync(path, "r")
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * After this returns the file has the new text, and before it the old one; never half of it. It is written beside it first, as
 * `PATH.tmp`. Throws what the file system says.
 *
 * @since 0.1.0
 * @category operations
 */
export const write = (path: string, text: string, mode = 0o600): void => {
  const temporary = `${path}.tmp`
  const fd = fs.openSync(temporary, "w", mode)
  try {
    // What the umask has taken away, or an earlier try has left.
    fs.fchmodSync(fd, mode)
    fs.writeFileSync(fd, text)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(temporary, path)
  syncDirectory(dirname(path))
}
