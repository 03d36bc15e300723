"""Everything that runs in the soak, what must arrive, and what has arrived."""
import collections
import json
import random
import resource
import signal
import sqlite3
import time

from rig.bridge import Bridge, bridge_binary
from rig.pki import Pki
from rig.process import Process
from rig.simulator import Simulator

from . import machine
from .collectors import Rsyslog, RsyslogRelp, SyslogNg
from .recovery import Recovery
from .sends import Sends

MASTERS = 10
ABOVE = 0.5


class Master:
    """A simulated master that keeps its breaches when it is killed and started again."""

    def __init__(self, folder, number, rate):
        self.folder = folder / f"master-{number}"
        self.folder.mkdir()
        self.number = number
        self.name = f"master-{number}"
        self.rate = rate
        self.starts = 0
        self.port = 0
        self.private = f"{number:02}" * 20
        self.made = {}  # (pbid, created): score; all that the master ever had
        self.shown_before = set()
        self.slow = False  # its last fault was one that the bridge asks about again after minutes only
        self.sim = None

    def start(self):
        self.starts += 1
        options = {"seed": 1 + self.number + 100 * self.starts, "fqdn": f"{self.name}.example.com"}
        if self.starts == 1:
            options.update(generate=60, span="30m")
        else:
            options.update(data=[self.folder / "data.json"], first_pbid=1 + max(pbid for pbid, _ in self.made))
        self.sim = Simulator(self.folder, f"{self.name}-{self.starts}", listen=f"127.0.0.1:{self.port}", private=self.private,
                             tls_folder=self.folder / "tls", rate=self.rate, **options)
        self.port = self.sim.port

    def note(self):
        """What there is now must arrive."""
        for e in self.sim.expected():
            self.made.setdefault((e["pbid"], e["created"]), e["score"])

    def kill(self):
        # A real master's breaches are on its disk: none may appear between the look and the end.
        self.sim.rate(0)
        time.sleep(0.05)
        self.note()
        self.shown_before |= set(self.sim.state()["shown"]["pbids"])
        (self.folder / "data.json").write_bytes(self.sim.control("GET", "/expected?full=1", raw=True))
        self.sim.process.kill()

    def shown(self):
        return len(self.shown_before | set(self.sim.state()["shown"]["pbids"]))


class Destination:
    """What the bridge calls by one of names, and the collectors behind it: one, or two that stand in for each other."""

    def __init__(self, names, collectors, half=False):
        self.names = names
        self.name = collectors[0].name
        self.collectors = collectors
        self.half = half

    def without_arrived(self, keys):
        for c in self.collectors:
            keys = keys - c.arrived.keys()
        return keys

    def times(self):
        """{(master, pbid, created): how often it came}"""
        if len(self.collectors) == 1:
            return self.collectors[0].arrived
        times = collections.Counter()
        for c in self.collectors:
            times.update(c.arrived)
        return times

    def news(self):
        """What has come for the first time since this was asked last."""
        first = [key for c in self.collectors for key in c.news if all(key not in o.arrived for o in self.collectors if o is not c)]
        for c in self.collectors:
            c.news.clear()
        return first

    def unreadable(self):
        return [line for c in self.collectors for line in c.unreadable]

    def is_cut(self, line):
        return any(c.is_cut(line) for c in self.collectors)


