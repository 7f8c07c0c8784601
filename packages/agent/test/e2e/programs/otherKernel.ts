// Runs inside the QEMU host: writes a copy of a kernel image in which one string is another one of the same length. Arguments: the image,
// the string, the other one, and where the copy goes.
import * as Fs from "node:fs"
import { gzipSync } from "node:zlib"
import * as Payload from "../../../../sdk/src/internal/image/Payload.ts"

const [from = "", string = "", other = "", to = ""] = process.argv.slice(2)

const image = Fs.readFileSync(from)
const payload = Payload.locate(image)
if (payload === undefined) throw new Error(`${from} is no kernel image`)
const kernel = Payload.decompress(payload)
const at = kernel.indexOf(`${string}\0`, 0, "latin1")
if (at === -1 || string.length !== other.length) throw new Error(`${string} is not in ${from}, or ${other} is longer`)
kernel.write(other, at, "latin1")

// Documentation/arch/x86/boot.rst: the payload and its length, then what the file has behind it, in paragraphs of 16 bytes.
const compressed = gzipSync(kernel, { level: 1 })
const begin = payload.bytes.byteOffset - image.byteOffset
const rest = image.subarray(begin + payload.bytes.length)
const padding = Buffer.alloc((16 - ((begin + compressed.length + rest.length) % 16)) % 16)
const copy = Buffer.concat([image.subarray(0, begin), compressed, padding, rest])
copy.writeUInt32LE(compressed.length, 0x24c)
copy.writeUInt32LE((copy.length - ((image.readUInt8(0x1f1) || 4) + 1) * 512) / 16, 0x1f4)
Fs.writeFileSync(to, copy)
