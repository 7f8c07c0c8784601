/**
 * What the next kernel's first process is told to start (`packages/qemu-host/host/resume.c` describes the format and reads it).
 *
 * @since 0.1.0
 */

/**
 * A VMM to start on a guest's memory, before anything else knows of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmmToStart {
  readonly session: string
  /** Of the guest's RAM in that session. */
  readonly ramToken: bigint
  readonly runtimeDir: string
  readonly logPath: string
  readonly consolePath: string
  readonly qmpPath: string
  /** Program first. */
  readonly command: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StartInstructions {
  /** Of the program that was sent along, its name first. */
  readonly arguments: ReadonlyArray<string>
  /** Paths of files to read into the page cache. */
  readonly readAhead: ReadonlyArray<string>
  /** Sessions to retrieve and hold, besides those of the VMs. */
  readonly sessions: ReadonlyArray<string>
  readonly vms: ReadonlyArray<VmmToStart>
}

/** Bytes; more is not read (`MAX_START_BYTES`). */
const MAX_LENGTH = 1 << 20

const counted = (strings: ReadonlyArray<string>): ReadonlyArray<string> => [String(strings.length), ...strings]

/**
 * A list of strings with a NUL after each; throws when it can't be one, or is longer than 1 MiB.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encode = (instructions: StartInstructions): Buffer => {
  const { arguments: words, readAhead, sessions, vms } = instructions
  const strings = [
    ...counted(words),
    ...counted(readAhead),
    ...counted(sessions),
    String(vms.length),
    ...vms.flatMap((vm) => [
      vm.session,
      String(vm.ramToken),
      vm.runtimeDir,
      vm.logPath,
      vm.consolePath,
      vm.qmpPath,
      ...counted(vm.command)
    ])
  ]
  const torn = strings.find((string) => string.includes("\0"))
  if (torn !== undefined) throw new Error(`a NUL inside ${JSON.stringify(torn)}`)
  const bytes = Buffer.from(strings.map((string) => `${string}\0`).join(""), "utf8")
  if (bytes.length > MAX_LENGTH) throw new Error(`${bytes.length} bytes to tell what to start, ${MAX_LENGTH} at most`)
  return bytes
}
