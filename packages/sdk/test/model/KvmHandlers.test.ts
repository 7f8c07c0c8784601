import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GuestMemfd from "../../src/GuestMemfd.ts"
import type { Owned } from "../../src/Handle.ts"
import { errnoName } from "../../src/internal/errno.ts"
import * as Fd from "../../src/internal/fd.ts"
import * as ioctl from "../../src/internal/ioctl.ts"
import { Kernel } from "../../src/internal/Kernel.ts"
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MADV_POPULATE_WRITE } from "../../src/internal/uapi.ts"
import * as Kexec from "../../src/Kexec.ts"
import * as KvmVm from "../../src/KvmVm.ts"
import * as LiveUpdate from "../../src/LiveUpdate.ts"
import * as Preservation from "../../src/Preservation.ts"
import * as SimulatedHost from "../../src/SimulatedHost.ts"
import { GUEST, load, on, request, said, tokens } from "./HandlersHost.ts"

const vmAndMemory = Effect.gen(function* () {
  const vm = yield* KvmVm.create()
  return { vm, memory: yield* GuestMemfd.create(vm, { size: GUEST }) }
})

/** As the guest does it, which no system call of the SDK sees. */
const write = ({ fd }: { readonly fd: number }, text: string, at: number) =>
  Effect.sync(() => void Fs.writeSync(fd, Buffer.from(text), 0, text.length, at))
const read = ({ fd }: { readonly fd: number }, length: number, at: number) =>
  Effect.sync(() => {
    const bytes = Buffer.alloc(length)
    Fs.readSync(fd, bytes, 0, length, at)
    return bytes.toString()
  })

const allocate = (fd: number, mode = FALLOC_FL_KEEP_SIZE, length = 4096) =>
  Effect.map(Kernel, (kernel) => {
    const answer = kernel.fallocate(fd, mode, 0, length)
    return answer < 0 ? errnoName(-answer) : "ok"
  })
const populate = (fd: number) =>
  Effect.flatMap(Kernel, (kernel) =>
    Effect.promise(async () => {
      const answer = await kernel.madviseFile(fd, GUEST, [MADV_POPULATE_WRITE])
      return answer < 0 ? errnoName(-answer) : "ok"
    })
  )

/** Memory of a VM with these flags, as another program may have made it. */
const memoryWith = (vm: KvmVm.KvmVm, flags: number) =>
  Fd.scoped(
    Fd.call("kvm.createGuestMemfd", { kind: "guest_memfd" }, (kernel) =>
      kernel.ioctl(
        vm.fd,
        ioctl.kvm.createGuestMemfd.number,
        ioctl.kvm.createGuestMemfd.encode({ size: 4096n, flags: BigInt(flags) })
      )
    )
  ).pipe(Effect.map((fd): Owned<"guest_memfd"> => ({ kind: "guest_memfd", custody: "owned", fd })))

describe("the model's VMs and their memory", () => {
  it.effect("are what KVM makes, and checked as such", () =>
    on()(
      Effect.gen(function* () {
        const { memory, vm } = yield* vmAndMemory
        yield* KvmVm.check(vm)
        yield* GuestMemfd.check(memory)
        assert.strictEqual(yield* GuestMemfd.size(memory), GUEST)
        assert.strictEqual(yield* said(KvmVm.check({ ...vm, fd: memory.fd })), "NotPreservable none")
        assert.strictEqual(yield* said(GuestMemfd.check({ ...memory, fd: vm.fd })), "NotPreservable none")
        assert.strictEqual(yield* said(KvmVm.create({ type: 7 })), "Unsupported EINVAL")
        const create = (given: { readonly size: bigint; readonly flags?: bigint }) =>
          request(vm.fd, ioctl.kvm.createGuestMemfd, given)
        for (const given of [{ size: 0n }, { size: 4097n }, { size: 1n << 63n }, { size: 4096n, flags: 4n }])
          assert.strictEqual(yield* create(given), "EINVAL")
        assert.strictEqual(yield* request(memory.fd, ioctl.kvm.createGuestMemfd, { size: 4096n }), "ENOTTY")
      })
    )
  )

  it.effect("memory is allocated and punched, never resized, mapped only if that was asked for", () =>
    on()(
      Effect.gen(function* () {
        const { memory, vm } = yield* vmAndMemory
        const kernel = yield* Kernel
        assert.strictEqual(yield* allocate(memory.fd), "ok")
        assert.strictEqual(yield* allocate(memory.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE), "ok")
        assert.strictEqual(yield* allocate(memory.fd, 0), "EOPNOTSUPP")
        assert.strictEqual(yield* allocate(memory.fd, FALLOC_FL_KEEP_SIZE, 100), "EINVAL")
        assert.strictEqual(yield* allocate(memory.fd, FALLOC_FL_KEEP_SIZE, GUEST * 2), "EINVAL")
        assert.strictEqual(errnoName(-kernel.ftruncate(memory.fd, 0)), "EINVAL")
        assert.strictEqual(yield* populate(memory.fd), "ok")
        const secret = yield* memoryWith(vm, 0)
        const refused = yield* Effect.flip(GuestMemfd.check(secret))
        assert.deepStrictEqual(refused._tag === "NotPreservable" ? refused.reasons : refused, ["not-shared"])
      })
    )
  )
})

