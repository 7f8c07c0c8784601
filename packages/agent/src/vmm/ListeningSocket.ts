/**
 * A listening Unix socket that is made here and served by another process.
 *
 * The VMM inherits it, so that its monitor can be connected to from the first moment: the connection waits in the kernel's backlog until
 * the VMM serves it. No waiting for a path to appear, and if the VMM dies first, the connection ends at once.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category models
 */
export interface ListeningSocket {
  readonly fd: number
}

const fdOf = (server: net.Server): number => {
  const handle: unknown = Reflect.get(server, "_handle")
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined
  return typeof fd === "number" ? fd : -1
}

/**
 * Listens at `path`, in place of whatever was there. Leaving the scope closes this process's copy only: path and inherited copies stay.
 * Leave it before connecting, or this process may accept its own connection.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (path: string): Effect.Effect<ListeningSocket, NodeJS.ErrnoException, Scope.Scope> => {
  // Node unlinks the path it has bound when it closes its server; the name in use is another one by then.
  const bound = `${path}.new`
  return Effect.acquireRelease(
    Effect.async<net.Server, NodeJS.ErrnoException>((resume) => {
      fs.rmSync(bound, { force: true })
      const server = net.createServer()
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(bound, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  ).pipe(
    Effect.flatMap((server) =>
      Effect.try({
        try: () => {
          const fd = fdOf(server)
          if (fd < 0) throw new Error("this Node.js release does not show the descriptor of a listening socket")
          fs.chmodSync(bound, 0o600)
          fs.renameSync(bound, path)
          return { fd }
        },
        catch: (error) => error as NodeJS.ErrnoException
      })
    )
  )
}
