/** The kernel with the test fixture's handlers for VFIO devices, iommufds, KVM VMs and guest_memfds. */
import { suite } from "./KernelSuite.ts"

suite("handlers")
