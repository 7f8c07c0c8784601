import { defineConfig } from "vitest/config"

const onQemuHosts = ["e2e", "soak", "faults"]

/** Each needs a program of others, which `node scripts/setup.mjs` gets when asked (package.json); `packaging` the build and the registry, too. */
const withTools = ["browser", "packaging", "prometheus"]

const unit = (name: string) => ({
  test: {
    name,
    root: `packages/${name}`,
    include: ["test/**/*.test.ts"],
    exclude: [...onQemuHosts, ...withTools].map((folder) => `test/${folder}/**`)
  }
})

const tooled = (name: string) => ({
  test: {
    name,
    root: "packages",
    include: [`*/test/${name}/**/*.test.ts`],
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})

const hosted = (name: string) => ({
  test: {
    name,
    root: "packages",
    include: [`*/test/${name}/**/*.test.ts`],
    // One QEMU host at a time: two of them on two cores would only slow each other down.
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 1_200_000
  }
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
      unit("site"),
      ...withTools.map(tooled),
      ...onQemuHosts.map(hosted)
    ]
  }
})
