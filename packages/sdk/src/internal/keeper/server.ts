/**
 * The keeper itself: holds descriptors, gives duplicates of them, lets go of them. It trusts nobody but its own user, and
 * nothing that it is sent may end it, because its end is the end of what it holds.
 *
 * It runs without an event loop: one thread, one `poll`, nothing that could be left hanging.
 */
import * as Fs from "node:fs"
import { performance } from "node:perf_hooks"
import * as errno from "../errno.ts"
import { systemCalls } from "../libc.ts"
import * as UnixSocket from "../unixSocket.ts"
import { socketPath, underLock } from "./place.ts"
import * as wire from "./wire.ts"

/** A client that hasn't said what it wants by then is turned away. */
const PATIENCE_MS = 5000

/** Others wait in the backlog, their messages and descriptors with them. */
const MAX_CONNECTIONS = 64

/** When this process has no descriptor left to accept with, others may come back. */
const EXHAUSTED_MS = 200

export interface ServerOptions {
  readonly listener: number
  readonly directory: string
  /** How long it stays with nothing to hold: the next session is often not far. */
  readonly lingerMs: number
  /** The user who may talk to it. */
  readonly user: number
  readonly now?: () => number
}

interface Connection {
  readonly fd: number
  readonly deadline: number
  bytes: Buffer
  readonly files: Array<number>
}

export interface Server {
  /** Serves what is there, after waiting for it as long as there is reason to; `false` when the keeper may end. */
  readonly turn: (maxWaitMs?: number) => boolean
  readonly held: ReadonlyMap<string, number>
}

/** Which file lies at a path: somebody else may have put another there. */
const identityAt = (path: string): string | undefined => {
  const found = Fs.lstatSync(path, { throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

export const make = (options: ServerOptions): Server => {
  const now = options.now ?? (() => performance.now())
  const path = socketPath(options.directory)
  const ours = identityAt(path)
  const held = new Map<string, number>()
  const connections = new Map<number, Connection>()
  let idleSince = now()
  let acceptAgainAt = 0

  const drop = (connection: Connection): void => {
    connections.delete(connection.fd)
    for (const file of connection.files) systemCalls.close(file)
    systemCalls.close(connection.fd)
    if (connections.size === 0) idleSince = now()
  }

  const hold = (session: string, file: number): wire.Answer => {
    const before = held.get(session)
    held.set(session, file)
    // The same session once more, or a finished one of that name.
    if (before !== undefined) systemCalls.close(before)
    return { kind: "done" }
  }

  const release = (session: string): wire.Answer => {
    const file = held.get(session)
    if (file === undefined) return { kind: "unknown" }
    held.delete(session)
    systemCalls.close(file)
    return { kind: "done" }
  }

  const list = (after: string): wire.Answer =>
    wire.page(process.pid, [...held.keys()].filter((session) => session > after).sort())

  const serve = (connection: Connection, request: wire.Request): wire.Answer => {
    if (request.kind !== "hold") {
      if (connection.files.length > 0) return { kind: "refused", reason: "a descriptor that nobody asked for" }
      if (request.kind === "list") return list(request.after)
      if (request.kind === "release") return release(request.session)
      return held.has(request.session) ? { kind: "done" } : { kind: "unknown" }
    }
    const file = connection.files.pop()
    return file === undefined ? { kind: "refused", reason: "no descriptor to hold" } : hold(request.session, file)
  }

  const answer = (connection: Connection, decoded: wire.Decoded<wire.Request>): void => {
    if (decoded._tag === "partial") return
    const reply: wire.Answer =
      decoded._tag === "whole" ? serve(connection, decoded.message) : { kind: "refused", reason: decoded.reason }
    const file =
      decoded._tag === "whole" && decoded.message.kind === "claim" ? held.get(decoded.message.session) : undefined
    // Whoever has gone doesn't need the answer.
    UnixSocket.send(connection.fd, wire.encodeAnswer(reply), file)
    drop(connection)
  }

  const read = (connection: Connection): void => {
    const received = UnixSocket.receive(connection.fd, wire.MAX_LENGTH)
    if (received === -errno.EAGAIN) return
    if (typeof received !== "number") connection.files.push(...received.files)
    if (typeof received === "number" || received.bytes.length === 0) drop(connection)
    else {
      connection.bytes = Buffer.concat([connection.bytes, received.bytes])
      answer(
        connection,
        connection.files.length > 1
          ? { _tag: "malformed", reason: "too many descriptors" }
          : wire.decodeRequest(connection.bytes)
      )
    }
  }

  const accept = (): void => {
    while (connections.size < MAX_CONNECTIONS) {
      const fd = UnixSocket.accept(options.listener)
      if (fd === -errno.EMFILE || fd === -errno.ENFILE || fd === -errno.ENOMEM) acceptAgainAt = now() + EXHAUSTED_MS
      if (fd < 0) return
      if (UnixSocket.peerUser(fd) === options.user)
        connections.set(fd, { fd, deadline: now() + PATIENCE_MS, bytes: Buffer.alloc(0), files: [] })
      else systemCalls.close(fd)
    }
  }

  /** Clients connect under the lock, so whoever comes after this look into the backlog finds nobody, and starts another keeper. */
  const leave = (): boolean =>
    underLock(options.directory, () => {
      if (UnixSocket.waitFor([options.listener], 0).length > 0) return false
      if (identityAt(path) === ours) Fs.rmSync(path, { force: true })
      systemCalls.close(options.listener)
      return true
    }) ?? false

  const isIdle = () => held.size === 0 && connections.size === 0

  const waitingTime = (listening: boolean): number => {
    const moments = [...connections.values()].map((connection) => connection.deadline)
    if (isIdle()) moments.push(idleSince + options.lingerMs)
    if (!listening && connections.size < MAX_CONNECTIONS) moments.push(acceptAgainAt)
    return moments.length === 0 ? -1 : Math.max(0, Math.ceil(Math.min(...moments) - now()))
  }

  const turn = (maxWaitMs?: number): boolean => {
    const listening = connections.size < MAX_CONNECTIONS && now() >= acceptAgainAt
    const wait = waitingTime(listening)
    const ready = UnixSocket.waitFor(
      [...connections.keys(), ...(listening ? [options.listener] : [])],
      maxWaitMs === undefined ? wait : wait < 0 ? maxWaitMs : Math.min(wait, maxWaitMs)
    )
    for (const fd of ready) {
      const connection = connections.get(fd)
      if (connection !== undefined) read(connection)
    }
    if (ready.includes(options.listener)) accept()
    for (const connection of [...connections.values()]) if (now() >= connection.deadline) drop(connection)
    if (!isIdle() || now() < idleSince + options.lingerMs) return true
    if (leave()) return false
    idleSince = now()
    return true
  }

  return { turn, held }
}
