"""Faults of the host: damaged and unwritable files, a full disk, no descriptors, a clock that jumps, a second bridge, a stop in the
middle of the start. Whatever it is, the other masters go on, and nothing is missing when it is mended."""
import glob
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from rig import SOURCE, Bridge, Collector, Process, RigTest, Simulator, bridge_binary, run_cli, wait_until
from rig import messages

PAGE = 4096


def host(message):
    """The HOSTNAME of an RFC 5424 header, which is the master's name."""
    return message.split(" ")[2]


class HostTest(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.sims = {}
        self.bridge = self.own(Bridge(self.folder.path))
        self.collector = self.destination("siem")

    def sim(self, name, generate=60, **master):
        s = self.sims[name] = self.own(Simulator(self.folder, name, generate=generate, span="2h"))
        self.bridge.master(s, **master)
        return s

    def destination(self, name, **keys):
        c = self.own(Collector("tcp"))
        self.bridge.destination(name, address=c.address, transport="tcp", format="json", max_message="64KiB", **keys)
        return c

    def archive(self, master, bridge=None):
        return (bridge or self.bridge).folder / "state" / "masters" / master / "archive.db"

    def expected(self, *names):
        return {(n, b["pbid"], b["created"]) for n in names or self.sims for b in self.sims[n].expected()}

    @staticmethod
    def arrived(collector, after=0):
        bodies = [(host(m), messages.json_body(m)) for m in collector.texts()[after:]]
        # The bridge's own events, such as that a disk fills, are no breaches.
        return [(name, b["pbid"], b["creationTime"]) for name, b in bodies if "pbid" in b]

    def assert_all_arrive(self, *names, collector=None, deadline=60):
        collector = collector or self.collector
        expected = self.expected(*names)
        wait_until(lambda: expected <= set(self.arrived(collector)), deadline,
                   lambda: f"{len(expected - set(self.arrived(collector)))} of {len(expected)} missing; the log ends:\n"
                           + self.bridge.log()[-3000:], every=0.2)

    def assert_no_repeats(self, collector=None):
        got = self.arrived(collector or self.collector)
        self.assertEqual(len(got), len(set(got)), "repeats")

    def new_breaches(self, count=5):
        for s in self.sims.values():
            s.generate(count)

    def small_disk(self, name, mib):
        """A tmpfs at folder/name; SkipTest where it cannot be made."""
        folder = self.folder / name
        folder.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "dtbridge-test", folder],
                          capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted by this user")
        self.addCleanup(lambda: subprocess.run(["umount", "-l", folder], capture_output=True))
        return folder

    def fill(self, folder):
        with open(folder / "filler", "wb", buffering=0) as f:
            for size in (1 << 20, PAGE, 1):
                try:
                    while True:
                        f.write(b"\0" * size)
                except OSError:
                    pass


def harm(path, page, with_bytes=b"\xa5"):
    with open(path, "r+b") as f:
        f.seek(page * PAGE)
        f.write(with_bytes * PAGE)


