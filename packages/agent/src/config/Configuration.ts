/**
 * What an operator sets once for a host: the Schema of `agent.toml`. Everything else is made from it, the variables of the environment and
 * the page `docs/configuration.md` too.
 *
 * What runs after the jump reads no configuration: guests stand still while it loads. What it needs of it goes through the handover.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as ListenAddress from "../metrics/ListenAddress.ts"
import * as CommandLine from "../upgrade/CommandLine.ts"
import * as Hooks from "../upgrade/Hooks.ts"
import type * as Phase from "../upgrade/Phase.ts"
import * as Preflight from "../upgrade/Preflight.ts"
import * as After from "../upgrade/phases/After.ts"
import * as Before from "../upgrade/phases/Before.ts"
import * as Upgrade from "../upgrade/Upgrade.ts"
import * as Lifecycle from "../vmm/Lifecycle.ts"
import * as VmSpec from "../vmm/VmSpec.ts"

/**
 * What a setting can be: TOML, the environment and flags can all say it.
 *
 * @since 0.1.0
 * @category models
 */
export type Value = string | number | boolean

/**
 * What a setting's Schema doesn't say.
 *
 * @since 0.1.0
 * @category models
 */
export interface About {
  /** What it decides. */
  readonly what: string
  /** What it can be, with its unit; a wrong value "has to be" this. */
  readonly values: string
  readonly default: Value
  /** The flag that says the same for one call, and the commands that have it. */
  readonly flag?: { readonly name: string; readonly of: string }
}

/**
 * Where a setting's Schema has its `About`.
 *
 * @since 0.1.0
 * @category annotations
 */
export const AboutId: unique symbol = Symbol.for("@liveupdate/agent/config/About")

const setting = <A extends Value, I>(
  schema: Schema.Schema<A, I>,
  about: About & { readonly default: NoInfer<A> }
): Schema.Schema<A, I> =>
  schema.annotations({
    [AboutId]: about,
    message: () => ({ message: `has to be ${about.values}`, override: true })
  })

const DAY = Duration.toSeconds(Duration.days(1))

const seconds = Schema.Number.pipe(Schema.filter((value) => value > 0 && value <= DAY))
const SECONDS = `seconds, more than 0 and at most ${DAY}`

const wholeSeconds = Schema.Int.pipe(Schema.between(1, DAY))
const WHOLE_SECONDS = `whole seconds, from 1 to ${DAY}`
/** Zero asks nobody: a VMM is ended at once. */
const patience = Schema.Int.pipe(Schema.between(0, DAY))
const PATIENCE = `whole seconds, from 0 to ${DAY}`

/** A command line of the kernel, and most other texts, end at a line's end. */
const text = Schema.String.pipe(Schema.pattern(/^[^\p{Cc}]+$/u))
const absolutePath = Schema.String.pipe(Schema.pattern(/^\/[^\p{Cc}]*$/u))
const program = Schema.String.pipe(Schema.pattern(/^(\/[^\p{Cc}]*|[^\p{Cc}/]+)$/u))

/**
 * Of a setting that has nothing to say.
 *
 * @since 0.1.0
 * @category constants
 */
export const NONE = "none"

const orNone = (schema: Schema.Schema<string>): Schema.Schema<string> => Schema.Union(Schema.Literal(NONE), schema)
const listen = Schema.String.pipe(Schema.filter((address) => ListenAddress.parse(address) !== undefined))
const httpUrl = Schema.String.pipe(Schema.filter((url) => /^https?:\/\/[^\s/]/.test(url) && URL.canParse(url)))

const timed = [...Before.phases, ...After.phases].filter((phase): phase is Timed => phase.side !== "at")

type Timed = Exclude<(typeof Before.phases)[number] | (typeof After.phases)[number], { readonly name: "jump" }>

const deadline = (phase: Phase.Phase): Schema.Schema<number> =>
  setting(seconds, {
    what: `what the phase \`${phase.name}\` may take`,
    values: SECONDS,
    default: Duration.toSeconds(phase.deadline),
    flag: { name: "--deadline", of: "upgrade" }
  })

