/**
 * The SDK writes the kernel's structs by hand. A C program, compiled here and now against the headers of the kernel that hosts
 * run, says where each field really lies, and fills the same structs: request numbers, sizes, offsets and bytes have to be ours.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Cache from "@liveupdate/qemu-host/Cache"
import * as DebianMirror from "@liveupdate/qemu-host/DebianMirror"
import * as KernelHeaders from "@liveupdate/qemu-host/KernelHeaders"
import * as Progress from "@liveupdate/qemu-host/Progress"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
// Closed to other packages, except to the test that holds them to the kernel.
import * as ioctl from "../../sdk/src/internal/ioctl.ts"
import { seals } from "../../sdk/src/internal/memfd.ts"
import type { Fields, FieldType } from "../../sdk/src/internal/struct.ts"

const groups = { liveupdate: ioctl.liveupdate, iommufd: ioctl.iommufd, vfio: ioctl.vfio, kvm: ioctl.kvm }
const requests: ReadonlyArray<ioctl.Request<Fields>> = Object.values(groups).flatMap((group) => Object.values(group))

/** Numbers that are no struct, by the macro's name. */
const constants: Readonly<Record<string, number>> = {
  LIVEUPDATE_SESSION_NAME_LENGTH: ioctl.SESSION_NAME_LENGTH,
  IOMMU_IOAS_MAP_FIXED_IOVA: ioctl.IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_WRITEABLE: ioctl.IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_MAP_READABLE: ioctl.IOMMU_IOAS_MAP_READABLE,
  KVM_CREATE_VM: ioctl.KVM_CREATE_VM,
  KVM_CHECK_EXTENSION: ioctl.KVM_CHECK_EXTENSION,
  KVM_CAP_GUEST_MEMFD: ioctl.KVM_CAP_GUEST_MEMFD,
  KVM_CAP_GUEST_MEMFD_FLAGS: ioctl.KVM_CAP_GUEST_MEMFD_FLAGS,
  GUEST_MEMFD_FLAG_MMAP: ioctl.GUEST_MEMFD_FLAG_MMAP,
  GUEST_MEMFD_FLAG_INIT_SHARED: ioctl.GUEST_MEMFD_FLAG_INIT_SHARED,
  F_SEAL_SEAL: seals.seal,
  F_SEAL_SHRINK: seals.shrink,
  F_SEAL_GROW: seals.grow,
  F_SEAL_WRITE: seals.write,
  F_SEAL_FUTURE_WRITE: seals["future-write"],
  F_SEAL_EXEC: seals.exec
}

/** Two words of its own for every field, so that two that are swapped are seen; the first one is negative as an s32. */
const sampleNumber = (index: number): number => 0x8000_0000 + 0x0101 * (index + 1)

/** The value of a field in C and in ours; `undefined`, the codec knows it. */
const samples: Readonly<
  Record<"length" | "u32" | "s32" | "u64" | "text", (index: number, bytes: number) => readonly [string, unknown]>
> = {
  length: (_, bytes) => [`= ${bytes};`, undefined],
  u32: (index) => [`= ${sampleNumber(index)}u;`, sampleNumber(index)],
  s32: (index) => [`= (__s32)${sampleNumber(index)}u;`, sampleNumber(index) - 2 ** 32],
  u64: (index) => [`= 0xfedcba9876543200ull + ${index};`, 0xfedc_ba98_7654_3200n + BigInt(index)],
  text: () => ["", "text é"]
}
const sample = (type: FieldType, index: number, bytes: number) =>
  samples[typeof type === "number" ? "text" : type](index, bytes)

const given = (request: ioctl.Request<Fields>): Record<string, never> =>
  // The values are made from the field types that the codec reads them by.
  Object.fromEntries(
    Object.entries(request.fields).map(([field, type], index) => [field, sample(type, index, request.bytes)[1]])
  ) as Record<string, never>

const layoutInC = (request: ioctl.Request<Fields>): string => {
  const fields = Object.entries(request.fields)
  const type = `struct ${request.name}`
  const fill = fields.map(([field, fieldType], index) =>
    typeof fieldType === "number"
      ? `memcpy(&filled.${field}, "${sample(fieldType, index, 0)[1]}", ${Buffer.byteLength(String(sample(fieldType, index, 0)[1]))});`
      : `filled.${field} ${sample(fieldType, index, request.bytes)[0]}`
  )
  const places = fields.map(
    ([field]) => `printf("${field} %zu %zu ", offsetof(${type}, ${field}), sizeof(((${type} *)0)->${field}));`
  )
  return `{ ${type} filled; memset(&filled, 0, sizeof filled); ${fill.join(" ")}
    printf("${request.macro} %u %zu ", (unsigned)${request.macro}, sizeof filled); ${places.join(" ")}
    for (size_t i = 0; i < sizeof filled; i++) { printf("%02x", ((unsigned char *)&filled)[i]); }
    printf("\\n"); }`
}

const ourLayout = (request: ioctl.Request<Fields>): string =>
  [
    request.macro,
    request.number,
    request.bytes,
    ...Object.entries(request.fields).flatMap(([field, type]) => [
      field,
      request.offsetOf(field),
      typeof type === "number" ? type : type === "u64" ? 8 : 4
    ]),
    request.encode(given(request)).toString("hex")
  ].join(" ")

const program = `
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <linux/fcntl.h>
#include <linux/iommufd.h>
#include <linux/kvm.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/vfio.h>
int main(void) {
${requests.map(layoutInC).join("\n")}
${Object.keys(constants)
  .map((name) => `printf("${name} %llu\\n", (unsigned long long)${name});`)
  .join("\n")}
}
`

const compileAndRun = (directories: ReadonlyArray<string>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "liveupdate-headers-"))),
    (folder) =>
      Effect.sync(() => {
        const source = join(folder, "layout.c")
        const binary = join(folder, "layout")
        writeFileSync(source, program)
        execFileSync("cc", ["-Wall", "-Werror", ...directories.map((path) => `-I${path}`), "-o", binary, source])
        return execFileSync(binary, { encoding: "utf8" }).trim().split("\n")
      }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )

const layer = KernelHeaders.layer.pipe(
  Layer.provide(DebianMirror.layer),
  Layer.provide(Cache.layer),
  Layer.provideMerge(
    Progress.layerLines({ write: (text) => Effect.sync(() => void process.stderr.write(text)), terminal: false })
  ),
  Layer.provideMerge(NodeContext.layer)
)

describe("the kernel's headers", () => {
  it.effect(
    "have the numbers, sizes, offsets and bytes that the SDK has",
    () =>
      Effect.gen(function* () {
        const { headers } = yield* KernelHeaders.KernelHeaders
        const { directories, origin } = yield* headers
        assert.match(origin, /^linux-libc-dev 7\./)
        assert.deepStrictEqual(yield* compileAndRun(directories), [
          ...requests.map(ourLayout),
          ...Object.entries(constants).map(([name, value]) => `${name} ${value}`)
        ])
      }).pipe(Effect.provide(layer)),
    300_000
  )
})