class Damage(HostTest):
    def test_damaged_archive_is_set_aside_and_recovered(self):
        """The first page is rubbish: its master waits, with words that name the file and the remedy; the others go on.
        Afterwards nothing is missing."""
        self.sim("acme", 300)
        self.sim("beta")
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        harm(self.archive("acme"), 0)
        damaged = self.archive("acme").read_bytes()
        self.new_breaches(7)
        self.bridge.start()
        self.assert_all_arrive("beta")
        self.bridge.wait_for_log(r"error archive acme: \S*masters/acme/archive\.db: .*damaged.*`dtbridge recover`")

        running = run_cli("recover", "--master", "acme", config=self.bridge.config)
        self.assertEqual(running.returncode, 1, running.stderr)
        self.assertIn(f"pid {self.bridge.process.pid},", running.stderr.decode())
        self.assertEqual(self.archive("acme").read_bytes(), damaged, "touched while the service runs")

        self.assertEqual(self.bridge.stop(), 0)
        ended = run_cli("recover", "--master", "acme", config=self.bridge.config)
        said = ended.stdout.decode()
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertRegex(said, r"acme: saved 300 breaches in \d+ blocks?, 300 keys,")
        self.assertRegex(said, r"acme: polling goes on from 20\d\d-")
        self.assertIn("acme: destination siem goes on behind seq 300\n", said)
        self.assertIn("acme: not saved: 0 breaches;", said)
        kept = re.search(r"the damaged file is kept as (\S+archive\.db\.damaged-\d{8}T\d{6}Z)\n", said)
        with open(kept.group(1), "rb") as f:
            self.assertEqual(f.read(), damaged)
        self.bridge.start()
        self.assert_all_arrive()
        self.assert_no_repeats()
        again = run_cli("recover", "--master", "beta", "--state-dir", self.bridge.folder / "state")
        self.assertEqual(again.returncode, 1)  # it runs
        self.assertEqual(self.bridge.stop(), 0)
        again = run_cli("recover", "--master", "beta", "--state-dir", self.bridge.folder / "state")
        self.assertEqual((again.returncode, again.stderr), (0, b""))
        self.assertIn("beta: the archive is whole (67 breaches); nothing was changed", again.stdout.decode())

    def test_damaged_block_in_the_middle(self):
        """What cannot be read is named, and the remedy; after it the rest arrives, and the sweeps fetch what was lost."""
        self.sim("acme", 600, reconcile_interval="2s")
        self.sim("beta")
        self.collector.refuse()
        self.bridge.start()
        wait_until(lambda: self.archived("acme") == 600 and self.archived("beta") == 60, 30, "archiving")
        self.assertEqual(self.bridge.stop(), 0)
        with sqlite3.connect(self.archive("acme")) as db:
            blocks = db.execute("SELECT id, last_seq FROM block ORDER BY id").fetchall()
            self.assertGreater(len(blocks), 3)
            block, last = max(blocks, key=lambda b: b[1] - b[0])
            self.assertGreater(last, block)
            data = bytearray(db.execute("SELECT data FROM block WHERE id = ?", (block,)).fetchone()[0])
        # Of the file, not through SQLite: a part of the block's bytes is turned to rubbish where it lies.
        with open(self.archive("acme"), "r+b") as f:
            content = f.read()
            at = content.index(bytes(data[len(data) // 2:][:60]))
            f.seek(at)
            f.write(b"\x5a" * 300)
        self.collector.accept()
        self.bridge.start()
        self.assert_all_arrive("beta")
        self.bridge.wait_for_log(rf"siem.*acme/archive\.db: the file is damaged: block {block} .*`dtbridge recover`")
        self.assertEqual({k for k in self.arrived(self.collector) if k[0] == "acme"} & self.of_seqs("acme", block, last), set())
        self.assertEqual(self.bridge.stop(), 0)
        ended = run_cli("recover", "--master", "acme", config=self.bridge.config)
        said = ended.stdout.decode()
        lost = last - block + 1
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn(f"acme: saved {600 - lost} breaches in {len(blocks) - 1} blocks", said)
        self.assertIn(f"acme: not saved: {lost} breaches", said)
        self.assertIn(f"acme: not saved: seq {block} to {last}\n", said)
        self.assertIn(f"acme: {lost} keys of these are forgotten", said)
        self.assertRegex(said, rf"destination siem goes on behind seq \d+; {lost} breaches that it had not got")
        self.bridge.start()
        self.assert_all_arrive()

    def test_rubbish_in_random_pages(self):
        """Whichever page it is: the other master goes on, and this one either works all the same or is named with the remedy, after
        which everything arrives."""
        seed = int(os.environ.get("DTBRIDGE_DAMAGE_SEED", random.randrange(1 << 30)))
        print(f"seed {seed}")
        self.sim("acme", 500, reconcile_interval="2s")
        self.sim("beta")
        self.collector.refuse()
        self.bridge.start()
        wait_until(lambda: self.archived("acme") == 500 and self.archived("beta") == 60, 30, "archiving")
        self.assertEqual(self.bridge.stop(), 0)
        whole = self.archive("acme").read_bytes()
        self.collector.accept()
        named = 0
        for page in random.Random(seed).sample(range(len(whole) // PAGE), 6):
            for path in self.archive("acme").parent.glob("archive.db*"):
                path.unlink()
            self.archive("acme").write_bytes(whole)
            harm(self.archive("acme"), page)
            mark = len(self.collector.messages)

            def since(name):
                return {k for k in self.arrived(self.collector, mark) if k[0] == name}
            self.sims["beta"].generate(3)
            self.bridge.start()
            newest = {("beta", e["pbid"], e["created"]) for e in self.sims["beta"].expected()[-3:]}
            wait_until(lambda: newest <= since("beta"), 60, f"beta with page {page} of acme damaged", every=0.2)
            expected = self.expected("acme")
            told = re.compile(r"acme.*archive\.db: .*damaged.*`dtbridge recover`")
            wait_until(lambda: expected <= since("acme") or told.search(self.bridge.log()), 60,
                       lambda: f"page {page}: {len(expected - since('acme'))} missing, and nothing was said:\n{self.bridge.log()[-2000:]}")
            self.assertTrue(self.bridge.process.alive())
            self.assertEqual(self.bridge.stop(), 0)
            if expected <= since("acme"):
                continue
            named += 1
            ended = run_cli("recover", "--master", "acme", config=self.bridge.config)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.bridge.start()
            wait_until(lambda: expected <= since("acme"), 60,
                       lambda: f"page {page}: {len(expected - since('acme'))} missing after recover:\n{ended.stdout.decode()}", every=0.2)
            self.assertEqual(self.bridge.stop(), 0)
        print(f"{named} of 6 pages were missed")

    def archived(self, master):
        try:
            with sqlite3.connect(f"file:{self.archive(master)}?mode=ro", uri=True) as db:
                return db.execute("SELECT last_seq FROM state").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    def of_seqs(self, master, first, last):
        with sqlite3.connect(f"file:{self.archive(master)}?mode=ro", uri=True) as db:
            return {(master, *row) for row in
                    db.execute("SELECT pbid, created FROM breach WHERE seq BETWEEN ? AND ?", (first, last))}

    def test_torn_and_truncated(self):
        """Killed, the log cut in the middle of a frame and the file by a third: what was saved is as it was archived."""
        self.sim("acme", 500)
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)  # all of it is in the file
        self.bridge.start()
        for s in self.sims.values():
            s.generate(100)
        self.assert_all_arrive()
        self.bridge.kill()
        path = self.archive("acme")
        wal = path.with_name("archive.db-wal")
        if wal.exists() and wal.stat().st_size > 5000:
            os.truncate(wal, wal.stat().st_size - 1000)
        os.truncate(path, path.stat().st_size * 2 // 3)
        ended = run_cli("recover", "--master", "acme", config=self.bridge.config)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        saved = int(re.search(r"saved (\d+) breaches", ended.stdout.decode()).group(1))
        self.assertGreater(saved, 50, ended.stdout)
        expected = {(b["pbid"], b["created"]) for b in self.sims["acme"].expected()}
        with sqlite3.connect(path) as db:
            there = db.execute("SELECT pbid, created FROM breach").fetchall()
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        self.assertEqual(len(there), saved)
        self.assertLessEqual(set(there), expected)
        self.new_breaches(10)
        self.bridge.start()
        self.assert_all_arrive()

    def test_damaged_service_file(self):
        """The service does not start, and says why; what is readable is saved."""
        self.sim("acme")
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        path = self.bridge.folder / "state" / "service.db"
        with sqlite3.connect(path) as db:
            before = db.execute("SELECT * FROM destination").fetchall()
        harm(path, 0)
        self.bridge.start(wait=False)
        self.assertEqual(self.bridge.process.wait(20), 1)
        self.assertRegex(self.bridge.log(), r"error service: \S*/service\.db: the file is damaged.*`dtbridge recover`")
        ended = run_cli("recover", "--service", config=self.bridge.config)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("service.db: saved when 1 destination first ran\n", ended.stdout.decode())
        with sqlite3.connect(path) as db:
            self.assertEqual(db.execute("SELECT * FROM destination").fetchall(), before)
        again = run_cli("recover", "--service", config=self.bridge.config)
        self.assertIn("service.db: it is whole; nothing was changed\n", again.stdout.decode())
        self.new_breaches()
        self.bridge.start()
        self.assert_all_arrive()
        self.assert_no_repeats()

    def test_lost_service_file(self):
        """Breaches wait for a destination whose first run nobody knows any more: the archive does, and `start` counts from there."""
        self.sim("acme", 0)
        self.bridge.destinations[0]["start"] = "0s"
        self.bridge.start()
        wait_until(lambda: "siem: connected" in self.bridge.log(), 20, self.bridge.log)
        self.new_breaches(3)
        self.assert_all_arrive()
        self.collector.refuse()
        self.new_breaches(20)
        wait_until(lambda: self.archived("acme") == 23, 20, "archiving")
        self.assertEqual(self.bridge.stop(), 0)
        for file in (self.bridge.folder / "state").glob("service.db*"):
            file.unlink()
        self.collector.accept()
        self.bridge.start()
        self.assert_all_arrive()
        self.assert_no_repeats()
        pbid = self.sims["acme"].expected()[-1]["pbid"]
        told = run_cli("explain", "--master", "acme", "--pbid", str(pbid), config=self.bridge.config).stdout.decode()
        self.assertNotIn("where `start` lets it begin", told)

    def test_recover_needs_no_configuration(self):
        self.sim("acme")
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        state = self.bridge.folder / "state"
        unknown = run_cli("recover", "--master", "other", "--state-dir", state)
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("there are: acme", unknown.stderr.decode())
        self.assertEqual(run_cli("recover", "--master", "../masters/acme", "--state-dir", state).returncode, 2)
        self.assertEqual(run_cli("recover", "--state-dir", state).returncode, 2)
        missing = run_cli("recover", "--master", "acme", config=self.folder / "none.toml")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("--state-dir", missing.stderr.decode())
        # Destinations and masters may be as wrong as they like.
        text = self.bridge.config.read_text()
        self.bridge.config.write_text(text.replace("[[destination]]", '[[destination]]\nnonsense = 1\n'))
        harm(self.archive("acme"), 0)
        ended = run_cli("recover", "--master", "acme", config=self.bridge.config)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("saved 60 breaches", ended.stdout.decode())


class Versions(HostTest):
    """Files of other versions: the state folder of a bridge that was upgraded, or set back."""

    def kept(self, dump, path):
        """A file as an earlier version wrote it (tests/data)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as db:
            db.executescript((SOURCE / "tests/data" / dump).read_text())

    @staticmethod
    def set_version(path, version):
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA user_version={version}")

    @staticmethod
    def version(path):
        with sqlite3.connect(path) as db:
            return db.execute("PRAGMA user_version").fetchone()[0]

    @staticmethod
    def content(path):
        with sqlite3.connect(path) as db:
            return list(db.iterdump())

    def test_files_of_the_first_schemas_are_brought_forward(self):
        """What was delivered is not sent again, what waited is, and polling goes on."""
        self.sim("acme", 5)
        qradar = self.destination("qradar", start="all")
        self.kept("archive-v1.sql", self.archive("acme"))
        self.kept("service-v1.sql", self.bridge.folder / "state" / "service.db")
        self.bridge.start()
        waited = {9, 10}  # 6 to 8 were delivered, 11 and 12 are for the archive alone
        expected = sorted(waited | {b["pbid"] for b in self.sims["acme"].expected()})
        wait_until(lambda: len(qradar.texts()) >= len(expected), 60, self.bridge.log)
        wait_until(lambda: all(d["lag"] == 0 for d in self.bridge.status()["destinations"]), 20, self.bridge.log)
        self.assertEqual(sorted(messages.json_pbid(m) for m in qradar.texts()), expected)
        self.assertEqual(self.bridge.stop(), 0)
        exported = run_cli("export", "--master", "acme", config=self.bridge.config)
        kept = sorted(json.loads(line)["pbid"] for line in exported.stdout.splitlines())
        self.assertEqual(kept, sorted([*range(6, 13), *(b["pbid"] for b in self.sims["acme"].expected())]))
        self.assertGreater(self.version(self.archive("acme")), 1)
        self.assertGreater(self.version(self.bridge.folder / "state" / "service.db"), 1)

    def test_an_archive_of_a_newer_version_is_left_alone(self):
        """Its master waits, with words that name the file; the others go on. With the newer version, nothing is missing."""
        self.sim("acme")
        self.sim("beta")
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        present = self.version(self.archive("acme"))
        self.set_version(self.archive("acme"), 99)
        newer = self.content(self.archive("acme"))
        self.new_breaches(7)
        self.bridge.start()
        self.assert_all_arrive("beta")
        self.bridge.wait_for_log(r"error archive acme: \S*masters/acme/archive\.db: .*newer dtbridge.*schema 99")
        self.assertEqual(self.bridge.stop(), 0)
        self.assertEqual(self.content(self.archive("acme")), newer)
        self.assertEqual(self.version(self.archive("acme")), 99)
        self.set_version(self.archive("acme"), present)
        self.bridge.start()
        self.assert_all_arrive()
        self.assert_no_repeats()

    def test_a_service_file_of_a_newer_version_is_refused(self):
        self.sim("acme")
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        path = self.bridge.folder / "state" / "service.db"
        self.set_version(path, 99)
        self.bridge.start(wait=False)
        self.assertEqual(self.bridge.process.wait(20), 1)
        self.assertRegex(self.bridge.log(), r"error service: \S*/service\.db: .*newer dtbridge.*schema 99")
        self.assertEqual(self.version(path), 99)


class PowerCut(HostTest):
    def test_state_copied_at_random_moments(self):
        """What a power cut leaves: the state folder at one instant while breaches stream in. Each copy is whole, its numbers have no
        gap, its position is not ahead of its breaches, and a bridge that starts on it misses nothing."""
        chance = random.Random(int(os.environ.get("DTBRIDGE_CUT_SEED", "7")))
        sim = self.sim("acme", 200, interval="100ms")
        sim.rate(60)
        self.bridge.start()
        self.collector.wait_for(200)
        copies = []
        for n in range(12):
            time.sleep(chance.uniform(0.02, 0.4))
            self.bridge.process.signal(signal.SIGSTOP)
            copy = self.folder / f"copy-{n}"
            shutil.copytree(self.bridge.folder / "state", copy, ignore=shutil.ignore_patterns("*.sock"))
            self.bridge.process.signal(signal.SIGCONT)
            copies.append(copy)
        sim.rate(0)
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        made = {(b["pbid"], b["created"]) for b in sim.expected()}
        for copy in copies:
            with sqlite3.connect(copy / "masters" / "acme" / "archive.db") as db:
                self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok", copy)
                count, low, high = db.execute("SELECT count(*), min(seq), max(seq) FROM breach").fetchone()
                last, position = db.execute("SELECT last_seq, position FROM state").fetchone()
                self.assertEqual((count, low, high), (last, 1, last), copy)
                there = set(db.execute("SELECT pbid, created FROM breach"))
                # A creation is cut to whole seconds, so what the last second's poll could not see yet seems older.
                due = {k for k in made if k[1] <= position - 2000}
                self.assertEqual(due - there, set(), f"{copy}: the position is ahead of the breaches")
                self.assertLessEqual(there, made)
                for (cursor,) in db.execute("SELECT seq FROM cursor"):
                    self.assertLessEqual(cursor, last)
        # The power is back, on one of them.
        shutil.rmtree(self.bridge.folder / "state")
        copies[5].rename(self.bridge.folder / "state")
        with sqlite3.connect(self.bridge.folder / "state/masters/acme/archive.db") as db:
            cursor = db.execute("SELECT seq FROM cursor").fetchone()[0]
        self.collector.messages.clear()
        self.bridge.start()
        want = len(made) - cursor
        self.collector.wait_for(want, 60)
        with sqlite3.connect(f"file:{self.archive('acme')}?mode=ro", uri=True) as db:
            wait_until(lambda: db.execute("SELECT count(*) FROM breach").fetchone()[0] == len(made), 30, "archiving")
        self.assertEqual(len(set(self.arrived(self.collector))), want)


class Disk(HostTest):
    def test_full_at_start_while_polling_and_while_delivering(self):
        disk = self.small_disk("disk", 24)
        self.bridge.service["state_dir"] = str(disk / "state")
        self.bridge.archive["min_free"] = "0B"
        self.sim("acme", 100)
        self.fill(disk)
        self.bridge.start(wait=False)
        self.bridge.wait_for_log(r"no space left|No space left")
        # It ends by itself, so that the service manager starts it again; there is space meanwhile.
        self.assertEqual(self.bridge.process.wait(30), 1)
        (disk / "filler").unlink()
        self.bridge.start()
        self.assert_all_arrive()

        self.fill(disk)
        polls = self.sims["acme"].state(False)["requests"]
        self.new_breaches(40)
        self.bridge.wait_for_log(r"acme.*no space left")
        wait_until(lambda: self.sims["acme"].state(False)["requests"] > polls, 20, "polling goes on")
        self.assertTrue(self.bridge.process.alive())
        (disk / "filler").unlink()
        self.assert_all_arrive()

        # While what waits is delivered: cursors cannot be saved, so a repeat is allowed and a loss is not.
        self.collector.refuse()
        self.new_breaches(200)
        with_all = len(self.expected())
        wait_until(lambda: self.rows(disk) == with_all, 30, "archiving")
        self.fill(disk)
        self.collector.accept()
        self.collector.wait_for(with_all, 60)
        self.assertTrue(self.bridge.process.alive())
        (disk / "filler").unlink()
        self.new_breaches(5)
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)

    def rows(self, disk):
        try:
            with sqlite3.connect(f"file:{disk}/state/masters/acme/archive.db?mode=ro", uri=True) as db:
                return db.execute("SELECT breaches FROM state").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    def test_full_archive_and_one_dead_destination(self):
        """max_size in one bridge, min_free in another: the living destination gets everything, what the dead one lacked is dropped,
        counted and named, and the archive is within its bounds."""
        disk = self.small_disk("disk", 24)
        free = Bridge(self.folder.path, "min-free")
        self.own(free)
        sim = self.sim("acme", 1)
        free.master(sim)
        free.archive["min_free"] = "22500KiB"
        free.service["state_dir"] = str(disk / "state")
        self.bridge.archive["max_size"] = "1MiB"
        self.bridge.archive["min_free"] = "0B"
        # Before the first poll, which reaches back by `backfill`; later ones reach back by `overlap` only.
        sim.generate(12000, seconds=3000)
        dead = {}
        living = {self.bridge: self.collector, free: self.own(Collector("tcp"))}
        free.destination("siem", address=living[free].address, transport="tcp", format="json", max_message="64KiB")
        for b in (self.bridge, free):
            dead[b] = self.own(Collector("tcp"))
            b.destination("dead", address=dead[b].address, transport="tcp", format="json")
            dead[b].refuse()
            b.service["log_level"] = "info"
            b.start()
        for b in (self.bridge, free):
            self.assert_all_arrive(collector=living[b], deadline=240)
        # The look at the space comes once a minute.
        for b in (self.bridge, free):
            found = b.wait_for_log(r"error archive dead: .*dropped.*counted lost.*count=(\d+)", 150)
            self.assertGreater(int(found.group(1)), 100)
            self.assertNotRegex(b.log(), r"error archive siem: ")
        size = sum(p.stat().st_size for p in (self.bridge.folder / "state" / "masters" / "acme").glob("archive.db*"))
        self.assertLess(size, (1 << 20) + (1 << 19))
        # What is left the dead one gets, and the living one goes on.
        for b in (self.bridge, free):
            dead[b].accept()
        sim.generate(50)
        for b in (self.bridge, free):
            self.assert_all_arrive(collector=living[b])
            newest = {("acme", e["pbid"], e["created"]) for e in sim.expected()[-50:]}
            wait_until(lambda: newest <= set(self.arrived(dead[b])), 60, "the newest at the one that was dead", every=0.3)
            self.assert_no_repeats(living[b])
        # The count is right, and every place that speaks of it names the destination.
        for b in (self.bridge, free):
            wait_until(lambda: {d["name"]: d for d in b.status()["destinations"]}["dead"]["lag"] == 0, 60, "the rest at the one that was dead")
            never = self.expected() - set(self.arrived(dead[b]))
            states = {d["name"]: d for d in b.status()["destinations"]}
            self.assertEqual((states["dead"]["lost"], states["siem"]["lost"]), (len(never), 0))
            self.assertIn(f'dtbridge_lost_total{{destination="dead"}} {len(never)}\n'.encode(), b.http("/metrics", body=True))
            ready = wait_until(lambda: (r := json.loads(b.http("/readyz", body=True)))["reasons"] and r, 20, "a reason")
            self.assertTrue(ready["ready"])
            self.assertIn(f"destination dead lost {len(never)} breaches", " ".join(ready["reasons"]))
            told = [m for m in dead[b].texts() if "Breaches were dropped" in m or "lost" in m and '"event":"health"' in m]
            self.assertEqual(len(told), 1, "said once to whom it concerns")
            pbid = sorted(never)[0][1]
            explained = json.loads(run_cli("explain", "--master", "acme", "--pbid", str(pbid), "--json", config=b.config).stdout)
            self.assertIn('"lost"', json.dumps(explained))


class Permissions(HostTest):
    """As another user than root, who may write everywhere."""

    def setUp(self):
        super().setUp()
        if os.getuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root and setpriv, to run as another user")
        self.folder.path.chmod(0o755)

    def start_as_nobody(self):
        self.bridge.write()
        for path in [self.bridge.folder, *self.bridge.folder.iterdir()]:
            if path.name != "state":
                os.chown(path, 65534, 65534)
        self.bridge.starts += 1
        self.bridge.process = Process(f"nobody-{self.bridge.starts}", [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bridge_binary(), "run", "--config", self.bridge.config],
            self.bridge.folder)

    def own_state(self, mode=0o750):
        state = self.bridge.folder / "state"
        for path in [state, *state.rglob("*")]:
            os.chown(path, 65534, 65534)
        return state

    def test_read_only_state_folder(self):
        self.sim("acme")
        self.sim("beta")
        state = self.bridge.folder / "state"
        state.mkdir()
        state.chmod(0o555)
        self.start_as_nobody()
        self.assertEqual(self.bridge.process.wait(20), 1)
        self.assertRegex(self.bridge.log(), r"error service: \S*/state/lock: .*Permission denied")
        # One master's folder alone: the other one goes on.
        state.chmod(0o750)
        self.own_state()
        self.start_as_nobody()
        self.bridge.wait_ready()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        shutil.rmtree(state / "masters" / "acme")
        (state / "masters" / "acme").mkdir(mode=0o555)
        self.new_breaches()
        self.start_as_nobody()
        self.bridge.wait_ready()
        self.assert_all_arrive("beta")
        self.assertRegex(self.bridge.log(), r"error archive acme: \S*masters/acme/archive\.db: Permission denied")
        self.assertTrue(self.bridge.process.alive())


class Running(HostTest):
    def test_second_bridge_on_one_state_folder(self):
        self.sim("acme")
        self.bridge.start()
        self.assert_all_arrive()
        second = Bridge(self.folder.path, "second")
        second.service["state_dir"] = self.bridge.service["state_dir"]
        second.masters, second.destinations = self.bridge.masters, self.bridge.destinations
        shutil.copy(self.bridge.folder / "acme.token", second.folder)
        second.start(wait=False)
        self.assertEqual(second.process.wait(20), 1)
        self.assertRegex(second.log(), rf"state/lock: another dtbridge writes here \(pid {self.bridge.process.pid}, started 20")
        self.new_breaches()
        self.assert_all_arrive()
        self.assert_no_repeats()

    def test_descriptors_used_up(self):
        self.sim("acme")
        self.sim("beta", timeout="2s")
        self.bridge.start()
        self.assert_all_arrive()
        pid = self.bridge.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # Less than are open: what is closed cannot be opened again.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, before[1]))
        # Everything has to be opened anew now.
        self.collector.reset()
        self.sims["beta"].fault("close_after", requests=0)
        self.new_breaches()
        self.bridge.wait_for_log(r"too many open files", 30)
        self.assertTrue(self.bridge.process.alive())
        self.sims["beta"].fault("none")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        self.new_breaches()
        self.assert_all_arrive(deadline=90)
        self.assertEqual(self.bridge.stop(), 0)

    def test_clock_set_back_and_forward(self):
        library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if "asan" in str(bridge_binary()) or "tsan" in str(bridge_binary()):
            self.skipTest("faketime does not go with a sanitizer")
        if not library:
            self.skipTest("faketime is not installed")
        clock = self.folder / "clock"

        def set_clock(seconds):
            clock.with_suffix(".new").write_text(f"{seconds:+d}\n")
            os.replace(clock.with_suffix(".new"), clock)
        set_clock(0)
        self.sim("acme")
        self.sim("beta")
        self.bridge.write()
        self.bridge.process = Process("clock", [bridge_binary(), "run", "--config", self.bridge.config], self.bridge.folder, env={
            "LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"})
        self.bridge.wait_ready()
        self.assert_all_arrive()
        # A certificate that is not valid yet holds a master up while the clock is wrong, nothing longer: hence plain HTTP beside it.
        for offset in (86400 * 3, -3600, 7200, 0):
            set_clock(offset)
            wait_until(lambda: self.log_is_off_by(offset), 30, lambda: self.bridge.log()[-500:])
            self.new_breaches(10)
        self.assert_all_arrive(deadline=120)
        self.assert_no_repeats()
        self.assertEqual(self.bridge.stop(), 0)

    def log_is_off_by(self, seconds):
        """The bridge sees the clock: its newest log line says so. Asked for by a reload, which is logged."""
        self.bridge.reload()
        times = re.findall(r"^(\S+)Z info config: the new", self.bridge.log(), re.M)
        if not times:
            return False
        said = time.mktime(time.strptime(times[-1][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        return abs(said - time.time() - seconds) < 60

    def test_stop_during_the_start(self):
        """Archives that cannot be opened at once hold up neither SIGTERM nor SIGHUP."""
        for n in range(8):
            self.sim(f"master-{n}", 3)
        self.bridge.start()
        self.assert_all_arrive()
        self.assertEqual(self.bridge.stop(), 0)
        holders = []
        for name in self.sims:
            db = sqlite3.connect(self.archive(name), isolation_level=None)
            self.addCleanup(db.close)
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            holders.append(db)
        self.bridge.start(wait=False)
        self.bridge.wait_for_log(r"master-0.*another process holds the file", 30)
        start = time.monotonic()
        self.bridge.process.signal(signal.SIGHUP)
        self.assertEqual(self.bridge.stop(30), 0)
        # It waits for the one that it is in (5 s), not for the six that follow.
        self.assertLess(time.monotonic() - start, 15)
        self.assertNotIn("master-4", self.bridge.process.err())
        for db in holders:
            db.close()
        self.new_breaches()
        self.bridge.start()
        self.assert_all_arrive()
        self.assert_no_repeats()


if __name__ == "__main__":
    unittest.main()
