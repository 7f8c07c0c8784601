/**
 * The host's first process keeps sessions until the SDK takes them over (packages/qemu-host/host/keeper.c). To the SDK it is a keeper like
 * its own, so it has to do the same.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Cache from "@liveupdate/qemu-host/Cache"
import * as HostPrograms from "@liveupdate/qemu-host/HostPrograms"
import * as Progress from "@liveupdate/qemu-host/Progress"
import * as Resources from "@liveupdate/qemu-host/Resources"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { keeperBehaviours } from "../../sdk/test/keeperBehaviours.ts"

const { init } = await Effect.runPromise(
  Effect.flatMap(HostPrograms.HostPrograms, (_) => _.programs).pipe(
    Effect.provide(
      HostPrograms.layer.pipe(
        Layer.provide(Cache.layer),
        Layer.provide(Resources.layer),
        Layer.provideMerge(Progress.layerSilent),
        Layer.provideMerge(NodeContext.layer)
      )
    )
  )
)

keeperBehaviours("the host's keeper", { file: init, args: [] })
