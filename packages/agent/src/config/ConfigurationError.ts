/**
 * What can be wrong with a configuration.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One thing that is wrong, and where: `/etc/liveupdate/agent.toml:12`, a variable, a flag.
 *
 * @since 0.1.0
 * @category models
 */
export const Problem = Schema.Struct({ where: Schema.String, problem: Schema.String })

/**
 * @since 0.1.0
 * @category models
 */
export type Problem = typeof Problem.Type

/**
 * It can't be used; everything that is wrong with it, at once.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationInvalid extends Schema.TaggedError<ConfigurationInvalid>()("ConfigurationInvalid", {
  problems: Schema.NonEmptyArray(Problem)
}) {
  override get message(): string {
    return this.problems.map(({ where, problem }) => `${where}: ${problem}`).join("; ")
  }
}

/**
 * There is no such file, or it can't be read.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationUnreadable extends Schema.TaggedError<ConfigurationUnreadable>()("ConfigurationUnreadable", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    const next = this.code === "ENOENT" ? "Name one that is there" : "Check the path, and who may read it"
    return `can't read the configuration ${this.path}: ${this.code}. ${next}`
  }
}

/**
 * Somebody else than root decides what is in the file, and so what root does.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationUnsafe extends Schema.TaggedError<ConfigurationUnsafe>()("ConfigurationUnsafe", {
  path: Schema.String,
  /** The file itself, or a directory that it is in. */
  culprit: Schema.String,
  reason: Schema.String,
  next: Schema.String
}) {
  override get message(): string {
    return `the configuration ${this.path} is not used, as others than root may change it: ${this.culprit} ${this.reason}. ${this.next}`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type ConfigurationError = ConfigurationInvalid | ConfigurationUnreadable | ConfigurationUnsafe
