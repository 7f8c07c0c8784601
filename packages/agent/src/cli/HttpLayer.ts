/**
 * Node's own way to speak HTTP to others.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"

/**
 * Not `fetch`: it comes with a parser in WebAssembly, which a process from a start-up snapshot would have to compile.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = NodeHttpClient.layer
