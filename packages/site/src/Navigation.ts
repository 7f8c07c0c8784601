/**
 * What is on the site, in which order, and by which name.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface Section {
  readonly title: string
  /** Pages by their paths in the repository. */
  readonly pages: ReadonlyArray<{ readonly path: string; readonly title: string }>
}

const page = (path: string, title: string) => ({ path, title })

/**
 * @since 0.1.0
 * @category constants
 */
export const sections: ReadonlyArray<Section> = [
  {
    title: "Start here",
    pages: [page("README.md", "What it is"), page("docs/glossary.md", "Glossary")]
  },
  {
    title: "Concepts",
    pages: [
      page("docs/states.md", "Phases and states"),
      page("docs/custody.md", "Custody"),
      page("docs/blackout.md", "Blackout"),
      page("docs/handles.md", "Handles")
    ]
  },
  {
    title: "Install",
    pages: [
      page("docs/install.md", "Install on a host"),
      page("docs/packages.md", "Packages"),
      page("docs/compatibility.md", "Compatibility")
    ]
  },
  {
    title: "Operate",
    pages: [
      page("docs/runbook.md", "Runbook"),
      page("docs/doctor.md", "Doctor"),
      page("docs/failures.md", "When something fails"),
      page("docs/systemd.md", "systemd"),
      page("docs/configuration.md", "Configuration"),
      page("docs/report.md", "Report"),
      page("docs/metrics.md", "Metrics and traces"),
      page("docs/security.md", "Security")
    ]
  },
  {
    title: "Reference",
    pages: [
      page("docs/cli.md", "Commands"),
      page("docs/errors.md", "Errors and what to do"),
      page("docs/events.md", "Events"),
      page("packages/sdk/README.md", "SDK"),
      page("packages/agent/README.md", "Agent, from npm"),
      page("packages/qemu-host/README.md", "QEMU hosts, from npm")
    ]
  },
  {
    title: "Examples",
    pages: [
      page("packages/examples/src/adopt-qemu/README.md", "Adopt a QEMU"),
      page("packages/examples/src/control-plane/README.md", "Control plane over HTTP"),
      page("packages/examples/src/cache-without-a-vm/README.md", "Cache without a VM"),
      page("packages/examples/src/many-vms/README.md", "Many VMs, taps and bridges"),
      page("packages/examples/src/own-vmm/README.md", "Your own VMM"),
      page("packages/examples/src/testing-your-integration/README.md", "Test your integration")
    ]
  },
  {
    title: "Performance",
    pages: [page("docs/performance.md", "What was measured"), page("docs/benchmark.md", "What the SDK costs")]
  },
  {
    title: "Develop",
    pages: [
      page("CONTRIBUTING.md", "Contributing"),
      page("docs/faults.md", "Fault matrix"),
      page("docs/test-kernel.md", "Kernel with test handlers"),
      page("docs/emulator.md", "The emulator")
    ]
  }
]

/**
 * @since 0.1.0
 * @category constants
 */
export const pages: ReadonlyArray<string> = sections.flatMap(({ pages }) => pages.map(({ path }) => path))
