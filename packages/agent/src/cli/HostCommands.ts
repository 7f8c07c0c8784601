import * as Command from "@effect/cli/Command"
export const command = Command.make("host")