/**
 * The configuration, whole. A file says any part of it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Configuration = Schema.Struct({
  upgrade: Schema.Struct({
    "on-failure": setting(Schema.Literal("abort", "leave-behind"), {
      what: "a VM fails before the jump: `abort` undoes all; `leave-behind` carries the others, and it dies with the old kernel",
      values: '"abort" or "leave-behind"',
      default: "abort",
      flag: { name: "--on-failure", of: "upgrade" }
    }),
    jump: setting(Schema.Literal("direct", "systemd"), {
      what: "the way to the next kernel: `direct`, by the reboot call at once; `systemd`, by `systemctl kexec`, which stops services in order ([systemd](systemd.md))",
      values: '"direct" or "systemd"',
      default: "direct",
      flag: { name: "--jump", of: "upgrade, plan" }
    }),
    "max-pause": setting(wholeSeconds, {
      what: "how long guests may stand still before the jump; past it everything is undone",
      values: WHOLE_SECONDS,
      default: Duration.toSeconds(Upgrade.BLACKOUT_DEADLINE),
      flag: { name: "--max-pause", of: "upgrade" }
    }),
    "stop-others": setting(Schema.Boolean, {
      what: "shut down the running VMs that are not carried, instead of refusing; that is not undone if the live update is",
      values: "true or false",
      default: false,
      flag: { name: "--stop-others, --no-stop-others", of: "upgrade, plan" }
    }),
    "stop-timeout": setting(wholeSeconds, {
      what: "what a guest that is shut down for a live update may take before its VMM is ended",
      values: WHOLE_SECONDS,
      default: Duration.toSeconds(Preflight.STOP_PATIENCE)
    }),
    cmdline: setting(text, {
      what: "the next kernel's command line; `reuse`: that of the running one. It needs `liveupdate=on`",
      values: 'a text, or "reuse"',
      default: CommandLine.REUSE,
      flag: { name: "--cmdline, --reuse-cmdline", of: "upgrade, plan" }
    }),
    // By name: which phases there are is said in one place.
    deadlines: Schema.Struct(Object.fromEntries(timed.map((phase) => [phase.name, deadline(phase)])))
  }),
  hooks: Schema.Struct({
    directory: setting(absolutePath, {
      what: "where the programs are that are run at named moments ([hooks](failures.md#hooks))",
      values: "an absolute path",
      default: Hooks.directory
    })
  }),
  metrics: Schema.Struct({
    textfile: setting(orNone(absolutePath), {
      what: "the file that is written after each live update, for node-exporter's textfile collector ([metrics](metrics.md)); its directory has to be there",
      values: 'an absolute path, or "none"',
      default: NONE
    }),
    listen: setting(listen, {
      what: "where `agent serve-metrics` listens",
      values: "ADDRESS:PORT, such as 127.0.0.1:9842, [::1]:9842, or :9842 for all addresses",
      default: "127.0.0.1:9842",
      flag: { name: "--listen", of: "serve-metrics" }
    })
  }),
  traces: Schema.Struct({
    endpoint: setting(orNone(httpUrl), {
      what: "who is sent the trace of each live update: a collector that takes OTLP over HTTP; `/v1/traces` is added ([traces](metrics.md#traces))",
      values: 'a URL http:// or https://, such as "http://localhost:4318", or "none"',
      default: NONE
    })
  }),
  vm: Schema.Struct({
    accelerator: setting(Schema.Literal("kvm", "tcg"), {
      what: "of VMs whose spec doesn't say it",
      values: '"kvm" or "tcg"',
      default: VmSpec.defaults.accelerator
    }),
    machine: setting(text, {
      what: "QEMU's machine type, of VMs whose spec doesn't say it",
      values: "a text",
      default: VmSpec.defaults.machine
    }),
    cpus: setting(Schema.Int.pipe(Schema.between(1, VmSpec.MAX_CPUS)), {
      what: "vCPUs of VMs whose spec doesn't say it",
      values: `a whole number from 1 to ${VmSpec.MAX_CPUS}`,
      default: VmSpec.defaults.cpus
    }),
    binary: setting(program, {
      what: "QEMU, for VMs whose spec doesn't say it: a name is looked up in `PATH`",
      values: "an absolute path, or a program's name",
      default: VmSpec.defaults.binary
    }),
    "stop-timeout": setting(patience, {
      what: "what a guest may take to shut down before its VMM is ended",
      values: PATIENCE,
      default: Duration.toSeconds(Lifecycle.STOP_PATIENCE),
      flag: { name: "--timeout", of: "vm stop" }
    })
  })
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Configuration = typeof Configuration.Type
