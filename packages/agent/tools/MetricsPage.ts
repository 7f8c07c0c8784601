/**
 * docs/metrics.md: every series, from the table that they are made of.
 */
import * as Series from "../src/metrics/Series.ts"

const labelsOf = ({ labels }: Series.Series): string =>
  Object.entries(labels)
    .map(([name, { what }]) => `\`${name}\`: ${what}`)
    .join("<br>")

const row = (series: Series.Series): string =>
  `| \`${series.name}\` | ${series.type} | ${series.help}${
    series.when === undefined ? "" : ` From when ${series.when}.`
  } | ${labelsOf(series)} |`

const buckets = Series.all
  .filter((series) => series.buckets !== undefined)
  .map((series) => `- \`${series.name}\`: ${series.buckets?.join(", ")} s`)

export const text = `<!-- Made by packages/agent/tools from packages/agent/src/metrics/Series.ts: npm run docs -->

# Metrics and traces

What others are told of a host's live updates: Prometheus, by a file or over HTTP, and a collector of OpenTelemetry traces. None of it is loaded, and nobody
waits for it, while guests stand still.

## Who tells, and when

Where \`metrics.textfile\` or \`traces.endpoint\` is set, or \`liveupdate-metrics.service\` enabled: when a run has come to its result, the agent leaves an empty file of the run's name in \`/var/lib/liveupdate/unpublished\`: before the jump when
everything was undone, after it when the guests run. \`liveupdate-publish.path\` sees that and starts \`liveupdate-publish.service\`, a process of its own
with the lowest priority: \`agent publish\`

1. counts what is new, and remembers it in \`/var/lib/liveupdate/metrics.json\`
2. writes the textfile, if \`metrics.textfile\` is set
3. sends the run's trace, if \`traces.endpoint\` is set
4. takes the file away.

A collector that doesn't answer is asked again after 10 s, and later more seldom, up to once an hour; over a reboot, too. Without systemd, or
without the unit, call \`agent publish\` from whatever calls things: it does what there is to do, and nothing twice.

\`\`\`toml
[metrics]
textfile = "/var/lib/prometheus/node-exporter/liveupdate.prom"   # Debian's place for it
listen = "127.0.0.1:9842"                                         # of agent serve-metrics; the default

[traces]
endpoint = "http://localhost:4318"
\`\`\`

The unit may write in \`/var/lib/liveupdate\` and in Debian's directory of textfiles. Another one is added by
\`systemctl edit liveupdate-publish.service\`: \`[Service]\`, \`ReadWritePaths=/srv/textfiles\`.

## Metrics

Three ways to the same text, in Prometheus' text format 0.0.4:

- **Textfile**, for node-exporter's textfile collector (\`--collector.textfile.directory\`): nothing has to run. The file (mode 0644) is replaced whole, so
  nobody reads half of it. \`agent metrics --textfile PATH\` writes one at any time. What it says of VMs now was so when it was written.
- **HTTP**: \`agent serve-metrics\` answers \`/metrics\`, and 404 to all else. \`systemctl enable --now liveupdate-metrics\` starts it; the preset doesn't, as it opens
  a port: on 127.0.0.1 unless \`metrics.listen\` says otherwise. An address that is taken is exit code 5. There is no TLS and no password: what listens on
  more than the host itself belongs behind something that has.
- **stdout**: \`agent metrics\`, with \`--host\` of a QEMU host.

\`\`\`yaml
scrape_configs:
  - job_name: liveupdate
    static_configs: [{ targets: ["host-1:9842"] }]
\`\`\`

| series | type | what | labels |
| --- | --- | --- | --- |
${Series.all.map(row).join("\n")}

Buckets:

${buckets.join("\n")}

### Counters outlive kernels

They are made of the runs' logs ([events](events.md)), of all boots. A run is counted when it has a result, and again only for what is added to its log
when a parked VM comes back. So no counter goes down while the logs are there.

Logs may be removed (\`rm -r /var/lib/liveupdate/runs/RUN\`): \`metrics.json\` has what was counted of them by the last \`agent publish\`, and the names of the
runs that are gone, so that one that is put back isn't counted twice. It has the refusals, too: a live update that is refused leaves no log.
If that file is damaged, scrapes fail and say so (exit code 5), as counters that begin anew by themselves would tell a lie; move it away to begin anew.

### Dashboard and alerts

- [packages/agent/grafana/liveupdate.json](../packages/agent/grafana/liveupdate.json): import it in Grafana (Dashboards, New, Import). It asks for the data source.
- [packages/agent/prometheus/liveupdate.rules.yml](../packages/agent/prometheus/liveupdate.rules.yml): alerts for VMs that are parked, guests that were lost, live updates
  that have no result, were undone or are refused, and long blackouts.

Tests parse every expression of both and look its series, labels and values up in the table above; rules are tested with \`promtool\`, and a real Prometheus
scrapes every series after one live update that succeeded and one that was rolled back.

## Traces

A live update is one trace, though two kernels and two processes do it. Its context ([W3C Trace Context](https://www.w3.org/TR/trace-context/)) is in the run's first event,
and goes through the jump in the manifest of the index session, with the memory. The spans are made afterwards, from the run's events, whose clocks are
joined ([report](report.md)): the second half knows nothing of OpenTelemetry.

\`\`\`sh
agent trace                                       # of the last run, OTLP in JSON
agent trace RUN --endpoint http://localhost:4318  # to a collector, OTLP over HTTP
TRACEPARENT=00-…-…-01 agent upgrade …             # the live update is a part of the caller's trace
\`\`\`

| span | parent | what |
| --- | --- | --- |
| \`live update\` | the caller's, if \`TRACEPARENT\` was set | the whole run |
| \`load-kernel\`, \`sync\`, \`jump\`, \`kernel-boot\`, … | \`live update\` | each part that is the host's ([report](report.md)) |
| \`vm\` | \`live update\` | what was done for one VM |
| \`blackout\` | \`vm\` | as long as its guest stood still; who spent it |
| \`pause\`, \`save-state\`, \`load-state\`, \`resume\`, … | \`blackout\`, or \`vm\` for what is done while the guest runs | each step |

| attribute | value |
| --- | --- |
| \`service.name\`, \`service.version\` | \`liveupdate-agent\`; of the agent |
| \`service.instance.id\` | the boot id: spans of the two kernels are of two resources |
| \`host.name\`, \`host.id\`, \`os.type\` | as OpenTelemetry's conventions have them |
| \`liveupdate.kernel.release\` | of the resource's kernel |
| \`liveupdate.run\`, \`liveupdate.vm.id\`, \`liveupdate.who\` | the run, the VM, who was at work: \`kernel\`, \`vmm\`, \`ours\` |
| \`liveupdate.result\`, \`liveupdate.kernel.from\`, \`liveupdate.kernel.to\` | of the whole run; \`liveupdate.clock.uncertainty_ms\`: how far times of one kernel may be off against the other's |
| \`error.type\` | the error's tag, of what failed; \`liveupdate.operation\` and \`liveupdate.errno\` where it has them |
| \`liveupdate.…\` | what a step has to say of itself ([events](events.md)), such as \`liveupdate.memory_bytes\` |

Ids follow from the run, so a run that is sent twice is the same trace. One whose VMs were parked is sent again when they came back. A run that was undone before it read
the real-time clock begins at the time in its name.
`
