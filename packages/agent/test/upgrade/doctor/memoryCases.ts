/** The checks of `MemoryChecks.ts`. */
import { absent, known, unknown } from "../../../src/upgrade/doctor/Facts.ts"
import { type Case, type Cases, eacces, noDebugfs } from "./cases.ts"

export const memoryCases = {
  memory: [
    ["enough", {}, "ok", "8192 MiB are available, a live update takes 120 MiB (24 MiB the next kernel, 96 MiB Node"],
    [
      "no first process to send Node to",
      { firstProcessMark: noDebugfs },
      "ok",
      "takes 24 MiB (24 MiB the next kernel)"
    ],
    [
      "a guest that has touched half of it",
      { guests: known([{ id: "a", memoryBytes: 4 * 1024 ** 3, allocatedBytes: 2 * 1024 ** 3 }]) },
      "ok",
      "2048 MiB guest RAM that no guest has touched yet, 16 MiB lists of its pages"
    ],
    [
      "a guest that has touched nothing yet",
      { guests: known([{ id: "a", memoryBytes: 16 * 1024 ** 3, allocatedBytes: 0 }]) },
      "fail",
      "16384 MiB guest RAM that no guest has touched yet, 64 MiB lists of its pages",
      "agent vm stop"
    ],
    [
      "a guest that has touched all of it",
      { guests: known([{ id: "a", memoryBytes: 16 * 1024 ** 3, allocatedBytes: 16 * 1024 ** 3 }]) },
      "ok",
      "64 MiB lists of its pages"
    ],
    [
      "guests out of sight",
      { guests: unknown("EACCES") },
      "unknown",
      "what guests take is not known: EACCES",
      "vm list"
    ],
    ["no image to measure", { imageBytes: absent("/boot/x") }, "ok", "96 MiB (96 MiB Node, sent along); the size of a"],
    ["no meminfo", { meminfo: eacces }, "unknown", "EACCES", "free -m"],
    ["an old meminfo", { meminfo: known("MemFree: 1 kB") }, "unknown", "no MemAvailable", "free -m"]
  ],
  "huge-pages": [
    ...(["always", "within_size", "advise", "force"] as const).map(
      (level): Case => [level, { hugePages: known(`x [${level}] y`) }, "ok", level]
    ),
    ["never", { hugePages: known("always [never]") }, "warn", "never", "transparent_hugepage_shmem=advise"],
    ["deny", { hugePages: known("always never [deny]") }, "warn", "deny", "transparent_hugepage_shmem=advise"],
    ["something else", { hugePages: known("?") }, "warn", '"?"', "transparent_hugepage_shmem=advise"],
    ["built without", { hugePages: absent("/sys/x") }, "warn", "there is no /sys/x", "CONFIG_TRANSPARENT_HUGEPAGE=y"],
    ["unreadable", { hugePages: eacces }, "unknown", "EACCES", "Run it as root"]
  ]
} satisfies Cases
