#!/usr/bin/env python3
"""What the whole way costs, from the masters' answers to the collector's socket: end_to_end.py [--breaches N] [--masters M] [--part P ..]

Prints breaches per CPU second of the bridge alone, latency, peak memory and CPU while idle, and the ratio to parsing the same
breaches once. README.md says how to read it; build the preset "bench" first."""
import argparse
import json

import way

ROWS = {
    "tcp-cef": dict(transport="tcp", form="cef"),
    "tcp-leef": dict(transport="tcp", form="leef"),
    "tcp-json": dict(transport="tcp", form="json"),
    "tls-cef": dict(transport="tls", form="cef", master_tls=True),
    "tcp-cef-gzip": dict(transport="tcp", form="cef", gzip=True),
}


def median_of(runs):
    return sorted(runs, key=lambda r: r["cpu_us"])[len(runs) // 2]


def throughput(breaches, repetitions, names):
    """Every row with the yardstick measured before and after it."""
    out = {}
    for name in names:
        before = way.yardstick()
        row = median_of([way.backlog(breaches, **ROWS[name]) for _ in range(repetitions)])
        after = way.yardstick()
        for which in ("boost_json", "simdjson"):
            row["us_" + which] = (before[which] + after[which]) / 2
            row[which] = row["cpu_us"] / row["us_" + which]
        out[name] = row
    return out


def beside(breaches, repetitions, masters):
    """The archive in SQLite and in PostgreSQL, one after the other in the same run."""
    out = {}
    for name, where in (("SQLite", False), ("PostgreSQL", True)):
        runs = [way.archive_way(breaches, database=where) for _ in range(repetitions)]
        out[name] = {part: sorted((r[part] for r in runs), key=lambda r: r["cpu"])[len(runs) // 2] for part in ("append", "read_on")}
        out[name]["rest"] = way.at_rest(masters, database=where)
    return out


def print_beside(breaches, said):
    print(f"\n{breaches} breaches of {way.SIZE} bytes from one master through the archive to a collector, medians; then from the archive alone\n"
          f"{'archive':<12} {'part':<8} {'breaches/s':>11} {'us CPU':>7} {'server us':>10} {'statements':>11} {'transactions':>13} {'WAL bytes':>10}   "
          "the last three a breach")
    for name, parts in said.items():
        for part in ("append", "read_on"):
            r = parts[part]
            server = [f"{r['server_cpu'] * 1e6 / breaches:10.1f} {r['server_statements'] / breaches:11.4f} "
                      f"{r['server_transactions'] / breaches:13.4f} {r['server_wal'] / breaches:10.0f}"] if "server_cpu" in r else []
            start = [f"first message {r['start']:.2f} s after the start"] if "start" in r else []
            print(f"{name:<12} {part:<8} {breaches / r['wall']:11.0f} {r['cpu'] * 1e6 / breaches:7.1f}", *server, *start)
    for name, parts in said.items():
        r = parts["rest"]
        line = f"{name}: {r['masters']} masters without news, every 10 s: {100 * r['cpu'] / r['wall']:.2f} % of a core"
        if "server_cpu" in r:
            per_master = r["wall"] * r["masters"]
            line += (f", the server {100 * r['server_cpu'] / r['wall']:.2f} %; a master and second {r['server_statements'] / per_master:.4f} statements, "
                     f"{r['server_transactions'] / per_master:.4f} transactions, {r['server_wal'] / per_master:.1f} bytes of WAL")
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--breaches", type=int, default=50_000)
    parser.add_argument("--masters", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--part", nargs="*", default=["throughput", "latency", "idle", "masters", "fairness"])
    parser.add_argument("--row", nargs="*", default=list(ROWS), help="rows of the throughput: " + ", ".join(ROWS))
    parser.add_argument("--database", action="store_true", help="only the archive in SQLite beside one in PostgreSQL")
    parser.add_argument("--json", help="writes the figures there, too")
    args = parser.parse_args()
    said = {"machine": way.yardstick()["machine"]}
    print(f"CPU of the bridge's process alone (utime + stime); machine: {said['machine']}")
    if args.database:
        args.part = []
        said["database"] = beside(args.breaches, args.repetitions, args.masters)
        print_beside(args.breaches, said["database"])
    if "throughput" in args.part:
        rows = said["throughput"] = throughput(args.breaches, args.repetitions, args.row)
        print(f"\n{args.breaches} breaches of {way.SIZE} bytes from one master, medians of {args.repetitions}\n"
              f"{'way':<14} {'us CPU':>8} {'breaches/CPU s':>15} {'x Boost.JSON':>13} {'x simdjson':>11} {'peak MiB':>9} {'wall s':>7}")
        for name, r in rows.items():
            print(f"{name:<14} {r['cpu_us']:8.1f} {r['per_cpu_second']:15.0f} {r['boost_json']:13.2f} {r['simdjson']:11.2f} "
                  f"{r['peak_mib']:9.1f} {r['wall']:7.1f}", flush=True)
    if "latency" in args.part:
        print(f"\n{'latency':<14} {'interval':>9} {'visible to received p50':>24} {'p99 ms':>8} {'in an answer to received p50':>30} {'p99 ms':>8}")
        said["latency"] = {}
        for name, how in (("tcp", {}), ("tls", {"transport": "tls", "master_tls": True})):
            r = said["latency"][name] = way.latency(**how)
            print(f"{name:<14} {r['interval']:>9} {r['visible_p50']:24.1f} {r['visible_p99']:8.1f} {r['shown_p50']:30.1f} {r['shown_p99']:8.1f}",
                  flush=True)
    for part, masters in (("idle", 1), ("masters", args.masters)):
        if part in args.part:
            r = said[part] = way.quiet(masters=masters, master_tls=True, transport="tls")
            print(f"\n{masters} master(s) over TLS every 10 s without news: {100 * r['cpu_share']:.2f} % of a core, {r['us_per_poll']:.0f} us a poll, "
                  f"{r['written']} bytes written in {r['seconds']:.0f} s, peak {r['peak_mib']:.1f} MiB", flush=True)
    if "fairness" in args.part:
        r = said["fairness"] = way.fairness(masters=args.masters)
        print(f"\n{r['masters']} masters polled every {r['interval']}, visible to received, ms: quiet p50 {r['quiet_p50']:.0f}, p99 {r['quiet_p99']:.0f}; "
              f"while one shows {r['burst']} at once (taken in {r['burst_seconds']:.1f} s) and one hangs p50 {r['burst_p50']:.0f}, "
              f"p99 {r['burst_p99']:.0f}, {r['burst_p99'] / r['quiet_p99']:.2f} times the quiet one", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(said, f, indent=1)


if __name__ == "__main__":
    main()
