import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { tscArguments } from "../src/Accelerator.ts"
import { archive } from "../src/Cpio.ts"
import { chooseKernelSource, mirrorOf, parseMadison } from "../src/DebianMirror.ts"
import { chooseSource, sourceLinesOf } from "../src/DebianSource.ts"
import { configureArguments, ninjaProgress, seriesOf } from "../src/EmulatorBuild.ts"
import { releaseOf } from "../src/KernelImage.ts"
import { qemuArguments, startTicksOf } from "../src/Machine.ts"
import { render } from "../src/Progress.ts"
import { debugfsErrors, debugfsScript } from "../src/SystemImage.ts"

const madison = `
linux-source-7.2 | 7.2.13-1 | http://mirror/debian unstable/main amd64 Packages
linux-source-7.3 | 7.3.4-1~bpo13+1 | http://mirror/debian trixie-backports/main amd64 Packages
linux-source-7.3 | 7.3.10-1 | http://mirror/debian unstable/main amd64 Packages
`
const wish = { pinned: "7.3.4", series: "7.3", major: "7" }

describe("DebianMirror", () => {
  it("prefers the pinned version, then the newest of the series, then of the major", () => {
    const all = parseMadison(madison)
    const version = (wanted: typeof wish, from = all) =>
      Option.map(chooseKernelSource(from, wanted), ({ version, suite }) => `${version} ${suite}`)
    assert.deepStrictEqual(version(wish), Option.some("7.3.4-1~bpo13+1 trixie-backports"))
    assert.deepStrictEqual(version({ ...wish, pinned: "7.3.5" }), Option.some("7.3.10-1 unstable"))
    assert.deepStrictEqual(version({ ...wish, pinned: "7.9.1", series: "7.9" }), Option.some("7.3.10-1 unstable"))
    assert.deepStrictEqual(version(wish, []), Option.none())
  })

  it("takes the mirror from the machine's own configuration", () => {
    const targets =
      "nodesource|nodistro|https://x/\nDebian|Debian-Security|http://m/debian-security/\nDebian|Debian|http://m/debian/\n"
    assert.deepStrictEqual(mirrorOf(targets), Option.some("http://m/debian"))
    assert.deepStrictEqual(mirrorOf("Ubuntu|Ubuntu|http://u/\n"), Option.none())
  })
})

describe("DebianSource", () => {
  it("takes sources from all of Debian's that the machine takes packages from, and from nobody else", () => {
    const targets = [
      "Debian|http://m/debian-security/|bookworm-security|main",
      "Debian|http://m/debian/|bookworm|main",
      "Debian|http://m/debian/|bookworm|main",
      "Debian|http://m/debian/|bookworm|contrib",
      "nodesource|https://x/|nodistro|main",
      ""
    ].join("\n")
    assert.deepStrictEqual(sourceLinesOf(targets), [
      "deb-src http://m/debian-security bookworm-security main",
      "deb-src http://m/debian bookworm main"
    ])
  })

  it("prefers the source of what is installed, then the newest", () => {
    const available = parseMadison(
      [
        "qemu | 1:7.2+dfsg-7+deb12u9 | http://m/debian-security bookworm-security/main Sources",
        "qemu | 1:7.2+dfsg-7+deb12u18 | http://m/debian bookworm/main Sources",
        "qemu | 1:7.2+dfsg-7+deb12u13 | http://m/debian bookworm/main Sources"
      ].join("\n")
    )
    const chosen = (version: string) => Option.map(chooseSource(available, version), (source) => source.version)
    assert.deepStrictEqual(chosen("1:7.2+dfsg-7+deb12u13"), Option.some("1:7.2+dfsg-7+deb12u13"))
    assert.deepStrictEqual(chosen("1:7.2+dfsg-7+deb12u5"), Option.some("1:7.2+dfsg-7+deb12u18"))
    assert.deepStrictEqual(chooseSource([], "1"), Option.none())
  })
})

describe("EmulatorBuild", () => {
  it("knows the series by Debian's version", () => {
    assert.strictEqual(seriesOf("1:7.2+dfsg-7+deb12u18"), "7.2")
    assert.strictEqual(seriesOf("1:10.0.13+ds-0+deb13u1"), "10.0")
    assert.strictEqual(seriesOf("11.1.0-1"), "11.1")
  })

  it("builds the series that there are patches for, each with patches of its own, and no others", () => {
    const folder = fileURLToPath(new URL("../emulator", import.meta.url))
    const series = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    assert.includeMembers(
      series.map(({ name }) => name),
      ["7.2", "10.0"]
    )
    for (const { name } of series) {
      const argv = configureArguments(`1:${name}.1+ds-1`) ?? []
      assert.include(argv, `--with-pkgversion=Debian 1:${name}.1+ds-1, patched by liveupdate`)
      assert.isNotEmpty(readdirSync(`${folder}/${name}`).filter((file) => file.endsWith(".patch")))
    }
    assert.isUndefined(configureArguments("1:9.9.9+ds-1"))
  })

  it("reads how far ninja is", () => {
    assert.deepStrictEqual(
      ninjaProgress("[12/1034] Compiling C object libqom.fa.p/qom_object.c.o"),
      Option.some({ done: 12, total: 1034, detail: "qom_object.c.o" })
    )
    assert.deepStrictEqual(ninjaProgress("ninja: Entering directory `objects'"), Option.none())
  })
})

