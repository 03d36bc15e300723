"""Every edge case comes out in all three formats, is taken by a parser that somebody else wrote, and carries the values of
its input: liblognorm for CEF, go-syslog for RFC 5424 and octet counting, Python's json for JSON."""
import decimal
import ipaddress
import json
import os
import re
import shutil
import subprocess
import unittest

from rig import SOURCE, Bridge, Collector, RigTest, Simulator, bridge_binary, run_cli
from rig import messages, policy

DATA = SOURCE / "tests" / "data"
DERIVED = DATA / "api_edge_cases_derived.json"
HOSTILE = DATA / "api_edge_cases_hostile.json"
HOSTILE_TAKEN = [910001, 910002, 910003, 910006, 910007, 910009, 910010, 910011]
OURS = sorted((DATA / "breaches").glob("*.*json"))


def load_all(path):
    text = path.read_text()
    try:
        value = policy.load(text)
    except json.JSONDecodeError:
        value = [policy.load(line) for line in text.splitlines() if line.strip()]
    return value if isinstance(value, list) else [value]


def created(breach):
    return int(breach.get("creationTime") or breach["time"])


def device_of(breach):
    device = breach.get("device")
    if not isinstance(device, dict):
        components = breach.get("triggeredComponents") or []
        device = next((c["device"] for c in components if isinstance(c, dict) and isinstance(c.get("device"), dict)), {})
    return device


def is_v4(text):
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv4Address)
    except (ValueError, TypeError):
        return False


