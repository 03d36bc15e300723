"""Three bridges that share thirty masters and one PostgreSQL with a synchronous replica, and three collectors: whatever happens to a
bridge or to the database, every breach comes to every collector, no bridge writes for a master that is another's, and what is
repeated is what was in flight."""
import os
import signal
import time
import unittest

from rig import Cluster, Folder, bridge_binary, wait_until
from rig.basics import slow_build
from rig.case import broken_promises, has_failed, print_logs
from rig.cursors import Breaks

TAKEOVER = 15.0  # seconds from a bridge's death until its last master has another owner
BATCH = 64       # messages of one write to a collector, at most
RATE = 0.4       # new breaches a second of each master, all the time


class Bridges(unittest.TestCase):
    """All tests share one set-up and leave three bridges behind that share the masters evenly."""

    @classmethod
    def setUpClass(cls):
        bridge_binary()
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.close)
        cls.figures = []
        try:
            cls.cluster = Cluster(cls.folder)
            cls.addClassCleanup(cls.cluster.close)
            cls.cluster.start()
        except AssertionError:
            print_logs(cls.folder, cls.__name__)
            raise
        cls.breaks = Breaks(cls.cluster.archives)

    @classmethod
    def tearDownClass(cls):
        peaks = {name: b.note_peak() >> 10 for name, b in cls.cluster.bridges.items()}
        statuses = {name: b.stop() for name, b in cls.cluster.bridges.items()}
        print("\n" + "\n".join(cls.figures) + f"\npeak memory, MiB: {peaks}")
        broken = list(broken_promises(cls.cluster.bridges.values(), cls.folder, most_masters=30))
        if broken or any(statuses.values()):
            print_logs(cls.folder, cls.__name__)
            raise AssertionError(f"{broken}; ended with {statuses}")

    def setUp(self):
        self.addCleanup(lambda: print_logs(self.folder, self.id()) if has_failed(self) else None)
        for b in self.cluster.bridges.values():
            if not b.process.alive():
                b.start(write=False)
        self.owners = self.cluster.wait_even()
        self.mark = self.cluster.note()
        self.since = time.monotonic()
        self.cluster.rate(RATE)

    def of(self, bridge):
        """The masters that it had when the test began."""
        return sorted(master for master, owner in self.owners.items() if owner == bridge)

    def say(self, what, seconds):
        """seconds: {master: ..}"""
        values = sorted(seconds.values())
        text = f"{self.id().rpartition('.')[2]}: {what}: "
        text += f"{values[0]:.2f} to {values[-1]:.2f} s, median {values[len(values) // 2]:.2f}, {len(values)} masters" if values else "none"
        self.figures.append(text)

    def in_the_middle_of_work(self):
        """Every master gets new breaches, and some of them are on their way when this returns."""
        before = self.cluster.tcp.count()
        self.cluster.burst(15)
        wait_until(lambda: self.cluster.tcp.count() > before + 60, 20, "breaches on their way", every=0.01)

    def taken_over(self, bridge, died):
        """Waits until others own what that bridge had; within the time that is promised."""
        taken = self.cluster.wait_taken_over(self.of(bridge), self.mark, died, TAKEOVER + 5)
        self.say("death to next owner", taken)
        self.assertLess(max(taken.values()), TAKEOVER * slow_build())
        self.assertNotIn(bridge, {owner for _, owner, _ in self.cluster.since(self.mark)})

    def assert_nothing_lost(self):
        """Everything is there, each breach as often as what was broken allows, and every write was its owner's."""
        self.cluster.rate(0)
        expected = self.cluster.wait_for_all()
        for name, got in self.cluster.arrived().items():
            self.assertEqual(set(got), expected, f"at {name}")
            self.assertEqual(self.breaks.too_often(name, got), {}, f"repeated at {name} although it was not in flight")
        self.assertEqual(self.cluster.strange_writes(), [])
        for collector in (self.cluster.tcp, self.cluster.tls):
            self.assertEqual(collector.bad_frames, [])

    def assert_nothing_late(self):
        for collector in (self.cluster.tcp, self.cluster.tls):
            self.assertEqual(self.cluster.late(collector, self.since), [], "sent by a bridge when the master had long been another's")

    def repeats(self):
        return {name: sum(got.values()) - len(got) for name, got in self.cluster.arrived().items()}

    def test_a_bridge_is_killed(self):
        victim = self.cluster.bridges["node1"]
        before = self.repeats()
        self.in_the_middle_of_work()
        victim.kill()
        died = time.time()
        self.breaks.killed(self.of("node1"))
        self.taken_over("node1", died)
        self.cluster.wait_even(["node2", "node3"])
        # Back again, it is handed its share, and then nothing is repeated.
        again = self.cluster.note()
        victim.start(write=False)
        self.cluster.wait_even()
        self.say("handed back, nobody's for", self.cluster.gaps(again))
        self.assert_nothing_lost()
        self.assert_nothing_late()
        self.figures.append(f"    repeats: {self.more(before)}")

    def more(self, before):
        return {name: n - before[name] for name, n in self.repeats().items()}

    def test_a_bridge_stands_still_for_longer_than_its_lease(self):
        """And goes on in the middle of a send: it was writing to a collector that did not read, and was polling."""
        victim, tcp = self.cluster.bridges["node2"], self.cluster.tcp
        mine = self.of("node2")
        tcp.stall(sender="node2")
        self.addCleanup(tcp.stall, False, "node2")
        for master in mine:
            self.cluster.sims[master].generate(200, seconds=2)
        wait_until(lambda: self.is_full("node2"), 20, "a write that waits for the collector")
        self.in_the_middle_of_work()
        self.breaks.now(mine)
        self.addCleanup(victim.process.signal, signal.SIGCONT)
        victim.process.signal(signal.SIGSTOP)
        died = time.time()
        self.breaks.over()
        self.taken_over("node2", died)
        # What its kernel still held was sent long ago; then comes what it sends from here on.
        tcp.stall(False, sender="node2")
        self.wait_quiet(tcp, "node2")
        expected = {(m, p) for m in mine for p in self.cluster.sims[m].pbids()}
        unsent = expected - set(self.cluster.sent_by(tcp, "node2"))
        self.assertGreater(len(unsent), BATCH, "it was to have more to send than the kernel took")
        went_on = time.monotonic()
        victim.process.signal(signal.SIGCONT)
        wait_until(lambda: victim.status()["bridges"]["lost"] >= len(mine), 20, lambda: f"it does not see that all is lost: {victim.log()[-2000:]}")
        self.cluster.wait_even()
        self.assert_nothing_lost()
        for collector in (tcp, self.cluster.tls):
            late = self.cluster.late(collector, went_on, grace=0)
            self.assertLessEqual(len(late), BATCH, late)
            self.figures.append(f"    messages of the send that had begun, after the other bridges had taken over: {len(late)} at {collector.kind}")

    def is_full(self, bridge):
        """Whether the kernel took nothing more from that bridge for a while."""
        before = self.cluster.in_kernel(bridge)
        time.sleep(0.5)
        return before > 0 and self.cluster.in_kernel(bridge) == before

    def wait_quiet(self, collector, sender):
        def is_quiet():
            before = len(self.cluster.sent_by(collector, sender))
            time.sleep(0.5)
            return self.cluster.in_kernel(sender) == 0 and len(self.cluster.sent_by(collector, sender)) == before
        wait_until(is_quiet, 20, "all that the stopped bridge's kernel had")

    def test_a_bridge_is_cut_from_the_database(self):
        victim = self.cluster.bridges["node3"]
        mine = self.of("node3")
        self.in_the_middle_of_work()
        for relay in self.cluster.relays:
            self.addCleanup(relay.heal)
            relay.cut()
        died = time.time()
        self.breaks.killed(mine)
        # It asks its masters still, and begins to archive what they have.
        for master in mine:
            self.cluster.sims[master].generate(10, seconds=1)
        self.taken_over("node3", died)
        wait_until(lambda: victim.http("/readyz") == 503, 20, "not ready without the database")
        self.cluster.wait_even(["node1", "node2"])
        # Its statements arrive now, after others have its masters.
        for relay in self.cluster.relays:
            relay.heal()
        victim.wait_for_log("this bridge's lease on the master is over, so nothing was written")
        self.cluster.wait_even()
        self.assert_nothing_lost()
        self.assert_nothing_late()

    def test_the_database_is_restarted(self):
        """For a moment, which nobody notices, and for longer than leases last: then all go on with what they had."""
        server = self.cluster.database()
        for away in (0, 12):
            self.in_the_middle_of_work()
            self.breaks.now()
            server.stop()
            stopped = time.monotonic()
            if away:
                # Leases cannot be renewed, so nothing is sent in the last seconds of each any more.
                self.wait_away(stopped, 8.5)
                sent = self.cluster.tcp.count()
                self.wait_away(stopped, away)
                self.assertEqual(self.cluster.tcp.count(), sent)
            server.start()
            started = time.monotonic()
            self.breaks.over()
            again = self.cluster.tcp.count()
            wait_until(lambda: self.cluster.tcp.count() > again, 30, "breaches after the database is back")
            self.figures.append(f"test_the_database_is_restarted: away for {started - stopped:.1f} s, "
                                f"the first breach {time.monotonic() - started:.1f} s after it was back")
        self.assertEqual(self.cluster.wait_even(), self.owners)
        self.assertEqual(self.cluster.since(self.mark), [], "nothing had to move")
        self.assert_nothing_lost()
        self.assert_nothing_late()

    @staticmethod
    def wait_away(since, seconds):
        time.sleep(max(0.0, since + seconds - time.monotonic()))

    def test_the_database_fails_over(self):
        self.in_the_middle_of_work()
        self.breaks.now()
        began = time.monotonic()
        self.cluster.fail_over()
        over = time.monotonic()
        wall = time.time()
        self.breaks.over()
        again = self.cluster.tcp.count()
        wait_until(lambda: self.cluster.tcp.count() > again, 30, "breaches after the fail-over")
        wait_until(lambda: self.cluster.heard_since(wall) == set(self.cluster.bridges), 15, "a heartbeat of each at the new server")
        self.figures.append(f"test_the_database_fails_over: took {over - began:.1f} s, the first breach {time.monotonic() - over:.1f} s later")
        self.cluster.wait_even()
        self.assert_nothing_lost()
        self.assert_nothing_late()

    def test_a_rolling_upgrade(self):
        """One after another, each when the one before is ready. From the build that DTBRIDGE_BEFORE names, where it is set."""
        earlier = os.environ.get("DTBRIDGE_BEFORE")
        if earlier:
            for b in self.cluster.bridges.values():
                b.stop()
                b.program = earlier
                b.start(write=False)
            self.cluster.wait_even()
            self.mark = self.cluster.note()
        before = self.repeats()
        # For a while after a move the others look often; that is not how a bridge usually finds them when it stops.
        wait_until(lambda: self.cluster.at_rest() > 16, 30, "no master to move for a while")
        self.in_the_middle_of_work()
        for name, b in self.cluster.bridges.items():
            owned = [m for m, o in self.cluster.owners().items() if o == name]
            mark = self.cluster.note()
            self.assertEqual(b.stop(20), 0)
            self.cluster.wait_taken_over(owned, mark, time.time(), 10)
            gaps = self.cluster.gaps(mark)
            self.say(f"{name} stopped in good order, nobody's for", {m: gaps[m] for m in owned})
            self.assertLess(max(gaps[m] for m in owned), 1.0 * slow_build())
            b.program = None
            b.start(write=False)
            wait_until(lambda: b.http("/readyz") == 200, 30, f"{name} is ready again")
            self.cluster.burst(3)
        self.cluster.wait_even()
        self.say("in all, nobody's for", self.cluster.gaps(self.mark))
        self.assert_nothing_lost()
        self.assert_nothing_late()
        self.assertEqual(self.more(before), {"tcp": 0, "tls": 0, "relp": 0}, "nothing is repeated where each ends in good order")


if __name__ == "__main__":
    unittest.main()
