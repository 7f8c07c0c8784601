/**
 * Builds and boots a QEMU machine that plays the physical host.
 *
 * @since 0.1.0
 */
export * as Accelerator from "./Accelerator.ts"
export * as Cache from "./Cache.ts"
export * as Channel from "./Channel.ts"
export * as ChannelProtocol from "./ChannelProtocol.ts"
export * as Cpio from "./Cpio.ts"
export * as DebianMirror from "./DebianMirror.ts"
export * as DebianSource from "./DebianSource.ts"
export * as EmulatorBuild from "./EmulatorBuild.ts"
export * as HostPrograms from "./HostPrograms.ts"
export * as Installed from "./Installed.ts"
export * as KernelBuild from "./KernelBuild.ts"
export * as KernelHeaders from "./KernelHeaders.ts"
export * as KernelImage from "./KernelImage.ts"
export * as Machine from "./Machine.ts"
export * as Progress from "./Progress.ts"
export * as QemuHost from "./QemuHost.ts"
export * as Resources from "./Resources.ts"
export * as RootFs from "./RootFs.ts"
export * as SystemImage from "./SystemImage.ts"