def clean_line(text):
    """What may differ between a value and its place in a message: control characters and white space are written as blanks
    or escapes there, so both sides are compared without them."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd]+|\\[nrt]", "", text or "")


class Formats(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def format(self, fmt, path, header=None, expect_status=0):
        argv = ["format", "--format", fmt, "--master", "acme", "--url", "https://dt.acme.example"]
        if header:
            argv += ["--header", header]
        got = run_cli(*argv, path)
        self.assertEqual(got.returncode, expect_status, got.stderr.decode())
        return got.stdout.decode("utf-8").split("\n")[:-1], got.stderr.decode()

    def test_all_come_out(self):
        for fmt in ("cef", "leef", "json"):
            lines, errors = self.format(fmt, DERIVED)
            self.assertEqual(len(lines), 36, fmt)
            self.assertEqual(errors, "")
            for path in OURS:
                lines, _ = self.format(fmt, path)
                self.assertEqual(len(lines), len(load_all(path)), path)

    def test_hostile(self):
        """13 elements: 8 are breaches, 5 are named on standard error with their index, none forges a line."""
        for fmt in ("cef", "leef", "json"):
            lines, errors = self.format(fmt, HOSTILE, expect_status=1)
            read = {"cef": messages.cef_pbid, "leef": messages.leef_pbid, "json": messages.json_pbid}[fmt]
            self.assertEqual([read(line) for line in lines], HOSTILE_TAKEN, fmt)
            self.assertEqual([int(re.search(r"\d+", line).group()) for line in errors.splitlines()], [3, 4, 10, 11, 12])
            for line in lines:
                self.assertTrue(line.startswith("<165>"))
                self.assertFalse(re.search(r"[\x00-\x08\x0a-\x1f]", line), fmt)

    # CEF

    def lognorm(self, lines):
        tool = shutil.which("lognormalizer")
        if not tool:
            self.skipTest("lognormalizer is not installed (liblognorm-utils)")
        rules = self.folder / "cef.rb"
        rules.write_text("version=2\nrule=:%f:cef%\n")
        got = subprocess.run([tool, "-r", str(rules), "-e", "json"], input="".join(line + "\n" for line in lines).encode(),
                             capture_output=True, timeout=60)
        out = [json.loads(line) for line in got.stdout.decode().splitlines()]
        self.assertEqual(len(out), len(lines))
        for o in out:
            self.assertNotIn("unparsed-data", o, "not accepted by liblognorm")
        result = []
        for o in out:
            f = o["f"]
            e = f["Extensions"]
            # liblognorm 2.0.6 eats the first character of the extension when no blank stands before it.
            if "xternalId" in e:
                e["externalId"] = e.pop("xternalId")
            result.append((f, e))
        return result

    def check_cef(self, path, breaches):
        lines, _ = self.format("cef", path, header="none")
        parsed = self.lognorm(lines)
        self.assertEqual(len(parsed), len(breaches))
        for line, (f, e), b in zip(lines, parsed, breaches):
            with self.subTest(pbid=b["pbid"]):
                ours = messages.cef(line)
                self.assertEqual({k: v for k, v in ours.items() if k != "header"}, {**e},
                                 "liblognorm and the reader of the rig disagree")
                model = policy.model_then(b)
                self.assertEqual(e["externalId"], str(b["pbid"]))
                self.assertEqual((f["DeviceVendor"], f["DeviceProduct"]), ("Darktrace", "DCIP"))
                self.assertEqual(f["SignatureID"], str(model["pid"]))
                self.assertEqual(clean_line(f["Name"]), clean_line(model["name"].replace("::", "/")))
                self.assertEqual(int(f["Severity"]), self.severity(b))
                self.assertEqual(int(e["rt"]), b["time"])
                self.assertEqual(int(e["deviceCustomDate1"]), created(b))
                self.assertEqual(decimal.Decimal(e["cfp1"]), b["score"])
                self.assertEqual((e["cs3"], e["cs3Label"]), (model["uuid"], "modelUuid"))
                self.assertEqual((e["cs4"], e["cs4Label"]), ("acme", "master"))
                url = b.get("breachUrl") or f"https://dt.acme.example/#modelbreach/{b['pbid']}"
                self.assertEqual(e["darktraceUrl"], url)
                device = device_of(b)
                self.assertEqual(e["dvc"], device["ip"] if is_v4(device.get("ip")) else "0.0.0.0")
                if device.get("hostname"):
                    self.assertEqual(clean_line(e["dvchost"]), clean_line(device["hostname"]))
                else:
                    self.assertNotIn("hostname", device.get("hostname") or "")
                tags = [t for t in model.get("tags") or [] if isinstance(t, str) and t.strip()]
                for tag in tags:
                    self.assertIn(clean_line(tag), clean_line(e["cs2"]))
                if model.get("description"):
                    self.assertTrue(clean_line(model["description"]).startswith(clean_line(e["message"])[:200]))
                keys = list(messages.cef(line))
                self.assertEqual(keys[1], "externalId")
                self.assertNotEqual(keys[-1], "darktraceUrl")

    @staticmethod
    def severity(b):
        score = b.get("score")
        if score is None:
            return 5
        return max(1, int((decimal.Decimal(score) * 10).quantize(decimal.Decimal(1), decimal.ROUND_HALF_UP)))

    def test_cef_derived(self):
        self.check_cef(DERIVED, load_all(DERIVED))

    def test_cef_ours(self):
        for path in OURS:
            self.check_cef(path, load_all(path))

    def test_cef_hostile(self):
        lines, _ = self.format("cef", HOSTILE, header="none", expect_status=1)
        parsed = self.lognorm(lines)
        self.assertEqual([int(e["externalId"]) for _, e in parsed], HOSTILE_TAKEN)
        _, forged = parsed[-1]
        self.assertEqual(forged["dvchost"], "x dvchost=evil darktraceUrl=https://evil.example/")
        self.assertEqual(forged["darktraceUrl"], "https://dt.acme.example/#modelbreach/910011")
        self.assertNotEqual(forged.get("dst"), "203.0.113.99")
        self.assertIn("dst=203.0.113.99", forged["message"])

    # LEEF

    def test_leef(self):
        for path in (DERIVED, *OURS):
            breaches = load_all(path)
            lines, _ = self.format("leef", path)
            for line, b in zip(lines, breaches):
                with self.subTest(pbid=b["pbid"]):
                    m = messages.leef(line)
                    model = policy.model_then(b)
                    self.assertEqual(m["header"][:3], ["LEEF:2.0", "Darktrace", "DCIP"])
                    name = model["name"].replace("::", "/")
                    self.assertEqual(re.sub(r"[\s|/_^=-]", "", clean_line(m["header"][4])), re.sub(r"[\s|/_^=-]", "", clean_line(name)))
                    self.assertEqual(m["cat"], "ModelBreach")
                    self.assertEqual(int(m["externalId"]), b["pbid"])
                    self.assertEqual(int(m["sev"]), self.severity(b))
                    self.assertEqual(decimal.Decimal(m["score"]), b["score"])
                    self.assertEqual(m["master"], "acme")
                    self.assertEqual(m["modelUuid"], model["uuid"])
                    self.assertEqual(line.count("\n"), 0)

    # JSON

    def check_json(self, path, breaches):
        lines, _ = self.format("json", path, header="none")
        for line, b in zip(lines, breaches):
            with self.subTest(pbid=b["pbid"]):
                got = policy.load(line[line.index("{"):])
                expected = dict(b)
                model = b.get("model")
                if isinstance(model, dict) and isinstance(model.get("then"), dict):
                    expected["model"] = model["then"]
                url = b.get("breachUrl") or f"https://dt.acme.example/#modelbreach/{b['pbid']}"
                expected["breachUrl"] = url
                if "device" not in b and device_of(b):
                    got_device = got.pop("device")
                    self.assertEqual(got_device, device_of(b))
                    got.pop("triggeredComponents"), expected.pop("triggeredComponents")
                self.assertEqual(got, expected)
                self.assertIsInstance(got["pbid"], int)

    def test_json_derived(self):
        self.check_json(DERIVED, load_all(DERIVED))

    def test_json_ours(self):
        for path in OURS:
            self.check_json(path, load_all(path))

    def test_json_numbers_as_received(self):
        lines, _ = self.format("json", DERIVED, header="none")
        texts = DERIVED.read_text().split("\n")  # splitlines() would split at U+2028 too
        for line in lines:
            score = re.search(r'"score":\s*([-0-9.eE+]+)', line).group(1)
            pbid = re.search(r'"pbid":\s*(-?\d+)', line).group(1)
            source = next(t for t in texts if re.search(rf'"pbid":\s*{pbid}\b', t))
            self.assertEqual(score, re.search(r'"score":\s*([-0-9.eE+]+)', source).group(1))

    # header and framing

    def go_syslog(self, data):
        go = shutil.which("go")
        library = "/usr/share/gocode/src/github.com/influxdata/go-syslog"
        if not go or not os.path.isdir(library):
            self.skipTest("go or golang-github-influxdata-go-syslog-dev is not installed")
        program = self.folder / "go-syslog-check"
        if not program.exists():
            subprocess.run([go, "build", "-o", str(program), "."], cwd=SOURCE / "tests/support/go-syslog-check", check=True,
                           env={**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
                                "GOCACHE": os.environ.get("GOCACHE", "/tmp/dtbridge-go-cache")})
        got = subprocess.run([str(program)], input=data, capture_output=True, timeout=60)
        self.assertEqual(got.returncode, 0, got.stderr.decode())
        return [json.loads(line) for line in got.stdout.decode().splitlines()]

    @staticmethod
    def ms(text):
        import datetime
        at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return int(at.timestamp() * 1000 + 0.5)

    def test_header(self):
        """RFC 5424 with each format, framed here."""
        breaches = load_all(DERIVED)
        for fmt in ("json", "cef", "leef"):
            lines, _ = self.format(fmt, DERIVED, header="rfc5424")
            framed = b"".join(f"{len(line.encode())} ".encode() + line.encode() for line in lines)
            parsed = self.go_syslog(framed)
            self.assertEqual(len(parsed), 36)
            for p, b, line in zip(parsed, breaches, lines):
                self.assertEqual((p["pri"], p["version"], p["host"], p["app"]), (165, 1, "acme", "darktrace"))
                self.assertEqual((p["pid"], p["id"], p["sd"]), (None, None, None))
                self.assertEqual(self.ms(p["ts"]), created(b))
                self.assertTrue(line.endswith(p["msg"]))
                self.assertTrue(p["msg"].startswith(("{", "CEF:0|", "LEEF:2.0|")))

    def test_framing_of_the_bridge(self):
        """Octet-counted frames as the bridge really sent them."""
        sim = self.own(Simulator(self.folder, "acme", tls=False, data=[DERIVED], spread="1h"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        c = self.own(Collector("tcp", keep_raw=True))
        bridge.destination("raw", address=c.address, transport="tcp", framing="octet-counting", format="json",
                           max_message="64KiB")
        bridge.start()
        c.wait_for(36)
        self.assertEqual(bridge.stop(5), 0)
        parsed = self.go_syslog(bytes(c.raw))
        self.assertEqual(sorted(json.loads(p["msg"])["pbid"] for p in parsed), sorted(sim.pbids()))


if __name__ == "__main__":
    unittest.main()