describe("KernelImage", () => {
  const image = (release: string) => {
    const bytes = Buffer.alloc(0x400)
    bytes.write("HdrS", 0x202, "latin1")
    bytes.writeUInt16LE(0x100, 0x20e)
    bytes.write(`${release} (builder) #1\0`, 0x300, "latin1")
    return bytes
  }
  it("reads the release from the set-up header", () => {
    assert.deepStrictEqual(releaseOf("k", image("7.3.4-host-a")), Either.right("7.3.4-host-a"))
  })
  it("says what is wrong with anything else", () => {
    for (const wrong of [Buffer.alloc(10), Buffer.alloc(0x400), image("nonsense")]) {
      const result = releaseOf("/etc/passwd", wrong)
      assert.isTrue(Either.isLeft(result))
      if (Either.isLeft(result)) assert.match(result.left.message, /^\/etc\/passwd is no kernel image: /)
    }
  })
})

describe("SystemImage", () => {
  it("makes directories from the top, replaces files, links", () => {
    assert.strictEqual(
      debugfsScript([
        { from: "/out/x", to: "/opt/a/b/x" },
        { link: "../x", to: "/opt/y" },
        { mode: 0o700, to: "/opt/z" }
      ]),
      [
        'mkdir "/opt"',
        'mkdir "/opt/a"',
        'mkdir "/opt/z"',
        'mkdir "/opt/a/b"',
        'rm "/opt/a/b/x"',
        'write "/out/x" "/opt/a/b/x"',
        'sif "/opt/a/b/x" uid 0',
        'sif "/opt/a/b/x" gid 0',
        'rm "/opt/y"',
        'symlink "/opt/y" "../x"',
        'sif "/opt/z" mode 040700',
        ""
      ].join("\n")
    )
  })
  it("hears debugfs's errors and not its talk", () => {
    const talk = [
      "debugfs 1.47.0 (5-Feb-2023)",
      'ext2fs_mkdir: Ext2 directory already exists while creating directory "boot"',
      'rm: File not found by ext2_lookup while trying to resolve filename "/boot/x"',
      ""
    ]
    assert.deepStrictEqual(debugfsErrors(talk.join("\n")), [])
    const full = "write: Could not allocate block in ext2 filesystem while writing file"
    assert.deepStrictEqual(debugfsErrors([...talk, full].join("\n")), [full])
  })
})

describe("Machine", () => {
  it("finds the start time behind any command name", () => {
    const fields = Array.from({ length: 30 }, (_, index) => String(index + 3))
    assert.deepStrictEqual(startTicksOf(`12 (a) b (c) ${fields.join(" ")}`), Option.some("22"))
    assert.deepStrictEqual(startTicksOf("nonsense"), Option.none())
  })
  it("never writes to the shared image and doubles commas in its path", () => {
    const argv = qemuArguments(
      {
        name: "n",
        qemu: "q",
        image: "/a,b/root.img",
        kernel: "/k",
        accelerator: "tcg",
        cpus: 2,
        memoryMiB: 4096,
        ports: 2
      },
      "/run/x"
    )
    const drive = argv[argv.indexOf("-drive") + 1] ?? ""
    assert.include(drive, "file=/a,,b/root.img,")
    assert.include(drive, "snapshot=on")
    assert.strictEqual(argv.filter((argument) => argument.startsWith("virtserialport")).length, 2)
  })

  it("has an IOMMU, and devices to give away, when it is asked for", () => {
    const spec = { name: "n", qemu: "q", image: "/i", kernel: "/k", cpus: 2, memoryMiB: 4096, ports: 1 }
    const argv = (accelerator: "tcg" | "kvm", passthrough: boolean) =>
      qemuArguments({ ...spec, accelerator, passthrough }, "/run/x").join(" ")
    assert.notInclude(argv("tcg", false), "iommu")
    for (const accelerator of ["tcg", "kvm"] as const) {
      assert.include(argv(accelerator, true), "-device intel-iommu,intremap=on -device edu")
      assert.include(argv(accelerator, true), "nvme,serial=passthrough")
      assert.include(argv(accelerator, true), "intel_iommu=on vfio-pci.ids=1234:11e8,1b36:0010")
    }
    assert.include(argv("kvm", true), "-M q35,kernel-irqchip=split")
  })
})

describe("Cpio", () => {
  it("aligns everything to four bytes and ends with a trailer", () => {
    const bytes = Buffer.from(archive([{ path: "init", mode: 0o100755, data: Buffer.from("abcde") }]))
    assert.strictEqual(bytes.length % 4, 0)
    assert.strictEqual(bytes.toString("latin1", 0, 6), "070701")
    assert.strictEqual(bytes.toString("latin1", 14, 22), "000081ed")
    assert.strictEqual(bytes.toString("latin1", 116, 121), "abcde")
    assert.include(bytes.toString("latin1"), "TRAILER!!!")
  })
})

describe("Progress", () => {
  it("says what, how far and how long", () => {
    assert.strictEqual(
      render({ what: "kernel", state: "running", done: 812, total: 1500, detail: "fork.o", elapsed: 72_300 }),
      "kernel: 812/1500 54 % fork.o (1 min 12 s)"
    )
    assert.strictEqual(render({ what: "kernel", state: "done", elapsed: 1000 }), "kernel: done (1 s)")
  })
})

describe("Accelerator", () => {
  const cpuInfo = (flags: string) => `model name\t: AMD EPYC\ncpu MHz\t\t: 2445.434\nflags\t\t: fpu tsc ${flags}\n`

  it("tells the kernel inside the frequency of its time stamp counter, where it is known", () => {
    assert.deepStrictEqual(tscArguments(cpuInfo("hypervisor lm")), ["tsc_early_khz=2445434"])
  })

  it("tells nothing on a machine whose cores change their speed, or without the file", () => {
    assert.deepStrictEqual(tscArguments(cpuInfo("lm")), [])
    assert.deepStrictEqual(tscArguments(""), [])
  })
})
