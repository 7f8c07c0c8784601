import { type Raw, said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

const UNLOAD = 0x1
const NO_INITRAMFS = 0x4
const KEXEC = 0x45584543

const load = async (raw: Raw, kernel: number, initrd: number, flags: number): Promise<string> =>
  said(await raw.calls.kexecFileLoad(kernel, initrd, "quiet", flags))

export const kexec = [
  scenario(
    "Without an image there is no jump: EINVAL, and the sessions go on.",
    { jump: "EINVAL", later: "ok" },
    async (raw) => {
      const session = raw.create("stays")
      const jump = said(await raw.calls.reboot(KEXEC))
      return { jump, later: said(raw.preserve(session, raw.memfd("x"), 1n)) }
    }
  ),
  scenario(
    "What is no kernel is not loaded: ENOEXEC; no descriptor, EBADF; unknown flags, EINVAL.",
    { text: "ENOEXEC", closed: "EBADF", flags: "EINVAL", loaded: false },
    async (raw) => ({
      text: await load(raw, raw.memfd("no kernel".repeat(1000)), -1, NO_INITRAMFS),
      closed: await load(raw, -1, -1, NO_INITRAMFS),
      flags: await load(raw, raw.memfd("x"), -1, 0x100),
      loaded: raw.calls.kexecLoaded()
    })
  ),
  scenario("Unloading needs nothing that is loaded.", { unload: "ok", loaded: false }, async (raw) => ({
    unload: await load(raw, -1, -1, UNLOAD),
    loaded: raw.calls.kexecLoaded()
  }))
]
