/** What systemd is told: datagrams of lines to its socket (sd_notify(3)), each with at most one descriptor. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as errno from "./errno.ts"
import { systemCalls } from "./libc.ts"
import * as UnixSocket from "./unixSocket.ts"

/** systemd takes notifications in between other work. */
const soon = Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(500))

const SLICE_MS = 250
const BARRIER_SLICES = 20

/** The end of a line ends a field, so one in a value becomes a blank. */
export const linesOf = (fields: Readonly<Record<string, string | number>>): ReadonlyArray<string> =>
  Object.entries(fields).map(([name, value]) => `${name}=${String(value).replaceAll(/[\r\n]+/g, " ")}`)

/** A socket that is connected to systemd's; a path that begins with "@" is abstract. Fails with words for it. */
export const connect = (path: string): Effect.Effect<number, string, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const fd = UnixSocket.connectDatagram(path)
      return fd < 0 ? Effect.fail(`${path}: ${errno.errnoName(-fd)}`) : Effect.succeed(fd)
    }),
    (fd) => Effect.sync(() => systemCalls.close(fd))
  )

/**
 * One system call. It may come back as -EAGAIN, with as many waiting as the queue takes (net.unix.max_dgram_qlen).
 */
export const sendNow = (socket: number, lines: ReadonlyArray<string>, file?: number, pid?: number): number =>
  UnixSocket.send(socket, Buffer.from(lines.join("\n"), "utf8"), file, pid)

/** Waits for room in the queue. */
export const send = (
  socket: number,
  lines: ReadonlyArray<string>,
  file?: number,
  pid?: number
): Effect.Effect<void, string> =>
  Effect.suspend(() => {
    const sent = sendNow(socket, lines, file, pid)
    return sent < 0 ? Effect.fail(sent) : Effect.void
  }).pipe(
    Effect.retry({ while: (negated) => negated === -errno.EAGAIN, schedule: soon }),
    Effect.mapError((negated) => `systemd can't be told: ${errno.errnoName(-negated)}`)
  )

/** systemd closes the descriptor when it has dealt with everything that was sent before (sd_notify_barrier(3)). */
export const barrier = (socket: number): Effect.Effect<void, string> =>
  Effect.acquireUseRelease(
    Effect.suspend(() => {
      const ends = UnixSocket.pipe()
      return typeof ends === "number"
        ? Effect.fail(`no pipe: ${errno.errnoName(-ends)}`)
        : Effect.succeed({ ...ends, written: false })
    }),
    (ends) =>
      send(socket, ["BARRIER=1"], ends.write).pipe(
        Effect.zipRight(
          Effect.sync(() => {
            systemCalls.close(ends.write)
            ends.written = true
          })
        ),
        Effect.zipRight(
          Effect.promise(() => UnixSocket.waitForAsync(ends.read, SLICE_MS)).pipe(
            Effect.filterOrFail(
              (closed) => closed,
              () => "systemd doesn't say that it has it"
            ),
            Effect.retry({ times: BARRIER_SLICES })
          )
        )
      ),
    (ends) =>
      Effect.sync(() => {
        systemCalls.close(ends.read)
        if (!ends.written) systemCalls.close(ends.write)
      })
  )
