/** Thrown by the decoders beside it, and turned into a `KernelImageInvalid` by who calls them. */
export class Damaged extends Error {}

/** Sound as far as can be seen, but in a way that these decoders don't know. */
export class Unsupported extends Error {}
