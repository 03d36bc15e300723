"""The simulated master and the rig itself, without the bridge: what the other tests rely on."""
import gzip
import http.client
import json
import socket
import ssl
import time
import unittest

from rig import BUILD, SHARED, SOURCE, Collector, Pki, RigTest, Rsyslog, Simulator, SyslogNg, wait_until
from rig.simulator import parse_http_date, sign

DATA = SOURCE / "tests" / "data"


def stamp(fmt, seconds=0.0):
    return time.strftime(fmt, time.gmtime(time.time() + seconds))


class Signature(RigTest):
    def test_vectors(self):
        """Every published and computed vector is accepted, and refused when one byte of the target differs."""
        vectors = json.loads((DATA / "signature_vectors.json").read_text())
        formats = ["%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT"]
        sims = {}
        accepted = 0
        for v in vectors:
            self.assertEqual(sign(v["request"], v["date"], v["public_token"], v["private_token"]), v["signature"], v["id"])
            if "{" in v["request"] or "unacknowledge" in v["request"]:
                continue  # POST: below
            pair = (v["public_token"], v["private_token"])
            if pair not in sims:
                sims[pair] = self.own(Simulator(self.folder, f"sim{len(sims)}", tls=False, generate=3, public=pair[0],
                                                private=pair[1]))
            sim = sims[pair]
            import calendar
            at = next(calendar.timegm(time.strptime(v["date"], f)) for f in formats if self._fits(v["date"], f))
            sim.fault("clock", offset=at - time.time() + 60)
            headers = {"DTAPI-Token": v["public_token"], "DTAPI-Date": v["date"], "DTAPI-Signature": v["signature"]}
            answer = sim.get(v["request"], headers=dict(headers))
            self.assertIn(answer.status, (200, 404), (v["id"], answer.body))
            accepted += 1
            answer = sim.get(v["request"] + "&a=b", headers=dict(headers))
            self.assertEqual((answer.status, answer.json()), (400, {"error": "API SIGNATURE ERROR"}), v["id"])
        self.assertEqual(accepted, 10)

    @staticmethod
    def _fits(text, fmt):
        try:
            time.strptime(text, fmt)
            return True
        except ValueError:
            return False

    def test_post(self):
        sim = self.own(Simulator(self.folder, tls=False, generate=5))
        for body, kind, signed in (
                ("acknowledge=true", "application/x-www-form-urlencoded", "/modelbreaches/3/acknowledge?acknowledge=true"),
                ('{"message": "Test Comment"}', "application/json", '/modelbreaches/3/comments?{"message": "Test Comment"}')):
            target = signed.split("?")[0]
            h = sim.headers(signed)
            h["Content-Type"] = kind
            self.assertEqual(sim.get(target, headers=h, method="POST", body=body).status, 200)
        breach = sim.get("/modelbreaches?pbid=3").json()
        self.assertEqual(breach["acknowledged"]["username"], "api")
        self.assertEqual(breach["commentCount"], 1)

    def test_refusals(self):
        sim = self.own(Simulator(self.folder, generate=3))
        target = "/modelbreaches?pbid=1"
        good = sim.headers(target)
        for changed, expected in (
                ({"DTAPI-Signature": good["DTAPI-Signature"].upper()}, "API SIGNATURE ERROR"),
                ({"DTAPI-Signature": "0" * 40}, "API SIGNATURE ERROR"),
                ({"DTAPI-Token": "x" * 40}, "API SIGNATURE ERROR")):
            answer = sim.get(target, headers={**good, **changed})
            self.assertEqual((answer.status, answer.json()), (400, {"error": expected}))
        answer = sim.get(target, headers={})
        self.assertEqual((answer.status, answer.headers["Location"]), (302, "/login"))
        self.assertEqual(answer.body, b"Found. Redirecting to /login")
        # Checked before anything is looked up: a bad signature for a pbid that is not there is no 404.
        answer = sim.get("/modelbreaches/999", headers=good)
        self.assertEqual(answer.status, 400)
        self.assertEqual(sim.get("/modelbreaches/999").status, 404)
        self.assertEqual(sim.get("/nothing").headers["Location"], "/login")
        self.assertEqual(sim.state()["signature_failures"], 4)

    def test_dates(self):
        sim = self.own(Simulator(self.folder, tls=False, generate=3))
        target = "/modelbreaches?pbid=1"
        for fmt in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H:%M:%S",
                    "%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S UTC", "%a, %d %b %Y %H:%M:%S",
                    "%a %b %e %H:%M:%S %Y", "%Y-%m-%dT%H:%M:%S.123456+00:00"):
            for seconds, status in ((0, 200), (-29 * 60, 200), (29 * 60, 200), (-31 * 60, 400), (31 * 60, 400)):
                answer = sim.get(target, date=stamp(fmt, seconds))
                self.assertEqual(answer.status, status, (fmt, seconds))
                if status == 400:
                    self.assertEqual(answer.json(), {"error": "API DATE ERROR"})
        for bad in ("", "yesterday", "20240101", "2024-13-01 00:00:00", "1704100000", stamp("%d/%m/%Y %H:%M:%S"),
                    stamp("%Y-%m-%dT%H:%M:%S+01:00")):
            self.assertEqual(sim.get(target, date=bad).json(), {"error": "API DATE ERROR"}, bad)

    def test_clock(self):
        sim = self.own(Simulator(self.folder, tls=False, generate=3))
        sim.fault("clock", offset=3600)
        answer = sim.get("/status")
        self.assertEqual(answer.json(), {"error": "API DATE ERROR"})
        self.assertAlmostEqual(parse_http_date(answer.headers["Date"]) - time.time(), 3600, delta=5)
        self.assertEqual(sim.get("/status", date=stamp("%Y%m%dT%H%M%S", 3600)).status, 200)
        sim.fault("clock", offset=-3600)
        self.assertEqual(sim.get("/status", date=stamp("%Y%m%dT%H%M%S", -3600)).status, 200)
        sim.fault("none")
        self.assertEqual(sim.get("/status").status, 200)
        self.assertEqual(sim.state()["date_failures"], 1)


