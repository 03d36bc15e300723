"""Folders, ports and waiting."""
import os
import pathlib
import shutil
import socket
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("DTBRIDGE_BUILD", SOURCE / "build" / "debug"))
SHARED = pathlib.Path(os.environ.get("DTBRIDGE_SHARED", SOURCE.parent / "shared"))


def slow_build() -> float:
    """Deadlines are stretched under the sanitizers, and on a busy machine by DTBRIDGE_PATIENCE."""
    factor = 3.0 if any(name in BUILD.name for name in ("asan", "tsan")) else 1.0
    return factor * float(os.environ.get("DTBRIDGE_PATIENCE", "1"))


class Folder:
    """A temporary folder, removed by close() unless keep is set."""

    def __init__(self, name="dtbridge-test-"):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=name))
        self.keep = False

    def __truediv__(self, name):
        return self.path / name

    def close(self):
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


_given_ports = set()


def free_port(kind=socket.SOCK_STREAM, host="127.0.0.1") -> int:
    """A port that is free now, below the range from which the kernel takes ports for outgoing connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    start = 10000 + (os.getpid() * 37) % 18000
    for offset in range(20000):
        port = 10000 + (start - 10000 + offset) % 20000
        if port in _given_ports:
            continue
        with socket.socket(family, kind) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise RuntimeError("no free port between 10000 and 30000")


def listens(port) -> bool:
    """Whether somebody listens on this TCP port over IPv4. Looked at from outside: a connection that is closed at once can leave
    librelp 1.11 (EPOLL_CTL_ADD on a closed descriptor) deaf for good."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(f[1].endswith(f":{port:04X}") and f[3] == "0A" for f in map(str.split, lines))


def wait_until(condition, deadline=20.0, what="", every=0.05):
    """Waits until condition() is true and answers what it gave; AssertionError after deadline seconds.

    what may be a text or a function that gives one when it is too late.
    """
    end = time.monotonic() + deadline * slow_build()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline * slow_build():.0f} s: {what() if callable(what) else what}")
        time.sleep(every)
