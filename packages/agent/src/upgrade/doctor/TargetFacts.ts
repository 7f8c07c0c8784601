/**
 * What the next kernel's image holds, and what the running kernel will leave to it.
 *
 * @since 0.1.0
 */
import type { KernelImageInvalid } from "@liveupdate/sdk/KernelImage"
import * as KernelImageContents from "@liveupdate/sdk/KernelImageContents"
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import * as Effect from "effect/Effect"
import type { Fact } from "./Facts.ts"
import * as KnownImages from "./KnownImages.ts"
import * as RunningKernel from "./RunningKernel.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface TargetFacts {
  readonly kernel: string
  /** The next kernel's. */
  readonly commandLine: string
  readonly contents:
    | { readonly _tag: "read"; readonly value: KernelImageContents.KernelImageContents }
    | { readonly _tag: "refused"; readonly error: KernelImageInvalid }
  /** As in `Facts`. */
  readonly khoTree: Fact<string>
  readonly luoState: Fact<string>
  /** The strings in the running kernel's image. */
  readonly running: Fact<KernelImageContents.Abi>
}

/**
 * Reads both images, which takes up to some seconds when they aren't known yet (`KnownImages`); changes nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const look = (options: { readonly kernel: string; readonly commandLine: string }): Effect.Effect<TargetFacts> =>
  Effect.gen(function* () {
    const contents = yield* KernelImageContents.read(options.kernel, yield* KnownImages.KnownImages).pipe(
      Effect.match({
        onFailure: (error) => ({ _tag: "refused", error }) as const,
        onSuccess: (value) => ({ _tag: "read", value }) as const
      })
    )
    return {
      kernel: options.kernel,
      commandLine: options.commandLine,
      contents,
      khoTree: RunningKernel.khoTree(),
      luoState: RunningKernel.luoState(),
      running: yield* RunningKernel.abi(
        yield* KernelRelease.running,
        contents._tag === "read" ? contents.value : undefined
      )
    }
  })