class Parameters(RigTest):
    def setUp(self):
        super().setUp()
        self.sim = self.own(Simulator(self.folder, tls=False, generate=400, seed=5, fqdn="dt.example.com"))
        self.all = self.sim.all().json()

    def get(self, query):
        return self.sim.get("/modelbreaches?" + query).json()

    def test_all(self):
        self.assertEqual(len(self.all), 400)
        created = [b["creationTime"] for b in self.all]
        self.assertEqual(created, sorted(created, reverse=True))
        sizes = sorted(len(json.dumps(b, separators=(",", ":"))) for b in self.all)
        self.assertGreater(sizes[0], 2500)
        self.assertLess(sizes[-1], 14 * 1024)
        names = {b["model"]["then"]["name"] for b in self.all}
        self.assertGreater(len(names), 20)
        tags = {t for b in self.all for t in b["model"]["then"]["tags"]}
        self.assertTrue({"Enhanced Monitoring", "lower priority", ""} <= tags)
        for b in self.all:
            self.assertEqual(b["percentscore"], int(b["score"] * 100 + 0.5 + 1e-9))
        self.assertEqual([e["pbid"] for e in self.sim.expected()], [b["pbid"] for b in reversed(self.all)])

    def test_seed(self):
        until = int(time.time() * 1000)
        texts = set()
        for n in range(2):
            sim = self.own(Simulator(self.folder, f"again{n}", tls=False, generate=50, seed=5, until=until))
            texts.add(sim.all().body)
        self.assertEqual(len(texts), 1)
        other = self.own(Simulator(self.folder, "other", tls=False, generate=50, seed=6, until=until))
        self.assertNotIn(other.all().body, texts)

    def test_windows(self):
        both = "includeacknowledged=true&includesuppressed=true"
        created = sorted(b["creationTime"] for b in self.all)
        start, end = created[100], created[200]
        got = self.get(f"creationtime=true&starttime={start}&endtime={end}&{both}")
        self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if start <= b["creationTime"] <= end})
        got = self.get(f"starttime={start}&endtime={end}&{both}")
        self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if start <= b["time"] <= end})
        got = self.get(f"creationtime=true&starttime={start}&{both}")
        self.assertEqual(len(got), sum(b["creationTime"] >= start for b in self.all))
        for fmt in ("%Y-%m-%d+%H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d%%20%H%%3A%M%%3A%S"):
            words = [time.strftime(fmt, time.gmtime(t / 1000)) for t in (start, end)]
            got = self.get(f"creationtime=true&from={words[0]}&to={words[1]}&{both}")
            self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if start <= b["creationTime"] <= end})
        # Python's True is not true (darktrace.md 2.1).
        got = self.get(f"creationtime=True&starttime={start}&endtime={end}&{both}")
        self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if start <= b["time"] <= end})
        self.assertEqual(self.get(f"starttime={created[-1] + 10 ** 9}&endtime={created[-1] + 2 * 10 ** 9}"), [])

    def test_left_out(self):
        acknowledged = {b["pbid"] for b in self.all if b.get("acknowledged")}
        suppressed = {b["pbid"] for b in self.all if b.get("suppressed")}
        self.assertTrue(acknowledged and suppressed)
        everything = {b["pbid"] for b in self.all}
        for query, expected in (("", everything - acknowledged - suppressed), ("&includeacknowledged=true", everything - suppressed),
                                ("&includesuppressed=true", everything - acknowledged)):
            got = {b["pbid"] for b in self.get("starttime=0&endtime=9999999999999" + query)}
            self.assertEqual(got, expected)
        target = next(iter(everything - acknowledged))
        self.sim.control("POST", "/acknowledge", {"pbids": [target]})
        self.assertNotIn(target, {b["pbid"] for b in self.get("starttime=0&endtime=9999999999999")})

    def test_pbid(self):
        one = self.get("pbid=7&deviceattop=true")
        self.assertEqual(one, next(b for b in self.all if b["pbid"] == 7))
        self.assertEqual([b["pbid"] for b in self.get("pbid=7,9")], [7, 9])
        self.assertEqual(self.get("pbid=7000"), [])
        self.assertEqual(self.sim.get("/modelbreaches/7?deviceattop=true").json(), one)

    def test_shapes(self):
        whole = next(b for b in self.all if b["device"]["did"] > 0)
        pbid = whole["pbid"]
        slim = self.get(f"pbid={pbid}&minimal=true&deviceattop=true")
        self.assertEqual(slim["triggeredComponents"], [{}])
        self.assertEqual(set(slim["model"]["then"]), {"name", "pid", "phid", "uuid", "priority", "category", "compliance"})
        self.assertNotIn("percentscore", slim)
        flat = self.get(f"pbid={pbid}&historicmodelonly=true&deviceattop=true")
        self.assertEqual(flat["model"], whole["model"]["then"])
        nested = self.get(f"pbid={pbid}")
        self.assertNotIn("device", nested)
        self.assertEqual([c["device"] for c in nested["triggeredComponents"]],
                         [whole["device"]] * len(whole["triggeredComponents"]))
        self.assertEqual(self.get(f"pbid={pbid}&includebreachurl=true")["breachUrl"], f"https://dt.example.com/#modelbreach/{pbid}")
        self.assertNotIn("breachUrl", self.get(f"pbid={pbid}&includebreachurl=true&minimal=true"))
        self.assertEqual(set(self.get(f"pbid={pbid}&responsedata=pbid,score")), {"pbid", "score"})
        grouped = self.get(f"pbid={pbid}&group=device")
        self.assertEqual(grouped["pbscore"], whole["score"])
        self.assertNotEqual(grouped["score"], whole["score"])
        self.assertEqual(self.get(f"pbid={pbid}&deviceattop=true&deviceatop=no&nonsense=1"), whole)

    def test_filters(self):
        got = self.get("starttime=0&endtime=9999999999999&minscore=0.7&includeacknowledged=true&includesuppressed=true")
        self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if b["score"] >= 0.7})
        uuid = self.all[0]["model"]["then"]["uuid"]
        got = self.get(f"starttime=0&endtime=9999999999999&uuid={uuid}&includeacknowledged=true&includesuppressed=true")
        self.assertEqual({b["pbid"] for b in got}, {b["pbid"] for b in self.all if b["model"]["then"]["uuid"] == uuid})


