"""How often a breach may come to a destination: once for every connection that found it archived and the cursor before it (and once
for a master that left the configuration and came back meanwhile).

A connection carries a breach at most once, so that this counts all that a kill, a restart or a break may repeat, and nothing else.
What is read is the bridge's own archives (cursor, last seq), and the connections that the collectors' kernel has answered."""
import time

from rig import cursors

from . import machine

EVERY = 0.5  # seconds between two looks
# The pair's first address is tried while the second is in use, which then has some seconds to confirm (delivery_connection.cpp).
OVERLAP = 30


class _Connections:
    """Some connections of one destination that began between two looks."""

    def __init__(self, number, cursor):
        self.number = number
        self.cursor = cursor  # {master: what was confirmed at least when they began}
        self.last = None      # {master: the last seq there can have been when they ended}, None while they may be in use
        self.only = None      # of this master alone
        self.ends = None      # when the last of them is known to be over


class Sends:
    def __init__(self, world):
        self.world = world
        self.counter = machine.Connections([c.port for c in world.collectors]) if world.private_space else None
        self.made = {d.name: [] for d in world.destinations}
        self.seen = {d.name: 0 for d in world.destinations}
        self.before = {}
        self.next = 0.0

    def look(self, at_rest=False):
        """at_rest: no bridge runs, so that every connection is over and the cursors stand still."""
        now = time.monotonic()
        if not self.counter or (not at_rest and now < self.next):
            return
        self.next = now + EVERY
        standing = cursors.standing(self.world.state_dir)
        last = {master: seq for master, (seq, _) in standing.items()}
        counts = self.counter.counts()
        for d in self.world.destinations:
            made = self.made[d.name]
            # What was noticed at the look before ended the others by then.
            for c in made:
                if c.last is None and c.ends is not None and now >= c.ends:
                    c.last = last
            total = sum(counts[c.port] for c in d.collectors)
            new = total - self.seen[d.name]
            self.seen[d.name] = total
            if new:
                overlap = OVERLAP if len(d.collectors) > 1 else 0
                for c in made:
                    if c.ends is None:
                        c.ends = now + overlap
                made.append(_Connections(1, self.before.get(d.name, {})))
                if new > 1:  # the others ended before that one began
                    made.append(_Connections(new - 1, self.before.get(d.name, {})))
                    made[-1].ends = now + overlap
            if at_rest:
                for c in made:
                    c.last = c.last or last
            self.before[d.name] = self.cursors(d, standing)

    def master_left(self, master, before):
        """It was taken out of the configuration after `before`, and is in it again: what was unconfirmed then for longer than a
        removal waits (delivery::impl::remove: two seconds) is sent once more, on a connection that did not break."""
        for d in self.world.destinations:
            again = _Connections(1, self.cursors(d, before))
            again.only = master
            again.ends = time.monotonic() + 15  # each destination is waited for, one by one
            self.made[d.name].append(again)

    @staticmethod
    def cursors(destination, standing):
        return {m: max((seq for name, seq in at.items() if name in destination.names), default=0) for m, (_, at) in standing.items()}

    def too_often(self, destination):
        """{(master, pbid, created): (how often it came, how often it may)} once the bridge has stopped."""
        found = {}
        seqs = cursors.sequences(self.world.state_dir)
        for key, n in destination.times().items():
            seq = seqs.get(key)
            if seq is None:
                continue  # said elsewhere
            may = sum(c.number for c in self.made[destination.name]
                      if c.only in (None, key[0]) and c.cursor.get(key[0], 0) < seq <= c.last.get(key[0], 0))
            if n > may:
                found[key] = (n, may)
        return found
