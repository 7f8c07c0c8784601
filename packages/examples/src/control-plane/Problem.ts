/** Failures as `application/problem+json` (RFC 9457): the status says who has to do something, `detail` says what. */
import { type HttpServerError, HttpServerResponse } from "@effect/platform"
import type * as Preflight from "@liveupdate/agent/upgrade/Preflight"
import type { RolledBack } from "@liveupdate/agent/upgrade/UpgradeError"
import type { ParseResult } from "effect"

export type Failure = Preflight.PreflightError | RolledBack | ParseResult.ParseError | HttpServerError.RequestError

/** Everything else is a 500. A tag that doesn't exist doesn't compile. */
const statuses: { readonly [tag in Failure["_tag"]]?: number } = {
  ParseError: 400,
  RequestError: 400,
  VmNotFound: 404,
  KernelImageInvalid: 422,
  PreconditionFailed: 409,
  HooksUnsafe: 409,
  HostLocked: 423,
  DeviceBusy: 423
}

export const response = (status: number, tag: string, detail: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(
    { type: `urn:liveupdate:error:${tag}`, title: tag, status, detail },
    { status, contentType: "application/problem+json" }
  )

export const of = (failure: Failure) => response(statuses[failure._tag] ?? 500, failure._tag, failure.message)
