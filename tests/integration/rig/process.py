"""Child processes that cannot outlive a test."""
import atexit
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

from .basics import wait_until

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_running = set()


def _in_child():
    # The child dies with the thread that made it, so processes are started from the main thread.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@atexit.register
def _kill_all():
    for process in list(_running):
        process.kill()


class Process:
    """A program in a process group of its own; standard output and error go to files in folder."""

    def __init__(self, name, argv, folder, env=None, cwd=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.out_path = folder / f"{name}.out"
        self.err_path = folder / f"{name}.err"
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin, stdout=out, stderr=err, cwd=cwd,
                env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_in_child)
        _running.add(self)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def out(self):
        return self.out_path.read_text(errors="replace")

    def err(self):
        return self.err_path.read_text(errors="replace")

    def wait_for_line(self, find, deadline=15.0):
        """Waits for a line of standard output that holds `find` and answers it."""
        def look():
            for line in self.out().splitlines(keepends=True):
                if find in line and line.endswith("\n"):
                    return line.strip()
            if not self.alive():
                raise AssertionError(f"{self.name} ended with {self.popen.returncode}: {self.err()[-2000:]}")
            return None
        return wait_until(look, deadline, f"{find!r} on standard output of {self.name}", every=0.02)

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, deadline=10.0):
        try:
            return self.popen.wait(deadline)
        finally:
            if self.popen.returncode is not None:
                _running.discard(self)

    def stop(self, deadline=10.0):
        """SIGTERM, then SIGKILL after deadline; answers the exit status."""
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.wait(deadline)
            except subprocess.TimeoutExpired:
                self.kill()
        _running.discard(self)
        return self.popen.returncode

    def kill(self):
        """SIGKILL to the whole group."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()
        _running.discard(self)

    def resident_kib(self, field="VmHWM"):
        """Peak (or VmRSS: present) resident memory."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def who_has(address, processes):
    """Which of the processes has the TCP socket with this IPv4 address of its own, or None."""
    host, port = address
    local = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    with open("/proc/net/tcp") as table:
        wanted = {f"socket:[{fields[9]}]" for fields in map(str.split, table) if fields[1] == local}
    for process in processes:
        for descriptor in pathlib.Path(f"/proc/{process.pid}/fd").glob("*"):
            try:
                if os.readlink(descriptor) in wanted:
                    return process
            except OSError:
                pass  # closed meanwhile
    return None


def until_closed(port, host="127.0.0.1", deadline=5.0):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex((host, port)) != 0:
                return
        time.sleep(0.05)
