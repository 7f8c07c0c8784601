/**
 * What a kernel was built with, from the text of its configuration.
 *
 * @since 0.1.0
 */
import { type Fact, value } from "./Facts.ts"

/**
 * `undefined`: the configuration can't be read. An option that isn't mentioned is off: Kconfig leaves out what depends on
 * something that is.
 *
 * @since 0.1.0
 * @category accessors
 */
export const isBuiltIn = (config: Fact<string>, option: `CONFIG_${string}`): boolean | undefined => {
  const text = value(config)
  return text === undefined ? undefined : new RegExp(`^${option}=[ym]$`, "m").test(text)
}
