"""dtbridge as a process with a generated configuration, and its commands."""
import http.client
import json
import os
import re
import signal
import subprocess
import unittest

from .basics import BUILD, free_port, slow_build, wait_until
from .process import Process


def bridge_binary():
    """The program under test; SkipTest where it is not built."""
    path = BUILD / "dtbridge"
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not built")
    return path


def toml_value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float)):
        return str(v)
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(map(toml_value, v)) + "]"
    if isinstance(v, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(w)}" for k, w in v.items()) + " }"
    return json.dumps(str(v), ensure_ascii=False)


def toml(sections):
    """sections: [(header, {key: value})], header as "[service]" or "[[master]]"."""
    text = []
    for header, keys in sections:
        text.append(header)
        text += [f"{k} = {toml_value(v)}" for k, v in keys.items()]
        text.append("")
    return "\n".join(text)


def run_cli(*argv, stdin=None, config=None, env=None, timeout=60):
    """A command of dtbridge: CompletedProcess with bytes."""
    argv = [str(bridge_binary()), *map(str, argv)]
    if config:
        argv += ["--config", str(config)]
    return subprocess.run(argv, input=stdin if stdin is not None else b"", capture_output=True, timeout=timeout,
                          env={**os.environ, **(env or {})})


class Bridge:
    """b = Bridge(folder); b.master(sim, interval="200ms"); b.destination("d", ...); b.start()"""

    def __init__(self, folder, name="dtbridge"):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "dtbridge.toml"
        self.port = free_port()
        self.service = {"state_dir": str(self.folder / "state"), "listen": f"127.0.0.1:{self.port}", "log_level": "debug"}
        self.archive = {}
        self.enrich = {}
        self.masters = []
        self.destinations = []
        self.process = None
        self.starts = 0
        self.prefix = []  # a command that starts the program
        self.program = None  # another build of it
        self.secrets = set()  # what was ever given to token()
        self.peak_kib = 0  # resident memory, the highest of all lives that were ended here

    # configuration

    def token(self, name, text):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        self.secrets.add(text)
        return name

    def master(self, sim, name=None, query=None, **keys):
        name = name or sim.name
        entry = {"name": name, "url": sim.url, "public_token": sim.public,
                 "private_token_file": self.token(f"{name}.token", sim.private),
                 "interval": "250ms", "backfill": "26h", "timeout": f"{round(10 * slow_build())}s"}
        if sim.url.startswith("https"):
            entry["tls"] = {"ca_file": str(sim.ca_file)}
        entry.update(keys)
        self.masters.append((entry, query))
        return entry

    def destination(self, name, **keys):
        entry = {"name": name, "masters": ["*"], "start": "all", **keys}
        self.destinations.append(entry)
        return entry

    def rules(self, name, text):
        (self.folder / name).write_text(text)
        return name

    def write(self):
        sections = [("[service]", self.service)]
        if self.archive:
            sections.append(("[archive]", self.archive))
        if self.enrich:
            sections.append(("[enrich]", self.enrich))
        for entry, query in self.masters:
            sections.append(("[[master]]", entry))
            if query:
                sections.append(("[master.query]", query))
        for entry in self.destinations:
            sections.append(("[[destination]]", entry))
        # As a whole: a reload that is under way reads the old file or the new one.
        new = self.config.with_suffix(".new")
        new.write_text(toml(sections))
        os.replace(new, self.config)

    # life

    def start(self, wait=True, write=True, env=None):
        if write:
            self.write()
        self.starts += 1
        # One log per start, so that a test can look at the last life only.
        self.process = Process(f"{self.name}-{self.starts}", [*self.prefix, self.program or bridge_binary(), "run", "--config", self.config],
                               self.folder, env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, deadline=20.0):
        def ready():
            if not self.process.alive():
                raise AssertionError(f"dtbridge ended with {self.process.popen.returncode}:\n{self.log()[-3000:]}")
            return self.http("/healthz") == 200
        wait_until(ready, deadline, lambda: "dtbridge is not alive:\n" + self.log()[-3000:])

    def http(self, path, body=False):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            c.request("GET", path)
            r = c.getresponse()
            text = r.read()
            return text if body else r.status
        except OSError:
            return None
        finally:
            c.close()

    def log(self):
        return self.process.err() + self.process.out()

    def wait_for_log(self, pattern, deadline=20.0):
        expression = re.compile(pattern, re.I)
        return wait_until(lambda: expression.search(self.log()), deadline,
                          lambda: f"no log line like {pattern!r}; the log ends:\n{self.log()[-3000:]}")

    def status(self):
        """What `dtbridge status --json` says."""
        return json.loads(run_cli("status", "--json", config=self.config).stdout)

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def note_peak(self):
        if self.process and self.process.alive():
            try:
                self.peak_kib = max(self.peak_kib, self.process.resident_kib())
            except (OSError, IndexError):
                pass  # it ends just now
        return self.peak_kib

    def written(self):
        """Every file that it may have written: logs, state. What it was given (configuration, tokens) is not among them."""
        return [*self.folder.glob("*.err"), *self.folder.glob("*.out"), *(self.folder / "state").rglob("*")]

    def kill(self):
        self.note_peak()
        self.process.kill()

    def stop(self, deadline=10.0):
        """SIGTERM; answers the exit status."""
        self.note_peak()
        return self.process.stop(deadline)
