#!/usr/bin/env python3
"""Draws what the simulated bridges did over time: plot.py SIMULATION|FIGURES.json [--out FOLDER]

SIMULATION is the built program (build/release/cluster-simulation), which is run with a hundred bridges and ten thousand masters;
FIGURES.json is what it wrote with --out. Writes scaling-simulation.svg, and prints the table of docs/scaling.md."""
import argparse
import json
import math
import pathlib
import subprocess
import tempfile

COLOURS = ("#1b6ca8", "#c0562f", "#3d8b4f")
WIDTH, LEFT, RIGHT, TOP, HEIGHT, SPACE = 900, 62, 140, 64, 118, 34


def figures_of(source):
    if source.suffix == ".json":
        return json.loads(source.read_text())
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "figures.json"
        subprocess.run([source, "--out", out], check=True)
        return json.loads(out.read_text())


def ticks(most):
    step = 10 ** math.floor(math.log10(most / 3))
    step *= next(m for m in (1, 2, 5, 10) if most / (step * m) <= 4)
    return [step * i for i in range(int(most / step) + 1)]


def draw(data):
    seconds, phases = data["every_second"], data["phases"]
    longest = data["seconds"]

    def x_of(t):
        return LEFT + t / longest * (WIDTH - LEFT - RIGHT)
    panels = (
        ("masters a bridge", {"most": "max", "median": "median", "least": "min"}),
        ("longest without owner, s", {"stalest": "stalest"}),
        ("leases a second", {"handed over": "handed_over", "taken over": "takeovers"}),
        ("statements a second", {"database": "statements"}),
    )
    bottom = TOP + len(panels) * (HEIGHT + SPACE)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" font-family="sans-serif" font-size="12" fill="#333">',
           f'<rect width="{WIDTH}" height="{bottom + 24}" fill="#fff"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{data["bridges"]} bridges with {data["masters"]:,} masters, and what was done to them</text>']
    for number, phase in enumerate(phases, 1):
        x = x_of(phase["t"])
        out.append(f'<path d="M{x:.1f} {TOP - 16}V{bottom - SPACE}" stroke="#bbb" stroke-dasharray="2 3"/>'
                   f'<text x="{x + 2:.1f}" y="{TOP - 8}" font-size="11">{number}<title>{phase["what"]}</title></text>')
    for place, (title, lines) in enumerate(panels):
        top = TOP + place * (HEIGHT + SPACE)
        most = max(max(row[key] for row in seconds) for key in lines.values()) * 1.08 or 1

        def y_of(value):
            return top + HEIGHT - value / most * HEIGHT
        out.append(f'<text transform="translate(14 {top + HEIGHT / 2}) rotate(-90)" text-anchor="middle">{title}</text>')
        for value in ticks(most):
            y = y_of(value)
            out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e3e3e3"/>'
                       f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for nth, ((name, key), colour) in enumerate(zip(lines.items(), COLOURS)):
            points = [(row["t"], row[key]) for row in seconds]
            # A value that does not change needs no point of its own.
            kept = [p for i, p in enumerate(points)
                    if i in (0, len(points) - 1) or not points[i - 1][1] == p[1] == points[i + 1][1]]
            path = "".join(f"{'L' if i else 'M'}{x_of(t):.1f} {y_of(v):.1f}" for i, (t, v) in enumerate(kept))
            out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
                       f'<text x="{WIDTH - RIGHT + 10}" y="{top + 14 + 16 * nth}" fill="{colour}">{name}</text>')
    for minute in range(0, int(longest / 60) + 1, 5):
        out.append(f'<text x="{x_of(minute * 60):.1f}" y="{bottom - SPACE + 18}" text-anchor="middle">{minute}</text>')
    out += [f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{bottom + 10}" text-anchor="middle">minutes</text>', "</svg>"]
    return "\n".join(out) + "\n"


def table(data):
    print("| | what was done | taken over | handed over | longest a master was without owner |")
    print("| --- | --- | --- | --- | --- |")
    for number, p in enumerate(data["phases"], 1):
        gap = f'{p["longest_gap"]:.1f} s' if p["gaps"] else "–"
        print(f'| {number} | {p["what"]} | {p["takeovers"]:,} | {p["handed_over"]:,} | {gap} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent.parent / "docs")
    args = parser.parse_args()
    data = figures_of(args.source)
    (args.out / "scaling-simulation.svg").write_text(draw(data))
    table(data)


if __name__ == "__main__":
    main()
