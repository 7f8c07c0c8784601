/**
 * A small process that holds retrieved sessions, one for each directory, started when the first session is about to be
 * retrieved and gone when it holds nothing any more. A process that retrieves a session and is killed, by SIGKILL too, loses
 * nothing: the next one gets the session from the keeper.
 *
 * What is spoken with it is in `internal/keeper/wire.ts`; it talks to its own user only. Run a service that retrieves sessions with
 * systemd's `KillMode=process`, or the keeper ends with the service, and what it holds with it.
 *
 * @since 0.1.0
 */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import { Custody, type Held, HolderSilent, HoldFailed } from "./Custody.ts"
import * as errno from "./internal/errno.ts"
import * as Client from "./internal/keeper/client.ts"
import * as wire from "./internal/keeper/wire.ts"
import { systemCalls } from "./internal/libc.ts"
import * as UnixSocket from "./internal/unixSocket.ts"

/**
 * How the keeper's program is started: `file args… DIRECTORY`, with its socket as descriptor 3.
 *
 * @since 0.1.0
 * @category models
 */
export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
  /** Descriptors of this process that become 4, 5, … of the keeper. */
  readonly descriptors?: ReadonlyArray<number>
}

/**
 * Where the keeper of a host is, and how it is started.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Its socket, its lock and its log lie there, for root alone. On a tmpfs: a keeper never outlives its kernel. */
  readonly directory?: string
  /** By default `KeeperMain.js` of this package, run by this process's Node. */
  readonly command?: Command
}

/**
 * Where the keeper is unless the caller says otherwise; a tmpfs.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultDirectory = "/run/liveupdate/keeper"

const defaultCommand = (): Command => ({
  file: process.execPath,
  args: [fileURLToPath(new URL("./KeeperMain.js", import.meta.url))]
})

/** Another process is at it for the time of a few system calls, or of a keeper's start. */
const soon = Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(2000))

const MAX_ENDS = 5

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const busy = Symbol("busy")

