/**
 * What the page "errors and what to do" says of each error beyond what the code says itself: whose doing it is, whether to try
 * again, and examples whose next steps are printed.
 */
import type * as Custody from "../../src/Custody.ts"
import type * as KernelImage from "../../src/KernelImage.ts"
import type * as E from "../../src/LiveUpdateError.ts"
import type * as Manifest from "../../src/Manifest.ts"
import type * as Preservation from "../../src/Preservation.ts"
import type * as SdNotify from "../../src/SdNotify.ts"
import type * as SimulatedHost from "../../src/SimulatedHost.ts"

export type AnyError =
  | E.LiveUpdateError
  | Custody.HoldFailed
  | Custody.HolderSilent
  | KernelImage.KernelImageInvalid
  | Manifest.ManifestInvalid
  | Preservation.DependencyCycle
  | Preservation.DependencyMissing
  | Preservation.TokenTaken
  | Preservation.FileNameInvalid
  | Preservation.FileTwice
  | Preservation.PreservationClosed
  | Preservation.FilesDiffer
  | SdNotify.NotifyFailed
  | SimulatedHost.NotJumped

/** In the order of the page. */
export const groups = {
  after: [
    "After the jump",
    "The guests stand still, and their memory waits in sessions, but for the first of these, where there is nothing to wait for. **Don't reboot, and don't end the keeper:** that would free it. Waiting loses nothing more; `agent resume` takes it up again."
  ],
  host: [
    "The host and the jump",
    "The jump did not happen. What had been preserved is ordinary again, or still preserved as before, and the guests run on."
  ],
  file: ["Files and memory", "What can be preserved, and what may be done with it meanwhile. The guests run on."],
  device: ["Devices of a guest", "Answers of the drivers: KVM, VFIO, iommufd. The guests run on."],
  program: [
    "The program that embeds the SDK",
    "Usually nothing that an operator can mend: the program asked for something that makes no sense. Keep the message for its authors."
  ]
} as const

export type Group = keyof typeof groups

export interface Section<Err extends AnyError> {
  readonly group: Group
  /** Whose doing it is. */
  readonly who: string
  /** Whether the same call is worth repeating. */
  readonly again: string
  /** Found by the SDK before the kernel was asked: where. */
  readonly unasked?: string
  /** One for each next step that there is; the label says when it is this one. */
  readonly examples: readonly [readonly [label: string, error: Err], ...ReadonlyArray<readonly [string, Err]>]
}

export type Sections = { readonly [Tag in AnyError["_tag"]]: Section<Extract<AnyError, { _tag: Tag }>> }

/** Where an example was refused. */
export const at = <O extends E.Operation>(operation: O, errno: string, kind?: string) => ({
  operation,
  errno,
  ...(kind === undefined ? {} : { kind })
})
