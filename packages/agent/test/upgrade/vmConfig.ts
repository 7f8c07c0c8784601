import type { VmConfig } from "../../src/vmm/Vm.ts"

/** Of a VM that is never started. */
export const vmConfig = (id: string): VmConfig => ({
  id,
  memoryBytes: 1 << 24,
  cpus: 1,
  machine: "q35",
  accelerator: "kvm",
  cpu: "host",
  disks: [],
  binary: "/bin/false",
  args: []
})