class Files(RigTest):
    def test_our_data_moved(self):
        files = sorted((DATA / "breaches").glob("*.*json"))
        sim = self.own(Simulator(self.folder, tls=False, data=files, move_to_now=True))
        got = sim.all().json()
        self.assertEqual(len(got), 30)
        self.assertAlmostEqual(max(b["creationTime"] for b in got) / 1000, time.time(), delta=30)
        first = json.loads((DATA / "breaches" / "morning.json").read_text())
        moved = {b["pbid"]: b for b in got}
        distances = {moved[b["pbid"]]["creationTime"] - b["creationTime"] for b in first}
        self.assertEqual(len(distances), 1)
        self.assertTrue(all(moved[b["pbid"]]["time"] - b["time"] in distances for b in first))

    def test_spread(self):
        sim = self.own(Simulator(self.folder, tls=False, data=[DATA / "api_edge_cases_derived.json"], spread="10m"))
        got = sim.all().json()
        self.assertEqual(len(got), 36)
        now = time.time() * 1000
        self.assertTrue(all(now - 660_000 < b.get("creationTime", b["time"]) <= now for b in got))
        ids = {b["pbid"] for b in got}
        self.assertTrue({9007199254740993, 9007199254740992, -1000000000000123} <= ids)

    def test_bytes_stay(self):
        """Elements of files are served byte for byte where no parameter asks for a change."""
        text = (DATA / "api_edge_cases_hostile.json").read_text()
        sim = self.own(Simulator(self.folder, tls=False, data=[DATA / "api_edge_cases_hostile.json"]))
        got = sim.all(end=10 ** 15).body.decode()
        for line in text.strip()[1:-1].strip().splitlines():
            self.assertIn(line.strip().rstrip(","), got)

    def test_captured(self):
        folder = SHARED / "samples" / "darktrace"
        if not folder.is_dir():
            self.skipTest(f"no captured samples in {folder} (DTBRIDGE_SHARED)")
        files = [f for f in sorted(folder.glob("api_*.json"))
                 if "error" not in f.name and "hostile" not in f.name and "components" not in f.name]
        sim = self.own(Simulator(self.folder, tls=False, data=files, spread="1h"))
        self.assertGreaterEqual(len(sim.all().json()), 36 + 7)

    def test_add(self):
        sim = self.own(Simulator(self.folder, tls=False))
        self.assertEqual(sim.all().json(), [])
        breach = {"pbid": 9007199254740993, "time": 1704100000000, "creationTime": 1704100006000, "score": 0.5,
                  "model": {"then": {"name": "A::B"}}, "device": {"did": 1}, "triggeredComponents": []}
        self.assertEqual(sim.add([breach], move_to_now=True), {"added": 1})
        got = sim.all().json()[0]
        self.assertEqual((got["pbid"], got["creationTime"] - got["time"]), (breach["pbid"], 6000))
        self.assertAlmostEqual(got["creationTime"] / 1000, time.time(), delta=5)


