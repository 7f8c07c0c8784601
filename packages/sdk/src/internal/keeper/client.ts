/**
 * How a process reaches the keeper of a directory, or starts one.
 *
 * Whoever starts it makes its listening socket, and the keeper inherits it. So a client can connect and send from the first moment on:
 * connection, message and descriptor wait in the kernel, held by the keeper's process before its program has even begun, and
 * nobody who retrieves a session waits for it.
 *
 * The program doesn't even begin while guests stand still and need the processors: it is stopped (SIGSTOP) when it is started, and woken by
 * whoever wants an answer, or is done. If that never comes, what waits in the kernel is as safe.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Effect from "effect/Effect"
import * as errno from "../errno.ts"
import { systemCalls } from "../libc.ts"
import * as UnixSocket from "../unixSocket.ts"
import { logPath, pidPath, socketPath, underLock } from "./place.ts"
import * as wire from "./wire.ts"

export interface Program {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly descriptors: ReadonlyArray<number>
}

export interface Place {
  readonly directory: string
  readonly program: Program
  /** Told when a keeper is started from here, and how to wake it. */
  readonly onStart: (wake: () => void) => void
  /** Told when it ends, and how. */
  readonly onEnd: (how: string) => void
}

/** As many as may wait before the keeper runs; the kernel allows no more either (net.core.somaxconn). */
const BACKLOG = 4096

/** It has time, and the guests that stand still meanwhile haven't. */
const LOWEST_PRIORITY = 19

const errorAt = (what: string, negated: number) => new Error(`${what}: ${errno.errnoName(-negated)}`)

/** Whoever may write there could answer in the keeper's place. */
const checkOwner = (directory: string): void => {
  const { uid, mode } = Fs.lstatSync(directory)
  if (uid !== process.geteuid?.() || (mode & 0o077) !== 0)
    throw new Error(`${directory} must belong to this user alone: chown and chmod 0700 it`)
}

/** What a Node needs to start, and nothing that is meant for this process alone (`NODE_OPTIONS`, `NODE_CHANNEL_FD`, …). */
const environment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => name === "PATH" || name === "LD_LIBRARY_PATH"))

const startProgram = ({ directory, program, onStart, onEnd }: Place, listener: number): void => {
  const log = Fs.openSync(logPath(directory), "w", 0o600)
  try {
    const keeper = spawn(program.file, [...program.args, directory], {
      argv0: "liveupdate-keeper",
      detached: true,
      cwd: "/",
      env: environment(),
      stdio: ["ignore", log, log, listener, ...program.descriptors]
    })
    keeper.on("error", () => undefined)
    keeper.once("exit", (code, signal) => {
      if (code !== 0) onEnd(signal === null ? `exit code ${code}; see ${logPath(directory)}` : signal)
    })
    if (keeper.pid === undefined) throw new Error(`${program.file} can't be started`)
    process.kill(keeper.pid, "SIGSTOP")
    keeper.unref()
    Os.setPriority(keeper.pid, LOWEST_PRIORITY)
    Fs.writeFileSync(pidPath(directory), `${keeper.pid}\n`, { mode: 0o600 })
    // Node sends nothing any more to a child that has ended, whoever has its number then.
    onStart(() => void keeper.kill("SIGCONT"))
  } finally {
    Fs.closeSync(log)
  }
}

/** Under the lock, and when nobody listens: what lies at the path is of a keeper that has died. */
const start = (place: Place): void => {
  const path = socketPath(place.directory)
  Fs.rmSync(path, { force: true })
  const listener = UnixSocket.listen(path, BACKLOG)
  if (listener < 0) throw errorAt(`no socket at ${path}`, listener)
  try {
    Fs.chmodSync(path, 0o600)
    startProgram(place, listener)
  } finally {
    systemCalls.close(listener)
  }
}

/** Only for who is connected: then the keeper lives, and the number is its own. */
const wake = (directory: string): void => {
  try {
    process.kill(Number(Fs.readFileSync(pidPath(directory), "utf8")), "SIGCONT")
  } catch {
    // It is being started: whoever does that has not written the number yet, and the next try finds it.
  }
}

