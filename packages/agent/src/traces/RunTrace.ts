/**
 * A run as a trace: one span for all of it, for each VM, for each blackout, and for every part that was measured, on both sides of the jump.
 * Made afterwards, from the run's events: what runs while guests stand still knows nothing of it. Ids follow from the run, so that a run
 * that is told twice is the same trace.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as OtlpResource from "@effect/opentelemetry/OtlpResource"
import type { Event } from "../upgrade/Event.ts"
import * as Measured from "../upgrade/Measured.ts"
import * as RunTime from "../upgrade/RunTime.ts"
import * as Report from "../upgrade/report/Report.ts"
import * as StepEvents from "../upgrade/StepEvents.ts"
import * as Traceparent from "../upgrade/Traceparent.ts"

type Attributes = Readonly<Record<string, string | number | boolean>>

/**
 * A span as OTLP has it in JSON (`opentelemetry/proto/trace/v1/trace.proto`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** SPAN_KIND_INTERNAL */
  readonly kind: 1
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<OtlpResource.KeyValue>
  /** 1: ok, 2: error. */
  readonly status: { readonly code: 1 | 2; readonly message?: string }
}

/**
 * What `POST /v1/traces` takes: the spans of each kernel are another resource's.
 *
 * @since 0.1.0
 * @category models
 */
export interface TracesData {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: OtlpResource.Resource
    readonly scopeSpans: ReadonlyArray<{
      readonly scope: { readonly name: string; readonly version: string }
      readonly spans: ReadonlyArray<Span>
    }>
  }>
}

/**
 * Whose spans they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface Host {
  /** Of the agent. */
  readonly version: string
  readonly name: string
  /** /etc/machine-id */
  readonly id?: string
}

const hash = (text: string, digits: number): string => createHash("sha256").update(text).digest("hex").slice(0, digits)

/** As the run's first event says, or as it was handed over; a run of an agent that knew of no traces has one of its own. */
const contextOf = (run: string, steps: ReadonlyArray<StepEvents.StepEvent>) => {
  const told = (name: string) =>
    steps.flatMap(({ detail }) => {
      const text = detail?.[name]
      return typeof text === "string" ? (Traceparent.parse(text) ?? []) : []
    })[0]
  return {
    root: told("traceparent") ?? { traceId: hash(run, 32), spanId: hash(`${run} root`, 16) },
    caller: told("caller")
  }
}

/** Microseconds are what events say, and what a double holds of a date. */
const nanoseconds = (ms: number): string => String(BigInt(Math.round(ms * 1000)) * 1000n)

const attributeName = (detail: string): string =>
  `liveupdate.${detail.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`

const told = new Set(["reason", "error", "traceparent", "caller"])

