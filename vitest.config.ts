import { defineConfig } from "vitest/config"

const unit = (name: string) => ({
  test: { name, root: `packages/${name}`, include: ["test/**/*.test.ts"], exclude: ["test/e2e/**", "test/faults/**"] }
})

export default defineConfig({
  test: {
    projects: [
      unit("sdk"),
      unit("agent"),
      unit("qemu-host"),
      unit("examples"),
      unit("conformance"),
      unit("bench"),
      {
        test: {
          name: "e2e",
          root: "packages",
          include: ["*/test/e2e/**/*.test.ts"],
          // One QEMU host at a time: two of them on two cores would only slow each other down.
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 1_200_000
        }
      },
      {
        test: {
          name: "faults",
          root: "packages/agent",
          include: ["test/faults/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 1_200_000
        }
      }
    ]
  }
})
