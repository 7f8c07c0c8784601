import type { Owned } from "../Handle.ts"
import type { Mapping } from "../Iommufd.ts"

/** A memfd that devices see through an iommufd. */
export interface Mapped {
  readonly memfd: Owned<"memfd">
  /** Whether its seals were complete when it was mapped: what the handler looks at. */
  readonly sealed: boolean
  readonly temporary: boolean
  /** Absent for what another process mapped. */
  readonly mapping?: Mapping
}

/** What was mapped through which handle: the kernel doesn't tell. */
const known = new WeakMap<Owned<"iommufd">, Set<Mapped>>()

export const through = (iommufd: Owned<"iommufd">): Set<Mapped> => {
  const entries = known.get(iommufd) ?? new Set()
  known.set(iommufd, entries)
  return entries
}

/** The memfds that have to be preserved with it, each once. */
export const required = (iommufd: Owned<"iommufd">): ReadonlyArray<Owned<"memfd">> => {
  const lasting = [...through(iommufd)].filter(({ temporary }) => !temporary)
  return [...new Map(lasting.map(({ memfd }) => [memfd.fd, memfd])).values()]
}

export const forget = (iommufd: Owned<"iommufd">, which: (mapping: Mapping) => boolean): void => {
  const entries = through(iommufd)
  for (const one of entries) if (one.mapping !== undefined && which(one.mapping)) entries.delete(one)
}