/** What the end of a step has to say of itself. */
const attributesOf = (detail: Readonly<Record<string, unknown>> | undefined): Attributes =>
  Object.fromEntries(
    Object.entries(detail ?? {}).flatMap(([name, value]) =>
      !told.has(name) && (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
        ? [[attributeName(name), value] as const]
        : []
    )
  )

const failure = (detail: Readonly<Record<string, unknown>> | undefined, otherwise: string) => ({
  status: { code: 2, message: String(detail?.["reason"] ?? otherwise) } as const,
  // `_OTHER` is what the conventions have for an error without a name.
  attributes: { "error.type": String(detail?.["error"] ?? "_OTHER") }
})

const wentWell = { status: { code: 1 } as const, attributes: {} }

interface Drawn {
  readonly span: Span
  /** Under the next kernel. */
  readonly after: boolean
}

/**
 * The trace of a run; `undefined` where its events don't say when anything was.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (run: string, all: ReadonlyArray<Event>, host: Host): TracesData | undefined => {
  const events = RunTime.firstAccounts(all)
  const steps = events.filter(StepEvents.isStep)
  const [measured, report, clock] = [Measured.measure(events), Report.make(run, events), RunTime.make(run, events)]
  const zero = events.flatMap((event) => {
    const [onAxis, onWall] = [measured.at(event), clock(event)]
    return onAxis === undefined || onWall === undefined ? [] : [onWall - onAxis]
  })[0]
  if (zero === undefined) return undefined
  const { root, caller } = contextOf(run, steps)
  const isAfter = (begin: number) => report.nextKernel !== undefined && begin >= report.nextKernel

  const span = (about: {
    readonly id: string
    readonly parent: string | undefined
    readonly name: string
    readonly begin: number
    readonly end: number
    readonly attributes: Attributes
    readonly status: Span["status"]
  }): Drawn => ({
    after: isAfter(about.begin),
    span: {
      traceId: root.traceId,
      spanId: about.id,
      ...(about.parent === undefined ? {} : { parentSpanId: about.parent }),
      name: about.name,
      kind: 1,
      startTimeUnixNano: nanoseconds(zero + about.begin),
      endTimeUnixNano: nanoseconds(zero + Math.max(about.begin, about.end)),
      attributes: OtlpResource.entriesToAttributes(Object.entries({ "liveupdate.run": run, ...about.attributes })),
      status: about.status
    }
  })
  const idOf = (...path: ReadonlyArray<string | number>) =>
    hash(JSON.stringify([root.traceId, root.spanId, ...path]), 16)

  /** The event that ends a bar says how. */
  const endOf = (bar: Report.Bar, vm: string | undefined) =>
    steps.find((event) => {
      const at = measured.at(event)
      const ends = event.status === "done" || event.status === "failed"
      return ends && event.step === bar.part && event.vm === vm && at !== undefined && Math.abs(at - bar.end) < 0.001
    })

  const draw = (bars: ReadonlyArray<Report.Bar>, vm: string | undefined, parentOf: (bar: Report.Bar) => string) => {
    const times = new Map<string, number>()
    return bars.map((bar) => {
      const time = times.get(bar.part) ?? 0
      times.set(bar.part, time + 1)
      const detail = endOf(bar, vm)?.detail
      const { status, attributes } = bar.failed === true ? failure(detail, `${bar.part} failed`) : wentWell
      return span({
        id: idOf("part", vm ?? "", bar.part, time),
        parent: parentOf(bar),
        name: bar.part,
        begin: bar.begin,
        end: bar.end,
        attributes: {
          ...(vm === undefined ? {} : { "liveupdate.vm.id": vm }),
          "liveupdate.who": bar.who,
          ...attributesOf(detail),
          ...attributes
        },
        status
      })
    })
  }

  const isHosts = (bar: Report.Bar) => report.host.some((one) => one.part === bar.part && one.begin === bar.begin)
  const vms = report.vms.flatMap(({ id, bars: drawn, blackout }): ReadonlyArray<Drawn> => {
    const bars = drawn.filter((bar) => !isHosts(bar))
    const edges = [
      ...bars.flatMap(({ begin, end }) => [begin, end]),
      ...(blackout === undefined ? [] : [blackout.begin])
    ]
    if (edges.length === 0) return []
    const ends = [...edges, ...(blackout?.end === undefined ? [] : [blackout.end])]
    const [vm, dark] = [idOf("vm", id), idOf("blackout", id)]
    const within = ({ begin, end }: Report.Bar) =>
      blackout?.end !== undefined && begin >= blackout.begin && end <= blackout.end
    const attributes = { "liveupdate.vm.id": id }
    const failed = bars.findLast((bar) => bar.failed === true)
    return [
      span({
        id: vm,
        parent: root.spanId,
        name: "vm",
        begin: Math.min(...edges),
        end: Math.max(...ends),
        attributes,
        ...(failed === undefined
          ? { status: wentWell.status }
          : { status: failure(endOf(failed, id)?.detail, `${failed.part} failed`).status })
      }),
      ...(blackout?.end === undefined
        ? []
        : [
            span({
              id: dark,
              parent: vm,
              name: "blackout",
              begin: blackout.begin,
              end: blackout.end,
              attributes: {
                ...attributes,
                ...Object.fromEntries(
                  Object.entries(blackout.shares ?? {}).map(([share, ms]) => [
                    `${attributeName(`blackout.${share}`)}_ms`,
                    ms
                  ])
                )
              },
              status: wentWell.status
            })
          ]),
      ...draw(bars, id, (bar) => (within(bar) ? dark : vm))
    ]
  })
  const hosts = draw(report.host, undefined, () => root.spanId)

  const outcome = events.findLast((event) => event.type === "outcome")
  const moments = [
    ...events.flatMap((event) => measured.at(event) ?? []),
    ...report.host.flatMap(({ begin, end }) => [begin, end]),
    ...report.vms.flatMap(({ bars }) => bars.flatMap(({ begin, end }) => [begin, end]))
  ]
  const ended = outcome === undefined ? undefined : measured.at(outcome)
  const whole = (() => {
    if (report.result === "upgraded" || report.result === "dry-run") return wentWell
    const { attributes } = failure(outcome?.type === "outcome" ? outcome.detail : undefined, report.message)
    return { status: { code: 2, message: report.message } as const, attributes }
  })()
  const jump = StepEvents.find(steps, "jump", "started")
  const top = span({
    id: root.spanId,
    parent: caller?.spanId,
    name: "live update",
    begin: Math.min(...moments),
    end: Math.max(...moments, ended ?? Number.NEGATIVE_INFINITY),
    attributes: {
      "liveupdate.result": report.result,
      ...(report.from === undefined ? {} : { "liveupdate.kernel.from": report.from }),
      ...(report.to === undefined ? {} : { "liveupdate.kernel.to": report.to }),
      "liveupdate.clock.uncertainty_ms": report.uncertainty,
      ...attributesOf(jump?.detail),
      ...whole.attributes
    },
    status: whole.status
  })

  const spans = [top, ...hosts, ...vms]
  const resource = (after: boolean): OtlpResource.Resource => {
    const release = after ? report.to : report.from
    const boot = after ? steps.find(({ step }) => step === "boot")?.boot : events[0]?.boot
    return OtlpResource.make({
      serviceName: "liveupdate-agent",
      serviceVersion: host.version,
      attributes: {
        "host.name": host.name,
        ...(host.id === undefined ? {} : { "host.id": host.id }),
        "os.type": "linux",
        ...(release === undefined ? {} : { "liveupdate.kernel.release": release }),
        ...(boot === undefined ? {} : { "service.instance.id": boot })
      }
    })
  }
  return {
    resourceSpans: [false, true].flatMap((after) => {
      const ours = spans.filter((one) => one.after === after).map(({ span }) => span)
      return ours.length === 0
        ? []
        : [
            {
              resource: resource(after),
              scopeSpans: [{ scope: { name: "@liveupdate/agent", version: host.version }, spans: ours }]
            }
          ]
    })
  }
}
