/**
 * A client of QEMU's machine protocol (QMP) over a Unix socket. QEMU's `docs/interop/qmp-spec.rst` is the reference.
 *
 * No Stream here: the resume path loads this module, and one queue per listener is all the driver needs.
 *
 * @since 0.1.0
 */
import * as net from "node:net"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as LineSplitter from "./LineSplitter.ts"
import {
  QmpClosed,
  QmpCommandFailed,
  QmpConnectFailed,
  type QmpError,
  QmpProtocolError,
  QmpTimeout
} from "./VmmError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type JsonObject = { readonly [key: string]: unknown }

/**
 * Something QEMU tells unasked, such as `MIGRATION` or `SHUTDOWN`.
 *
 * @since 0.1.0
 * @category models
 */
export interface QmpEvent {
  readonly event: string
  readonly data: JsonObject
}

/**
 * @since 0.1.0
 * @category models
 */
export interface QmpVersion {
  readonly major: number
  readonly minor: number
}

/**
 * An open QMP connection in command mode.
 *
 * @since 0.1.0
 * @category models
 */
export interface Qmp {
  readonly path: string
  readonly version: QmpVersion
  /** Runs one command and returns what is under `return`. `deadline` is {@link COMMAND_DEADLINE} unless told. */
  readonly execute: (
    command: string,
    args?: JsonObject,
    deadline?: Duration.DurationInput
  ) => Effect.Effect<unknown, QmpError>
  /**
   * Starts to listen and returns an effect that takes the next event. Nothing is missed from here on: listen first, then run the
   * command whose events matter. When the connection ends, what came before is still delivered, then `QmpClosed`.
   */
  readonly listen: Effect.Effect<Effect.Effect<QmpEvent, QmpError>, never, Scope.Scope>
  /** Returns when the connection has ended. */
  readonly closed: Effect.Effect<void>
}

/**
 * How long a command may take unless told otherwise: generous, as the host may be an emulated one.
 *
 * @since 0.1.0
 * @category constants
 */
export const COMMAND_DEADLINE: Duration.Duration = Duration.seconds(20)

/** A reply longer than this is not QMP: the longest known ones (`query-qmp-schema`) stay below 1 MiB. */
const MAX_LINE_BYTES = 64 * 1024 * 1024

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const excerpt = (line: string): string => (line.length > 200 ? `${line.slice(0, 200)}…` : line)

const parse = (line: string): JsonObject | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const versionOf = (greeting: JsonObject): QmpVersion | undefined => {
  const version = isObject(greeting["version"]) ? greeting["version"]["qemu"] : undefined
  if (!isObject(version)) return undefined
  const { major, minor } = version
  return typeof major === "number" && typeof minor === "number" ? { major, minor } : undefined
}

interface Waiting {
  readonly operation: string
  readonly reply: Deferred.Deferred<unknown, QmpError>
}

