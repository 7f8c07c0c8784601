/**
 * What takes a jump: one kernel makes a session for each round and both sides, the next one retrieves them.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Implementation } from "../Measurement.ts"
import type { Plan } from "../Plan.ts"
import * as Memory from "./Memory.ts"
import * as Rounds from "./Rounds.ts"

interface Handover {
  readonly kind: "files" | Memory.Folios
  readonly rounds: number
  readonly files: number
  /** MiB of a file; 0 for a small one. */
  readonly mebibytes: number
}

const handovers = (plan: Plan): ReadonlyArray<Handover> => [
  { kind: "files", rounds: plan.rounds, files: plan.files, mebibytes: 0 },
  { kind: "small-folios", rounds: plan.memoryRounds, files: 1, mebibytes: plan.smallFolios },
  { kind: "huge-folios", rounds: plan.memoryRounds, files: 1, mebibytes: plan.hugeFolios }
]

const sessionName = (kind: Handover["kind"], implementation: Implementation, round: number) =>
  `bench-${kind}-${implementation}-${round}`

const tokens = (count: number) => Array.from({ length: count }, (_, index) => Token.make(BigInt(index + 1)))

/** Never returns: the next kernel takes over. */
export const jump = (plan: Plan) =>
  Effect.scoped(
    Effect.gen(function* () {
      for (const { files, kind, mebibytes, rounds } of handovers(plan))
        for (let round = 0; round < rounds; round++)
          for (const implementation of ["c", "sdk"] as const) {
            const session = yield* LiveUpdate.create(sessionName(kind, implementation, round))
            for (const token of tokens(files))
              yield* session.preserve(
                kind === "files" ? yield* Memory.smallFile : yield* Memory.memfd(kind, mebibytes),
                token
              )
          }
      yield* Kexec.load({
        kernel: `/boot/vmlinuz-${Os.release()}`,
        commandLine: Fs.readFileSync("/proc/cmdline", "utf8").trim()
      })
      return yield* Kexec.jump
    })
  )

const retrieve = (name: string, files: number, bytes: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* LiveUpdate.retrieve(name)
      const [nanoseconds] = yield* Rounds.time(
        Effect.forEach(tokens(files), (token) => session.retrieve(Memfd.Memfd, token, { bytes }), { discard: true })
      )
      yield* session.finish
      return { retrieve: nanoseconds }
    })
  )

export const after = (program: string, plan: Plan) =>
  Effect.gen(function* () {
    // systemd looks for sessions of its own at boot, and the device has room for one.
    yield* Effect.retry(LiveUpdate.probe, {
      schedule: Schedule.spaced("100 millis"),
      while: (error) => error._tag === "DeviceBusy"
    })
    for (const { files, kind, mebibytes, rounds } of handovers(plan))
      yield* Rounds.run({
        rounds,
        prefix: kind,
        amount: mebibytes === 0 ? files : mebibytes / 1024,
        c: (round) =>
          Effect.map(
            Rounds.c(program, ["retrieve", sessionName(kind, "c", round), String(files)]),
            ({ retrieve = 0 }) => ({ retrieve })
          ),
        sdk: (round) =>
          retrieve(sessionName(kind, "sdk", round), files, mebibytes === 0 ? 4096 : mebibytes * 1024 * 1024)
      })
  })
