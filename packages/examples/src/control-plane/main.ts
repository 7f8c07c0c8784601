// Serves this host's control plane at a socket that is root's alone: whoever may talk to it may replace the host's kernel.
import { rmSync } from "node:fs"
import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import * as Layers from "@liveupdate/agent/cli/Layers"
import * as QuickStart from "@liveupdate/agent/upgrade/QuickStart"
import * as RunLog from "@liveupdate/agent/upgrade/RunLog"
import * as Upgrade from "@liveupdate/agent/upgrade/Upgrade"
import { Layer } from "effect"
import * as ControlPlane from "./ControlPlane.ts"

const [path = "/run/liveupdate/control.sock", second = "/usr/lib/liveupdate/resume.cjs"] = process.argv.slice(2)

rmSync(path, { force: true })
ControlPlane.layer({
  runs: RunLog.defaultDirectory,
  options: {
    prepare: (vms) => QuickStart.prepare(second, vms),
    watchdog: QuickStart.watchdog(second),
    blackoutDeadline: Upgrade.BLACKOUT_DEADLINE
  }
}).pipe(
  Layer.provide(Layers.host),
  Layer.provide(NodeHttpServer.layer(createServer, { path })),
  Layer.launch,
  NodeRuntime.runMain
)
