/**
 * How reports look, in dark and in light. No colour alone says anything: whose a bar is says its lane, too.
 *
 * @since 0.1.0
 */

// The text on each colour has a contrast of 4.5 to 1 or more; the three colours can be told apart with any colour vision.
const light = `
  --page: #ffffff; --text: #1c2128; --muted: #59636e; --line: #d8dee4; --shade: #eef1f5; --edge: #8c959f;
  --kernel: #0b62a8; --on-kernel: #ffffff;
  --vmm: #e8a317; --on-vmm: #1c1400;
  --ours: #00795c; --on-ours: #ffffff;
  --failed: #c62828;`

const dark = `
  --page: #0f1419; --text: #e6edf3; --muted: #9aa7b4; --line: #2a323b; --shade: #1b232c; --edge: #6b7683;
  --kernel: #5cb0f2; --on-kernel: #06131f;
  --vmm: #f0b541; --on-vmm: #1c1400;
  --ours: #2fbf93; --on-ours: #03150f;
  --failed: #ff7b72;`

/**
 * Of the picture, in a page or by itself.
 *
 * @since 0.1.0
 * @category constants
 */
export const picture = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
.picture { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
.picture text { fill: var(--text); }
.picture .page { fill: var(--page); }
.picture .title { font-size: 17px; font-weight: 600; }
.picture .name { font-size: 13px; font-weight: 600; }
.picture text.muted { fill: var(--muted); }
.picture .small { font-size: 11px; }
.picture .middle { text-anchor: middle; }
.picture .end { text-anchor: end; }
.picture .grid { stroke: var(--line); }
.picture .zero { stroke: var(--edge); }
.picture .jump { stroke: var(--kernel); stroke-dasharray: 4 3; }
.picture .blackout { fill: var(--shade); }
.picture .edge { stroke: var(--edge); stroke-width: 1.5; }
.picture .kernel rect { fill: var(--kernel); } .picture .kernel text { fill: var(--on-kernel); }
.picture .vmm rect { fill: var(--vmm); } .picture .vmm text { fill: var(--on-vmm); }
.picture .ours rect { fill: var(--ours); } .picture .ours text { fill: var(--on-ours); }
.picture .failed rect { fill: none; stroke: var(--failed); stroke-width: 1.5; stroke-dasharray: 3 2; }
.picture .failed text { fill: var(--failed); }
.picture .bar:hover rect { stroke: var(--text); stroke-width: 2; }
.picture .bar text { pointer-events: none; }
.picture .bar text.tip { display: none; fill: var(--text); }
.picture .bar:hover text.tip { display: inline; }
.picture .tip, .picture .headline { paint-order: stroke; stroke: var(--page); stroke-width: 5px; stroke-linejoin: round; }
.picture .group:has(.bar:hover) .headline { visibility: hidden; }
`

/**
 * Of the page around it.
 *
 * @since 0.1.0
 * @category constants
 */
export const page = `
body { margin: 0; background: var(--page); color: var(--text); font: 14px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p { margin: 4px 0; max-width: 75ch; } .muted { color: var(--muted); }
figure { margin: 20px 0 0; overflow-x: auto; } figure svg { display: block; width: 100%; min-width: 820px; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 18px 3px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; } tbody th { font-weight: 500; }
th.text, td.text { text-align: left; }
tbody.vm tr:first-child > * { border-top: 2px solid var(--edge); } tbody.vm th[scope="rowgroup"] { vertical-align: top; font-weight: 600; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 7px; }
.swatch.kernel { background: var(--kernel); } .swatch.vmm { background: var(--vmm); } .swatch.ours { background: var(--ours); }
.failed { color: var(--failed); }
@media print { main { max-width: none; padding: 0; } figure svg { min-width: 0; } }
`
