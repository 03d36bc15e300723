#!/usr/bin/env python3
"""Whether a breach costs the same however many there are: growth.py [--breaches N] [--masters M] [--rows R] [--data FILE] [--out FOLDER] [--draw]

Measures the CPU of a breach against how many breaches wait (10^3 .. N), how many masters are polled (1 .. M) and how many rows
the archive has (10^3 .. R), keeps the figures in FILE and draws growth-*.svg from it; --draw only draws. Build the preset
"bench" first; all of it takes about half an hour and 3 GB of disk."""
import argparse
import json
import math
import pathlib
import subprocess

import way

HERE = pathlib.Path(__file__).resolve().parent


def powers(first, last):
    value = first
    while value <= last:
        yield value
        value *= 10


def measure_breaches(most):
    for n in powers(1000, most):
        # Of few breaches the clock's ticks are too coarse, so several runs are added up.
        runs = [way.backlog(n) for _ in range(max(1, min(10, 20_000 // n)))]
        yield {"x": n, "backlog": sum(r["cpu_us"] for r in runs) / len(runs), "peak_mib": max(r["peak_mib"] for r in runs)}


def measure_masters(most):
    for n in powers(1, most):
        # As many in each master's answer, so that an answer's fixed cost (a commit, a cursor) does not look like the masters'.
        r = way.news(n, 1000)
        yield {"x": n, "news": r["cpu_us"], "peak_mib": r["peak_mib"], "breaches": r["breaches"]}


def measure_rows(most, size):
    folder = way.Folder("dtbridge-bench-")
    try:
        process = subprocess.Popen([way.BUILD / "bench-archive", folder.path, str(most), str(size)], stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            r = json.loads(line)
            yield {"x": r["rows"], "append": r["append_us"], "read on": r["read_us"], "look up known": r["known_us"],
                   "look up new": r["unknown_us"], "peak_mib": r["peak_mib"], "disk_mib": r["disk_mib"]}
        if process.wait() != 0:
            raise SystemExit("bench-archive failed")
    finally:
        folder.close()


COLOURS = ("#1b6ca8", "#c0562f", "#3d8b4f", "#7a4fa3")


def plot(title, under, series, y_title):
    """An SVG: x logarithmic, y from 0. series: {name: [(x, y)]}."""
    width, height, left, right, top, bottom = 640, 360, 62, 130, 44, 52
    points = [p for line in series.values() for p in line]
    x_low, x_high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    x_high = max(x_high, x_low + 1e-9)
    y_high = max(y for _, y in points) * 1.15 or 1
    step = 10 ** math.floor(math.log10(y_high / 4))
    step *= next(m for m in (1, 2, 5, 10) if y_high / (step * m) <= 6)

    def at(x, y):
        return (left + (math.log10(x) - x_low) / (x_high - x_low) * (width - left - right),
                height - bottom - y / y_high * (height - top - bottom))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#333">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="24" font-size="15">{title}</text>']
    y = 0.0
    while y <= y_high:
        _, py = at(10 ** x_low, y)
        out.append(f'<path d="M{left} {py:.1f}H{width - right}" stroke="#e3e3e3"/><text x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>')
        y += step
    for x in powers(10 ** math.ceil(x_low - 1e-9), 10 ** x_high * 1.001):
        px, py = at(x, 0)
        label = f"{x:g}" if x < 10_000 else f'10<tspan dy="-5" font-size="9">{round(math.log10(x))}</tspan>'
        out.append(f'<path d="M{px:.1f} {py}v5" stroke="#888"/><text x="{px:.1f}" y="{py + 19}" text-anchor="middle">{label}</text>')
    ends = []
    for (name, line), colour in zip(series.items(), COLOURS):
        d = "".join(f"{'L' if i else 'M'}{at(*p)[0]:.1f} {at(*p)[1]:.1f}" for i, p in enumerate(line))
        out.append(f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at(*p)[0]:.1f}" cy="{at(*p)[1]:.1f}" r="3.2" fill="{colour}"><title>{name}: {p[1]:.2f} at {p[0]:,}</title></circle>'
                for p in line]
        ends.append([at(*line[-1])[1] + 4, name, line[-1][1], colour])
    ends.sort()
    for lower, upper in zip(ends, ends[1:]):
        upper[0] = max(upper[0], lower[0] + 14)
    out += [f'<text x="{width - right + 10}" y="{y:.1f}" fill="{colour}">{name} {value:.1f}</text>' for y, name, value, colour in ends]
    out += [f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">{under}</text>',
            f'<text transform="translate(16 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">{y_title}</text>', "</svg>"]
    return "\n".join(out) + "\n"


def draw(data, folder):
    def line(rows, key):
        return [(r["x"], r[key]) for r in rows]
    us = "CPU, us a breach"
    plots = {}
    if rows := data.get("breaches"):
        plots["breaches"] = plot("CPU per breach against the backlog", "breaches that wait at one master", {"whole way": line(rows, "backlog")}, us)
        plots["memory"] = plot("Peak memory against the backlog", "breaches that wait at one master", {"bridge": line(rows, "peak_mib")}, "MiB")
    if rows := data.get("masters"):
        plots["masters"] = plot("CPU per breach against masters", "masters at one bridge, each with 1,000 new breaches", {"whole way": line(rows, "news")}, us)
    if rows := data.get("rows"):
        plots["archive"] = plot("CPU per breach against the archive", "breaches in the archive",
                                {k: line(rows, k) for k in ("append", "read on", "look up known", "look up new")}, us)
    for name, text in plots.items():
        (folder / f"growth-{name}.svg").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--breaches", type=int, default=1_000_000)
    parser.add_argument("--masters", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--row-bytes", type=int, default=2000)
    parser.add_argument("--data", type=pathlib.Path, default=HERE / "growth.json")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--part", nargs="*", default=["breaches", "masters", "rows"])
    parser.add_argument("--draw", action="store_true")
    args = parser.parse_args()
    data = json.loads(args.data.read_text()) if args.data.exists() else {}
    if not args.draw:
        data["machine"] = way.yardstick()["machine"]
        for part, rows in (("breaches", lambda: measure_breaches(args.breaches)), ("masters", lambda: measure_masters(args.masters)),
                           ("rows", lambda: measure_rows(args.rows, args.row_bytes))):
            if part not in args.part:
                continue
            data[part] = []
            for row in rows():
                print(part, json.dumps(row), flush=True)
                data[part].append(row)
                args.data.write_text(json.dumps(data, indent=1) + "\n")
    draw(data, args.out)


if __name__ == "__main__":
    main()
