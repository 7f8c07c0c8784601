/**
 * Effect's log through pino, as JSON lines on stderr.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { pino } from "pino"

const text = (part: unknown): string =>
  typeof part === "string" ? part : part instanceof Error ? part.message : JSON.stringify(part)

/** pino's levels as syslog(3) counts them, where the journal reads stderr (sd-daemon(3)). */
const priorityOf = (level: number): number =>
  level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7

/** A line begins with its level for the journal, which takes it off again. */
const forJournal = (line: string): string => `<${priorityOf(Number(/"level":(\d+)/.exec(line)?.[1] ?? 30))}>${line}`

/**
 * One JSON object a line: `level` (pino's: 20 debug to 60 fatal), `time` (milliseconds since 1970), `pid`, `name` ("liveupdate"), `msg`, and `cause`
 * where there is one. See docs/systemd.md.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (level: LogLevel.LogLevel = LogLevel.Info): Layer.Layer<never> => {
  const log = pino(
    {
      name: "liveupdate",
      base: { pid: process.pid },
      level: "trace",
      ...(process.env["JOURNAL_STREAM"] === undefined ? {} : { hooks: { streamWrite: forJournal } })
    },
    // Not the descriptor: what is drawn at the bottom of a terminal (cli/LiveBar.ts) stays below.
    { write: (line: string) => void process.stderr.write(line) }
  )
  const logger = Logger.make(({ logLevel, message, cause }) => {
    const parts = Array.isArray(message) ? message : [message]
    const fields = Cause.isEmpty(cause) ? {} : { cause: Cause.pretty(cause) }
    const line = parts.map(text).join(" ")
    if (LogLevel.greaterThanEqual(logLevel, LogLevel.Fatal)) log.fatal(fields, line)
    else if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) log.error(fields, line)
    else if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) log.warn(fields, line)
    else if (LogLevel.greaterThanEqual(logLevel, LogLevel.Info)) log.info(fields, line)
    else log.debug(fields, line)
  })
  return Layer.mergeAll(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(level))
}
