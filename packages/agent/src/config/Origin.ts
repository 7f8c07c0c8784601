/**
 * Where a value comes from.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export type Origin =
  | { readonly _tag: "default" }
  | { readonly _tag: "file"; readonly path: string; readonly line: number }
  | { readonly _tag: "environment"; readonly variable: string }
  | { readonly _tag: "flag"; readonly flag: string }

/**
 * As it is shown: `default`, `/etc/liveupdate/agent.toml:12`, `LIVEUPDATE_UPGRADE_MAX_PAUSE`, `--max-pause`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (origin: Origin): string => {
  switch (origin._tag) {
    case "default":
      return "default"
    case "file":
      return `${origin.path}:${origin.line}`
    case "environment":
      return origin.variable
    case "flag":
      return origin.flag
  }
}

/**
 * What somebody says about a setting, not looked at yet.
 *
 * @since 0.1.0
 * @category models
 */
export interface Said {
  readonly key: string
  readonly value: unknown
  readonly origin: Origin
}
