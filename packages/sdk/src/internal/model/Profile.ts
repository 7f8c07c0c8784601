import type { Profile } from "../../SimulatedHost.ts"
import { ENOMEM, ENOSPC } from "../errno.ts"

/** What differs between the kernels that the model can be. */
export interface Rules {
  /** Two descriptors of one file can't both be preserved (`luo_preserved_files` in `kernel/liveupdate/luo_file.c`). */
  readonly guard: boolean
  /** LIVEUPDATE_SESSION_GET_NAME exists. */
  readonly getName: boolean
  /** Names that are empty or not terminated are refused; before, the one was taken as it is and the other cut to 63 bytes. */
  readonly namesChecked: boolean
  /** FINISH insists on its reserved field being 0. */
  readonly reservedChecked: boolean
  /** Sessions, and what one more is refused with. */
  readonly sessions: { readonly max: number; readonly errno: number }
  /** Files in a session; one more is ENOSPC. */
  readonly files: number
  /** A failed retrieve is remembered, and so is its errno. */
  readonly retrieveOnce: boolean
  /** There are `/dev/iommu`, `/dev/kvm` and VFIO devices, and handlers for their files, as they are proposed. */
  readonly devices: boolean
}

// kernel/liveupdate/kho_block.c: at most 10,000 blocks of 4096 bytes, each with a header of 16, filled with entries of
// struct luo_session_ser (64 + 16 bytes) or struct luo_file_ser (48 + 16 bytes) from include/linux/kho/abi/luo.h.
const blocks = (entry: number): number => 10_000 * Math.floor((4096 - 16) / entry)

const current: Rules = {
  guard: true,
  getName: true,
  namesChecked: true,
  reservedChecked: true,
  sessions: { max: blocks(80), errno: ENOSPC },
  files: blocks(64),
  retrieveOnce: true,
  devices: false
}

/**
 * 6.19 is known from the source as it was when LUO came into mainline, not from a kernel that ran: arrays of 16 and of 2
 * pages hold 744 sessions and 128 files. It also lacked the check that a request fits the session's direction, with which
 * it would finish files that are on their way out; the model refuses that on every profile, as the SDK never asks for it.
 */
const first: Rules = {
  guard: false,
  getName: false,
  namesChecked: false,
  reservedChecked: false,
  sessions: { max: 744, errno: ENOMEM },
  files: 128,
  retrieveOnce: false,
  devices: false
}

export const rules: Readonly<Record<Profile, Rules>> = {
  "6.19": first,
  "7.2": current,
  "7.3": current,
  handlers: { ...current, devices: true }
}
