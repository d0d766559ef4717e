"""The look of the HTML reports: light, dark and on paper. Nothing is fetched; fonts are the reader's own."""

_LIGHT = """
  --paper: #ffffff; --raised: #f6f7f9; --ink: #1b1f24; --soft: #5b6470; --faint: #c3c9d1; --grid: #e6e9ed;
  --link: #0b5cad; --good: #0f6b3d; --bad: #a8321f; --right: #1f6fb4; --wrong: #c8542b; --on: #ffffff;
  --s1: #1257a0; --s2: #c4500a; --s3: #167a4a; --s4: #8a3fa0; --s5: #a06c00; --s6: #b3235f; --s7: #3b7f8c;
  --s8: #6b6f76;
"""
_DARK = """
  --paper: #14171b; --raised: #1c2026; --ink: #e6e9ed; --soft: #a2abb7; --faint: #4a525d; --grid: #2b3038;
  --link: #7fb8f0; --good: #6fd19b; --bad: #f0917f; --right: #4d9be0; --wrong: #e07a50; --on: #0d0f12;
  --s1: #6db1f2; --s2: #f0975c; --s3: #6bcf98; --s4: #cf96e3; --s5: #e0b44e; --s6: #f085b2; --s7: #7cc7d4;
  --s8: #a9afb8;
"""

STYLE = (
    ":root { color-scheme: light dark;"
    + _LIGHT
    + "}\n@media screen and (prefers-color-scheme: dark) { :root {"
    + _DARK
    + "} }\n"
    + """
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 80rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 2.5rem 0 1rem; }
h2 { font-size: 1.35rem; margin: 2.8rem 0 .8rem; padding-top: .8rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .6rem; }
p, ul { max-width: 46rem; }
li { margin: .2rem 0; }
a { color: var(--link); }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
p code, li code { overflow-wrap: anywhere; }
nav { background: var(--raised); border-radius: .5rem; padding: .9rem 1.2rem; margin: 1.5rem 0; }
nav ul { list-style: none; margin: 0; padding: 0; max-width: none; columns: 18rem; }
nav li { break-inside: avoid; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { background: var(--raised); border-radius: .5rem; padding: .7rem 1rem; min-width: 9.5rem; }
.tile b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; margin: .8rem 0 1.2rem; border: 1px solid var(--grid); border-radius: .4rem; }
table {
  border-collapse: separate; border-spacing: 0; min-width: 100%;
  font-size: .86rem; font-variant-numeric: tabular-nums;
}
th, td { padding: .32rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
th { background: var(--raised); font-weight: 600; vertical-align: bottom; }
td { white-space: nowrap; }
td.words { white-space: normal; min-width: 14rem; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
th:first-child { background: var(--raised); }
tr:last-child td { border-bottom: 0; }
td.good { color: var(--good); font-weight: 600; }
td.bad { color: var(--bad); font-weight: 600; }
figure { margin: 1.2rem 0; }
figure svg { max-width: 100%; height: auto; }
figure img { max-width: 100%; height: auto; border: 1px solid var(--grid); border-radius: .3rem; }
figcaption { color: var(--soft); font-size: .88rem; max-width: 46rem; margin-top: .3rem; }
.side-by-side {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 0 2rem;
}
.side-by-side .broad { grid-column: 1 / -1; }
svg text { fill: var(--ink); font-size: 13px; }
svg .soft { fill: var(--soft); }
svg .tiny { font-size: 11px; fill: var(--soft); }
svg .on { fill: var(--on); }
svg polyline { fill: none; }
svg .grid { stroke: var(--grid); }
svg .frame { stroke: var(--faint); }
svg .faint { stroke: var(--faint); stroke-dasharray: 4 4; }
svg .line { stroke-width: 2; }
svg .dot { stroke: var(--paper); stroke-width: 1.5; }
svg .cell { fill: var(--raised); }
svg .right { fill: var(--right); }
svg .wrong { fill: var(--wrong); }
"""
    + "\n".join(
        f"svg .line.s{n} {{ stroke: var(--s{n}); }} svg .dot.s{n} {{ fill: var(--s{n}); }}"
        for n in range(1, 9)
    )
    + """
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  .side-by-side { grid-template-columns: 1fr 1fr; gap: 0 1rem; }
  h1, h2, h3 { break-after: avoid; }
  figure, .tile, tr { break-inside: avoid; }
  .wide { overflow: visible; border: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: .15rem .3rem; }
  td { white-space: normal; }
  th:first-child, td:first-child { position: static; }
  a { color: inherit; text-decoration: none; }
  @page { size: A4 landscape; margin: 14mm; }
}
"""
)