/** A connection, asked for until somebody else is done. */
const connection = <A extends number | undefined>(attempt: () => A): Effect.Effect<A, Error> =>
  Effect.suspend((): Effect.Effect<A, Error | typeof busy> => {
    try {
      const answer = attempt()
      if (answer === undefined || answer >= 0) return Effect.succeed(answer)
      return answer === -errno.EAGAIN ? Effect.fail(busy) : Effect.fail(new Error(errno.errnoName(-answer)))
    } catch (error) {
      return Effect.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }).pipe(
    Effect.retry({ while: (error) => error === busy, schedule: soon }),
    Effect.mapError((error) => (error === busy ? new Error("others are always at it") : error))
  )

const closing = (fd: number | undefined) => Effect.sync(() => fd !== undefined && systemCalls.close(fd))

/**
 * Custody by the keeper of a directory, which is started when it is needed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Custody> =>
  Layer.scoped(
    Custody,
    Effect.gen(function* () {
      const directory = options.directory ?? defaultDirectory
      const ends = yield* Queue.unbounded<string>()

      /** Wakes the keeper that was started from here: nobody is waiting for guests any more. */
      let started = () => {}
      const wakeWhenIdle = Effect.sync(() => open.size === 0 && started())

      const place = (): Client.Place => {
        const command = options.command ?? defaultCommand()
        return {
          directory,
          program: { ...command, descriptors: command.descriptors ?? [] },
          onStart: (wake) => {
            started = wake
          },
          onEnd: (how) => void ends.unsafeOffer(how)
        }
      }

      /** What this process has open and the keeper ought to hold. */
      const open = new Map<string, number>()

      const silent = (error: Error) => new HolderSilent({ holder: "keeper", reason: reasonOf(error) })

      const deposit = (session: string, connected: number) => (fd: number) => {
        open.set(session, fd)
        const request = wire.encodeRequest({ kind: "hold", session })
        if (UnixSocket.send(connected, request, fd) >= 0) return undefined
        // It has died since, or lost patience; a new connection helps against both.
        try {
          const again = Client.reach(place())
          const sent = again < 0 ? again : UnixSocket.send(again, request, fd)
          if (again >= 0) systemCalls.close(again)
          return sent >= 0 ? undefined : new HoldFailed({ session, reason: errno.errnoName(-sent) })
        } catch (error) {
          return new HoldFailed({ session, reason: reasonOf(error) })
        }
      }

      const hold = (session: string, fd: number) =>
        Effect.acquireUseRelease(
          connection(() => Client.reach(place())),
          (connected) => Client.ask(directory, connected, { kind: "hold", session }, fd),
          closing
        ).pipe(Effect.mapError((error) => new HoldFailed({ session, reason: error.message })))

      /** Asks the keeper that is there, if there is one. */
      const ask = (request: wire.Request): Effect.Effect<Client.Answered | undefined, HolderSilent> =>
        Effect.acquireUseRelease(
          connection(() => Client.find(directory)),
          (connected) =>
            connected === undefined ? Effect.succeed(undefined) : Client.ask(directory, connected, request),
          closing
        ).pipe(Effect.mapError(silent))

      const listAfter = (after: string): Effect.Effect<ReadonlyArray<Held>, HolderSilent> =>
        Effect.flatMap(ask({ kind: "list", after }), (answered) => {
          if (answered?.answer.kind !== "listed") return Effect.succeed([])
          const { pid, more, sessions } = answered.answer
          const held = sessions.map((session): Held => ({ session, holder: "keeper", pid }))
          const last = sessions.at(-1)
          return !more || last === undefined
            ? Effect.succeed(held)
            : Effect.map(listAfter(last), (rest) => [...held, ...rest])
        })

      // A keeper that dies takes its duplicates with it. Those that are open here are given to the next one.
      const holdAgain = (how: string) =>
        Effect.gen(function* () {
          yield* Effect.logError(`The keeper of ${directory} has ended (${how}).`)
          for (const [session, fd] of open)
            yield* hold(session, fd).pipe(
              Effect.zipRight(Effect.logInfo(`Session "${session}" is with another keeper.`)),
              Effect.catchAll((error) => Effect.logFatal(error.message))
            )
        })
      yield* Queue.take(ends).pipe(
        Effect.flatMap(holdAgain),
        // A program that doesn't run is not started for ever.
        Effect.repeatN(MAX_ENDS - 1),
        Effect.forkScoped
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => started()))

      return Custody.of({
        prepare: (session) =>
          Effect.acquireRelease(
            connection(() => Client.reach(place())),
            (connected) => Effect.zipRight(closing(connected), wakeWhenIdle)
          ).pipe(
            // The connection's queue is the keeper's from the first moment on: there is nothing to wait for.
            Effect.map((connected) => ({ hold: deposit(session, connected), settled: Effect.void })),
            Effect.mapError((error) => new HoldFailed({ session, reason: error.message })),
            Effect.withSpan("Keeper.prepare")
          ),
        confirm: (session, fd) =>
          hold(session, fd).pipe(
            Effect.zipRight(Effect.sync(() => open.delete(session))),
            Effect.withSpan("Keeper.confirm")
          ),
        claim: (session) =>
          ask({ kind: "claim", session }).pipe(
            Effect.map((answered) => {
              if (answered?.file !== undefined) open.set(session, answered.file)
              return answered?.file
            }),
            Effect.withSpan("Keeper.claim")
          ),
        release: (session) =>
          Effect.suspend(() => {
            open.delete(session)
            return Effect.acquireUseRelease(
              connection(() => Client.find(directory)),
              (connected) =>
                Effect.sync(() => {
                  if (connected !== undefined)
                    UnixSocket.send(connected, wire.encodeRequest({ kind: "release", session }))
                }),
              (connected) => Effect.zipRight(closing(connected), wakeWhenIdle)
            )
          }).pipe(
            // A duplicate of a finished session is worth nothing, and no trouble.
            Effect.catchAll((error) =>
              Effect.logWarning(`The keeper can't be told to release "${session}"`, error.message)
            ),
            Effect.withSpan("Keeper.release")
          ),
        list: Effect.withSpan(listAfter(""), "Keeper.list")
      })
    })
  )
