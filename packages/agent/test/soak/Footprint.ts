/** What a live update could leave behind on its host, counted. */
import * as Effect from "effect/Effect"
import * as TestHost from "../e2e/TestHost.ts"

/**
 * One `name number` a line. Kernel threads have no command line; the clean page cache is nobody's. udev's workers, twenty of them or none,
 * end by themselves a few seconds after the boot.
 */
const count = `
timeout 60 sh -c "while pgrep -f '[(]udev-worker' >/dev/null; do sleep 0.2; done"
cd /proc
echo processes $(grep -l . [0-9]*/cmdline 2>/dev/null | wc -l)
echo handles $(find [0-9]*/fd -lname '*liveupdate*' -o -lname '*luo*' 2>/dev/null | wc -l)
echo vmms $(pgrep -c qemu-system)
echo vmmFiles $(for vmm in $(pgrep qemu-system); do ls $vmm/fd; done | wc -l)
echo vmmMiB $(for vmm in $(pgrep qemu-system); do grep ^RssAnon: $vmm/status; done | awk '{ sum += $2 } END { print sum / 1024 }')
echo runFiles $(find /run/liveupdate | wc -l)
echo runs $(ls /var/lib/liveupdate/runs | wc -l)
echo otherFiles $(find /var/lib/liveupdate ! -path '*/runs/*' | wc -l)
echo commandLine $(wc -c <cmdline)
sync
echo 3 >sys/vm/drop_caches
awk '/^MemTotal:/ { print "totalMiB", $2 / 1024 } /^MemAvailable:/ { print "availableMiB", $2 / 1024 }' meminfo
`

export interface Footprint {
  readonly processes: number
  /** Descriptors of any process on the device, on sessions, and on memory and sockets of ours. */
  readonly handles: number
  readonly vmms: number
  readonly vmmFiles: number
  /** Memory of the VMMs' own, all of them together, without guest RAM. */
  readonly vmmMiB: number
  readonly runFiles: number
  readonly runs: number
  /** Files in /var/lib/liveupdate that belong to no run. */
  readonly otherFiles: number
  readonly commandLine: number
  /** Shrinks when a kernel doesn't get memory back that was handed over to it. */
  readonly totalMiB: number
  readonly availableMiB: number
}

export const look = Effect.gen(function* () {
  const lines = yield* Effect.flatMap(TestHost.TestHost, (host) => host.output("sh", "-c", count))
  const found = new Map(lines.split("\n").map((line) => [line.split(" ")[0] ?? "", Number(line.split(" ")[1])]))
  const of = (name: keyof Footprint) => found.get(name) ?? Number.NaN
  return {
    processes: of("processes"),
    handles: of("handles"),
    vmms: of("vmms"),
    vmmFiles: of("vmmFiles"),
    vmmMiB: of("vmmMiB"),
    runFiles: of("runFiles"),
    runs: of("runs"),
    otherFiles: of("otherFiles"),
    commandLine: of("commandLine"),
    totalMiB: of("totalMiB"),
    availableMiB: of("availableMiB")
  } satisfies Footprint
})