/** Under the lock: a keeper looks under it whether somebody comes, before it ends. */
const connect = (directory: string): number => {
  const answer = UnixSocket.connect(socketPath(directory))
  if (answer === -errno.EAGAIN) wake(directory)
  return answer
}

const isNobody = (answer: number) => answer === -errno.ENOENT || answer === -errno.ECONNREFUSED

/**
 * A connection to the keeper, which is started if there is none: a descriptor, or -EAGAIN when somebody else is at it just now. Throws
 * when there can be no keeper. Doesn't block.
 */
export const reach = (place: Place): number => {
  Fs.mkdirSync(place.directory, { recursive: true, mode: 0o700 })
  checkOwner(place.directory)
  const answer = underLock(place.directory, () => {
    const first = connect(place.directory)
    if (!isNobody(first)) return first
    start(place)
    return connect(place.directory)
  })
  return answer ?? -errno.EAGAIN
}

/**
 * A connection to the keeper that is there: a descriptor, `undefined` when there is none, -EAGAIN when somebody else is at it just now, such as
 * the keeper that is about to end, or when too many wait.
 */
export const find = (directory: string): number | undefined => {
  if (!Fs.existsSync(directory)) return undefined
  checkOwner(directory)
  const answer = underLock(directory, () => connect(directory)) ?? -errno.EAGAIN
  return isNobody(answer) ? undefined : answer
}

export interface Answered {
  readonly answer: wire.Answer
  /** The caller's to close; a descriptor comes only with the answer to a claim. */
  readonly file: number | undefined
}

/** A wait blocks a thread of a pool of four. */
const SLICE_MS = 250

/** How long an answer may take: a keeper that was started a moment ago, at the lowest priority, on a host that is booting. */
const SLICES = 240

const receiveAnswer = (directory: string, fd: number, files: Array<number>): Effect.Effect<wire.Answer, Error> =>
  Effect.gen(function* () {
    let bytes: Buffer = Buffer.alloc(0)
    for (let waited = 0; waited < SLICES; ) {
      const received = UnixSocket.receive(fd, wire.MAX_LENGTH)
      if (received === -errno.EAGAIN) {
        waited++
        wake(directory)
        yield* Effect.promise(() => UnixSocket.waitForAsync(fd, SLICE_MS))
      } else if (typeof received === "number") {
        return yield* Effect.fail(errorAt("its answer", received))
      } else {
        files.push(...received.files)
        if (received.bytes.length === 0) return yield* Effect.fail(new Error("it ended the connection"))
        bytes = Buffer.concat([bytes, received.bytes])
        const decoded = wire.decodeAnswer(bytes)
        if (decoded._tag === "malformed") return yield* Effect.fail(new Error(`it answered ${decoded.reason}`))
        if (decoded._tag === "whole") return decoded.message
      }
    }
    return yield* Effect.fail(new Error(`no answer within ${(SLICES * SLICE_MS) / 1000} s`))
  })

/** Sends a request over a connection to a directory's keeper, and waits for the answer. */
export const ask = (
  directory: string,
  fd: number,
  request: wire.Request,
  file?: number
): Effect.Effect<Answered, Error> =>
  Effect.suspend(() => {
    const files: Array<number> = []
    const sent = UnixSocket.send(fd, wire.encodeRequest(request), file)
    if (sent < 0) return Effect.fail(errorAt("it can't be asked", sent))
    return receiveAnswer(directory, fd, files).pipe(
      Effect.flatMap((answer) =>
        answer.kind === "refused" ? Effect.fail(new Error(`it refuses: ${answer.reason}`)) : Effect.succeed(answer)
      ),
      Effect.flatMap((answer): Effect.Effect<Answered, Error> => {
        if (request.kind !== "claim" || answer.kind !== "done") return Effect.succeed({ answer, file: undefined })
        const claimed = files.shift()
        return claimed === undefined
          ? Effect.fail(new Error("it answered without the descriptor"))
          : Effect.succeed({ answer, file: claimed })
      }),
      Effect.ensuring(Effect.sync(() => files.splice(0).forEach(systemCalls.close)))
    )
  })
