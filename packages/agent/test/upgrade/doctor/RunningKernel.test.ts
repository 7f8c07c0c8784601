import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import type { KernelImageContents } from "@liveupdate/sdk/KernelImageContents"
import * as Effect from "effect/Effect"
import * as RunningKernel from "../../../src/upgrade/doctor/RunningKernel.ts"

const candidate = (banner: string): KernelImageContents => ({
  path: "/boot/vmlinuz",
  compression: "lz4",
  banner: { answer: "known", value: banner },
  release: { answer: "known", value: "7.3.4" },
  config: { answer: "unknown", reason: "it was built without CONFIG_IKCONFIG" },
  abi: {
    answer: "known",
    value: { kho: [], luo: [], memfd: ["memfd-v2"], vfio: [], iommufd: [], guest_memfd: [], kvm_vm: [] }
  }
})
const banner = Fs.readFileSync("/proc/version", "latin1").trim()

describe("RunningKernel", () => {
  it.effect("an image that says what /proc/version says is the running kernel's", () =>
    Effect.gen(function* () {
      const abi = yield* RunningKernel.abi("none", candidate(banner))
      assert.deepStrictEqual(abi._tag === "known" && abi.value.memfd, ["memfd-v2"])
    })
  )

  it.effect(
    "one that is built a second time isn't, and what the running kernel holds is unknown without its image",
    () =>
      Effect.gen(function* () {
        const abi = yield* RunningKernel.abi("none", candidate(banner.replace(/#\d+/, "#999")))
        assert.deepStrictEqual(abi, {
          _tag: "unknown",
          reason: "its image is in none of /boot/vmlinuz-none, /usr/lib/modules/none/vmlinuz"
        })
      })
  )
})