class Faults(RigTest):
    def setUp(self):
        super().setUp()
        self.sim = self.own(Simulator(self.folder, generate=20))

    def test_error_rows(self):
        """Each row of darktrace.md 2.6, by the names of api_error_responses.json, once and then no more."""
        for case in json.loads((DATA / "api_error_responses.json").read_text()):
            self.sim.fault(case["case"], count=1)
            answer = self.sim.all()
            self.assertEqual((answer.status, answer.body.decode()), (case["status"], case["body"]), case["case"])
            self.assertEqual(answer.headers["Content-Type"], case["content_type"])
            self.assertEqual(answer.headers.get("Location"), case.get("location"))
            self.assertEqual(answer.headers.get("Retry-After"), case.get("retry_after"))
            self.assertEqual(len(self.sim.all().json()), 20, case["case"])

    def test_retry_after(self):
        self.sim.fault("rate_limited", retry_after=3)
        self.assertEqual(self.sim.all().headers["Retry-After"], "3")
        self.sim.fault("rate_limited", retry_after_date=120)
        self.assertAlmostEqual(parse_http_date(self.sim.all().headers["Retry-After"]) - time.time(), 120, delta=5)
        self.sim.fault("status", status=503, body="later", headers={"Retry-After": "1"})
        self.sim.fault("none")
        self.assertEqual(self.sim.all().status, 200)

    def test_slow_and_drip(self):
        self.sim.fault("slow", seconds=0.6, count=1)
        start = time.monotonic()
        self.sim.all()
        self.assertGreater(time.monotonic() - start, 0.6)
        self.sim.fault("drip", bytes_per_second=20_000, count=1)
        start = time.monotonic()
        self.assertEqual(len(self.sim.get("/modelbreaches?pbid=1,2").json()), 2)
        self.assertGreater(time.monotonic() - start, 0.3)

    def test_cut(self):
        whole = self.sim.all().body
        for zipped in (False, True):
            for fraction in (0.0, 0.3, 0.9):
                self.sim.fault("cut", fraction=fraction, count=1)
                with self.assertRaises((http.client.IncompleteRead, EOFError, gzip.BadGzipFile)):
                    self.sim.all(zipped=zipped)
            self.sim.fault("cut", bytes=1000, complete=True, count=1)
            self.assertEqual(self.sim.all(zipped=zipped).body, whole[:1000])
            self.sim.fault("reset", fraction=0.5, count=1)
            with self.assertRaises((ConnectionResetError, http.client.IncompleteRead)):
                self.sim.all(zipped=zipped)
        self.assertEqual(self.sim.all(zipped=True).body, whole)

    def test_hang(self):
        self.sim.fault("hang", count=1)
        c = self.sim.connection(timeout=0.5)
        with self.assertRaises(TimeoutError):
            self.sim.get("/status", connection=c)
        c.close()
        self.sim.fault("hang", at="connect", count=1)
        c = self.sim.connection(timeout=0.5)
        with self.assertRaises((TimeoutError, ssl.SSLError)):
            self.sim.get("/status", connection=c)
        c.close()
        self.assertEqual(self.sim.get("/status").status, 200)

    def test_connections(self):
        c = self.sim.connection()
        for _ in range(3):
            self.assertEqual(self.sim.get("/status", connection=c).status, 200)
        self.assertEqual(self.sim.state()["connections"], 1)
        c.close()
        self.sim.fault("close_after", requests=1)
        c = self.sim.connection()
        self.assertEqual(self.sim.get("/status", connection=c).status, 200)
        sock = c.sock
        sock.settimeout(2)
        self.assertEqual(sock.recv(1), b"")
        c.close()
        self.sim.fault("none")
        self.sim.fault("tls_refused", count=1)
        with self.assertRaises(ssl.SSLError):
            self.sim.get("/status")
        self.assertEqual(self.sim.get("/status").status, 200)

    def test_contents(self):
        plain = self.sim.all().json()
        self.sim.fault("repeat", count=1)
        self.assertEqual(self.sim.all().json(), [b for b in plain for _ in range(2)])
        self.sim.fault("unordered", count=1)
        mixed = self.sim.all().json()
        self.assertNotEqual(mixed, plain)
        self.assertEqual(sorted(b["pbid"] for b in mixed), sorted(b["pbid"] for b in plain))
        self.sim.fault("hostile", elements=["null", '{"pbid":"x"}', '"text"'], count=1)
        got = self.sim.all().json()
        self.assertEqual((got[0], got[2], got[4], len(got)), (None, {"pbid": "x"}, "text", 23))
        self.sim.fault("hostile", file=str(DATA / "api_edge_cases_hostile.json"), count=1)
        self.assertEqual(len(self.sim.all().json()), 33)
        self.sim.fault("server_error", match="nothing-like-it")
        self.assertEqual(self.sim.all().status, 200)

    def test_late_and_ignored_creation(self):
        self.sim.fault("late", seconds=7200, count=1)
        now = int(time.time() * 1000)
        self.sim.add([{"pbid": 1000, "time": now - 1000, "creationTime": now, "score": 0.9}])
        start = now - 600_000
        window = f"starttime={start}&endtime={now + 60_000}"
        self.assertIn(1000, [b["pbid"] for b in self.sim.get(f"/modelbreaches?creationtime=true&{window}").json()])
        self.assertNotIn(1000, [b["pbid"] for b in self.sim.get(f"/modelbreaches?{window}").json()])
        self.sim.fault("ignore_creationtime", count=1)
        self.assertNotIn(1000, [b["pbid"] for b in self.sim.get(f"/modelbreaches?creationtime=true&{window}").json()])

    def test_replaced(self):
        before = {e["pbid"]: e["created"] for e in self.sim.expected()}
        self.sim.fault("replaced", seconds=-90)
        after = {e["pbid"]: e["created"] for e in self.sim.expected()}
        self.assertEqual(after, {pbid: created - 90_000 for pbid, created in before.items()})

    def test_rate(self):
        self.sim.rate(50)
        wait_until(lambda: len(self.sim.expected()) >= 45, 10, "25 more breaches at 50 a second")
        newest = self.sim.expected()[-1]
        self.assertAlmostEqual(newest["created"] / 1000, time.time(), delta=3)
        self.sim.fault("clock", offset=3600)
        wait_until(lambda: self.sim.expected()[-1]["created"] / 1000 > time.time() + 3000, 10, "breaches of the wrong clock")

    def test_unknown_fault(self):
        with self.assertRaises(AssertionError):
            self.sim.fault("no_such_thing")


