"""SIGHUP while breaches stream in: what changed takes effect, nothing is lost or repeated, and connections of what did not
change stay up. And what stopping does in the middle of it."""
import collections
import contextlib
import json
import signal
import socket
import threading
import time
import unittest

from rig import Bridge, Collector, Pki, RigTest, Simulator, bridge_binary, wait_until
from rig import messages, policy


def host(message):
    """The HOSTNAME of an RFC 5424 header, which is the master's name."""
    return message.split(" ")[2]


class Reload(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.sims = {}
        self.bridge = self.own(Bridge(self.folder.path))

    def sim(self, name, rate=15, **options):
        # Every master has the same pbids: what is told apart must be told apart by the master.
        options.setdefault("generate", 30)
        s = self.sims[name] = self.own(Simulator(self.folder, name, span="2h", **options))
        if rate:
            s.rate(rate)
        return s

    def collector(self, name, masters=("*",), fmt="json", **keys):
        c = self.own(Collector("tcp"))
        self.bridge.destination(name, address=c.address, transport="tcp", format=fmt, masters=list(masters),
                                max_message="64KiB", **keys)
        return c

    def entry(self, name):
        for entry in [e for e, _ in self.bridge.masters] + self.bridge.destinations:
            if entry["name"] == name:
                return entry
        raise KeyError(name)

    def drop(self, name):
        """Takes a master or destination out of the configuration and answers it."""
        entry = self.entry(name)
        self.bridge.masters = [m for m in self.bridge.masters if m[0] is not entry]
        self.bridge.destinations = [d for d in self.bridge.destinations if d is not entry]
        return entry

    def reload(self):
        """Returns when the new configuration is in force."""
        count = lambda: self.bridge.log().count("is in force")  # noqa: E731
        before = count()
        self.bridge.write()
        self.bridge.reload()
        wait_until(lambda: count() > before, 20, lambda: "the reload did not end:\n" + self.bridge.log()[-3000:])

    def flow(self, collector, more=15):
        """Waits until the stream has gone on."""
        collector.wait_for(collector.count() + more)

    def all_begun(self, collector, *names):
        """Waits until each of these masters' breaches come: until then it may not have been connected to."""
        wait_until(lambda: set(names) <= {host(m) for m in collector.texts()}, 30, f"breaches of each of {names}")

    def left(self, collector):
        """Waits until the bridge has closed its connection and all that it had sent there is counted; answers how many."""
        wait_until(lambda: not collector.open_connections(), 20, "the connection of a destination that is gone stays open")
        return collector.count()

    def end_streams(self):
        for s in self.sims.values():
            s.rate(0)

    def assert_once(self, collector, expected, read=lambda m: (host(m), messages.json_pbid(m))):
        """Waits for all that is expected and a while longer: each of them came once, and nothing else."""
        expected = set(expected)
        wait_until(lambda: expected <= {read(m) for m in collector.texts()}, 30,
                   lambda: f"missing: {sorted(expected - {read(m) for m in collector.texts()})[:10]}\n"
                           + self.bridge.log()[-3000:])
        time.sleep(0.5)
        got = collections.Counter(read(m) for m in collector.texts())
        self.assertEqual([k for k, n in got.items() if n > 1][:10], [], "repeated")
        self.assertEqual(sorted(set(got) - expected)[:10], [], "never wanted")
        self.assertEqual(collector.bad_frames, [])
        self.assertEqual(collector.cut, 0)

    def all_of(self, *names):
        return {(name, pbid) for name in names for pbid in self.sims[name].pbids()}

    def test_masters_come_go_and_are_renamed(self):
        for name in ("stays", "leaves", "old-name"):
            self.bridge.master(self.sim(name))
        late = self.sim("late")
        every = self.collector("every")
        some = self.collector("some", masters=["stays", "old-name"])
        other = self.collector("other", masters=["leaves"])
        self.bridge.start()
        self.flow(every)

        self.bridge.master(late)
        self.reload()
        self.flow(every)
        self.bridge.wait_for_log("late")

        gone = self.drop("leaves")
        self.entry("other")["masters"] = ["stays"]
        self.reload()
        self.flow(every)
        polls = self.sims["leaves"].state(False)["requests"]

        renamed = self.entry("old-name")
        renamed.update(name="new-name", formerly="old-name")
        self.entry("some")["masters"] = ["stays", "new-name"]
        self.reload()
        self.flow(every)
        self.assertEqual(self.sims["leaves"].state(False)["requests"], polls, "a master that is gone is still polled")

        self.bridge.masters.append((gone, None))
        self.entry("other")["masters"] = ["leaves", "stays"]
        self.reload()
        self.flow(every)
        self.end_streams()
        # The renamed master is one stream under two names.
        def read(m):
            name = host(m)
            return ("old-name" if name == "new-name" else name, messages.json_pbid(m))
        self.assert_once(every, self.all_of("stays", "leaves", "old-name", "late"), read)
        self.assert_once(some, self.all_of("stays", "old-name"), read)
        self.assert_once(other, self.all_of("stays", "leaves"), read)
        self.assertIn("new-name", {host(m) for m in every.texts()})
        self.assertEqual([c.connections for c in (every, some, other)], [1, 1, 1], "a connection was made anew")
        self.assertFalse((self.folder.path / "dtbridge/state/masters/old-name").exists())
        self.assertEqual(self.bridge.stop(6), 0)

    def test_destinations_come_go_and_are_renamed(self):
        for name in ("one", "two"):
            self.bridge.master(self.sim(name))
        stays = self.collector("stays")
        leaves = self.collector("leaves")
        renamed = self.collector("old-name", masters=["one"])
        moves = self.collector("moves")
        self.bridge.start()
        self.all_begun(stays, "one", "two")
        polls = {n: s.state(False)["connections"] for n, s in self.sims.items()}

        late = self.collector("late")
        self.reload()
        self.flow(stays)
        gone = self.drop("leaves")
        self.reload()
        seen = self.left(leaves)
        self.flow(stays)
        self.assertEqual(leaves.count(), seen, "a destination that is gone still gets breaches")
        self.entry("old-name").update(name="new-name", formerly="old-name")
        self.reload()
        self.flow(stays)
        moved = self.own(Collector("tcp"))
        self.entry("moves")["address"] = moved.address
        self.reload()
        self.flow(moved)
        self.bridge.destinations.append(gone)
        self.reload()
        self.flow(stays)
        self.end_streams()

        expected = self.all_of("one", "two")
        for c in (stays, late, leaves):
            self.assert_once(c, expected)
        self.assert_once(renamed, self.all_of("one"))
        first = {(host(m), messages.json_pbid(m)) for m in moves.texts()}
        self.assert_once(moved, expected - first)
        self.assert_once(moves, first)
        self.assertEqual((stays.connections, late.connections, moves.connections, moved.connections), (1, 1, 1, 1))
        self.assertEqual({n: s.state(False)["connections"] for n, s in self.sims.items()}, polls,
                         "a master's connection was made anew")
        self.assertEqual(self.bridge.stop(6), 0)

    def test_rules_and_format_change_on_the_same_connection(self):
        acme = self.sim("acme", rate=40)
        self.bridge.master(acme)
        siem = self.collector("siem")
        self.bridge.start()
        self.flow(siem, 40)
        self.entry("siem").update(format="cef", rules=self.bridge.rules("stage-2.toml", policy.STAGE_2))
        self.reload()
        # Between SIGHUP and here both forms are right; what is made from now on has one only.
        before = set(acme.pbids())
        time.sleep(1)
        acme.rate(0)
        chosen = {b["pbid"] for b in acme.everything() if policy.stage_2(b)}
        self.assertTrue(chosen - before, "nothing to tell the rules apart by")
        read = lambda m: messages.cef_pbid(m) if "CEF:" in m else messages.json_pbid(m)  # noqa: E731
        wait_until(lambda: chosen <= {read(m) for m in siem.texts()}, 20, "what stage 2 forwards")
        time.sleep(0.5)
        counted = collections.Counter(map(read, siem.texts()))
        self.assertEqual([p for p, n in counted.items() if n > 1], [], "repeated")
        as_json = {read(m) for m in siem.texts() if "CEF:" not in m}
        as_cef = {read(m) for m in siem.texts() if "CEF:" in m}
        self.assertLessEqual(as_json, before)
        self.assertLessEqual(as_cef, chosen, "held back by the new rules, and sent")
        self.assertLessEqual(chosen - before, as_cef)
        self.assertEqual(siem.connections, 1)
        # The same file, changed on disk.
        self.bridge.rules("stage-2.toml", '[forward]\nmin_score = 1\nalways_tags = ["none such"]\n')
        self.reload()
        seen = siem.count()
        acme.generate(30, seconds=1)
        acme.wait_for_requests(3)
        time.sleep(0.3)
        self.assertLess(siem.count() - seen, 15)
        self.assertEqual(siem.connections, 1)
        self.assertEqual(self.bridge.stop(6), 0)

    def test_renewed_token(self):
        until = int(time.time() * 1000)
        acme = self.sim("acme", rate=0, until=until)
        self.bridge.master(acme)
        self.bridge.master(self.sim("other"))
        siem = self.collector("siem")
        self.bridge.start()
        self.flow(siem, 60)  # all that both have
        acme.stop()
        renewed = "f00d" * 10
        again = self.sims["acme"] = self.own(Simulator(self.folder, "acme-again", span="2h", generate=30, until=until,
                                                       listen=f"127.0.0.1:{acme.port}", private=renewed,
                                                       tls_folder=acme.tls_folder))
        self.bridge.wait_for_log("signature")
        again.rate(15)
        connections = self.sims["other"].state(False)["connections"]
        self.bridge.token("acme.token", renewed)
        self.reload()
        wait_until(lambda: again.state(False)["shown"]["count"] > 40, 30, "the master with the renewed token is not read")
        self.end_streams()
        self.assert_once(siem, self.all_of("acme", "other"))
        self.assertEqual(siem.connections, 1)
        self.assertEqual(self.sims["other"].state(False)["connections"], connections, "the other master was connected anew")
        for secret in (renewed, acme.private):
            self.assertNotIn(secret, self.bridge.log())
        self.assertEqual(self.bridge.stop(6), 0)

    def test_renewed_certificates(self):
        """Files of the same name with another content: of a master's authority, and of a destination's client certificate."""
        acme = self.sim("acme", rate=0)
        pki = Pki(self.folder / "pki")
        authority = self.folder / "authority.pem"
        authority.write_bytes(pki.ca.read_bytes())
        self.bridge.master(acme, tls={"ca_file": str(authority)})
        siem = self.own(Collector("tls", pki=pki))
        self.bridge.destination("siem", address=f"localhost:{siem.port}", transport="tls", format="json",
                                tls={"ca_file": str(pki.ca)})
        self.bridge.start()
        self.bridge.wait_for_log(r"poll acme: .*certificate")
        self.assertEqual(siem.count(), 0)
        authority.write_bytes(acme.ca_file.read_bytes())
        self.reload()
        self.assert_once(siem, self.all_of("acme"))
        self.assertEqual(siem.connections, 1)
        self.assertEqual(self.bridge.stop(6), 0)

    def test_empty_file_is_not_taken(self):
        """An editor empties the file before it writes it."""
        self.bridge.master(self.sim("acme"))
        siem = self.collector("siem")
        self.bridge.start()
        self.flow(siem)
        for text in ("", "[service]\nlog_level = \"debug\"\n"):
            self.bridge.config.write_text(text)
            before = self.bridge.log().count("stays in force")
            self.bridge.reload()
            wait_until(lambda: self.bridge.log().count("stays in force") > before, 20, "a file without tables was taken")
            self.flow(siem)
        self.end_streams()
        self.assert_once(siem, self.all_of("acme"))
        self.assertEqual(siem.connections, 1)
        self.assertEqual(self.bridge.stop(6), 0)

    def test_broken_files_leave_the_last_good_set_in_force(self):
        """Of each kind: the configuration, a rule file, a token's file. Said with file and line or name; the stream goes on over the
        same connections, by the old rules; the mended set is taken."""
        acme = self.sim("acme")
        self.bridge.master(acme)
        siem = self.collector("siem")
        ruled = self.collector("ruled", rules=self.bridge.rules("r.toml", "[forward]\nmin_score = 0.5\n"))
        self.bridge.start()
        self.flow(siem)
        connections = acme.state(False)["connections"]
        good_token = acme.private

        def refused(pattern):
            before = self.bridge.log().count("stays in force")
            mark = len(self.bridge.log())
            self.bridge.reload()
            wait_until(lambda: self.bridge.log().count("stays in force") > before, 20, "a broken file was taken")
            self.assertRegex(self.bridge.log()[mark:], pattern)
            self.flow(siem)

        good = self.bridge.config.read_text()
        self.bridge.config.write_text(good.replace("interval", "intervall", 1))
        refused(r"dtbridge\.toml:\d+: .*intervall")
        self.bridge.config.write_text(good + "[[destination\n")
        refused(r"dtbridge\.toml:\d+")
        # What the broken file also says (a destination less) is not taken by half.
        self.bridge.config.write_text(good.replace('name = "ruled"', 'name = "ruled"\nframming = "nul"'))
        refused(r"framming")
        self.bridge.config.write_text(good)
        self.bridge.rules("r.toml", "[forward]\nmin_score = 0\nmin_skore = 0.1\n")
        refused(r"r\.toml:3: .*min_skore")
        self.bridge.rules("r.toml", "[forward]\nmin_score = 0.5\n")
        (self.bridge.folder / "acme.token").unlink()
        refused(r"acme\.token")
        self.bridge.token("acme.token", good_token)
        self.reload()
        self.flow(siem)
        self.end_streams()
        self.assert_once(siem, self.all_of("acme"))
        self.assert_once(ruled, {("acme", b["pbid"]) for b in acme.everything() if b["score"] >= 0.5})
        self.assertEqual((siem.connections, ruled.connections), (1, 1))
        self.assertEqual(acme.state(False)["connections"], connections, "the master was connected anew")
        self.assertEqual(self.bridge.stop(6), 0)

    def test_everything_at_once(self):
        """One reload that removes, adds and renames masters and destinations; what did not change keeps its connections."""
        for name in ("stays", "leaves", "old-name"):
            self.bridge.master(self.sim(name))
        added = self.sim("added")
        every = self.collector("every")
        leaving = self.collector("leaving")
        renamed = self.collector("old-siem", masters=["stays", "old-name"])
        self.bridge.start()
        self.all_begun(every, "stays", "leaves", "old-name")
        connections = self.sims["stays"].state(False)["connections"]
        self.drop("leaves")
        self.bridge.master(added)
        self.entry("old-name").update(name="new-name", formerly="old-name")
        self.drop("leaving")
        self.entry("old-siem").update(name="new-siem", formerly="old-siem", masters=["stays", "new-name"])
        new = self.collector("new")
        self.reload()
        had = self.left(leaving)
        self.flow(every, 60)
        self.assertEqual(leaving.count(), had)
        self.sims["leaves"].rate(0)
        self.end_streams()

        def read(m):
            name = host(m)
            return ("old-name" if name == "new-name" else name, messages.json_pbid(m))
        of_leaves = {k for k in map(read, every.texts()) if k[0] == "leaves"}
        kept = self.all_of("stays", "old-name", "added")
        self.assert_once(every, kept | of_leaves, read)
        self.assert_once(renamed, self.all_of("stays", "old-name"), read)
        self.assert_once(new, kept, read)
        self.assertEqual([c.connections for c in (every, new)], [1, 1])
        self.assertEqual(self.sims["stays"].state(False)["connections"], connections)
        self.assertEqual(self.bridge.stop(6), 0)

    def test_many_hangups(self):
        """A storm of SIGHUPs with a configuration that changes to and fro."""
        for name in ("one", "two"):
            self.bridge.master(self.sim(name))
        siem = self.collector("siem")
        self.bridge.start()
        self.flow(siem)
        two = self.entry("two")
        for n in range(12):
            if n % 2:
                self.bridge.masters.append((two, None))
            else:
                self.drop("two")
            self.bridge.write()
            for _ in range(5):
                self.bridge.reload()
                time.sleep(0.02)
        self.flow(siem)
        self.end_streams()
        self.assert_once(siem, self.all_of("one", "two"))
        self.assertEqual(siem.connections, 1)
        self.assertEqual(self.bridge.stop(6), 0)


class Listener(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, **keys):
        self.sim = self.own(Simulator(self.folder, "acme", generate=30, span="2h"))
        self.siem = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("siem", address=self.siem.address, transport="tcp", format="json", **keys)

    def test_port_in_use_is_taken_at_the_reload(self):
        self.begin()
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", self.bridge.port))
            squatter.listen()
            self.bridge.start(wait=False)
            self.siem.wait_for(30)
            self.bridge.wait_for_log(r"listen = .*in use")
        self.bridge.reload()
        self.bridge.wait_ready()
        self.assertEqual(self.bridge.stop(6), 0)

    def test_no_control_socket(self):
        """Forwarding matters more than being asked."""
        self.begin()
        (self.folder.path / "dtbridge/state/control.sock/x").mkdir(parents=True)
        self.bridge.start()
        self.siem.wait_for(30)
        self.bridge.wait_for_log(r"control\.sock.*cannot be made")
        self.assertEqual(self.bridge.stop(6), 0)


class Stop(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, destinations=1):
        self.sims = [self.own(Simulator(self.folder, name, generate=30, span="2h")) for name in ("one", "two")]
        self.siem = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        for sim in self.sims:
            self.bridge.master(sim)
        for n in range(destinations):
            self.bridge.destination(f"siem-{n}", address=self.siem.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.start()
        self.siem.wait_for(destinations * 60)

    def stall(self):
        """From now on the collector does not even see the end of the connection, so the bridge's stop waits for it (2 s)."""
        self.siem.stall()
        time.sleep(0.2)  # a read that is under way ends

    def end(self, deadline=8.0):
        """Exit status and how long it took."""
        start = time.monotonic()
        status = self.bridge.process.wait(deadline)
        self.assertNotIn("Sanitizer", self.bridge.log())
        return status, time.monotonic() - start

    def test_in_the_middle_of_a_reload(self):
        """A collector that does not end its connections holds up the reload that takes destinations away, and not the stop."""
        self.begin(destinations=6)
        self.stall()
        for sim in self.sims:
            sim.fault("hang")
        self.sims[0].wait_for_requests(1)
        self.bridge.masters = self.bridge.masters[:1]
        self.bridge.destinations = self.bridge.destinations[:1]
        self.bridge.write()
        for _ in range(3):
            self.bridge.reload()
        self.bridge.wait_for_log("no longer configured")
        self.bridge.process.signal(signal.SIGTERM)
        status, took = self.end()
        self.assertEqual(status, 0)
        self.assertLess(took, 5.5)

    def test_second_signal_ends_at_once(self):
        self.begin()
        self.stall()
        self.bridge.process.signal(signal.SIGTERM)
        self.bridge.wait_for_log("stopping")
        self.bridge.process.signal(signal.SIGTERM)
        status, took = self.end()
        self.assertEqual(status, 1, self.bridge.log()[-2000:])
        self.assertLess(took, 1.5)
        # Nothing is left behind that hinders the next start, and nothing is lost.
        self.siem.stall(False)
        for sim in self.sims:
            sim.generate(5)
        self.bridge.start()
        expected = {(s.name, p) for s in self.sims for p in s.pbids()}
        wait_until(lambda: expected <= {(host(m), messages.json_pbid(m)) for m in self.siem.texts()}, 20, "the rest")
        self.assertEqual(self.bridge.stop(6), 0)

    def test_hangup_while_stopping_is_not_a_second_signal(self):
        self.begin()
        self.stall()
        self.bridge.process.signal(signal.SIGTERM)
        self.bridge.wait_for_log("stopping")
        self.bridge.process.signal(signal.SIGHUP)
        self.assertEqual(self.end()[0], 0, self.bridge.log()[-2000:])

    def test_control_socket_under_load(self):
        """As many who ask and say nothing as there may be, and more knocking: the stop waits for none of them."""
        self.begin()
        path = str(self.folder.path / "dtbridge/state/control.sock")
        silent, over = [], threading.Event()

        def connect():
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(1)
            try:
                s.connect(path)
            except OSError:
                s.close()
                raise
            return s

        for _ in range(16):
            silent.append(connect())

        def knock():
            while not over.is_set():
                with contextlib.ExitStack() as open_ones, contextlib.suppress(OSError):
                    for _ in range(4):
                        open_ones.enter_context(connect())
                time.sleep(0.01)

        thread = threading.Thread(target=knock, daemon=True)
        thread.start()
        try:
            time.sleep(0.3)
            self.bridge.process.signal(signal.SIGTERM)
            status, took = self.end()
        finally:
            over.set()
            thread.join()
            for s in silent:
                s.close()
        self.assertEqual(status, 0)
        self.assertLess(took, 5.5)

    def test_status_is_answered_during_a_reload(self):
        self.begin()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.folder.path / "dtbridge/state/control.sock"))
            self.bridge.reload()
            s.sendall(b'{"command": "status"}\n')
            answer = json.loads(s.makefile().readline())
        self.assertTrue(answer["ok"])
        self.assertEqual([m["name"] for m in answer["status"]["masters"]], ["one", "two"])
        self.assertEqual(self.bridge.stop(6), 0)


if __name__ == "__main__":
    unittest.main()
