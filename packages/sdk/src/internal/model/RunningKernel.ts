import type { PciDevice, Profile } from "../../SimulatedHost.ts"
import { EBUSY, EINVAL } from "../errno.ts"
import type { SystemCalls } from "../Kernel.ts"
import * as Devices from "./Devices.ts"
import type { Faults } from "./FileHandler.ts"
import * as KernelImages from "./KernelImages.ts"
import * as KernelLog from "./KernelLog.ts"
import * as MemfdHandler from "./MemfdHandler.ts"
import * as Orchestrator from "./Orchestrator.ts"
import { rules } from "./Profile.ts"
import * as Specials from "./Specials.ts"

export interface Options {
  readonly profile: Profile
  readonly faults: Faults
  readonly pciDevices: ReadonlyArray<PciDevice>
  readonly filled: Set<string>
}

/** One boot of the modelled host. */
export interface RunningKernel {
  readonly specials: Specials.Specials
  readonly memfds: MemfdHandler.Memfds
  /** On kernels that have handlers for their files. */
  readonly devices: Devices.Devices | undefined
  readonly images: KernelImages.KernelImages
  readonly log: KernelLog.KernelLog
  readonly orchestrator: Orchestrator.Orchestrator
  /** False once it has jumped. */
  readonly isRunning: () => boolean
  /** `kernel_kexec` (kernel/kexec_core.c): a negated errno, or 0 and another kernel runs. */
  readonly jump: () => number
  /** The end without a next kernel: lets go of everything that the model holds. */
  readonly end: () => void
}

export const boot = (
  real: SystemCalls,
  options: Options,
  carried: ReadonlyArray<Orchestrator.CarriedSession>,
  onJump: (carried: ReadonlyArray<Orchestrator.CarriedSession>) => void
): RunningKernel => {
  const specials = Specials.make(real)
  const memfds = MemfdHandler.make(real, specials, options.filled)
  const devices = Devices.make(real, specials, options.pciDevices)
  const images = KernelImages.make(real)
  const log = KernelLog.make(specials)
  const kernelRules = rules[options.profile]
  for (const { files } of carried) for (const { state } of files) state.arrive?.(devices)
  const orchestrator = Orchestrator.make(
    {
      references: { dup: specials.dup, close: specials.close, status: real.status },
      rules: kernelRules,
      handlers: [memfds.handler, ...(kernelRules.devices ? devices.handlers : [])],
      devices,
      faults: options.faults,
      warn: log.write,
      held: new Set()
    },
    specials,
    carried
  )
  let state: "running" | "freezing" | "gone" = "running"

  return {
    specials,
    memfds,
    devices: kernelRules.devices ? devices : undefined,
    images,
    log,
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
      const handedOver = orchestrator.handOver()
      devices.end()
      onJump(handedOver)
      return 0
    },
    end: () => {
      orchestrator.end()
      devices.end()
    }
  }
}
