/**
 * @since 0.1.0
 */
export * as Custody from "./Custody.js"
export * as Handle from "./Handle.js"
export * as KernelImage from "./KernelImage.js"
export * as Kexec from "./Kexec.js"
export * as LiveUpdate from "./LiveUpdate.js"
export * as LiveUpdateError from "./LiveUpdateError.js"
export * as Manifest from "./Manifest.js"
export * as Memfd from "./Memfd.js"
export * as Session from "./Session.js"
export * as Token from "./Token.js"
