"""The whole way, measured: simulated masters, the bridge, and a collector that does next to nothing. Only the bridge's own
process counts: its CPU is utime + stime of /proc/PID/stat, its memory VmHWM."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("DTBRIDGE_BUILD", str(SOURCE / "build" / "bench"))
sys.path.insert(0, str(SOURCE / "tests" / "integration"))
from rig import BUILD, Bridge, Folder, Pki, Simulator, wait_until  # noqa: E402
from rig.postgres import Postgres  # noqa: E402

SIZE = 5000
PATIENCE = 900


class Sink:
    """bench-sink as a process."""

    def __init__(self, pki=None):
        argv = [str(BUILD / "bench-sink")]
        if pki:
            argv += ["--tls", str(pki.server), str(pki.server_key)]
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._line().split()[1])

    def _line(self):
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError("bench-sink has ended")
        return line

    def ask(self, text):
        self.popen.stdin.write(text + "\n")
        self.popen.stdin.flush()
        return self._line()

    def count(self):
        return int(self.ask("count").split()[1])

    def arrivals(self, folder):
        """[(pbid, epoch us)]"""
        path = folder / "arrivals"
        if self.ask(f"dump {path}").strip() != "done":
            raise AssertionError("bench-sink cannot write what it received")
        return [tuple(map(int, line.split())) for line in path.read_text().splitlines()]

    def close(self):
        self.popen.stdin.close()
        self.popen.wait(10)
        self.popen.stdout.close()


class Way:
    """with Way(..) as w: w.start(); everything is stopped and removed at the end."""

    def __init__(self, masters=1, transport="tcp", form="cef", master_tls=False, gzip=False, interval="10s", rules="", destination=None,
                 master=None, database=False, **simulator):
        """database: the archive is in a PostgreSQL of its own, with fsync."""
        self.folder = Folder("dtbridge-bench-")
        self.sim = self.sink = self.bridge = self.database = None
        self.others = []
        try:
            pki = Pki(self.folder / "pki") if transport == "tls" else None
            if not gzip:
                simulator["no_gzip"] = True
            self.sim = Simulator(self.folder, "sim", tls=master_tls, size=SIZE, **simulator)
            self.sink = Sink(pki)
            self.bridge = Bridge(self.folder.path)
            self.bridge.service["log_level"] = "info"
            if database:
                self.database = Postgres(measured=True)
                self.bridge.archive = {"url": self.database.url}
            self._of_a_master = {"interval": interval, "backfill": "26h", "timeout": f"{PATIENCE}s", "reconcile_interval": "24h",
                                 **(master or {})}
            for i in range(masters):
                self.bridge.master(self.sim, name=f"m{i:04}", **self._of_a_master)
            more = {"tls": {"ca_file": str(pki.ca)}} if pki else {}
            self.bridge.destination("siem", address=f"localhost:{self.sink.port}" if pki else f"127.0.0.1:{self.sink.port}",
                                    transport=transport, framing="octet-counting", format=form, rules=rules, **more, **(destination or {}))
        except BaseException:
            self.close()
            raise

    def other_master(self, name, **simulator):
        """A master with a simulator of its own, which is answered; before start()."""
        sim = Simulator(self.folder, name, tls=False, size=SIZE, **simulator)
        self.others.append(sim)
        self.bridge.master(sim, name=name, **self._of_a_master)
        return sim

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for thing in (self.bridge and self.bridge.process, *(sim and sim.process for sim in (self.sim, *self.others))):
            if thing:
                thing.stop()
        if self.sink:
            self.sink.close()
        if self.database:
            self.database.close()
        self.folder.close()

    def start(self):
        """A thousand new archives are made at the first start, which takes its time."""
        began = time.monotonic()
        self.bridge.start(wait=False)
        self.bridge.wait_ready(PATIENCE)
        return time.monotonic() - began

    @property
    def pid(self):
        return self.bridge.process.pid

    def cpu(self):
        return self.bridge.process.cpu_seconds()

    def exact_cpu(self):
        """To the nanosecond, of the threads that live: for what uses hardly any."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()) / 1e9

    def written(self):
        return int(re.search(r"^write_bytes: (\d+)", pathlib.Path(f"/proc/{self.pid}/io").read_text(), re.M)[1])

    def peak_mib(self):
        return self.bridge.process.resident_kib() / 1024

    def confirmed(self):
        text = self.bridge.http("/metrics", body=True) or b""
        found = re.search(rb'^dtbridge_confirmed_total\{destination="siem"\} (\d+)', text, re.M)
        return int(found[1]) if found else 0

    def wait_delivered(self, count):
        wait_until(lambda: self.sink.count() >= count, PATIENCE, lambda: f"{self.sink.count()} of {count}\n{self.bridge.log()[-2000:]}",
                   every=0.1)
        wait_until(lambda: self.confirmed() >= count, 60, "not everything was confirmed", every=0.1)
        if self.sink.count() != count:
            raise AssertionError(f"{self.sink.count()} messages for {count} breaches")

    def wait_asked(self, requests):
        """Until the master was asked so often; before that nothing of note was done."""
        wait_until(lambda: self.sim.state(False)["requests_by_path"].get("/modelbreaches", 0) >= requests, PATIENCE,
                   f"{requests} requests for /modelbreaches")


