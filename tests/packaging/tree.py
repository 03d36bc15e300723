"""Whole systems in a folder: a Debian tree booted with systemd by systemd-nspawn, so that packages meet a real service manager.

Trees share the host's loopback: simulated masters and collectors of the test run outside, the packaged bridge inside.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from rig import SOURCE, wait_until

CACHE = SOURCE / "build" / "trees"
INCLUDE = ("systemd", "systemd-sysv", "dbus", "ca-certificates")


def mirror():
    """The Debian mirror of this machine, from its own apt sources."""
    sources = pathlib.Path("/etc/apt")
    for path in [*sorted(sources.glob("sources.list.d/*.sources")), sources / "sources.list", *sorted(sources.glob("sources.list.d/*.list"))]:
        if not path.exists():
            continue
        text = path.read_text()
        for stanza in re.split(r"\n\s*\n", text):
            uri = re.search(r"^URIs:\s*(\S+)", stanza, re.M)
            if uri and re.search(r"^Suites:.*\bbookworm\b(?!-)", stanza, re.M):
                return uri[1]
        uri = re.search(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+bookworm\s", text, re.M)
        if uri:
            return uri[1]
    raise NotHere("no Debian mirror in /etc/apt")


class NotHere(Exception):
    """This machine cannot make or boot such a tree; says why."""


def base(suite, more=()):
    """A tar of a minimal system, made once."""
    path = CACHE / ("-".join((suite, *more)) + ".tar")
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".part{os.getpid()}")
        made = subprocess.run(["mmdebstrap", "--variant=minbase", "--mode=root", "--include=" + ",".join((*INCLUDE, *more)), "--format=tar",
                               suite, part, mirror()], capture_output=True, text=True)
        if made.returncode:
            part.unlink(missing_ok=True)
            raise NotHere(f"mmdebstrap {suite}: {made.stderr[-1000:]}")
        part.rename(path)
    return path


def is_first_of_its_own(pid):
    """Whether it is PID 1 of a namespace. systemd-nspawn first makes a child that is not, and that soon ends."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return re.search(r"^NSpid:.*\t1$", status, re.MULTILINE) is not None


class Tree:
    OPTIONS = ("-q", "--register=no", "--keep-unit", "--console=pipe")

    def __init__(self, suite, more=()):
        self.suite = suite
        tar = base(suite, more)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"dtbridge-{suite}-"))
        self.nspawn = None
        self.leader = None
        subprocess.run(["tar", "-xf", tar, "-C", self.root], check=True)
        # Nothing but what the test asks for.
        for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-resolved.service", "systemd-networkd.service"):
            (self.root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        able = subprocess.run(["systemd-nspawn", *self.OPTIONS, "-D", self.root, "/bin/true"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        if able.returncode:
            self.close()
            raise NotHere(f"systemd-nspawn does not work here: {able.stderr.strip()}")

    def __truediv__(self, name):
        return self.root / str(name).lstrip("/")

    def chroot(self, *argv, **options):
        return subprocess.run(["chroot", self.root, *argv], capture_output=True, text=True, **options)

    def boot(self):
        log = open(self.root / "console.log", "wb")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", *self.OPTIONS, "-D", self.root, "-b"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

        def leader():
            if self.nspawn.poll() is not None:
                raise AssertionError("systemd-nspawn ended: " + self.console())
            found = subprocess.run(["pgrep", "-P", str(self.nspawn.pid)], capture_output=True, text=True).stdout.split()
            return next((pid for pid in found if is_first_of_its_own(pid)), None)
        self.leader = wait_until(leader, 20, "no PID 1 in the tree")
        wait_until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60, self.why_not_booted)

    def why_not_booted(self):
        asked = [self.run("systemctl", *words) for words in (["is-system-running"], ["list-jobs", "--no-pager"])]
        return "the tree did not boot: " + "".join(a.stdout + a.stderr for a in asked) + self.console()

    def console(self):
        return (self.root / "console.log").read_text(errors="replace")[-3000:]

    def run(self, *argv, check=False, **options):
        """A command inside the booted tree."""
        done = subprocess.run(["nsenter", "-t", self.leader, "-m", "-u", "-i", "-p", "--", *map(str, argv)],
                              capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                                                                   "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}, **options)
        if check and done.returncode:
            raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def journal(self):
        return self.run("journalctl", "-u", "dtbridge", "--no-pager", "-o", "cat").stdout

    def property(self, name):
        return self.run("systemctl", "show", "-P", name, "dtbridge").stdout.strip()

    def close(self):
        if self.nspawn and self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGTERM)
            try:
                self.nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        for _ in range(20):
            if not any(str(self.root) in line for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()):
                break
            time.sleep(0.1)
        if os.environ.get("DTBRIDGE_KEEP"):
            print(f"kept: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)
