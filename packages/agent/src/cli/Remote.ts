import * as Effect from "effect/Effect"
export const forward = (_n: string, _a: ReadonlyArray<string>) => Effect.void
export const startVm = (_n: string, _s: string, _o: string) => Effect.void
export const upgrade = (_n: string, _o: unknown) => Effect.void
