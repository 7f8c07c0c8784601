import type { PciDevice, Profile } from "../../SimulatedHost.ts"
import type { SystemCalls } from "../Kernel.ts"
import type { Faults } from "./FileHandler.ts"
import * as RunningKernel from "./RunningKernel.ts"
import * as SystemCallView from "./SystemCallView.ts"

/** A program on one kernel. */
export interface Program {
  readonly calls: SystemCalls
  /** Settles when its kernel jumps: then its descriptors are closed and it is no more. */
  readonly ended: Promise<void>
  readonly isOver: () => boolean
}

/** A host of the model: one kernel after another. */
export interface Machine {
  /** For what runs beside the programs and outlives them: whatever kernel runs answers; descriptors from before a jump are closed. */
  readonly calls: SystemCalls
  /** How many jumps there were. */
  readonly jumps: () => number
  readonly start: () => Program
  /** Closes every descriptor that the model itself holds. */
  readonly end: () => void
}

export interface Options {
  readonly profile: Profile
  readonly faults: Faults
  /** None unless told. */
  readonly pciDevices?: ReadonlyArray<PciDevice>
}

export const make = (real: SystemCalls, { faults, pciDevices = [], profile }: Options): Machine => {
  const filled = new Set<string>()
  let jumps = 0
  let kernel: RunningKernel.RunningKernel
  let onEnd: Array<() => void> = []
  const outside: SystemCallView.Program = { kernel: () => kernel, descriptors: new Map() }

  const boot = (carried: Parameters<typeof RunningKernel.boot>[2]): RunningKernel.RunningKernel =>
    RunningKernel.boot(real, { profile, faults, pciDevices, filled }, carried, (handedOver) => {
      const ended = onEnd
      onEnd = []
      jumps++
      kernel = boot(handedOver)
      for (const end of ended) end()
    })
  kernel = boot([])

  return {
    calls: SystemCallView.make(real, outside),
    jumps: () => jumps,
    start: () => {
      const mine = kernel
      const descriptors = new Map<number, RunningKernel.RunningKernel>()
      const ended = new Promise<void>((resolve) =>
        onEnd.push(() => {
          for (const fd of descriptors.keys()) real.close(fd)
          descriptors.clear()
          resolve()
        })
      )
      return {
        calls: SystemCallView.make(real, { kernel: () => (mine.isRunning() ? mine : undefined), descriptors }),
        ended,
        isOver: () => !mine.isRunning()
      }
    },
    end: () => kernel.end()
  }
}