describe("the proposed handlers of VMs and guest_memfds", () => {
  it.effect("take shared memory alone", () =>
    on()(
      Effect.gen(function* () {
        const vm = yield* KvmVm.create()
        const session = yield* LiveUpdate.create("vm")
        for (const flags of [0, ioctl.GUEST_MEMFD_FLAG_MMAP])
          assert.strictEqual(
            yield* said(session.preserve(yield* memoryWith(vm, flags), tokens.memory)),
            "NoHandler ENOENT"
          )
        const shared = yield* memoryWith(vm, ioctl.GUEST_MEMFD_FLAG_INIT_SHARED)
        assert.strictEqual(yield* said(session.preserve(shared, tokens.memory)), "ok")
      })
    )
  )

  it.effect("let no page come or go while memory is preserved", () =>
    on()(
      Effect.gen(function* () {
        const { memory } = yield* vmAndMemory
        yield* write(memory, "there", 0)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* LiveUpdate.create("vm")
            yield* session.preserve(memory, tokens.memory)
            assert.strictEqual(yield* allocate(memory.fd), "EPERM")
            assert.strictEqual(yield* allocate(memory.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE), "EPERM")
            assert.strictEqual(yield* populate(memory.fd), "EFAULT")
            // Mapping it is no fault.
            yield* GuestMemfd.check(memory)
          })
        )
        assert.strictEqual(yield* populate(memory.fd), "ok")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* LiveUpdate.create("vm")
            yield* session.preserve(memory, tokens.memory)
            // All of its pages are there.
            assert.strictEqual(yield* populate(memory.fd), "ok")
          })
        )
        assert.strictEqual(yield* allocate(memory.fd), "ok")
      })
    )
  )

  it.effect("freeze memory whose VM is open and in the same session, in whatever order they were preserved", () =>
    on()(
      Effect.gen(function* () {
        const jumps: Array<string> = []
        const before = Effect.gen(function* () {
          yield* load
          const { memory, vm } = yield* vmAndMemory
          yield* write(memory, "guest", 8192)
          const session = yield* LiveUpdate.create("vm")
          yield* session.preserve(memory, tokens.memory)
          jumps.push(yield* said(Kexec.jump))
          yield* Effect.scoped(
            Effect.gen(function* () {
              const other = yield* LiveUpdate.create("other")
              yield* other.preserve(vm, tokens.vm)
              jumps.push(yield* said(Kexec.jump))
            })
          )
          yield* session.preserve(vm, tokens.vm)
          return yield* Kexec.jump
        })
        yield* SimulatedHost.simulateKexec(Effect.scoped(before))
        assert.deepStrictEqual(jumps, ["FreezeFailed ENOENT", "FreezeFailed ENOENT"])

        const session = yield* LiveUpdate.retrieve("vm")
        const memory = yield* session.retrieve(GuestMemfd.GuestMemfd, tokens.memory)
        assert.strictEqual(yield* GuestMemfd.size(memory), GUEST)
        assert.strictEqual(yield* read(memory, 5, 8192), "guest")
        // Its pages come and go again.
        assert.strictEqual(yield* populate(memory.fd), "ok")
        const managed = yield* session.retrieve(KvmVm.KvmVm, tokens.vm)
        const finished = yield* session.finish
        const vm = yield* finished.own(managed)
        yield* KvmVm.check(vm)
        yield* GuestMemfd.create(vm, { size: 4096 })

        // The VM that came with it is the one that it belongs to.
        const owned = GuestMemfd.withVm(yield* finished.own(memory), vm)
        assert.deepStrictEqual(yield* owned.requires ?? Effect.succeed([]), [vm])
        const again = Effect.gen(function* () {
          yield* load
          const stranger = yield* KvmVm.create()
          const files = { vm: { file: stranger, token: tokens.vm } }
          const missing = yield* Effect.flip(
            Preservation.open({
              session: "again",
              files: { ...files, memory: { file: owned, token: tokens.memory } }
            })
          )
          assert.strictEqual(missing._tag, "DependencyMissing")
          const wrong = { file: GuestMemfd.withVm(owned, stranger), token: tokens.memory }
          yield* Preservation.preserve({ session: "again", files: { ...files, memory: wrong } }, Schema.Null, null)
          return yield* Kexec.jump
        })
        const refused = yield* Effect.flip(Effect.scoped(again))
        assert.deepInclude(refused, {
          _tag: "FreezeFailed",
          errno: "ENOENT",
          token: tokens.memory,
          kind: "guest_memfd",
          object: "handler guest_memfd_luo_v1"
        })
      })
    )
  )

  it.effect("freeze no memory whose VM is closed", () =>
    on()(
      Effect.gen(function* () {
        yield* load
        const session = yield* LiveUpdate.create("vm")
        const memory = yield* Effect.scoped(
          Effect.gen(function* () {
            const { memory } = yield* vmAndMemory
            return yield* session.preserve(memory, tokens.memory)
          })
        )
        assert.isUndefined(memory)
        assert.strictEqual(yield* said(Kexec.jump), "FreezeFailed ENOENT")
      })
    )
  )

  it.effect("retrieve memory only with its VM: what the VM's failure was, its memory's is, for ever", () =>
    on({ faults: { retrieve: ({ handler }) => (handler === "kvm_vm_luo_v1" ? "ENOMEM" : undefined) } })(
      Effect.gen(function* () {
        const before = Effect.gen(function* () {
          yield* load
          const { memory, vm } = yield* vmAndMemory
          const session = yield* LiveUpdate.create("vm")
          yield* session.preserve(vm, tokens.vm)
          yield* session.preserve(memory, tokens.memory)
          return yield* Kexec.jump
        })
        yield* SimulatedHost.simulateKexec(Effect.scoped(before))
        const session = yield* LiveUpdate.retrieve("vm")
        const retrieve = said(session.retrieve(GuestMemfd.GuestMemfd, tokens.memory))
        for (let times = 0; times < 2; times++) assert.strictEqual(yield* retrieve, "RetrieveFailed ENOMEM")
        yield* session.finish
      })
    )
  )
})