class Meter:
    """What the bridge, and the database where there is one, used from here to use()."""

    def __init__(self, w):
        self.w = w
        self.cpu, self.began, self.server = self._of()

    def _of(self):
        d = self.w.database
        return self.w.exact_cpu(), time.monotonic(), {"cpu": d.cpu_seconds(), **d.worked()} if d else {}

    def use(self):
        cpu, now, server = self._of()
        return {"cpu": cpu - self.cpu, "wall": now - self.began, **{"server_" + k: v - self.server[k] for k, v in server.items()}}


def archive_way(breaches, **way):
    """{"append", "read_on"}: a backlog of one master to its collector, and then the same for a new destination, all of it from the
    archive. Starting is part of the second's CPU; "wall" begins with the first message, "start" ends there."""
    with Way(generate=breaches, span="20h", interval="1h", **way) as w:
        w.sim.fault("slow", seconds=2, count=1)
        w.start()
        w.wait_asked(1)
        time.sleep(0.5)
        meter = Meter(w)
        wait_until(lambda: w.sink.count() >= breaches, PATIENCE, "breaches are missing at the sink", every=0.05)
        append = meter.use()
        w.wait_delivered(breaches)
        w.bridge.stop()
        w.bridge.destinations[0]["name"] = "again"
        began = time.monotonic()
        w.start()
        wait_until(lambda: w.sink.count() > breaches, PATIENCE, "breaches are missing at the sink", every=0.01)
        first, already = time.monotonic(), w.sink.count()
        wait_until(lambda: w.sink.count() >= 2 * breaches, PATIENCE, "breaches are missing at the sink", every=0.01)
        wall = (time.monotonic() - first) * breaches / max(1, 2 * breaches - already)
        return {"append": append, "read_on": {"cpu": w.exact_cpu(), "wall": wall, "start": first - began}}


def at_rest(masters, seconds=60, warm_up=30, **way):
    """What masters without news cost, polled every 10 s."""
    with Way(masters=masters, generate=0, **way) as w:
        w.start()
        w.wait_asked(masters)
        time.sleep(warm_up)
        meter = Meter(w)
        time.sleep(seconds)
        return {"masters": masters, **meter.use()}


def backlog(breaches, **way):
    """CPU of the bridge for a backlog of one master. The first answer waits a moment, so that starting is not counted."""
    with Way(generate=breaches, span="20h", interval="1h", **way) as w:
        w.sim.fault("slow", seconds=2, count=1)
        w.start()
        w.wait_asked(1)
        time.sleep(0.5)
        before, start = w.cpu(), time.monotonic()
        w.wait_delivered(breaches)
        used = w.cpu() - before
        return {"breaches": breaches, "cpu_us": used * 1e6 / breaches, "per_cpu_second": breaches / used, "peak_mib": w.peak_mib(),
                "wall": time.monotonic() - start}


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def latency(seconds=20, per_second=50, interval="250ms", **way):
    """Milliseconds from the moment a breach is there, and from the moment it was first written into an answer, to its arrival."""
    with Way(generate=0, interval=interval, **way) as w:
        w.start()
        w.wait_asked(3)
        before, start = w.cpu(), time.monotonic()
        w.sim.rate(per_second)
        time.sleep(seconds)
        w.sim.rate(0)
        used, passed = w.cpu() - before, time.monotonic() - start
        expected = w.sim.expected()
        w.wait_delivered(len(expected))
        arrived = {}
        for pbid, us in w.sink.arrivals(w.folder.path):
            arrived.setdefault(pbid, us / 1000)
        shown = dict(w.sim.control("GET", "/shown"))
        visible = [arrived[e["pbid"]] - e["visible"] for e in expected]
        polled = [arrived[e["pbid"]] - shown[e["pbid"]] for e in expected]
        return {"breaches": len(expected), "interval": interval, "visible_p50": percentile(visible, 0.5), "visible_p99": percentile(visible, 0.99),
                "shown_p50": percentile(polled, 0.5), "shown_p99": percentile(polled, 0.99), "cpu_share": used / passed}


