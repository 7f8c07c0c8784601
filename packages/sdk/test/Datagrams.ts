/** Stands in the place of whoever receives datagrams on a host: systemd, or its journal. */
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { systemCalls } from "../src/internal/libc.ts"
import * as UnixSocket from "../src/internal/unixSocket.ts"

/** What came in one datagram, descriptors included. */
export interface Datagram {
  readonly text: string
  readonly files: ReadonlyArray<number>
}

export const listening = ({ abstract = false }: { readonly abstract?: boolean }) =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "liveupdate-datagrams-"))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
    )
    const path = abstract ? `@${directory}` : join(directory, "socket")
    const open = new Set<number>()
    const close = (fd: number) => {
      if (open.delete(fd)) systemCalls.close(fd)
    }
    const socket = UnixSocket.bindDatagram(path)
    assert.isAtLeast(socket, 0)
    open.add(socket)
    yield* Effect.addFinalizer(() => Effect.sync(() => [...open].forEach(close)))
    const next = Effect.gen(function* () {
      while (!(yield* Effect.promise(() => UnixSocket.waitForAsync(socket, 100)))) yield* Effect.yieldNow()
      const message = UnixSocket.receive(socket, 4096)
      if (typeof message === "number") return assert.fail(`errno ${-message}`)
      for (const file of message.files) open.add(file)
      return { text: message.bytes.toString("utf8"), files: message.files } satisfies Datagram
    })
    /** Nobody listens any more. */
    const end = () => {
      close(socket)
      if (!abstract) Fs.rmSync(path)
    }
    return { path, next, close, end }
  })
