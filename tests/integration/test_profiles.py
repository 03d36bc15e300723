"""Each SIEM profile against its parser's published rule, and byte for byte against tests/data/profiles/NAME.txt.

The rules are written here as the receivers' authors wrote them, independently of the bridge. What really runs on a build machine
(rsyslog, syslog-ng, liblognorm) is tested by test_end_to_end.py and test_formats_accepted.py; for the others this is the proof.
To write the files anew after a wanted change: DTBRIDGE_GOLDEN=write python3 -m unittest test_profiles.py; then read the difference.
"""
import json
import os
import re
import unittest

from rig import SOURCE, Bridge, RigTest, bridge_binary, run_cli
from rig import messages, policy

DATA = SOURCE / "tests" / "data"
GOLDEN = DATA / "profiles"
# A plain one, IPv6, SaaS, separators in the model's name, no model, and one that is too long for most receivers.
PBIDS = [900001, 900003, 900006, 900009, 900031]

HEADER_3164 = r"<165>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d acme "
HEADER_5424 = r"<165>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z acme "

# Keys of ArcSight's CEF dictionary (Implementation Standard, version 27) with their lengths; the two that are not in it.
CEF_KEYS = {"externalId": 40, "rt": 0, "dst": 0, "dpt": 0, "dhost": 1023, "dvchost": 100, "dvc": 0, "src": 0, "shost": 1023,
            "smac": 0, "suser": 1023, "act": 63, "c6a2": 0, "c6a2Label": 1023, "c6a3": 0, "c6a3Label": 1023, "cn1": 0,
            "cn1Label": 1023, "cfp1": 0, "cfp1Label": 1023, "deviceCustomDate1": 0, "deviceCustomDate1Label": 1023,
            **{f"cs{n}": 4000 for n in range(1, 7)}, **{f"cs{n}Label": 1023 for n in range(1, 7)}}
CEF_OWN = {"darktraceUrl", "message"}


