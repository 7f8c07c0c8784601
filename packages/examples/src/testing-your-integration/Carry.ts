/** The part of a control plane that its test is about: one guest's memory through one jump. It knows the SDK's services, no kernel. */
import { Kexec, LiveUpdate, Memfd, Token } from "@liveupdate/sdk"
import { Effect } from "effect"

export interface Guest {
  readonly id: string
  readonly ram: Memfd.Memfd
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

const tokens = Token.names({ ram: 1n })

/** Returns only by failing, and then the guest runs as before and its memory is free. */
export const handOver = ({ id, ram, pause, resume }: Guest, kernel: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* Kexec.load({ kernel, commandLine: "root=/dev/vda liveupdate=on" })
      const session = yield* LiveUpdate.create(id)
      yield* session.preserve(ram, tokens.ram)
      // Last, and undone first: everything before it has happened while the guest ran.
      yield* Effect.acquireRelease(pause, () => resume)
      return yield* Kexec.jump
    })
  )

/** Under the next kernel: gives the memory to whoever makes a guest of it, and finishes when that says that it runs. */
export const takeOver = <E, R>(id: string, restore: (ram: Memfd.Managed) => Effect.Effect<void, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* LiveUpdate.retrieve(id)
      yield* restore(yield* session.retrieve(Memfd.Memfd, tokens.ram))
      yield* session.finish
    })
  )