class Streams(RigTest):
    def test_gzip(self):
        sim = self.own(Simulator(self.folder, generate=300))
        plain = sim.all()
        zipped = sim.all(zipped=True)
        self.assertEqual(zipped.headers["Content-Encoding"], "gzip")
        self.assertEqual(plain.body, zipped.body)
        small = sim.get("/modelbreaches?pbid=1", zipped=True)
        self.assertEqual(small.json()["pbid"], 1)

    def test_many_without_memory(self):
        """100,000 breaches, 700 MB of answer, then 1 GiB of padding: the simulator stays small. Less of it where the build is
        slow."""
        sanitized = BUILD.name in ("asan", "tsan")
        count = {"release": 100_000, "asan": 2_000, "tsan": 2_000}.get(BUILD.name, 20_000)
        sim = self.own(Simulator(self.folder, tls=False, generate=count))
        self.assertGreater(self.drain(sim), count * 2500)
        size = 1 << (26 if sanitized else 30)
        sim.fault("huge", bytes=size, match="pbid=1", count=1)
        self.assertEqual(self.drain(sim, "/modelbreaches?pbid=1,2"), size)
        if not sanitized:
            self.assertLess(sim.process.resident_kib(), 64 * 1024)

    def drain(self, sim, target=None):
        c = sim.connection(timeout=120)
        target = target or "/modelbreaches?creationtime=true&starttime=0&endtime=9999999999999"
        c.request("GET", target, headers=sim.headers(target))
        r = c.getresponse()
        total = 0
        while data := r.read(1 << 20):
            total += len(data)
        c.close()
        return total


