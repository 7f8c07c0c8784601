import { EINVAL, ENOTTY, ENXIO } from "../errno.ts"
import type { SystemCalls } from "../Kernel.ts"
import { dispatch } from "./DeviceRequest.ts"
import type { FileHandler, IncomingFiles } from "./FileHandler.ts"
import * as IommufdContext from "./IommufdContext.ts"
import { type Special, type Specials, table } from "./Specials.ts"

export const path = "/dev/iommu"

/** The iommufds of one kernel, and the handler that is proposed for them (`drivers/iommu/iommufd/liveupdate.c`). */
export interface Iommufds {
  readonly handler: FileHandler
  /** A descriptor of a new one, or a negated errno. */
  readonly open: () => number
  readonly find: (fd: number) => IommufdContext.IommufdContext | undefined
  /** One that comes through a handover; or a negated errno. */
  readonly comeBack: (carried: ReadonlyArray<IommufdContext.CarriedIoas>, session: IncomingFiles) => number
  /** Lets go of what is mapped. */
  readonly end: () => void
}

export const make = (real: SystemCalls, specials: Specials): Iommufds => {
  const contexts = table<IommufdContext.IommufdContext>(specials)
  const alive = new Set<IommufdContext.IommufdContext>()
  let count = 0

  const { find } = contexts

  const openFile = (link: string, reopen: () => number, prepare: (context: IommufdContext.IommufdContext) => void) =>
    specials.open(() => {
      const context = IommufdContext.make(
        real,
        (fd) => specials.find(fd) === undefined,
        `iommufd ${count++}`,
        () => alive.delete(context)
      )
      alive.add(context)
      prepare(context)
      const special: Special = {
        // A number beyond its table is ENOIOCTLCMD in the kernel, ENOTTY outside (`iommufd_fops_ioctl` in main.c).
        ioctl: (request, argument) => dispatch(context.requests, -ENOTTY, request, argument),
        reopen,
        unreadable: -EINVAL,
        release: context.close,
        link
      }
      return contexts.enter(special, context)
    })
  const open = (): number => openFile(path, open, () => {})

  return {
    open,
    find,
    // `iommufd_liveupdate_retrieve` makes a file without a node: `anon_inode_create_getfile("iommufd", …)`.
    comeBack: (carried, session) => {
      let refused = 0
      const fd = openFile(
        "anon_inode:iommufd",
        () => -ENXIO,
        (context) => {
          refused = context.manage(carried, session)
        }
      )
      if (refused === 0) return fd
      specials.close(fd)
      return refused
    },
    end: () => {
      for (const context of [...alive]) context.end()
    },
    /**
     * The page tables to keep are to be marked by a request whose number isn't settled (`Iommufd.markPageTable`). Until it is, the
     * model takes every page table as marked, and looks at all that is mapped, page tables or none. So it accepts a device that is
     * attached to a page table which nobody has marked, where the series answers EINVAL (`iommufd_device_preserve`); and tokens of
     * page tables, what restores them, and that they have to be restored before the finish, are not modelled.
     */
    handler: {
      compatible: "iommufd-v1",
      canPreserve: (fd) => find(fd) !== undefined,
      identify: (fd) => find(fd)?.name ?? `closed:${fd}`,
      preserve: (fd, session) => {
        const context = find(fd)
        if (context === undefined) return -EINVAL
        const carried = context.preserve(session)
        if (typeof carried === "number") return carried
        return {
          unpreserve: context.unfreeze,
          handOver: () => {
            real.close(fd)
            let back: IommufdContext.IommufdContext | undefined
            return {
              retrieve: (incoming) => {
                const retrieved = incoming.devices.iommufds.comeBack(carried, incoming)
                back = incoming.devices.iommufds.find(retrieved)
                return retrieved
              },
              // `iommufd_liveupdate_can_finish`
              canFinish: (retrieved) => retrieved,
              finish: () => back?.unfreeze()
            }
          }
        }
      }
    }
  }
}
