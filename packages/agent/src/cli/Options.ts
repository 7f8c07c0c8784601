/**
 * Options that several commands share.
 *
 * @since 0.1.0
 */
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Value } from "../config/Configuration.ts"
import * as ConfigurationFile from "../config/ConfigurationFile.ts"
import * as Effective from "../config/Effective.ts"
import type { Said } from "../config/Origin.ts"
import { PreconditionFailed } from "../upgrade/UpgradeError.ts"
import type { Format } from "./Output.ts"

/**
 * @since 0.1.0
 * @category options
 */
export const output = Options.choice("output", ["human", "ndjson"] as ReadonlyArray<Format>).pipe(
  Options.withDefault("human" as Format),
  Options.withDescription("human: text; ndjson: one JSON object per line on stdout (version 1)")
)

/**
 * @since 0.1.0
 * @category options
 */
export const host = Options.text("host").pipe(
  Options.optional,
  Options.withDescription("run the command on a QEMU host instead of this machine: qemu or qemu:NAME")
)

/**
 * @since 0.1.0
 * @category options
 */
export const config = Options.text("config").pipe(
  Options.optional,
  Options.withDescription(
    `the configuration's file (default: LIVEUPDATE_CONFIG, or ${ConfigurationFile.defaultPath} if it is there)`
  )
)

/**
 * The description of a flag that has no default of its own.
 *
 * @since 0.1.0
 * @category options
 */
export const withSetting =
  (key: string, description: string) =>
  <A>(option: Options.Options<A>): Options.Options<A> =>
    Options.withDescription(option, `${description} (default: ${key} of the configuration)`)

/**
 * What a flag says about a setting, if it is there.
 *
 * @since 0.1.0
 * @category options
 */
export const said = (key: string, flag: string, value: Option.Option<Value>): ReadonlyArray<Said> =>
  Option.isSome(value) ? [Effective.flag(key, flag, value.value)] : []

/**
 * A flag with its value, for the command on another host; nothing where it wasn't given: that host has a configuration of its own.
 *
 * @since 0.1.0
 * @category options
 */
export const forwarded = (flag: string, value: Option.Option<Value>): ReadonlyArray<string> =>
  Option.isSome(value) ? [flag, String(value.value)] : []

/**
 * Runs a command on the host that `--host` names, or here without it.
 *
 * @since 0.1.0
 * @category options
 */
export const whereTold = <A, E, R, A2, E2, R2>(
  host: Option.Option<string>,
  there: (host: string) => Effect.Effect<A, E, R>,
  here: Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> => (Option.isSome(host) ? there(host.value) : here)

/**
 * What needs the QEMU hosts' package. Loaded only where it is asked for, and not there at all on a host: the agent starts
 * faster without.
 *
 * @since 0.1.0
 * @category options
 */
export const hosts = Effect.tryPromise({
  try: () => import("./Hosts.ts"),
  catch: (error) =>
    new PreconditionFailed({
      what: `There are no QEMU hosts here (${error instanceof Error ? error.message.split("\n")[0] : String(error)})`,
      next: "Run the command from the workspace that the agent was built in"
    })
})

/**
 * The agent's own command on the host that `--host` names.
 *
 * @since 0.1.0
 * @category options
 */
export const there = (args: ReadonlyArray<string>) => (host: string) =>
  Effect.flatMap(hosts, (_) => _.forward(host, args))
