/** What the tests of a keeper, as a process and in this one, have in common. */
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { systemCalls } from "../src/internal/libc.ts"
import * as UnixSocket from "../src/internal/unixSocket.ts"
import * as Memfd from "../src/Memfd.ts"

/** A directory that isn't there yet. */
export const temporaryDirectory = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "liveupdate-keeper-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => join(directory, "keeper")
)

export const memfdWith = (text: string) =>
  Effect.tap(Memfd.create({ name: "held", size: 4096 }), (memfd) => Memfd.write(memfd, 0, Buffer.from(text)))

/** A connection without the SDK around it. */
export const connect = (directory: string) =>
  Effect.acquireRelease(
    Effect.sync(() => UnixSocket.connect(join(directory, "socket"))),
    (fd) => Effect.sync(() => systemCalls.close(fd))
  )
