#pragma once

#include <string_view>

namespace dtbridge::tune
{

/// The page's only style: wide screens and phones, light and dark, print.
inline constexpr std::string_view html_style = R"css(
:root { --back: #f6f7f9; --paper: #fff; --ink: #1b2430; --soft: #5b6675; --line: #dfe4ea; --solid: #1f6feb; --faint: #b9cdf0;
  --limit: #d1242f; --tick: #b35900; --plus: #1a7f37; --minus: #b42318; }
@media (prefers-color-scheme: dark) { :root { --back: #0e1319; --paper: #171e27; --ink: #e4e9f0; --soft: #9aa6b5; --line: #2b3542;
  --solid: #5c9dff; --faint: #34506f; --limit: #ff7b72; --tick: #f0a04b; --plus: #56d364; --minus: #ff8f86; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 8px; font-weight: 650; }
header p, section > p { margin: 0 0 12px; color: var(--soft); overflow-wrap: anywhere; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .92em; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 16px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 12px; background: none; border: 0; padding: 0; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.card h2 { font-size: .82rem; color: var(--soft); font-weight: 600; margin: 0; }
.card p { margin: 0; color: var(--soft); font-size: .82rem; }
.card .big { font-size: 1.6rem; line-height: 1.3; font-weight: 650; color: var(--ink); font-variant-numeric: tabular-nums; }
.lead { border-left: 4px solid var(--solid); }
.note { border-left: 4px solid var(--tick); padding: 8px 12px; background: var(--paper); border-radius: 6px; margin: 12px 0; }
.chart { display: flex; gap: 8px; }
.scale { display: flex; flex-direction: column; justify-content: space-between; height: 160px; text-align: right; }
.scale span, .dates span { color: var(--soft); font-size: .78rem; font-variant-numeric: tabular-nums; line-height: 1; }
.area { flex: 1; min-width: 0; }
.dates { display: flex; justify-content: space-between; padding-top: 6px; }
svg { display: block; }
.plot { width: 100%; height: 160px; }
.scores { width: 200px; height: 40px; }
.solid { fill: var(--solid); } .faint { fill: var(--faint); } .hit { fill: transparent; }
.grid, .axis { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.limit { stroke: var(--limit); stroke-width: 2; vector-effect: non-scaling-stroke; }
.tick { stroke: var(--tick); stroke-width: 2; vector-effect: non-scaling-stroke; }
.key { font-size: .82rem; color: var(--soft); margin: 8px 0; }
.key span { white-space: nowrap; } .key i { display: inline-block; width: 12px; height: 10px; margin: 0 3px 0 8px; vertical-align: -1px; }
.k-solid { background: var(--solid); } .k-faint { background: var(--faint); }
.key .k-limit { background: var(--limit); width: 2px; height: 12px; } .key .k-tick { background: var(--tick); height: 2px; vertical-align: 3px; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 6px 8px; border-top: 1px solid var(--line); text-align: left; vertical-align: middle; font-weight: 400; }
thead th { border-top: 0; color: var(--soft); font-size: .8rem; font-weight: 600; vertical-align: bottom; }
tbody th { overflow-wrap: anywhere; } tbody th small { display: block; color: var(--soft); font-size: .78rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .n { white-space: normal; }
.models td.s, .models thead th:last-child { width: 216px; padding-right: 0; }
td.wide, th.wide { width: 30%; }
.zero { color: var(--soft); } .plus { color: var(--plus); } .minus { color: var(--minus); }
.bar { display: block; height: 10px; background: var(--line); border-radius: 5px; overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--solid); }
.plain { list-style: none; margin: 0; padding: 0; } .plain li { display: flex; padding: 4px 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.plain .n { flex: none; min-width: 6.5em; padding-right: 8px; } .plain bdi { min-width: 0; }
.more { margin: 8px 0 0; } footer { color: var(--soft); font-size: .82rem; }
@media (max-width: 720px) {
  main { padding: 14px 12px 28px; } section { padding: 14px 12px; } .cards { padding: 0; grid-template-columns: 1fr 1fr; }
  .middle { display: none; }
  thead { display: none; } table, tbody { display: block; }
  tbody tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px 10px; padding: 10px 0; border-top: 1px solid var(--line); }
  tbody th { grid-column: 1 / -1; font-weight: 600; } tbody th small { font-weight: 400; }
  tbody th, tbody td { border: 0; padding: 0; }
  tbody td.n { text-align: left; } tbody td[data-l]::before { content: attr(data-l); display: block; color: var(--soft); font-size: .74rem; }
  .models td.s { grid-column: 1 / -1; width: auto; } td.wide { grid-column: 1 / -1; width: auto; padding-top: 4px; } .scores { width: 100%; }
}
@media print { body { background: #fff; } section, .card { break-inside: avoid; } .models { break-inside: auto; } tr { break-inside: avoid; } }
)css";

}  // namespace dtbridge::tune
