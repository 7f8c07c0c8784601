/**
 * A live update after which a VMM doesn't start: the disk goes when the old VMM no longer needs its name, and the next one will.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestHost from "./TestHost.ts"

/** Moves `disk` to `disk.away` before the jump; `which` says which VMs are carried. The new kernel runs when this returns. */
export const jumpWithout = (disk: string, ...which: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const jump = host.inside(
      "sh",
      "-c",
      `/usr/bin/agent upgrade ${which.join(" ")} --kernel "$1" --output ndjson | while read -r line; do
         case $line in *'"step":"sync"'*'"status":"done"'*) mv ${disk} ${disk}.away; sync;; esac
       done`,
      "sh",
      yield* host.otherKernel
    )
    assert.include(String(yield* Effect.flip(Effect.sandbox(jump))), "runs a new kernel")
  })

/** Waits until the run has said that a VM needs its operator. */
export const needsOperator = Effect.flatMap(TestHost.TestHost, (host) =>
  host.output(
    "timeout",
    "120",
    "sh",
    "-c",
    "until grep -rq needs-operator /var/lib/liveupdate/runs/*; do sleep 0.2; done"
  )
)
