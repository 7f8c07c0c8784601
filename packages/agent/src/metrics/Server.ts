/**
 * Metrics over HTTP: `/metrics`, and nothing else.
 *
 * @since 0.1.0
 */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { codeOf } from "../vmm/SystemError.ts"
import * as Exposition from "./Exposition.ts"
import * as ListenAddress from "./ListenAddress.ts"

/**
 * There is no listening at this address.
 *
 * @since 0.1.0
 * @category errors
 */
export class CantListen extends Data.TaggedError("CantListen")<{ readonly address: string; readonly code: string }> {
  override get message(): string {
    const next: Readonly<Record<string, string>> = {
      EADDRINUSE: "Somebody else listens there; choose another port (--listen), or look who it is: ss -ltnp",
      EADDRNOTAVAIL: "This host has no such address: ip address",
      EACCES: "Ports below 1024 are root's",
      ENOTFOUND: "No such name is known",
      EAI_AGAIN: "No such name is known now"
    }
    return `Can't listen at ${this.address}: ${this.code}. ${next[this.code] ?? "Look at the address"}`
  }
}

/** Of the server's error, which is what the system said in a wrapping. */
const systemCode = (error: unknown): string =>
  typeof error === "object" && error !== null && "cause" in error && error.cause !== undefined
    ? systemCode(error.cause)
    : codeOf(error)

/**
 * Serves what `metrics` answers, asked anew for each scrape, for as long as the scope lives. A scrape that fails answers 500 and why.
 * Returns the address with the port that it has. Fails with `CantListen`.
 *
 * @since 0.1.0
 * @category running
 */
export const serve = <E extends { readonly message: string }, R>(
  address: ListenAddress.ListenAddress,
  metrics: Effect.Effect<string, E, R>
): Effect.Effect<ListenAddress.ListenAddress, CantListen, R | Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* NodeHttpServer.make(() => createServer(), { host: address.host, port: address.port }).pipe(
      Effect.mapError((error) => new CantListen({ address: ListenAddress.format(address), code: systemCode(error) }))
    )
    const scrape = metrics.pipe(
      Effect.map((text) => HttpServerResponse.text(text, { contentType: Exposition.CONTENT_TYPE })),
      Effect.catchAll((error) =>
        Effect.as(Effect.logError(error.message), HttpServerResponse.text(`${error.message}\n`, { status: 500 }))
      )
    )
    const nothing = HttpServerResponse.text("There is only /metrics here.\n", { status: 404 })
    const answer = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
      // A query is nobody's business here: Prometheus adds what its configuration says.
      (method === "GET" || method === "HEAD") && url.split("?", 1)[0] === "/metrics" ? scrape : Effect.succeed(nothing)
    )
    yield* Effect.provideService(HttpServer.serveEffect(answer), HttpServer.HttpServer, server)
    const bound = server.address
    return bound._tag === "TcpAddress" ? { host: address.host, port: bound.port } : address
  })
