/**
 * Commands inside a host, from outside, over its virtio-serial ports; it comes back by itself after a live update.
 *
 * @since 0.1.0
 */
import { randomBytes } from "node:crypto"
import * as net from "node:net"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Path from "@effect/platform/Path"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { encode, type FromHost, inputChunkBytes, makeDecoder, ToHost } from "./ChannelProtocol.ts"
import * as FileLock from "./internal/fileLock.ts"
import { concat } from "./internal/subprocess.ts"

/**
 * Where a host's channel is.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostAddress {
  readonly name: string
  /** Holds `portN.sock` and `portN.lock`. */
  readonly directory: string
  /** How many ports the machine has: that many commands can run at once. */
  readonly ports: number
}

/**
 * Every port is taken by another command.
 *
 * @since 0.1.0
 * @category errors
 */
export class ChannelBusy extends Data.TaggedError("ChannelBusy")<{ readonly host: string; readonly ports: number }> {
  override get message() {
    return `host ${this.host}: all ${this.ports} channel ports are in use; wait for another command to end`
  }
}

/**
 * The machine is not there any more, or never was.
 *
 * @since 0.1.0
 * @category errors
 */
export class ChannelClosed extends Data.TaggedError("ChannelClosed")<{
  readonly host: string
  readonly operation: string
  readonly detail: string
}> {
  override get message() {
    return `host ${this.host}: ${this.operation}: ${this.detail}; is it running? see its serial.log`
  }
}

/**
 * The host runs another kernel than when the command was started: this is how one learns that a kexec took place.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostRebooted extends Data.TaggedError("HostRebooted")<{
  readonly host: string
  readonly before: string
  readonly after: string
}> {
  override get message() {
    return `host ${this.host} runs a new kernel (boot ${this.after}, was ${this.before}); the command is gone with the old one`
  }
}

/**
 * No hello within the time allowed.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostNotReady extends Data.TaggedError("HostNotReady")<{
  readonly host: string
  readonly waited: Duration.DurationInput
  readonly directory: string
}> {
  override get message() {
    return `host ${this.host} did not answer in time; see ${this.directory}/serial.log`
  }
}

/**
 * The program could not be started inside.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommandNotStarted extends Data.TaggedError("CommandNotStarted")<{
  readonly host: string
  readonly command: string
  readonly errno: number
}> {
  override get message() {
    return `host ${this.host}: cannot start ${this.command}: errno ${this.errno}`
  }
}

/**
 * A command that was expected to succeed did not.
 *
 * @since 0.1.0
 * @category errors
 */