class World:
    WRONG_CLOCKS = (1, 2, 3, 4)  # numbers of the masters whose clock is changed

    def __init__(self, folder, seed, rate, private_space):
        self.folder = folder
        self.chance = random.Random(seed)
        self.private_space = private_space
        self.peak_kib = 0
        self.ended_by_itself = []
        self.wrong = []
        self.kills = 0
        self.restored = 0
        self.bridge_down = False
        self.may_end = False
        self.has_clock = False
        self.disk = machine.SmallDisk(folder / "state", 768) if private_space else None
        self.clock = machine.Clock(folder)
        self.pki = Pki(folder / "pki")
        self.masters = [Master(folder, n, rate) for n in range(MASTERS)]
        self.collectors = [
            Rsyslog("cef-tls", folder, r"\|externalId=(\d+)", self.pki),
            SyslogNg("json-tcp", folder, r'"pbid":"?(\d+)'),
            Rsyslog("leef-tcp", folder, r"[|^]externalId=(\d+)"),
            RsyslogRelp("json-relp", folder, r'"pbid":"?(\d+)'),
            Rsyslog("cef-pair", folder, r"\|externalId=(\d+)"),
            Rsyslog("cef-pair-2", folder, r"\|externalId=(\d+)"),
        ]
        cef, jsons, leef, relp, one, two = self.collectors
        self.destinations = [Destination(["cef"], [cef]), Destination(["json", "json-new"], [jsons]),
                             Destination(["leef"], [leef], half=True), Destination(["relp"], [relp]), Destination(["pair"], [one, two])]
        self.bridge = Bridge(folder)
        self.state_dir = folder / "state" / "dtbridge"
        self.bridge.service.update(state_dir=str(self.state_dir), log_level="info")
        self.recovery = Recovery(self)
        self.sends = Sends(self)
        self.bridge.archive.update(min_free="0B", max_size="10GiB")

    def start(self):
        for c in self.collectors:
            c.start()
        for m in self.masters:
            m.start()
            self.bridge.master(m.sim, name=m.name, backfill="2h", timeout="30s", reconcile_interval="20s",
                               reconcile_span="5h")
        cef, jsons, leef, relp, one, two = self.collectors
        keys = {"header": "rfc5424", "hostname": "master"}
        self.bridge.destination("cef", address=f"localhost:{cef.port}", transport="tls", format="cef",
                                tls={"ca_file": str(self.pki.ca), "cert_file": str(self.pki.client),
                                     "key_file": str(self.pki.client_key)}, **keys)
        self.bridge.destination("json", address=f"127.0.0.1:{jsons.port}", transport="tcp", format="json",
                                framing="octet-counting", **keys)
        self.bridge.destination("leef", address=f"127.0.0.1:{leef.port}", transport="tcp", format="leef",
                                rules=self.bridge.rules("half.toml", f"[forward]\nabove_score = {ABOVE}\n"), **keys)
        self.bridge.destination("relp", address=f"127.0.0.1:{relp.port}", transport="relp", format="json", **keys)
        self.bridge.destination("pair", addresses=[f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"], transport="tcp", format="cef",
                                framing="octet-counting", **keys)
        self.start_bridge()
        self.bridge.wait_ready(60)

    # the bridge

    def start_bridge(self):
        """With a clock of its own in every second life, where there is one."""
        b = self.bridge
        self.sends.look(at_rest=True)
        b.write()
        b.starts += 1
        self.has_clock = bool(self.clock.library) and self.chance.random() < 0.5
        self.clock.set(0)
        b.process = Process(f"{b.name}-{b.starts}", [bridge_binary(), "run", "--config", b.config], b.folder,
                            env=self.clock.environment if self.has_clock else None)
        self.bridge_down = False

    def kill_bridge(self):
        self.sample()
        self.bridge_down = True
        self.bridge.process.kill()
        self.kills += 1

    def stop_bridge(self):
        self.sample()
        self.bridge_down = True
        self.bridge.process.signal(signal.SIGCONT)
        return self.bridge.stop(20)

    def sample(self):
        """Peak memory; a bridge that is gone and was not killed by us is the worst of faults."""
        p = self.bridge.process
        if self.bridge_down:
            return
        try:
            self.peak_kib = max(self.peak_kib, p.resident_kib())
        except (OSError, ValueError):
            pass
        if not p.alive():
            if not self.may_end:
                self.ended_by_itself.append(f"exit status {p.popen.returncode}: {p.err()[-1500:]}")
            self.start_bridge()

    def reload(self):
        """SIGHUP, once the bridge hears it; one that is not running reads the files when it starts."""
        p = self.bridge.process
        hears = 1 << (signal.SIGHUP - 1)
        for _ in range(100):
            if self.bridge_down or not p.alive():
                return
            with open(f"/proc/{p.pid}/status") as status:
                caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
            if caught & hears:
                p.signal(signal.SIGHUP)
                return
            time.sleep(0.02)

    def lower_descriptors(self):
        """Fewer than are open: nothing that is closed can be opened again."""
        self.descriptors = resource.prlimit(self.bridge.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.bridge.process.pid, resource.RLIMIT_NOFILE, (8, self.descriptors[1]))

    def raise_descriptors(self, pid):
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, self.descriptors)
        except ProcessLookupError:
            pass  # killed meanwhile

    # what must be where

    def note(self):
        for m in self.masters:
            m.note()

    def look(self):
        self.sample()
        if not self.bridge_down:
            self.sends.look()
        for c in self.collectors:
            c.look()
        self.recovery.look()

    def wanted(self, destination, before_ms=None):
        """(master, pbid, created) that this destination must get; before_ms: what is created later is not due yet."""
        half = destination.half
        return {(m.name, pbid, created) for m in self.masters for (pbid, created), score in m.made.items()
                if (before_ms is None or created <= before_ms) and not (half and score is not None and score <= ABOVE)}

    def missing(self, wanted):
        """wanted: {name of destination: set}. What has not arrived of it."""
        return {d.name: d.without_arrived(wanted[d.name]) for d in self.destinations}

    def all_wanted(self, before_ms=None):
        return {d.name: self.wanted(d, before_ms) for d in self.destinations}

    def wait_arrived(self, wanted, deadline, every=0.3):
        """Seconds until everything of wanted is there; None when it is not within deadline."""
        start = time.monotonic()
        left = wanted
        while True:
            self.look()
            left = self.missing(left)
            if not any(left.values()):
                return time.monotonic() - start
            if time.monotonic() - start > deadline:
                return None
            time.sleep(every)

    # at the end

    def archived(self):
        """{master: (breaches, what integrity_check says)} of the stopped bridge."""
        out = {}
        for m in self.masters:
            path = self.state_dir / "masters" / m.name / "archive.db"
            with sqlite3.connect(path) as db:
                keys = set(db.execute("SELECT pbid, created FROM seen"))
                rows, low, high = db.execute("SELECT count(*), min(seq), max(seq) FROM breach").fetchone()
                said = db.execute("PRAGMA integrity_check").fetchone()[0]
                if rows and (low != 1 or high != rows):
                    said += f"; seq {low} to {high} for {rows} breaches"
            out[m.name] = (keys, said)
        return out

    def close(self):
        if self.disk:
            self.disk.close()


def write_token(world, master, token):
    """A new private token on the master's side and in the bridge's file."""
    master.private = token
    (world.bridge.folder / f"{master.name}.token").write_text(token + "\n")


def by_master(keys):
    """How many of each."""
    counts = {}
    for key in keys:
        counts[key[0]] = counts.get(key[0], 0) + 1
    return json.dumps(dict(sorted(counts.items())))


def pretty(keys, most=5):
    return json.dumps([list(k) for k in sorted(keys)[:most]])
