// Bundles a program that runs on a host beside the agent, as the end-to-end tests do: node scripts/bundle-program.mjs IN OUT
import { build } from "esbuild"
import { esm, options } from "./esbuild-options.mjs"

const [input, output] = process.argv.slice(2)
await build({ ...options, ...esm, entryPoints: [input], outfile: output })
