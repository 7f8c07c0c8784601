/**
 * @since 0.1.0
 */
export * as Custody from "./Custody.ts"
export * as Handle from "./Handle.ts"
export * as HostLock from "./HostLock.ts"
export * as Keeper from "./Keeper.ts"
export * as KernelImage from "./KernelImage.ts"
export * as Kexec from "./Kexec.ts"
export * as LiveUpdate from "./LiveUpdate.ts"
export * as LiveUpdateError from "./LiveUpdateError.ts"
export * as Manifest from "./Manifest.ts"
export * as Memfd from "./Memfd.ts"
export * as Session from "./Session.ts"
export * as SystemdFdStore from "./SystemdFdStore.ts"
export * as Token from "./Token.ts"