/** The listeners are there before the first byte or the end can be: both may come before the connecting fiber is scheduled again. */
const openSocket = (
  path: string,
  on: { readonly data: (socket: net.Socket, chunk: Uint8Array) => void; readonly close: () => void }
): Effect.Effect<net.Socket, QmpConnectFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<net.Socket, QmpConnectFailed>((resume) => {
      const socket = net.connect({ path })
      // After the connection a reset (the VMM died with our bytes unread) is followed by `close`: one way out for both.
      socket.on("error", (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new QmpConnectFailed({ path, code: error.code ?? error.message })))
      )
      socket.on("connect", () => resume(Effect.succeed(socket)))
      socket.on("data", (chunk) => on.data(socket, chunk))
      socket.on("close", on.close)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/**
 * Connects, waits for the greeting and enters command mode. The connection ends with the scope.
 *
 * Fails with `QmpConnectFailed` (`ENOENT` no socket, `ECONNREFUSED` nobody behind it), or with `QmpTimeout` of `greeting`: a QEMU
 * monitor serves one client at a time, the others wait.
 *
 * @since 0.1.0
 * @category constructors
 */
export const connect = Effect.fn("Qmp.connect")(function* (
  path: string,
  greetingDeadline: Duration.DurationInput = COMMAND_DEADLINE
) {
  const waiting = new Map<number, Waiting>()
  const listeners = new Set<Queue.Queue<Exit.Exit<QmpEvent, QmpError>>>()
  const greeting = Deferred.unsafeMake<JsonObject, QmpError>(FiberId.none)
  const closed = Deferred.unsafeMake<void>(FiberId.none)
  const lines = LineSplitter.make()
  // What ended the connection, given the operation that is told of it.
  let ended: ((operation: string) => QmpError) | undefined
  let lastId = 0

  const end = (reason: (operation: string) => QmpError): void => {
    if (ended !== undefined) return
    ended = reason
    Deferred.unsafeDone(greeting, Effect.fail(reason("greeting")))
    for (const { operation, reply } of waiting.values()) Deferred.unsafeDone(reply, Effect.fail(reason(operation)))
    for (const queue of listeners) queue.unsafeOffer(Exit.fail(reason("events")))
    Deferred.unsafeDone(closed, Effect.void)
  }

  const handle = (socket: net.Socket, line: string): void => {
    const message = parse(line)
    if (message === undefined) {
      end((operation) => new QmpProtocolError({ path, operation, received: excerpt(line) }))
      socket.destroy()
    } else if (typeof message["event"] === "string") {
      const event = { event: message["event"], data: isObject(message["data"]) ? message["data"] : {} }
      for (const queue of listeners) queue.unsafeOffer(Exit.succeed(event))
    } else if (isObject(message["QMP"])) {
      Deferred.unsafeDone(greeting, Effect.succeed(message["QMP"]))
    } else if (typeof message["id"] === "number") {
      // An id nobody waits for belongs to a command whose deadline has passed.
      const command = waiting.get(message["id"])
      if (command === undefined) return
      const error = message["error"]
      Deferred.unsafeDone(
        command.reply,
        isObject(error)
          ? Effect.fail(
              new QmpCommandFailed({
                path,
                command: command.operation,
                errorClass: String(error["class"]),
                description: String(error["desc"])
              })
            )
          : Effect.succeed(message["return"])
      )
    } else {
      end((operation) => new QmpProtocolError({ path, operation, received: excerpt(line) }))
      socket.destroy()
    }
  }

  const socket = yield* openSocket(path, {
    data: (socket, chunk) => {
      for (const line of lines.push(chunk)) handle(socket, line)
      if (lines.pending() > MAX_LINE_BYTES) {
        end(
          (operation) => new QmpProtocolError({ path, operation, received: `a line of over ${MAX_LINE_BYTES} bytes` })
        )
        socket.destroy()
      }
    },
    close: () => end((operation) => new QmpClosed({ path, operation }))
  })

  const within = <A>(operation: string, deadline: Duration.DurationInput, effect: Effect.Effect<A, QmpError>) =>
    Effect.timeoutFail(effect, {
      duration: deadline,
      onTimeout: () => new QmpTimeout({ path, operation, deadlineMs: Duration.toMillis(deadline) })
    })

  const execute: Qmp["execute"] = (command, args, deadline = COMMAND_DEADLINE) =>
    Effect.suspend(() => {
      if (ended !== undefined) return Effect.fail(ended(command))
      const id = ++lastId
      const reply = Deferred.unsafeMake<unknown, QmpError>(FiberId.none)
      waiting.set(id, { operation: command, reply })
      socket.write(
        `${JSON.stringify(args === undefined ? { execute: command, id } : { execute: command, arguments: args, id })}\n`
      )
      return within(command, deadline, Deferred.await(reply)).pipe(
        Effect.ensuring(Effect.sync(() => waiting.delete(id)))
      )
    })

  const listen: Qmp["listen"] = Effect.acquireRelease(
    Effect.map(Queue.unbounded<Exit.Exit<QmpEvent, QmpError>>(), (queue) => {
      listeners.add(queue)
      if (ended !== undefined) queue.unsafeOffer(Exit.fail(ended("events")))
      return queue
    }),
    (queue) => Effect.sync(() => listeners.delete(queue))
  ).pipe(
    Effect.map((queue) =>
      Effect.flatMap(
        Queue.take(queue),
        // The end stays at the head of the queue: whoever asks again is told again.
        Exit.match({
          onSuccess: Effect.succeed,
          onFailure: (cause) => Effect.zipRight(Queue.offer(queue, Exit.failCause(cause)), Effect.failCause(cause))
        })
      )
    )
  )

  const hello = yield* within("greeting", greetingDeadline, Deferred.await(greeting))
  const version = versionOf(hello)
  if (version === undefined) {
    return yield* new QmpProtocolError({ path, operation: "greeting", received: excerpt(JSON.stringify(hello)) })
  }
  yield* execute("qmp_capabilities", undefined, greetingDeadline)
  const qmp: Qmp = { path, version, execute, listen, closed: Deferred.await(closed) }
  return qmp
})
