import type { SystemCalls } from "./Kernel.ts"

/** Duplicates of sessions' descriptors, by name, that are this process's own. */
export interface HeldDescriptors {
  /** Holds a duplicate, in the place of an earlier one: 0, or the errno, negated, for which there is none. */
  readonly hold: (session: string, fd: number) => number
  /** A duplicate of what is held, which is the caller's to close. */
  readonly claim: (session: string) => number | undefined
  readonly release: (session: string) => void
  readonly releaseAll: () => void
  /** In order. */
  readonly names: () => ReadonlyArray<string>
}

/** `held`: what is this process's from the start. */
export const make = (
  kernel: Pick<SystemCalls, "dup" | "close">,
  held: Map<string, number> = new Map()
): HeldDescriptors => {
  const release = (session: string) => {
    const fd = held.get(session)
    held.delete(session)
    if (fd !== undefined) kernel.close(fd)
  }
  return {
    hold: (session, fd) => {
      const duplicate = kernel.dup(fd)
      if (duplicate < 0) return duplicate
      release(session)
      held.set(session, duplicate)
      return 0
    },
    claim: (session) => {
      const fd = held.get(session)
      const duplicate = fd === undefined ? -1 : kernel.dup(fd)
      return duplicate < 0 ? undefined : duplicate
    },
    release,
    releaseAll: () => [...held.keys()].forEach(release),
    names: () => [...held.keys()].sort()
  }
}
