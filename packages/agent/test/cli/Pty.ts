/** A program at a real terminal: a pseudo-terminal of script(1), and what a person at it sees. */
import { execFileSync, spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import { Screen } from "./Screen.ts"

export interface Pty {
  /** Lines on the screen, and those that have left it at the top. */
  readonly text: () => ReadonlyArray<string>
  /** Everything that was written to the terminal. */
  readonly written: () => string
  /** Returns when the screen looks like that; fails when the program has ended before. */
  readonly until: (there: (text: ReadonlyArray<string>) => boolean) => Effect.Effect<ReadonlyArray<string>>
  readonly type: (keys: string) => Effect.Effect<void>
  readonly resize: (columns: number) => Effect.Effect<void>
  /** Its exit code. */
  readonly ended: Effect.Effect<number>
}

/** Whoever runs at the terminal says on stderr that he has seen it change; until then it was as wide as before. */
const resized = /(?=\r(?:\p{Cc}\[\d+A)?(?:\p{Cc}\[J)?resized to \d+)/u

const replay = (written: string, columns: number, rows: number): Screen => {
  const screen = new Screen(columns, rows)
  for (const part of written.split(resized)) {
    const width = /^\r[^r]*resized to (\d+)/.exec(part)?.[1]
    if (width !== undefined) screen.resize(Number(width), rows)
    screen.write(part)
  }
  return screen
}

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

export const open = (
  argv: ReadonlyArray<string>,
  options: {
    readonly columns: number
    readonly rows: number
    readonly environment?: Readonly<Record<string, string>>
  }
) =>
  Effect.gen(function* () {
    const { columns, environment = {}, rows } = options
    const { CI: _, NO_COLOR: __, ...inherited } = process.env
    const command = `tty; stty cols ${columns} rows ${rows}; exec ${argv.map(quoted).join(" ")}`
    let written = ""
    const watchers = new Set<() => boolean>()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("script", ["--quiet", "--flush", "--return", "--command", command, "/dev/null"], {
          stdio: ["pipe", "pipe", "inherit"],
          env: { ...inherited, TERM: "xterm-256color", SHELL: "/bin/sh", ...environment }
        })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      written += text
      for (const watcher of watchers) watcher()
    })
    const code = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 128)))
    /** Without the first line, which names the terminal. */
    const output = () => written.slice(written.indexOf("\n") + 1)
    const text = () => replay(output(), columns, rows).text
    const pty: Pty = {
      text,
      written: output,
      until: (there) => {
        const missing = (why: string) => new Error(`${why}, and never showed that:\n${text().join("\n")}`)
        const seen = Effect.async<ReadonlyArray<string>, Error>((resume) => {
          const look = () => {
            const now = text()
            if (!there(now)) return false
            watchers.delete(look)
            resume(Effect.succeed(now))
            return true
          }
          watchers.add(look)
          look()
          void code.then((code) => look() || resume(Effect.fail(missing(`it ended with ${code}`))))
          return Effect.sync(() => void watchers.delete(look))
        })
        return Effect.orDie(
          Effect.timeoutFail(seen, { duration: "2 minutes", onTimeout: () => missing("it ran for 2 minutes") })
        )
      },
      type: (keys) => Effect.sync(() => void child.stdin.write(keys)),
      resize: (columns) =>
        Effect.sync(() => {
          const terminal = written.slice(0, written.indexOf("\n")).trim()
          execFileSync("stty", ["-F", terminal, "cols", String(columns)])
        }),
      ended: Effect.promise(() => code)
    }
    return pty
  })
