"""What a report's page has beside the style of a comparison's: the marks of its curve, its tables, paper."""

MORE = """
:root { --good: #00714f; --bad: #ad4a00; }
@media (prefers-color-scheme: dark) { :root { --good: var(--c2); --bad: var(--c1); } }
body { max-width: 70rem; }
h3 { margin-top: 1.2rem; }
table { min-width: 0; }
th.w, td.w { text-align: left; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; max-width: 34rem; }
td:first-child { padding-left: 0; }
td { vertical-align: top; }
td.plot, th.plot { min-width: 12rem; width: 12rem; }
pre { max-height: 30rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.ins { color: var(--good); } .del { color: var(--bad); } .at { color: var(--soft); }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .87rem; border-top: 1px solid var(--edge); }
.legend { list-style: none; padding: 0; margin: .2rem 0; display: flex; flex-wrap: wrap; gap: .1rem 1.3rem;
  font-size: .87rem; }
.key { display: inline-block; width: 1.9em; height: 14px; margin-right: .4em; vertical-align: -.15em; }
.mark { white-space: nowrap; color: var(--soft); }
.mark::before { content: "○ "; }
.mark.kept { color: var(--good); }
.mark.kept::before { content: "● "; }
.mark.failed { color: var(--bad); }
.mark.failed::before { content: "× "; }
polyline.best { stroke: var(--ink); stroke-width: 2; }
line.best { stroke: var(--ink); }
polygon.band, .bandkey { fill: var(--soft); fill-opacity: .2; stroke: none; }
.arm.challenger { stroke: var(--c0); stroke-width: 1.6; }
.arm.control { stroke: var(--c1); stroke-width: 1.6; stroke-dasharray: 5 3; }
.point.discarded { fill: var(--soft); fill-opacity: .45; }
.point.beyond { fill: none; stroke: var(--soft); }
.point.kept { fill: var(--c2); stroke: var(--ground); stroke-width: 1; }
.point.failed { fill: var(--c1); }
line.event { stroke: var(--c3); stroke-width: 1; stroke-dasharray: 2 2; }
line.event.gone { stroke: var(--c5); }
text.come { fill: var(--c3); } text.gone { fill: var(--c5); }
@media print {
  :root { color-scheme: light; --ground: #ffffff; --ink: #000000; --soft: #4a525a; --edge: #c4cad1; --grid: #e0e4e8;
    --panel: #ffffff; --c0: #0072b2; --c1: #d55e00; --c2: #008f67; --c3: #b8588f; --c4: #2d9bd6; --c5: #b97800;
    --good: #00714f; --bad: #ad4a00; }
  body { font-size: 9.5pt; max-width: none; padding: 0; }
  nav { display: none; }
  pre { max-height: none; overflow: visible; font-size: 7.5pt; }
  h2, h3 { break-after: avoid; } figure, tr { break-inside: avoid; }
  table { font-size: 8pt; } td, th, th.w, td.w { padding: .15rem .3rem; white-space: normal; }
  td.long { min-width: 7rem; } td.plot, th.plot { min-width: 7rem; width: 7rem; }
}
@page { margin: 16mm; }
""".strip()
