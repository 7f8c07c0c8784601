/**
 * What the commands run on: the kernel, QEMU, the host's directories.
 *
 * @since 0.1.0
 */
import * as Custody from "@liveupdate/sdk/Custody"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Layer from "effect/Layer"
import * as Qemu from "../vmm/Qemu.ts"
import * as VmStore from "../vmm/VmStore.ts"

/**
 * @since 0.1.0
 * @category layers
 */
export const host = Layer.mergeAll(
  LiveUpdate.layer.pipe(Layer.provide(Custody.layer())),
  Kexec.layer,
  Qemu.layer,
  VmStore.layer
)
