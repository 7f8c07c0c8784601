/**
 * Builds and boots a QEMU machine that plays the physical host.
 *
 * @since 0.1.0
 */
export * as Accelerator from "./Accelerator.js"
export * as Cache from "./Cache.js"
export * as Channel from "./Channel.js"
export * as ChannelProtocol from "./ChannelProtocol.js"
export * as Cpio from "./Cpio.js"
export * as DebianMirror from "./DebianMirror.js"
export * as HostPrograms from "./HostPrograms.js"
export * as KernelBuild from "./KernelBuild.js"
export * as KernelImage from "./KernelImage.js"
export * as Machine from "./Machine.js"
export * as Progress from "./Progress.js"
export * as QemuHost from "./QemuHost.js"
export * as Resources from "./Resources.js"
export * as RootFs from "./RootFs.js"
export * as SystemImage from "./SystemImage.js"