class Profiles(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()
        derived = policy.load((DATA / "api_edge_cases_derived.json").read_text())
        cls.breaches = [policy.load((DATA / "breaches" / "single.json").read_text()),
                        *(next(b for b in derived if b["pbid"] == pbid) for pbid in PBIDS)]
        raw = json.loads((DATA / "api_edge_cases_derived.json").read_text())
        cls.raw = json.dumps([json.loads((DATA / "breaches" / "single.json").read_text()),
                              *(next(b for b in raw if b["pbid"] == pbid) for pbid in PBIDS)])

    def lines(self, profile, **keys):
        bridge = Bridge(self.folder.path, profile + "-" + "-".join(keys.values()))
        bridge.masters.append(({"name": "acme", "url": "https://dt.acme.example", "public_token": "x",
                                "private_token_file": bridge.token("t", "y")}, None))
        entry = bridge.destination("siem", profile=profile, address="siem.example", **keys)
        del entry["start"]
        bridge.write()
        got = run_cli("format", "--destination", "siem", stdin=self.raw.encode(), config=bridge.config)
        self.assertEqual(got.returncode, 0, got.stderr)
        lines = got.stdout.decode().split("\n")[:-1]
        self.assertEqual(len(lines), len(self.breaches))
        return lines

    def golden(self, profile, most, **keys):
        """The messages, held to the recorded ones and to the receiver's size."""
        lines = self.lines(profile, **keys)
        path = GOLDEN / f"{profile}.txt"
        if os.environ.get("DTBRIDGE_GOLDEN") == "write":
            GOLDEN.mkdir(exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        self.assertEqual("\n".join(lines) + "\n", path.read_text(), f"{path.name} differs")
        for line in lines:
            self.assertLessEqual(len(line.encode()), most)
        return lines

    def objects(self, lines, header):
        """What follows the header, which must be one JSON object and nothing else."""
        found = []
        for line in lines:
            at = re.match(header, line)
            self.assertTrue(at, line[:120])
            found.append(json.loads(line[at.end():]))
        return found

    def cef(self, lines, product="DCIP"):
        found = []
        for line, b in zip(lines, self.breaches):
            # R3: CEF right behind the host is the program name, on which forwarders select.
            self.assertRegex(line, HEADER_3164 + rf"CEF:0\|Darktrace\|{product}\|")
            parsed = messages.cef(line)
            self.assertEqual(int(parsed["externalId"]), int(b["pbid"]))
            found.append(parsed)
        return found

    def test_arcsight(self):
        """Implementation Standard 27: seven fields, dictionary keys within their lengths, labels, IPv6 in c6a2 and c6a3."""
        for event in self.cef(self.golden("arcsight", 8192)):
            self.assertEqual(len(event["header"]), 7)
            self.assertIn(int(event["header"][6]), range(11))
            for key, value in event.items():
                if key == "header" or key in CEF_OWN:
                    continue
                self.assertIn(key, CEF_KEYS)
                if CEF_KEYS[key]:
                    self.assertLessEqual(len(value.encode()), CEF_KEYS[key])
                if re.fullmatch(r"(cs|cn|cfp|c6a|deviceCustomDate)\d", key):
                    self.assertTrue(event[key + "Label"])
                if key in ("src", "dst", "dvc"):
                    self.assertRegex(value, r"^\d+\.\d+\.\d+\.\d+$")
                if key in ("c6a2", "c6a3"):
                    self.assertIn(":", value)

    def test_elastic(self):
        """Pipeline of model_breach_alert: the rest after the header is ^[a-zA-Z]*\\s*{…}; model flat, times in ms."""
        lines = self.golden("elastic", 50 * 1024)
        for line in lines:
            body = re.sub("^" + HEADER_5424 + r"\S+ \S+ \S+ - ", "", line)
            self.assertRegex(body, r"^[a-zA-Z]*\s*\{.*\}$")
        for event in self.objects(lines, HEADER_5424 + r"darktrace - - - "):
            self.assertNotIn("dtbridge", event)  # the field list is closed
            self.assertNotIn("then", event.get("model") or {})
            if event["pbid"] != 900009:
                self.assertTrue(event["model"]["name"])
            self.assertGreater(int(event["time"]), 10**12)

    def test_exabeam(self):
        """Content Library, CEF: Darktrace|DCIP; \\d+ as class; severity \\|(\\d+)\\|external; externalId first with a blank behind it;
        dst with a key behind it; darktraceUrl not the last key."""
        for line, event in zip(self.golden("exabeam", 8192), self.cef(self.lines("exabeam"))):
            if event["externalId"] != "900009":  # no model, so no class
                self.assertRegex(line, r"\|Darktrace\|DCIP\|[^|]+\|\d+\|(?:[^|\\]|\\.)*\|(\d+)\|externalId=\d+ ")
            for key in ("dst", "darktraceUrl", "dvc"):
                if key in event:
                    self.assertRegex(line, rf" {key}=\S+ [A-Za-z0-9]+=")

    def test_fortisiem(self):
        """External systems guide: CEF:0|Darktrace|DCIP|version|pid|name|severity|…externalId=."""
        for line in self.golden("fortisiem", 8192):
            self.assertRegex(line, r"CEF:0\|Darktrace\|DCIP\|[^|]+\|(\d+|unknown)\|(?:[^|\\]|\\.)*\|\d{1,2}\|.*externalId=\d+")

    def test_graylog(self):
        """A JSON extractor takes the whole message; published names are flattened then and now (model_now_name)."""
        for event, b in zip(self.objects(self.golden("graylog", 64 * 1024), HEADER_5424 + r"darktrace - - - "), self.breaches):
            now = (b.get("model") or {}).get("now")
            if now:
                self.assertEqual(event["model"]["now"]["name"], now["name"])

    def test_qradar(self):
        """LEEF guide 2: header, ^ as delimiter, an attribute is key=([^^]+), devTime with its format, sev 1 to 10, src; 4096 bytes."""
        for line, b in zip(self.golden("qradar", 4096), self.breaches):
            at = re.match(HEADER_3164 + r"LEEF:2\.0\|Darktrace\|DCIP\|[^|]*\|([^|]{1,255})\|\^\|", line)
            self.assertTrue(at, line[:120])
            values = dict(re.findall(r"(?:^|\^)([A-Za-z0-9]+)=([^^]+)", line[at.end():]))
            self.assertEqual(values["cat"], "ModelBreach")
            self.assertIn(int(values["sev"]), range(1, 11))
            self.assertEqual(values["devTimeFormat"], "MMM dd yyyy HH:mm:ss.SSS z")
            self.assertRegex(values["devTime"], r"^[A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d\.\d{3} GMT$")
            self.assertEqual(int(values["externalId"]), int(b["pbid"]))
            device = b.get("device") or {}
            if device.get("ip"):
                self.assertIn("src", values)

    def test_rsyslog(self):
        """maxMessageSize is 8 KiB with the header, and a cut object is none."""
        self.objects(self.golden("rsyslog", 8192), HEADER_5424 + r"darktrace - - - ")

    def test_sentinel(self):
        """Workbook "AI Analyst Darktrace": DeviceProduct, severity as a number; darktraceUrl is parsed up to the next key."""
        lines = self.golden("sentinel", 8192)
        for line, event in zip(lines, self.cef(lines, "Enterprise Immune System")):
            self.assertIn(int(event["header"][6]), range(1, 11))
            self.assertRegex(line, r" darktraceUrl=https://\S+ [A-Za-z0-9]+=")
            self.assertTrue(event["dvc"])

    def test_splunk_sc4s(self):
        """app-syslog-darktrace: the program name starts with darktrace, and the message is the object alone."""
        for line in self.golden("splunk-sc4s", 64 * 1024):
            _, _, _, program, _, _, _, message = line.split(" ", 7)
            self.assertTrue(program.startswith("darktrace"))
            self.assertTrue(message.startswith("{") and message.endswith("}"))

    def test_sumo(self):
        """Parser: <pri>version time host product(?: - - - )?json; model.name is the event id."""
        for line, b in zip(self.golden("sumo", 64 * 1024), self.breaches):
            found = re.fullmatch(r"<\d+>\d (\S+) (\S+) (\S+)(?: - - - )?(\{.*\})", line)
            self.assertTrue(found, line[:120])
            self.assertEqual(found.group(3), "darktrace")
            event = json.loads(found.group(4))
            if b["pbid"] != 900009:
                self.assertIsInstance(event["model"]["name"], str)

    def test_syslog_ng(self):
        """syslog(): RFC 5424; log-msg-size is 64 KiB, and a longer counted frame closes the connection."""
        self.objects(self.golden("syslog-ng", 63 * 1024), HEADER_5424 + r"darktrace - - - ")

    def test_wazuh(self):
        """OS_CleanMSG takes an RFC 3164 header and a tag off; the JSON decoder wants { first."""
        self.objects(self.golden("wazuh", 60 * 1024), HEADER_3164 + r"darktrace: ")

    def test_all_have_a_file(self):
        names = [line.split()[0] for line in run_cli("profiles").stdout.decode().splitlines()]
        self.assertEqual(sorted(p.stem for p in GOLDEN.glob("*.txt")), sorted(names))
        self.assertEqual(sorted(m.removeprefix("test_").replace("_", "-") for m in dir(self) if m.startswith("test_")
                                and m != "test_all_have_a_file" and m != "test_udp_sizes"), sorted(names))

    def test_udp_sizes(self):
        """Where the receiver reads UDP too, its smaller limits hold: QRadar 1024, Elastic 10 KiB, everybody one datagram."""
        for profile, most in (("qradar", 1024), ("elastic", 10 * 1024), ("rsyslog", 8192), ("wazuh", 65507)):
            for line in self.lines(profile, transport="udp"):
                self.assertLessEqual(len(line.encode()), most, profile)


if __name__ == "__main__":
    unittest.main()
