"""The style of all pages: of a comparison, of a run's report, of the dashboard.

`STYLE` is the ground of all, `RUN` what pages of a run have beside, `PAPER` comes last: paper is light.

The reference has the colour of the text. The other arms have six colours that people with the common kinds of colour
blindness tell apart (after M. Okabe and K. Ito, "Color universal design", 2008, without yellow, and lighter on dark
ground), and dashes beside, which repeat with another period than the colours.
"""

COLOURS, DASHES = 6, 5  # together thirty kinds

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1b1f24; --soft: #59636e; --edge: #d5dae0; --grid: #e6e9ed;
  --panel: #f5f7f9; --c0: #0072b2; --c1: #d55e00; --c2: #008f67; --c3: #b8588f; --c4: #2d9bd6; --c5: #b97800;
  --good: #00714f; --bad: #ad4a00; --come: #a2467b; --gone: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --ink: #e8ebee; --soft: #a2abb5; --edge: #3a424b; --grid: #2a3038; --panel: #1d2228;
    --c0: #5aa7ec; --c1: #f58b4c; --c2: #2fc99f; --c3: #e59cc6; --c4: #9bdcff; --c5: #efbb46; --good: var(--c2);
    --bad: var(--c1); --come: var(--c3); --gone: var(--c5); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 74rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; line-height: 1.35; margin: 2.2rem 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
p, li, dd { max-width: 48rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; }
.soft, figcaption { color: var(--soft); }
figcaption { font-size: .87rem; max-width: 48rem; }
figure { margin: .5rem 0 1rem; }
code, pre { font: .87em/1.45 ui-monospace, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--edge); padding: .7rem; overflow-x: auto; }
.ins { color: var(--good); } .del { color: var(--bad); } .at { color: var(--soft); }
a { color: inherit; }
:focus-visible { outline: 3px solid var(--c0); outline-offset: 2px; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .87rem; }
.short { border: 1px solid var(--edge); border-radius: 6px; background: var(--panel); padding: .6rem 1rem;
  margin: 1rem 0; }
.short ul { margin: .2rem 0; padding-left: 1.1rem; }
.claim { border-left: 4px solid var(--soft); padding-left: .7rem; margin: .5rem 0; }
.claim.yes { border-color: var(--c2); }
.arms { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; margin: .4rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { text-align: right; padding: .22rem .5rem; border-bottom: 1px solid var(--grid); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; border-color: var(--edge); }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 600; }
td:last-child, th:last-child { padding-right: 0; }
.plot { width: 100%; padding: 0 .6rem; }
.plot svg { min-width: 10rem; }
svg { display: block; width: 100%; overflow: visible; }
svg.swatch { display: inline-block; width: 1.7em; vertical-align: .05em; margin-right: .4em; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem 1.6rem; }
text { fill: var(--ink); font-size: 12px; }
text.tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
text.named { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }
line, polyline { stroke: var(--k, var(--ink)); stroke-width: 2; fill: none; vector-effect: non-scaling-stroke; }
line.grid { stroke: var(--grid); stroke-width: 1; }
line.zero { stroke: var(--soft); stroke-width: 1; }
line.axis, line.ruler { stroke: var(--ink); stroke-width: 1; }
line.lead { stroke-width: 1.3; stroke-dasharray: none; }
line.joined { stroke: var(--ink); stroke-width: 4; stroke-linecap: round; }
line.bar { stroke-dasharray: none; }
circle.dot { fill: var(--k, var(--ink)); }
polygon.band { fill: var(--k, var(--ink)); fill-opacity: .17; stroke: none; }
polyline.behind { stroke: var(--soft); stroke-width: 1; }
.k0 { --k: var(--c0); } .k1 { --k: var(--c1); } .k2 { --k: var(--c2); } .k3 { --k: var(--c3); } .k4 { --k: var(--c4); }
.k5 { --k: var(--c5); }
.d1 { stroke-dasharray: 7 3; } .d2 { stroke-dasharray: 2 3; } .d3 { stroke-dasharray: 9 3 2 3; }
.d4 { stroke-dasharray: 14 4; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; }
@media (max-width: 36rem) { body { padding-top: 1rem; } dl { display: block; } dd { margin: 0 0 .5rem; } }
""".strip()

RUN = """
table { min-width: 0; }
th.w, td.w { text-align: left; }
td:first-child { padding-left: 0; }
.legend, .names { list-style: none; padding: 0; margin: .2rem 0; display: flex; flex-wrap: wrap; gap: .1rem 1.3rem;
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
text.come { fill: var(--come); } text.gone { fill: var(--gone); }
""".strip()

PAPER = """
@media print {
  :root { color-scheme: light; --ground: #ffffff; --ink: #000000; --soft: #4a525a; --edge: #c4cad1; --grid: #e0e4e8;
    --panel: #ffffff; --c0: #0072b2; --c1: #d55e00; --c2: #008f67; --c3: #b8588f; --c4: #2d9bd6; --c5: #b97800;
    --good: #00714f; --bad: #ad4a00; --come: #a2467b; --gone: #8a5a00; }
  body { font-size: 9.5pt; max-width: none; padding: 0; }
  nav { display: none; }
  .scroll { overflow: visible; }
  pre { max-height: none; overflow: visible; font-size: 7.5pt; white-space: pre-wrap; overflow-wrap: anywhere; }
  h2, h3 { break-after: avoid; } figure, tr { break-inside: avoid; }
  table { font-size: 8pt; } td, th, th.w, td.w { padding: .15rem .3rem; white-space: normal; }
  summary { display: none; }
  details::details-content { content-visibility: visible; }
}
@page { margin: 16mm; }
""".strip()


def kind(place: int | None) -> str:
    """The class of an arm: of the reference (None), or by its place among the others."""
    return "" if place is None else f"k{place % COLOURS} d{place % DASHES}"
