/**
 * What the commands run on: the kernel, QEMU, the host's directories.
 *
 * @since 0.1.0
 */
import * as Keeper from "@liveupdate/sdk/Keeper"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as SystemdFdStore from "@liveupdate/sdk/SystemdFdStore"
import * as Layer from "effect/Layer"
import * as Qemu from "../vmm/Qemu.ts"
import * as VmStore from "../vmm/VmStore.ts"

/**
 * With a keeper that is started in another way than from the SDK's own file.
 *
 * @since 0.1.0
 * @category layers
 */
export const hostWith = (keeper: Keeper.Options) =>
  Layer.mergeAll(
    LiveUpdate.layer.pipe(Layer.provideMerge(SystemdFdStore.layerPassing(Keeper.layer(keeper)))),
    Kexec.layer,
    Qemu.layer,
    VmStore.layer
  )

/**
 * @since 0.1.0
 * @category layers
 */
export const host = hostWith({})