export class RemoteCommandFailed extends Data.TaggedError("RemoteCommandFailed")<{
  readonly host: string
  readonly command: string
  readonly status: ExitStatus
  readonly stderr: string
}> {
  override get message() {
    const how =
      this.status._tag === "Exited" ? `ended with ${this.status.code}` : `died of signal ${this.status.signal}`
    return `host ${this.host}: ${this.command} ${how}: ${this.stderr.trim().slice(-500)}`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type ChannelError = ChannelBusy | ChannelClosed | HostRebooted | CommandNotStarted

/**
 * @since 0.1.0
 * @category models
 */
export type ExitStatus =
  | { readonly _tag: "Exited"; readonly code: number }
  | { readonly _tag: "Signalled"; readonly signal: number }

/**
 * @since 0.1.0
 * @category models
 */
export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  /** Standard input; without it the command reads end of file. */
  readonly stdin?: Stream.Stream<Uint8Array, never> | undefined
}

/**
 * A command that runs inside. Both streams have to be read, as with a pipe: unread output stops the command in the end. They
 * end when the command ends and when the host is lost; `exit` tells which.
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoteProcess {
  readonly bootId: string
  readonly stdout: Stream.Stream<Uint8Array>
  readonly stderr: Stream.Stream<Uint8Array>
  readonly exit: Effect.Effect<ExitStatus, HostRebooted | ChannelClosed | CommandNotStarted>
  /** Signals the command's process group. */
  readonly kill: (signal: number) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RemoteResult {
  readonly status: ExitStatus
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
}

/**
 * @since 0.1.0
 * @category services
 */
export class Channel extends Context.Tag("@liveupdate/qemu-host/Channel")<
  Channel,
  {
    /**
     * Starts a command. It ends with the scope: first SIGTERM for its process group, SIGKILL ten seconds later. What it
     * left running in other sessions (setsid) stays.
     */
    readonly exec: (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options?: ExecOptions
    ) => Effect.Effect<RemoteProcess, ChannelError, Scope.Scope>
    /** Runs a command to its end and gathers what it says. */
    readonly run: (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options?: ExecOptions
    ) => Effect.Effect<RemoteResult, ChannelError>
    /** As `run`, for a command that has to succeed; gives its standard output. */
    readonly output: (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options?: ExecOptions
    ) => Effect.Effect<string, ChannelError | RemoteCommandFailed>
    /** Waits until the host says hello, if `not` is given until it does so with another boot id; gives its boot id. */
    readonly waitReady: (
      host: HostAddress,
      options: { readonly timeout: Duration.DurationInput; readonly not?: string }
    ) => Effect.Effect<string, ChannelBusy | ChannelClosed | HostNotReady>
    /** Writes a file inside, by rename when it is whole. */
    readonly push: (
      host: HostAddress,
      content: Stream.Stream<Uint8Array, never>,
      path: string,
      mode?: number
    ) => Effect.Effect<void, ChannelError | RemoteCommandFailed>
    /** Reads a file from inside. */
    readonly pull: (host: HostAddress, path: string) => Effect.Effect<Uint8Array, ChannelError | RemoteCommandFailed>
  }
>() {}

/** Bytes that may wait for a reader here before the socket is left alone, which in the end stops the writer inside. */
const HIGH_WATER = 1 << 20

interface Connection {
  readonly send: (text: string) => Effect.Effect<void>
  readonly messages: Mailbox.ReadonlyMailbox<FromHost, ChannelClosed>
  readonly pause: (paused: boolean) => void
}

const connect = (host: HostAddress, path: string): Effect.Effect<Connection, ChannelClosed, Scope.Scope> =>
  Effect.gen(function* () {
    const closed = (detail: string) => new ChannelClosed({ host: host.name, operation: "channel", detail })
    const messages = yield* Mailbox.make<FromHost, ChannelClosed>()
    const decoder = makeDecoder()
    const socket = yield* Effect.acquireRelease(
      Effect.async<net.Socket, ChannelClosed>((resume) => {
        const socket = net.connect(path)
        socket.once("error", (error) => resume(Effect.fail(closed(error.message))))
        socket.once("connect", () => resume(Effect.succeed(socket)))
        return Effect.sync(() => socket.destroy())
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )
    socket.on("data", (chunk) => {
      for (const message of decoder.push(chunk)) messages.unsafeOffer(message)
    })
    socket.on("error", (error) => messages.unsafeDone(Exit.fail(closed(error.message))))
    socket.on("close", () => messages.unsafeDone(Exit.fail(closed("the machine closed the connection"))))
    return {
      messages,
      pause: (paused) => (paused ? socket.pause() : socket.resume()),
      send: (text) =>
        Effect.async<void>((resume) => {
          if (socket.destroyed || socket.write(text)) {
            resume(Effect.void)
            return
          }
          const go = () => {
            socket.off("drain", go)
            socket.off("close", go)
            resume(Effect.void)
          }
          socket.on("drain", go)
          socket.on("close", go)
          return Effect.sync(() => {
            socket.off("drain", go)
            socket.off("close", go)
          })
        })
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Channel, never, Path.Path | CommandExecutor.CommandExecutor> = Layer.effect(
  Channel,
  Effect.gen(function* () {
    const paths = yield* Path.Path
    const executor = yield* CommandExecutor.CommandExecutor

    /** A port of one's own, connected and asked for a hello. */
    const open = (host: HostAddress) =>
      Effect.gen(function* () {
        for (let port = 0; port < host.ports; port++) {
          const free = yield* FileLock.tryLock(paths.join(host.directory, `port${port}.lock`)).pipe(
            Effect.provideService(CommandExecutor.CommandExecutor, executor),
            Effect.mapError(
              (error) => new ChannelClosed({ host: host.name, operation: "take a port", detail: error.message })
            )
          )
          if (!free) continue
          const connection = yield* connect(host, paths.join(host.directory, `port${port}.sock`))
          yield* connection.send(encode(ToHost.Query()))
          return connection
        }
        return yield* new ChannelBusy({ host: host.name, ports: host.ports })
      })

    const hello = (connection: Connection) =>
      connection.messages.take.pipe(
        Effect.repeat({ until: (message) => message._tag === "Hello" }),
        Effect.map((message) => (message._tag === "Hello" ? message.bootId : "")),
        Effect.catchTag("NoSuchElementException", () => Effect.never)
      )

    const exec = Effect.fn("Channel.exec")(function* (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options: ExecOptions = {}
    ) {
      const connection = yield* open(host)
      const bootId = yield* hello(connection)
      const id = randomBytes(6).toString("hex")
      const exit = yield* Deferred.make<ExitStatus, HostRebooted | ChannelClosed | CommandNotStarted>()
      const stdout = yield* Mailbox.make<Uint8Array>()
      const stderr = yield* Mailbox.make<Uint8Array>()

      let waiting = 0
      const account = (bytes: number) => {
        const before = waiting
        waiting += bytes
        if (before <= HIGH_WATER && waiting > HIGH_WATER) connection.pause(true)
        if (before > HIGH_WATER && waiting <= HIGH_WATER) connection.pause(false)
      }
      const take = (mailbox: Mailbox.ReadonlyMailbox<Uint8Array>): Stream.Stream<Uint8Array> =>
        Mailbox.toStream(mailbox).pipe(Stream.tap((data) => Effect.sync(() => account(-data.length))))

      const end = (result: Exit.Exit<ExitStatus, HostRebooted | ChannelClosed | CommandNotStarted>) =>
        Effect.zipRight(Effect.all([stdout.end, stderr.end]), Deferred.done(exit, result))

      yield* connection.send(
        encode(ToHost.Run({ id, argv, env: { LANG: "C.UTF-8", ...options.env }, cwd: options.cwd ?? "" }))
      )
      yield* Effect.gen(function* () {
        while (true) {
          const message = yield* connection.messages.take
          if (message._tag === "Hello") {
            if (message.bootId === bootId) continue
            return yield* end(Exit.fail(new HostRebooted({ host: host.name, before: bootId, after: message.bootId })))
          }
          if (message.id !== id) continue
          switch (message._tag) {
            case "Output":
              account(message.data.length)
              stdout.unsafeOffer(message.data)
              break
            case "ErrorOutput":
              account(message.data.length)
              stderr.unsafeOffer(message.data)
              break
            case "Exited":
              return yield* end(Exit.succeed({ _tag: "Exited", code: message.code }))
            case "Signalled":
              return yield* end(Exit.succeed({ _tag: "Signalled", signal: message.signal }))
            case "NotStarted":
              return yield* end(
                Exit.fail(new CommandNotStarted({ host: host.name, command: argv[0], errno: message.errno }))
              )
          }
        }
      }).pipe(
        Effect.catchAll((error: ChannelClosed | Cause.NoSuchElementException) =>
          end(
            Exit.fail(
              error._tag === "ChannelClosed"
                ? error
                : new ChannelClosed({ host: host.name, operation: "channel", detail: "closed" })
            )
          )
        ),
        Effect.forkScoped
      )
      yield* (options.stdin ?? Stream.empty).pipe(
        Stream.rechunk(1),
        Stream.mapConcat((data) => {
          const parts: Array<Uint8Array> = []
          for (let at = 0; at < data.length; at += inputChunkBytes) parts.push(data.subarray(at, at + inputChunkBytes))
          return parts
        }),
        Stream.runForEach((data) => connection.send(encode(ToHost.Input({ id, data })))),
        Effect.zipRight(connection.send(encode(ToHost.EndOfInput({ id })))),
        Effect.forkScoped
      )
      return {
        bootId,
        stdout: take(stdout),
        stderr: take(stderr),
        exit: Deferred.await(exit),
        kill: (signal) => connection.send(encode(ToHost.Signal({ id, signal })))
      } satisfies RemoteProcess
    })

    const run = Effect.fn("Channel.run")(function* (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options?: ExecOptions
    ) {
      const process = yield* exec(host, argv, options)
      const [stdout, stderr, status] = yield* Effect.all(
        [Stream.runCollect(process.stdout), Stream.runCollect(process.stderr), process.exit],
        { concurrency: "unbounded" }
      )
      return { status, stdout: concat(stdout), stderr: concat(stderr) } satisfies RemoteResult
    }, Effect.scoped)

    const checked = (
      host: HostAddress,
      argv: readonly [string, ...Array<string>],
      options?: ExecOptions
    ): Effect.Effect<RemoteResult, ChannelError | RemoteCommandFailed> =>
      Effect.filterOrFail(
        run(host, argv, options),
        ({ status }) => status._tag === "Exited" && status.code === 0,
        ({ status, stderr }) =>
          new RemoteCommandFailed({
            host: host.name,
            command: argv.join(" ").slice(0, 200),
            status,
            stderr: Buffer.from(stderr).toString()
          })
      )

    return {
      exec,
      run,
      output: (host, argv, options) =>
        Effect.map(checked(host, argv, options), ({ stdout }) => Buffer.from(stdout).toString()),
      waitReady: Effect.fn("Channel.waitReady")(function* (
        host: HostAddress,
        options: { readonly timeout: Duration.DurationInput; readonly not?: string }
      ) {
        return yield* open(host).pipe(
          Effect.flatMap((connection) =>
            hello(connection).pipe(Effect.repeat({ until: (bootId) => bootId !== options.not }))
          ),
          Effect.scoped,
          // All ports taken is no answer to "are you there": others come and go.
          Effect.retry({ while: (error) => error._tag === "ChannelBusy", schedule: Schedule.spaced("200 millis") }),
          Effect.timeoutFail({
            duration: options.timeout,
            onTimeout: () => new HostNotReady({ host: host.name, waited: options.timeout, directory: host.directory })
          })
        )
      }),
      push: (host, content, path, mode = 0o644) =>
        Effect.asVoid(
          checked(
            host,
            [
              "sh",
              "-c",
              'umask 077; cat > "$1.part" && chmod "$2" "$1.part" && mv "$1.part" "$1"',
              "sh",
              path,
              mode.toString(8)
            ],
            { stdin: content }
          )
        ),
      pull: (host, path) => Effect.map(checked(host, ["cat", path]), ({ stdout }) => stdout)
    }
  })
)

/**
 * Lines of text from a command's output.
 *
 * @since 0.1.0
 * @category streams
 */
export const lines = (output: Stream.Stream<Uint8Array>): Stream.Stream<string> =>
  output.pipe(Stream.decodeText(), Stream.splitLines)

/**
 * @since 0.1.0
 * @category streams
 */
export const text = (output: Stream.Stream<Uint8Array>): Effect.Effect<string> =>
  Stream.runCollect(output).pipe(Effect.map((parts) => Buffer.from(concat(parts)).toString()))