class Collectors(RigTest):
    """What a Python sender sends is really stored."""

    def setUp(self):
        super().setUp()
        self.pki = Pki(self.folder / "pki")

    def client(self, cert="client"):
        context = ssl.create_default_context(cafile=self.pki.ca)
        if cert:
            context.load_cert_chain(self.pki.folder / f"{cert}.pem", self.pki.folder / f"{cert}.key")
        return context

    def send(self, port, data, context=None):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            if context:
                with context.wrap_socket(s, server_hostname="localhost") as t:
                    t.sendall(data)
                    t.settimeout(0.3)
                    try:
                        t.recv(1)
                    except TimeoutError:
                        pass
            else:
                s.sendall(data)

    @staticmethod
    def counted(message):
        return str(len(message)).encode() + b" " + message

    def test_rsyslog(self):
        rs = self.own(Rsyslog(self.folder, self.pki))
        cef = "<165>Jan  2 03:04:05 acme CEF:0|Darktrace|DCIP|1|5|A/B|7|externalId=1 msg=übergröße " + "x" * 9000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(cef.encode(), ("127.0.0.1", rs.udp))
        leef = "<165>Jan  2 03:04:05 acme LEEF:2.0|Darktrace|DCIP|1|A/B|^|cat=ModelBreach"
        self.send(rs.tcp, leef.encode() + b"\n" + self.counted(leef.encode()))
        modern = "<165>1 2026-01-02T03:04:05.000Z acme darktrace - - - {\"pbid\":1}"
        self.send(rs.tls, self.counted(modern.encode()), self.client())
        rs.wait_for("udp.raw", 1)
        self.assertEqual(rs.lines("udp.raw"), [cef])
        rs.wait_for("tcp.raw", 2)
        self.assertEqual(rs.lines("tcp.raw"), [leef, leef])
        rs.wait_for("tls.log", 1)
        self.assertIn("host=acme app=darktrace pid=- id=- sd=- ", rs.lines("tls.log")[0])
        self.assertIn('msg=[{"pbid":1}]', rs.lines("tls.log")[0])
        for cert in (None, "stranger"):
            try:
                self.send(rs.tls, self.counted(b"<165>1 2026-01-02T03:04:05Z acme darktrace - - - no"), self.client(cert))
            except (ssl.SSLError, ConnectionError):
                pass
        rs.wait_quiet("tls.log")
        self.assertEqual(len(rs.lines("tls.log")), 1)

    def test_syslog_ng(self):
        sng = self.own(SyslogNg(self.folder, self.pki))
        message = "<165>1 2026-01-02T03:04:05.678Z acme darktrace - - - {\"pbid\":1,\"t\":\"a\\nb ü\",\"x\":\"" + "y" * 60000 + "\"}"
        self.send(sng.tcp, message.encode() + b"\n")
        self.send(sng.oct, self.counted(message.encode()) * 2)
        self.send(sng.tls, self.counted(message.encode()), self.client())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(message.encode(), ("127.0.0.1", sng.udp))
        for name, count in (("tcp.log", 1), ("oct.log", 2), ("tls.log", 1), ("udp.log", 1)):
            sng.wait_for(name, count)
            parsed = sng.parsed(name)
            self.assertEqual(len(parsed), count)
            self.assertEqual((parsed[0]["host"], parsed[0]["app"], parsed[0]["pri"]), ("acme", "darktrace", "165"))
            self.assertEqual(json.loads(parsed[0]["msg"])["t"], "a\nb ü")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.send(sng.tls, self.counted(message.encode()), self.client("stranger"))
            raise ConnectionError("closed in silence")
        sng.wait_quiet("tls.log")
        self.assertEqual(len(sng.lines("tls.log")), 1)

    def test_simple_collectors(self):
        for kind in ("tcp", "tls"):
            c = self.own(Collector(kind, pki=self.pki, client_certificate=True))
            data = b"<165>line one\n" + self.counted(b"counted\nwith newline") + b"<165>line two\n9 cut"
            self.send(c.port, data, self.client() if kind == "tls" else None)
            c.wait_for(3)
            self.assertEqual(c.messages, [b"<165>line one", b"counted\nwith newline", b"<165>line two"])
            wait_until(lambda: c.cut == 1, 5, "the cut frame")
        c = self.own(Collector("udp"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"datagram", ("127.0.0.1", c.port))
        c.wait_for(1)

    def test_collector_faults(self):
        c = self.own(Collector("tcp"))
        s = socket.create_connection(("127.0.0.1", c.port))
        s.sendall(b"<165>one\n")
        c.wait_for(1)
        c.reset()
        s.settimeout(5)
        with self.assertRaises(ConnectionResetError):
            s.recv(1)
        s.close()
        c.stall()
        s = socket.create_connection(("127.0.0.1", c.port))
        s.sendall(b"<165>two\n")
        time.sleep(0.3)
        self.assertEqual(c.count(), 1)
        c.stall(False)
        c.wait_for(2)
        s.close()
        c.refuse()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", c.port))
        c.accept()
        socket.create_connection(("127.0.0.1", c.port)).close()


if __name__ == "__main__":
    unittest.main()