def quiet(masters=1, seconds=30, warm_up=15, **way):
    """Share of one core and bytes written while no breach comes."""
    with Way(masters=masters, generate=0, **way) as w:
        w.start()
        w.wait_asked(masters)
        time.sleep(warm_up)
        before, written, asked, start = w.exact_cpu(), w.written(), w.sim.state(False)["requests"], time.monotonic()
        time.sleep(seconds)
        used, passed = w.exact_cpu() - before, time.monotonic() - start
        polls = w.sim.state(False)["requests"] - asked
        return {"masters": masters, "cpu_share": used / passed, "us_per_poll": used * 1e6 / max(polls, 1), "polls": polls,
                "written": w.written() - written, "peak_mib": w.peak_mib(), "seconds": passed}


def news(masters, each, **way):
    """CPU per breach where each of the masters shows so many new ones in one answer; what polling alone costs is taken off. Polled
    once a minute, for an answer reaches back a minute: else the same breaches would be taken, and found known, again and again."""
    with Way(masters=masters, generate=0, interval="60s", **way) as w:
        w.start()
        w.wait_asked(masters)
        time.sleep(5)
        idle, start = w.exact_cpu(), time.monotonic()
        time.sleep(10)
        rate = (w.exact_cpu() - idle) / (time.monotonic() - start)
        before, start = w.exact_cpu(), time.monotonic()
        w.sim.generate(each)
        # The bridge is not asked meanwhile: answering would be counted. A confirmation takes 250 ms.
        wait_until(lambda: w.sink.count() >= masters * each, PATIENCE, "breaches are missing at the sink", every=0.1)
        time.sleep(1)
        used, passed = w.exact_cpu() - before, time.monotonic() - start
        w.wait_delivered(masters * each)
        return {"masters": masters, "breaches": masters * each, "cpu_us": (used - rate * passed) * 1e6 / (masters * each),
                "peak_mib": w.peak_mib(), "wall": passed}


def fairness(masters=1000, burst=100_000, seconds=20, interval="2s", per_second=1):
    """What all but two masters' breaches take from being visible to their arrival: while all is quiet, and while one master shows
    burst breaches at once and another one never answers."""
    noisy_from = 1_000_000_000
    with Way(masters=masters - 2, generate=0, interval=interval) as w:
        noisy = w.other_master("noisy", generate=0, first_pbid=noisy_from)
        hanging = w.other_master("hanging", generate=0, first_pbid=2 * noisy_from)
        w.start()
        w.wait_asked(2 * (masters - 2))

        def of(start, end):
            """The delays in ms of the breaches that became visible in between; each comes once from every master."""
            visible = {e["pbid"]: e["visible"] for e in w.sim.expected() if start <= e["visible"] < end}

            def arrived():
                return [(pbid, us / 1000) for pbid, us in w.sink.arrivals(w.folder.path) if pbid in visible]
            wait_until(lambda: len(arrived()) >= len(visible) * (masters - 2), PATIENCE, "breaches of the quiet masters are missing", every=1)
            return [at - visible[pbid] for pbid, at in arrived()]

        def now():
            return time.time() * 1000
        w.sim.rate(per_second)
        start = now()
        time.sleep(seconds)
        quiet_end = now()
        hanging.fault("hang")
        noisy.generate(burst, seconds=1)
        confirmed = w.confirmed()
        wait_until(lambda: w.confirmed() >= confirmed + burst, PATIENCE, "the burst does not arrive", every=0.1)
        drained = now()
        time.sleep(max(0.0, seconds - (drained - quiet_end) / 1000))
        end = now()
        w.sim.rate(0)
        calm, during, loud = of(start, quiet_end), of(quiet_end, drained), of(quiet_end, end)
        return {"masters": masters, "interval": interval, "burst": burst, "burst_seconds": (drained - quiet_end) / 1000,
                "peak_mib": w.peak_mib(),
                **{f"{name}_{p}": percentile(values, share) for name, values in (("quiet", calm), ("burst", during), ("whole", loud))
                   for p, share in (("p50", 0.5), ("p99", 0.99))}}


def yardstick():
    """us to parse one breach of SIZE bytes: {"boost_json", "simdjson"}, and the machine."""
    with_file = Folder("dtbridge-bench-")
    try:
        path = with_file / "ratios"
        subprocess.run([BUILD / "bench-stages", "--benchmark_filter=parse_.*/5KB", "--benchmark_repetitions=5", "--benchmark_min_time=0.1",
                        f"--ratios={path}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        said = json.loads(path.read_text())
        stages = said["stages"]["5KB"]
        return {"boost_json": stages["parse_boost"]["us"], "simdjson": stages["parse_simdjson"]["us"], "machine": said["machine"]}
    finally:
        with_file.close()
