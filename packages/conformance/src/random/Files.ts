/** The descriptors of one sequence: by their place, or by what they should be. */
import { said } from "../Raw.ts"

/** Which of the descriptors so far; counted round. */
export type Index = number

export type Kind = "memfd" | "iommufd" | "device" | "vm" | "memory"

export const at = (list: ReadonlyArray<number>, index: Index): number => list[index % Math.max(list.length, 1)] ?? -1

/** This one takes any file, whatever is asked for: a wrong one is as good a question. */
const ANY: Index = 7

export const make = () => {
  const all: Array<number> = []
  /** Of a descriptor that came out of a session nobody knows. */
  const kinds = new Map<number, Kind | undefined>()

  const keep = (kind: Kind | undefined, fd: number): string => {
    if (fd >= 0) {
      all.push(fd)
      kinds.set(fd, kind)
    }
    return said(fd)
  }
  return {
    all,
    keep,
    /** Another descriptor of what is behind `fd`. */
    keepAnother: (fd: number, another: number): string => keep(kinds.get(fd), another),
    pick: (kind: Kind, index: Index): number => {
      const open = all.filter((fd) => fd >= 0)
      const isFitting = (fd: number) => (kinds.get(fd) ?? kind) === kind
      return at(index === ANY ? open : open.filter(isFitting), index)
    },
    /** None but what is known to be of this kind. */
    pickOnly: (kind: Kind, index: Index): number =>
      at(
        all.filter((fd) => fd >= 0 && kinds.get(fd) === kind),
        index
      )
  }
}

export type Files = ReturnType<typeof make>
