"""dtbridge setup: by questions on a pseudo-terminal, and by flags as Ansible gives them."""
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time
import tomllib

from rig import Collector, Pki, RigTest, Simulator, bridge_binary, run_cli
from rig.basics import slow_build

from test_connect import fingerprint


class Terminal:
    """A command on a terminal of its own; what it prints is in .screen."""

    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.screen = ""
        self.seen = 0
        self.status = None

    def read(self, seconds=0.1):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.screen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def expect(self, pattern, deadline=30):
        end = time.monotonic() + deadline * slow_build()
        while time.monotonic() < end:
            found = re.compile(pattern).search(self.screen, self.seen)
            if found:
                self.seen = found.end()
                return found
            if not self.read():
                break
        raise AssertionError(f"no {pattern!r} on the terminal:\n{self.screen}")

    def echo(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def say(self, line):
        os.write(self.fd, (line + "\n").encode())

    def end(self, deadline=60):
        end = time.monotonic() + deadline * slow_build()
        while self.read():
            if time.monotonic() > end:
                raise AssertionError(f"does not end:\n{self.screen}")
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return self.status


class Setup(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.config = self.folder / "etc" / "dtbridge.toml"
        self.token = self.folder / "etc" / "credentials" / "acme.token"
        self.sim = self.own(Simulator(self.folder, "acme", generate=5))

    def collector(self, kind="tcp", **more):
        self.siem = self.own(Collector(kind, **more))
        return self.siem

    def flags(self, **changed):
        values = {"url": self.sim.url, "master": "acme", "public-token": self.sim.public, "private-token-file": "-",
                  "fingerprint-sha256": fingerprint(self.sim.ca_file), "profile": "splunk-sc4s", "transport": "tcp",
                  "address": self.siem.address, "stage": "2", "state-dir": str(self.folder / "state")}
        values.update({k.replace("_", "-"): v for k, v in changed.items()})
        argv = ["setup"]
        for name, value in values.items():
            if value is True:
                argv.append(f"--{name}")
            elif value is not None:
                argv += [f"--{name}", value]
        return argv

    def run_flags(self, stdin=None, **changed):
        return run_cli(*self.flags(**changed), config=self.config, stdin=(stdin or self.sim.private).encode() + b"\n")

    def check_result(self, **expected):
        """What was written is what was answered, only its owner may read it, and the program takes it."""
        with open(self.config, "rb") as f:
            written = tomllib.load(f)
        master, = written["master"]
        destination, = written["destination"]
        self.assertEqual((master["name"], master["url"], master["public_token"]), ("acme", self.sim.url, self.sim.public))
        self.assertEqual(master["private_token_file"], "credentials/acme.token")
        self.assertEqual(self.token.read_text(), self.sim.private + "\n")
        self.assertEqual(master["tls"], {"fingerprint_sha256": fingerprint(self.sim.ca_file)})
        self.assertEqual(destination["rules"], expected.get("rules", "mappings/stage-2.toml"))
        for path in (self.token, self.config):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o007, 0, path)
        self.assertEqual(list(self.config.parent.glob(".setup-*")), [])
        self.assertEqual(run_cli("check", config=self.config).returncode, 0)
        return written

    def test_flags(self):
        self.collector()
        got = self.run_flags()
        text = got.stdout.decode()
        self.assertEqual(got.returncode, 0, text + got.stderr.decode())
        self.check_result()
        for words in ("master acme: ok", "destination splunk-sc4s: ok", "search the SIEM for: dtbridge-test-"):
            self.assertIn(words, text)
        self.siem.wait_for(1)
        self.assertEqual(self.siem.count(), 1)
        self.assertNotIn(self.sim.private, text + got.stderr.decode())
        self.assertFalse((self.folder / "state" / "masters").exists())

    def test_authorities_are_copied(self):
        """The service is of another user and sees neither /root nor /home."""
        pki = Pki(self.folder / "pki")
        self.collector("tls", pki=pki)
        got = self.run_flags(ca_file=str(self.sim.ca_file), fingerprint_sha256=None, transport="tls",
                             address=f"localhost:{self.siem.port}", destination_ca_file=os.path.relpath(pki.ca))
        self.assertEqual(got.returncode, 0, got.stdout.decode() + got.stderr.decode())
        written = tomllib.loads(self.config.read_text())
        for table, name, ca in ((written["master"][0], "acme.ca.pem", self.sim.ca_file),
                                (written["destination"][0], "splunk-sc4s.collector-ca.pem", pki.ca)):
            self.assertEqual(table["tls"], {"ca_file": f"credentials/{name}"})
            copy = self.token.parent / name
            self.assertEqual(copy.read_bytes(), ca.read_bytes())
            self.assertEqual(stat.S_IMODE(copy.stat().st_mode), stat.S_IMODE(self.token.stat().st_mode))
        self.assertEqual(list(self.token.parent.glob("*.new")), [])
        self.siem.wait_for(1)

    def test_never_overwrites(self):
        self.collector()
        self.config.parent.mkdir()
        self.config.write_text("# mine\n")
        got = self.run_flags()
        self.assertEqual(got.returncode, 1)
        self.assertIn(b"--overwrite", got.stderr)
        self.assertEqual(self.config.read_text(), "# mine\n")
        self.assertFalse(self.token.exists())
        got = self.run_flags(overwrite=True)
        self.assertEqual(got.returncode, 0, got.stderr)
        self.check_result()
        kept, = self.config.parent.glob("dtbridge.toml.old-*")
        self.assertEqual(kept.read_text(), "# mine\n")

    def test_bad_answers(self):
        """Each is refused with its flag, and nothing is written."""
        self.collector()
        for flag, value, status, words in (
                ("url", "ftp://x", 2, "--url"), ("url", None, 2, "--url"), ("master", "A B", 2, "--master"),
                ("profile", "splunk", 2, "--profile"), ("address", "host:0", 2, "--address"), ("address", None, 2, "--address"),
                ("stage", "4", 2, "--stage"), ("transport", "pigeon", 2, "--transport"),
                ("private-token-file", "/no/such/file", 1, "/no/such/file"), ("private-token-file", None, 2, "--private-token-file"),
                ("ca-file", "/no/such/ca.pem", 2, "--ca-file"),
                ("fingerprint-sha256", "abc", 2, "--fingerprint-sha256"),
                ("fingerprint-sha256", "0" * 64, 1, fingerprint(self.sim.ca_file)),
                ("fingerprint-sha256", None, 1, "--fingerprint-sha256")):
            with self.subTest(flag=flag, value=value):
                got = self.run_flags(**{flag: value})
                self.assertEqual(got.returncode, status, got.stdout + got.stderr)
                self.assertIn(words, (got.stdout + got.stderr).decode())
                self.assertFalse(self.config.exists())
                self.assertFalse(self.token.exists())
        got = run_cli(*self.flags(), config=self.config, stdin=b"")
        self.assertEqual(got.returncode, 2)
        self.assertFalse(self.config.exists())

    def test_no_connect(self):
        """For images and for Ansible before the network is there."""
        self.collector()
        self.sim.stop()
        self.siem.close()
        got = self.run_flags(no_connect=True, profile="none", destination="soc", stage=None)
        self.assertEqual(got.returncode, 0, got.stderr)
        written = self.check_result(rules="mappings/stage-1.toml")
        self.assertEqual(written["destination"][0]["name"], "soc")

    def test_not_reachable(self):
        """Written all the same, and the exit status says that the check failed."""
        self.collector()
        self.siem.close()
        got = self.run_flags()
        self.assertEqual(got.returncode, 1)
        self.check_result()
        self.assertIn("destination splunk-sc4s: FAILED", got.stdout.decode())

    def terminal(self, *more):
        return Terminal([str(bridge_binary()), "setup", "--config", str(self.config), "--state-dir", str(self.folder / "state"),
                         *more])

    def test_dialogue(self):
        """Asked one after the other; wrong answers are asked again; tokens are not shown; both certificates are confirmed."""
        pki = Pki(self.folder / "pki")
        self.collector("tls", pki=pki)
        t = self.terminal()
        t.expect("Address of the Darktrace master")
        t.say("darktrace.example")
        t.expect("not an http or https address")
        t.say(self.sim.url)
        t.expect(r"Name for it .*\[darktrace\]: ")
        t.say("acme")
        for what, token in (("Public", self.sim.public), ("Private", self.sim.private)):
            t.expect(f"{what} token.*not shown.*: ")
            self.assertFalse(t.echo())
            t.say(token)
        t.expect("is self-signed")
        self.assertTrue(t.echo())
        t.expect(f"fingerprint  {fingerprint(self.sim.ca_file)}")
        t.expect(r"\[y/N\]: ")
        t.say("y")
        t.expect("SIEM: arcsight, .* or none")
        t.say("qradarr")
        t.expect("qradar")
        t.say("qradar")
        t.expect("Address of the collector")
        t.say(self.siem.address)
        t.expect(r"\[qradar\]: ")
        t.say("")
        t.expect(r"Stage \[1\]: ")
        t.say("2")
        t.expect(f"fingerprint  {fingerprint(pki.server)}")
        t.expect(r"\[y/N\]: ")
        t.say("yes")
        t.expect("written: ")
        t.expect("master acme: ok")
        t.expect("destination qradar: ok")
        t.expect(r"test event to qradar now\? \[Y/n\]: ")
        t.say("")
        t.expect("search the SIEM for: (dtbridge-test-[0-9a-f]+)")
        self.assertEqual(t.end(), 0, t.screen)
        self.siem.wait_for(1)
        self.assertIn("LEEF:2.0|dtbridge|", self.siem.texts()[0])
        self.assertNotIn(self.sim.private, t.screen)
        self.assertNotIn(self.sim.public, t.screen)
        written = self.check_result()
        self.assertEqual(written["destination"][0]["tls"], {"fingerprint_sha256": fingerprint(pki.server)})

    def test_not_confirmed(self):
        t = self.terminal("--url", self.sim.url, "--master", "acme", "--public-token", "x")
        t.expect("Private token")
        t.say("y")
        t.expect(r"\[y/N\]: ")
        t.say("")
        self.assertEqual(t.end(), 1)
        self.assertIn("nothing was written", t.screen)
        self.assertFalse(self.config.exists())

    def test_existing_is_asked_about(self):
        self.config.parent.mkdir()
        self.config.write_text("# mine\n")
        t = self.terminal()
        t.expect(r"exists\. Replace it\?.*\[y/N\]: ")
        t.say("n")
        self.assertEqual(t.end(), 1)
        self.assertEqual(self.config.read_text(), "# mine\n")

    def test_interrupted(self):
        """Ctrl-C while a token is typed, and the end of the input: nothing is written, and the terminal shows what is typed again."""
        for key in (b"\x03", b"\x04"):
            t = self.terminal("--url", self.sim.url, "--master", "acme")
            t.expect("Public token.*not shown.*: ")
            self.assertFalse(t.echo())
            os.write(t.fd, key)
            end = time.monotonic() + 10 * slow_build()
            while not t.echo() and time.monotonic() < end:
                time.sleep(0.02)
            self.assertTrue(t.echo())
            self.assertIn(t.end(), (1, -signal.SIGINT))
            self.assertFalse(self.config.exists())

    def test_token_is_in_no_command_line(self):
        """Nothing that `ps` shows holds the private token, whichever way it came."""
        self.collector()
        token = self.folder / "given"
        token.write_text(self.sim.private + "\n")
        self.sim.fault("slow", seconds=2)
        command = subprocess.Popen([str(bridge_binary()), *self.flags(private_token_file=str(token)), "--config", self.config],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        line = open(f"/proc/{command.pid}/cmdline", "rb").read()
        environment = open(f"/proc/{command.pid}/environ", "rb").read()
        self.assertEqual(command.wait(60), 0)
        self.assertNotIn(self.sim.private.encode(), line + environment)
        self.check_result()


class Group(RigTest):
    """As root, with a group dtbridge: the service may read the files and nobody else."""

    def test_owner(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        config = self.folder / "etc" / "dtbridge.toml"
        # /etc/group of a mount namespace of its own, so that this machine keeps its groups.
        (self.folder / "group").write_text("root:x:0:\ndtbridge:x:4711:\n")
        got = subprocess.run(["unshare", "-m", "sh", "-ec", 'mount --bind "$1" /etc/group; shift; exec "$@"', "sh",
                              str(self.folder / "group"), str(bridge_binary()), "setup", "--config", str(config), "--batch",
                              "--no-connect", "--url", "https://m.example", "--public-token", "x", "--private-token-file", "-",
                              "--address", "siem.example"], input=b"secret\n", capture_output=True)
        if b"permission" in got.stderr.lower() and got.returncode != 0:
            self.skipTest(got.stderr.decode())
        self.assertEqual(got.returncode, 0, got.stderr)
        for path, mode in ((config, 0o640), (config.parent / "credentials" / "darktrace.token", 0o640),
                           (config.parent / "credentials", 0o750)):
            s = path.stat()
            self.assertEqual((stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid), (mode, 0, 4711), path)


if __name__ == "__main__":
    import unittest
    unittest.main()
