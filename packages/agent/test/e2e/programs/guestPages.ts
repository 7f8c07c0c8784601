// Reads and writes memory that can only be mapped, such as a guest_memfd's.
import { DataType, load, open } from "ffi-rs"

const library = "liveupdate-guest-pages"
open({ library, path: "libc.so.6" })

const { I32, I64, U64, U8Array } = DataType
const PROT_READ_WRITE = 0x3
const MAP_SHARED = 0x1

const call = (funcName: string, retType: DataType, paramsType: Array<DataType>, paramsValue: Array<unknown>): number =>
  Number(load({ library, funcName, retType, paramsType, paramsValue }))

/** The first `length` bytes of a file, mapped as long as `use` takes. */
const withMapping = <A>(fd: number, length: number, use: (address: number) => A): A => {
  const address = call("mmap", I64, [I64, U64, I32, I32, I32, I64], [0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0])
  if (address < 0) throw new Error("mmap failed")
  try {
    return use(address)
  } finally {
    call("munmap", I32, [I64, U64], [address, length])
  }
}

export const write = (fd: number, length: number, at: number, text: string): void =>
  withMapping(fd, length, (address) => {
    const bytes = Buffer.from(text)
    call("memcpy", I64, [I64, U8Array, U64], [address + at, bytes, bytes.length])
  })

export const read = (fd: number, length: number, at: number, bytes: number): string =>
  withMapping(fd, length, (address) => {
    const buffer = Buffer.alloc(bytes)
    call("memcpy", I64, [U8Array, I64, U64], [buffer, address + at, bytes])
    return buffer.toString()
  })
