"""How long each subject takes from the end of its fault to the next new arrival: of a destination anything that was made after the
mending, of a master anything of its own. A fault of the host starts the clocks of all. A new fault of the subject or the host ends
a measurement; it begins again when that is mended."""
import time

COLLECTOR, MASTER, HOST = "collector", "master", "host"
SLOW = "master, slow"
# Half a minute is the longest wait of a delivery's back-off and a minute that of the poll's, with an attempt of ten seconds each
# (product.md 8; transport.hpp: connect); what needs a person's hand, as a signature does, is asked again after five minutes at most.
LIMITS = {COLLECTOR: 40, MASTER: 70, SLOW: 310}


class _Clock:
    def __init__(self, after, side):
        self.after = after
        self.side = side  # whose fault it was
        self.restart()

    def restart(self):
        self.start = time.monotonic()
        self.wall_ms = time.time() * 1000


class Recovery:
    def __init__(self, world):
        self.world = world
        self.active = {}   # subject: how many faults it has; None: the host
        self.clocks = {}   # subject (a destination or a master): _Clock
        self.longest = {}  # (side, what recovered): (seconds, words)
        self.measured = {}
        self.failed = []

    def subject(self, side, thing):
        if side != COLLECTOR:
            return thing
        return next(d for d in self.world.destinations if thing in d.collectors)

    def begins(self, side, thing):
        subject = self.subject(side, thing)
        self.active[subject] = self.active.get(subject, 0) + 1
        self.clocks.pop(subject, None)

    def ended(self, side, thing, name):
        subject = self.subject(side, thing)
        self.active[subject] -= 1
        if self.active[subject]:
            return
        if side != HOST:
            self.clocks[subject] = _Clock(name, side)
            return
        for other in [*self.world.destinations, *self.world.masters]:
            if other in self.clocks:
                self.clocks[other].restart()
            elif not self.active.get(other):
                self.clocks[other] = _Clock(name, HOST)

    def kind(self, subject):
        if subject in self.world.destinations:
            return COLLECTOR
        return SLOW if subject.slow else MASTER

    def feeders(self):
        """Masters whose breaches are created when they are made (no clock of theirs is changed) and that are polled now."""
        return [m for m in self.world.masters
                if m.number not in self.world.WRONG_CLOCKS and not self.active.get(m) and m not in self.clocks]

    def look(self):
        """After every look at the collectors."""
        news = {d: d.news() for d in self.world.destinations}
        if self.active.get(None):
            return
        now = time.monotonic()
        feeders = self.feeders()
        names = {m.name for m in self.world.masters if m.number not in self.world.WRONG_CLOCKS}
        working = any(not self.active.get(d) for d in self.world.destinations)
        for subject, clock in list(self.clocks.items()):
            kind = self.kind(subject)
            if kind == COLLECTOR:
                came = [k for k in news[subject] if k[0] in names]
            else:
                came = [k for keys in news.values() for k in keys if k[0] == subject.name]
            took = now - clock.start
            if any(created > clock.wall_ms for _, _, created in came):
                self.recovered(subject, clock, kind, took)
            elif (kind == COLLECTOR and not feeders) or (kind != COLLECTOR and not working):
                clock.restart()
            elif took > LIMITS[kind]:
                # Only where there was something to arrive.
                if any(self.made_since(m, clock) for m in (feeders if kind == COLLECTOR else [subject])):
                    self.failed.append(f"nothing new {'at' if kind == COLLECTOR else 'of'} {subject.name} for {took:.0f} s after: "
                                       f"{clock.after}")
                    del self.clocks[subject]
                else:
                    clock.restart()

    def recovered(self, subject, clock, kind, took):
        del self.clocks[subject]
        key = (clock.side, kind)
        self.measured[key] = self.measured.get(key, 0) + 1
        words = f"{subject.name} after: {clock.after}"
        self.longest[key] = max(self.longest.get(key, (0.0, words)), (took, words))
        if took > LIMITS[kind]:
            self.failed.append(f"{took:.0f} s until the next {'at' if kind == COLLECTOR else 'of'} {words}")
        if kind != COLLECTOR:
            subject.slow = False

    @staticmethod
    def made_since(master, clock):
        """Something that every destination wants, and had some seconds to come."""
        return any(e["score"] is None or e["score"] > 0.5 for e in master.sim.expected(
            **{"from": int(clock.wall_ms) + 1000, "to": int(time.time() * 1000) - 5000}))

    def finish(self):
        """Nothing new is made any more."""
        self.clocks.clear()

    def lines(self):
        what = {COLLECTOR: "destination", MASTER: "master", SLOW: "master, slow back-off"}
        for (side, kind), (seconds, words) in sorted(self.longest.items()):
            yield f"{seconds:5.1f} s of {LIMITS[kind]}, longest of {self.measured[side, kind]}, {what[kind]} after a fault of " \
                  f"{'the host' if side == HOST else 'its own'}: {words}"
