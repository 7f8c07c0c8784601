import type { Profile } from "../../SimulatedHost.ts"
import { EBUSY, EINVAL } from "../errno.ts"
import type { SystemCalls } from "../Kernel.ts"
import type { Faults } from "./FileHandler.ts"
import * as KernelImages from "./KernelImages.ts"
import * as MemfdHandler from "./MemfdHandler.ts"
import * as Orchestrator from "./Orchestrator.ts"
import { rules } from "./Profile.ts"
import * as Specials from "./Specials.ts"

export interface Options {
  readonly profile: Profile
  readonly faults: Faults
  readonly filled: Set<string>
}

/** One boot of the modelled host. */
export interface RunningKernel {
  readonly specials: Specials.Specials
  readonly memfds: MemfdHandler.Memfds
  readonly images: KernelImages.KernelImages
  readonly orchestrator: Orchestrator.Orchestrator
  /** False once it has jumped. */
  readonly isRunning: () => boolean
  /** `kernel_kexec` (kernel/kexec_core.c): a negated errno, or 0 and another kernel runs. */
  readonly jump: () => number
}

export const boot = (
  real: SystemCalls,
  options: Options,
  carried: ReadonlyArray<Orchestrator.CarriedSession>,
  onJump: (carried: ReadonlyArray<Orchestrator.CarriedSession>) => void
): RunningKernel => {
  const specials = Specials.make(real)
  const memfds = MemfdHandler.make(real, specials, options.filled)
  const images = KernelImages.make(real)
  const orchestrator = Orchestrator.make(
    {
      real,
      rules: rules[options.profile],
      handlers: [memfds.handler],
      faults: options.faults,
      held: new Set()
    },
    specials,
    carried
  )
  let state: "running" | "freezing" | "gone" = "running"

  return {
    specials,
    memfds,
    images,
    orchestrator,
    isRunning: () => state !== "gone",
    jump: () => {
      // A fault that jumps from within the freeze.
      if (state !== "running") return -EBUSY
      if (!images.isLoaded()) return -EINVAL
      state = "freezing"
      const answer = orchestrator.serialize()
      if (answer < 0) {
        state = "running"
        return answer
      }
      state = "gone"
      onJump(orchestrator.handOver())
      return 0
    }
  }
}
