"""tests/soak.sh: see its usage."""
import argparse
import collections
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rig.syslogd import syslog_ng_root  # noqa: E402
from soak import machine  # noqa: E402
from soak.faults import FAULTS, RESTORED, SECOND, black_hole, bridge_killed_often, replaced, second_bridge  # noqa: E402
from soak.recovery import COLLECTOR, HOST, MASTER  # noqa: E402
from soak.world import World, by_master, pretty  # noqa: E402

MOST_MEMORY_KIB = 64 * 1024


def said(text):
    print(text, flush=True)


class Soak:
    def __init__(self, world, minutes, kills, silence, verbose):
        self.world = world
        self.start = time.monotonic()
        self.end = self.start + minutes * 60
        self.kills = kills      # of the bridge, at least
        self.silence = silence  # seconds of a black hole that is still to come, or 0
        self.verbose = verbose
        self.counts = collections.Counter()
        self.recoveries = []  # (seconds, faults)
        self.not_recovered = []

    def pick(self, side, busy):
        """A fault of that side that its subject can have: (subject, name, generator)."""
        w = self.world
        subjects = {COLLECTOR: w.collectors, MASTER: w.masters, HOST: [None]}[side]
        free = [s for s in subjects if (side, getattr(s, "name", "")) not in busy]
        if not free:
            return None
        subject = w.chance.choice(free)
        fitting = [f for f in FAULTS if f[0] == side and (f[3] is None or f[3](w, subject))]
        _, name, function, _ = w.chance.choice(fitting)
        busy.add((side, getattr(subject, "name", "")))
        return subject, name, function(w, subject)

    def promised(self, busy):
        """What there must be enough of, spread over the run: (side, subject, name, generator)."""
        w = self.world
        share = min(1.0, (time.monotonic() - self.start) / (self.end - self.start))
        if self.silence and share > 0.1:
            subject = w.chance.choice([d.collectors[0] for d in w.destinations if len(d.collectors) == 1])
            busy.add((COLLECTOR, subject.name))
            yield COLLECTOR, subject, f"black hole of {self.silence:g} s", black_hole(w, subject, self.silence)
            self.silence = 0
        lacking = int(self.kills * share) - w.kills
        # Many at a time, so that the host has other faults in the rounds between.
        if lacking >= 10 or (lacking > 0 and share == 1.0):
            busy.add((HOST, ""))
            yield HOST, None, "kill -9, again and again", bridge_killed_often(w, None, min(20, lacking))
        elif share > 0.3 and not self.counts[HOST, SECOND]:
            busy.add((HOST, ""))
            yield HOST, None, SECOND, second_bridge(w, None)
        if share > 0.3 and not w.restored:
            busy.add((MASTER, w.masters[9].name))
            yield MASTER, w.masters[9], RESTORED, replaced(w, w.masters[9])

    def round(self, number):
        w = self.world
        busy, running, names = set(), [], []
        most = 4 if w.length == 1 else 8  # a short run has many short ones
        picked = list(self.promised(busy))
        for side in w.chance.choices((COLLECTOR, MASTER, HOST), k=w.chance.randint(most // 4, most)):
            one = self.pick(side, busy)
            if one:
                picked.append((side, *one))
        for side, subject, name, generator in picked:
            names.append(f"{side} {getattr(subject, 'name', '')}: {name}".replace(" :", ":"))
            self.counts[side, name] += 1
            running.append([time.monotonic() + w.chance.uniform(0, 2) * w.length, generator, (side, subject), name, False])
        if self.verbose:
            said(f"{time.monotonic() - self.start:7.1f} s  round {number}: " + "; ".join(names))
        while running:
            w.look()
            for entry in list(running):
                at, generator, subject, name, begun = entry
                if time.monotonic() < at:
                    continue
                if not begun:
                    w.recovery.begins(*subject)
                    entry[4] = True
                try:
                    entry[0] = time.monotonic() + next(generator) * w.length
                except StopIteration:
                    w.recovery.ended(*subject, name)
                    running.remove(entry)
            time.sleep(0.05)
        return names

    def run(self):
        w = self.world
        # Nobody is measured before the first breaches are everywhere.
        w.note()
        if w.wait_arrived(w.all_wanted(), 120) is None:
            raise AssertionError("the first breaches did not arrive within 120 s")
        number = 0
        while time.monotonic() < self.end or number == 0 or w.kills < self.kills or self.silence:
            number += 1
            names = self.round(number)
            if w.chance.random() < 0.25 and time.monotonic() < self.end:
                continue  # the next faults come before these are got over
            w.note()
            # What a master whose clock was ahead has made is found when its time has come.
            seconds = w.wait_arrived(w.all_wanted(time.time() * 1000 - 1000), 330)
            if seconds is None:
                self.not_recovered.append(names)
                said(f"{time.monotonic() - self.start:7.1f} s  not recovered within 330 s after: " + "; ".join(names))
                for name, keys in w.missing(w.all_wanted(time.time() * 1000 - 30000)).items():
                    if keys:
                        said(f"{'':12s} {len(keys)} are missing at {name}: {by_master(keys)}")
            else:
                self.recoveries.append((seconds, names))
                if self.verbose:
                    said(f"{time.monotonic() - self.start:7.1f} s  recovered within {seconds:.1f} s")
        w.recovery.finish()
        for m in w.masters:
            m.sim.fault("none")
            m.sim.rate(0)
        time.sleep(3.5)  # what the master hides at first is shown by then
        w.note()
        w.wait_arrived(w.all_wanted(time.time() * 1000), 330)
        self.not_due = sum(len(k) for k in w.all_wanted().values()) - sum(
            len(k) for k in w.all_wanted(time.time() * 1000).values())
        time.sleep(2)  # repeats come too
        w.look()
        self.wanted = w.all_wanted(time.time() * 1000)
        self.shown = {m.name: m.shown() for m in w.masters}
        status = w.stop_bridge()
        if status != 0:
            w.ended_by_itself.append(f"exit status {status} at the end")
        w.sends.look(at_rest=True)

    def report(self):
        """The table; true when nothing is wrong."""
        w = self.world
        wrong = []
        archived = w.archived()
        now = time.time() * 1000
        made = {m.name: {k for k in m.made if k[1] <= now} for m in w.masters}
        lacking = {n: made[n] - archived[n][0] for n in made}
        said("")
        said(f"faults      {sum(self.counts.values())} in {(time.monotonic() - self.start) / 60:.1f} minutes:")
        for (side, name), n in sorted(self.counts.items()):
            said(f"            {n:4d}  {side}: {name}")
        said(f"kills       {w.kills} of the bridge; restored with other times {w.restored}")
        if w.kills < self.kills:
            wrong.append(f"only {w.kills} kills of the bridge instead of {self.kills}")
        said("")
        said(f"breaches    made {sum(map(len, made.values()))}, shown {sum(self.shown.values())}, "
             f"archived {sum(len(a[0]) for a in archived.values())}")
        said(f"{'destination':12s} {'expected':>9s} {'received':>9s} {'missing':>8s} {'repeated':>9s} {'too often':>10s} "
             f"{'unreadable':>11s}")
        known = {(m.name, pbid) for m in w.masters for pbid, _ in m.made}
        for d in w.destinations:
            times = d.times()
            missing = self.wanted[d.name] - times.keys()
            repeated = sum(n - 1 for n in times.values())
            too_often = w.sends.too_often(d) if w.private_space else None
            said(f"{d.name:12s} {len(self.wanted[d.name]):9d} {len(times):9d} {len(missing):8d} {repeated:9d} "
                 f"{'-' if too_often is None else len(too_often):>10} {len(d.unreadable()):11d}")
            if missing:
                wrong.append(f"{len(missing)} missing at {d.name}: {pretty(missing)}")
            if too_often:
                some = ", ".join(f"{key}: {n} times instead of {may}" for key, (n, may) in sorted(too_often.items())[:5])
                wrong.append(f"{len(too_often)} came to {d.name} more often than they were in flight: {some}")
            strange = {k for k in times if (k[0], k[1]) not in known}
            if strange:
                wrong.append(f"{len(strange)} at {d.name} that no master made: {pretty(strange)}")
            unreadable = [line for line in d.unreadable() if not d.is_cut(line)]
            if unreadable:
                wrong.append(f"{len(unreadable)} lines at {d.name} that are no message: {unreadable[:2]}")
        for name, gone in lacking.items():
            if gone:
                wrong.append(f"{len(gone)} of {name} are not archived: {pretty(gone)}")
            if archived[name][1] != "ok":
                wrong.append(f"the archive of {name}: {archived[name][1]}")
        longest = max(self.recoveries, default=(0, []))
        said(f"recovery    everything was everywhere {longest[0]:.1f} s after all was mended at the latest: "
             f"{'; '.join(longest[1]) or 'nothing'}")
        for line in w.recovery.lines():
            said(f"            {line}")
        said(f"memory      peak {w.peak_kib / 1024:.1f} MiB of {MOST_MEMORY_KIB // 1024}")
        said(f"events      {sum(c.events for c in w.collectors)} of the bridge itself at the collectors")
        if self.not_due:
            said(f"not due     {self.not_due} that a master whose clock was ahead has made for later")
        wrong += [f"not recovered within 330 s after: {'; '.join(names)}" for names in self.not_recovered]
        wrong += w.recovery.failed + w.wrong
        wrong += [f"the bridge ended by itself: {words}" for words in w.ended_by_itself]
        if w.peak_kib > MOST_MEMORY_KIB:
            wrong.append(f"{w.peak_kib} KiB of memory")
        said("\n".join(["", "WRONG:", *wrong] if wrong else ["", "nothing is missing"]))
        return not wrong


def main():
    parser = argparse.ArgumentParser(prog="tests/soak.sh", description="Random faults of masters, collectors and host for some "
                                     "minutes, then a table of what arrived. Exit status 1 when anything is missing, came again that "
                                     "was not in flight, recovered too late, or the bridge took more than 64 MiB.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, help="repeats the faults of another run")
    parser.add_argument("--rate", type=float, default=2, help="breaches a second of each of the ten masters (2)")
    parser.add_argument("--kills", type=int, help="kills -9 of the bridge at least (200 from 30 minutes on, else 0)")
    parser.add_argument("--black-hole", type=float, metavar="SECONDS", help="one of this length (120 from 30 minutes on, else 0)")
    parser.add_argument("--quiet", action="store_true", help="the table only")
    parser.add_argument("--keep", action="store_true", help="keeps the folder with all logs")
    o = parser.parse_args()
    seed = random.randrange(1 << 31) if o.seed is None else o.seed
    # A daemon that is slow to start on a busy machine is no fault of the bridge's.
    os.environ.setdefault("DTBRIDGE_PATIENCE", "6")
    syslog_ng_root()  # fetched where it is missing, which a namespace without a network cannot
    private = machine.own_namespaces()
    said(f"soak: seed {seed}, {o.minutes:g} minutes, program of {os.environ['DTBRIDGE_BUILD']}")
    if not private:
        said("soak: no namespaces of its own (root is needed): without full disks, resets and black holes; repeats are not "
             "judged")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dtbridge-soak-"))
    world = World(folder, seed, o.rate, private)
    if not world.clock.library:
        said("soak: faketime is not installed: without clock faults of the host")
    # A short run has short faults: many rather than long ones.
    world.length = 1.0 if o.minutes >= 3 else 0.25
    world.flood = 2000 if o.minutes >= 3 else 1000
    good = False
    try:
        world.start()
        is_long = o.minutes >= 30
        kills = o.kills if o.kills is not None else 200 if is_long else 0
        silence = o.black_hole if o.black_hole is not None else 120 if is_long else 0
        soak = Soak(world, o.minutes, kills, silence if private else 0, not o.quiet)
        soak.run()
        good = soak.report()
    finally:
        if not good:
            said("--- the bridge's last words\n" + world.bridge.log()[-6000:] if world.bridge.process else "")
        for thing in [world.bridge, *world.collectors, *(m.sim for m in world.masters if m.sim)]:
            if thing.process:
                thing.process.kill()
        if o.keep or not good:
            if world.disk:
                world.disk.free()
                shutil.copytree(folder / "state", folder / "state-at-the-end", ignore=shutil.ignore_patterns("*.sock", "filler*"))
            said(f"kept: {folder}")
        world.close()
        if not o.keep and good:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
