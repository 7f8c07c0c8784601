/** Just enough of QMP to end and reset a machine. */
import * as net from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

export class QmpFailed extends Data.TaggedError("QmpFailed")<{
  readonly path: string
  readonly command: string
  readonly detail: string
}> {
  override get message() {
    return `QMP ${this.command} at ${this.path}: ${this.detail}`
  }
}

/** Runs one command; the machine closing the connection counts as an answer to `quit`. */
export const execute = (path: string, command: string): Effect.Effect<void, QmpFailed> =>
  Effect.async<void, QmpFailed>((resume) => {
    const socket = net.connect(path)
    const end = (result: Effect.Effect<void, QmpFailed>) => {
      resume(result)
      socket.destroy()
    }
    const fail = (detail: string) => end(Effect.fail(new QmpFailed({ path, command, detail })))
    let rest = ""
    let sent = 0
    socket.setEncoding("utf8")
    socket.on("error", (error) => fail(error.message))
    socket.on("close", () => (command === "quit" && sent === 2 ? end(Effect.void) : fail("connection closed")))
    socket.on("data", (part: string) => {
      rest += part
      const lines = rest.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        if (line.includes('"error"')) fail(line)
        else if (line.includes('"QMP"') || line.includes('"return"')) {
          const next = ["qmp_capabilities", command][sent]
          if (next === undefined) end(Effect.void)
          else socket.write(`${JSON.stringify({ execute: next })}\n`)
          sent += next === undefined ? 0 : 1
        }
      }
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutFail({
      duration: "3 seconds",
      onTimeout: () => new QmpFailed({ path, command, detail: "no answer within 3 seconds" })
    })
  )
