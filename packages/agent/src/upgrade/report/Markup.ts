/**
 * HTML and SVG out of elements. Whatever is text is escaped; there is no other way in.
 *
 * @since 0.1.0
 */

/**
 * Markup that was made here.
 *
 * @since 0.1.0
 * @category models
 */
export class Markup {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/**
 * Text becomes escaped text.
 *
 * @since 0.1.0
 * @category models
 */
export type Child = Markup | string

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

/** XML has no place for most control characters, escaped or not, nor for halves of surrogate pairs. */
const illegal = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu

/**
 * Text as it stands in an element or in a quoted attribute.
 *
 * @since 0.1.0
 * @category rendering
 */
export const escape = (text: string): string =>
  text.replaceAll(illegal, "\u{fffd}").replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)

/**
 * Attributes that are `undefined` are left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const element = (
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  ...children: ReadonlyArray<Child | ReadonlyArray<Child>>
): Markup => {
  const written = Object.entries(attributes).map(([key, value]) =>
    value === undefined
      ? ""
      : ` ${key}="${escape(typeof value === "number" ? String(Math.round(value * 100) / 100) : value)}"`
  )
  const inside = children.flat().map((child) => (typeof child === "string" ? escape(child) : child.text))
  return new Markup(`<${name}${written.join("")}>${inside.join("")}</${name}>`)
}

/**
 * An element of HTML that has no content and no end tag.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty = (name: string, attributes: Readonly<Record<string, string>>): Markup =>
  new Markup(
    `<${name}${Object.entries(attributes)
      .map(([key, value]) => ` ${key}="${escape(value)}"`)
      .join("")}>`
  )

/**
 * A style sheet of ours: CSS in HTML is not escaped.
 *
 * @since 0.1.0
 * @category constructors
 */
export const style = (css: string): Markup => new Markup(`<style>${css}</style>`)
