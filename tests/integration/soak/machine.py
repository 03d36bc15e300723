"""What this machine allows: namespaces of our own, a small file system, a false clock, broken connections."""
import ctypes
import glob
import json
import os
import re
import shutil
import subprocess

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
private = False  # whether own_namespaces() was allowed


def run(*argv, check=False, text=None):
    return subprocess.run([str(a) for a in argv], input=text, capture_output=True, text=True, check=check)


def own_namespaces():
    """Moves this process into a network and a mount namespace of its own, so that a mount, a packet filter or a cut connection
    concerns nobody else and goes with it. False where that is not allowed."""
    global private
    if not shutil.which("ip") or _libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        return False
    run("mount", "--make-rprivate", "/", check=True)
    run("ip", "link", "set", "lo", "up", check=True)
    private = True
    return True


class SmallDisk:
    """A tmpfs that can be filled to the last byte; only in namespaces of our own."""

    def __init__(self, folder, mib):
        self.folder = folder
        folder.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0750", "soak", folder, check=True)

    def fill(self):
        with open(self.folder / "filler", "wb") as f:
            try:
                while True:
                    f.write(b"\0" * (1 << 20))
                    f.flush()
            except OSError:
                pass
        # The last bytes, too.
        with open(self.folder / "filler-2", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass

    def free(self):
        for name in ("filler", "filler-2"):
            (self.folder / name).unlink(missing_ok=True)

    def close(self):
        run("umount", "-l", self.folder)


class Clock:
    """The wall clock of programs that are started with .environment; offset in seconds, changed while they run."""

    def __init__(self, folder):
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        self.library = found[0] if found else None
        self.file = folder / "clock"
        self.set(0)

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self.file)

    @property
    def environment(self):
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1", "NO_FAKE_STAT": "1"}


def cut_connections(port):
    """RST in both directions to every connection with this port (`ss -K`)."""
    run("ss", "-K", "state", "connected", f"( dport = :{port} or sport = :{port} )")


def unread_bytes(port):
    """What lies in the kernel for the process that listens on port and that it has not read yet."""
    said = run("ss", "-Htn", "state", "connected", f"( sport = :{port} )").stdout
    return sum(int(m.group(1)) for line in said.splitlines() if (m := re.match(r"\S+\s+(\d+)\s", line)))


def black_hole(port, on):
    """Packets to and from port vanish: no RST, no ICMP."""
    if on:
        run("nft", "-f", "-", check=True, text=f"""
table inet hole_{port} {{
    chain drop_it {{
        type filter hook output priority 0;
        tcp dport {port} drop
        tcp sport {port} drop
    }}
}}
""")
    else:
        run("nft", "delete", "table", "inet", f"hole_{port}")


class Connections:
    """Counts the connections that the bridge makes to each port, by what the collector's kernel answers (SYN and ACK, behind what a
    black hole drops), so that no connection is missed however short the bridge's life is."""

    def __init__(self, ports):
        run("nft", "-f", "-", check=True, text="table inet soak_count {\n"
            + "".join(f"    counter port_{p} {{ }}\n" for p in ports)
            + "    chain count_it {\n        type filter hook output priority 10;\n"
            + "".join(f"        tcp sport {p} tcp flags & (syn | ack) == syn | ack counter name port_{p}\n" for p in ports)
            + "    }\n}\n")

    def counts(self):
        """{port: how many so far}; a repeated answer counts, too."""
        listed = json.loads(run("nft", "-j", "list", "counters", "table", "inet", "soak_count", check=True).stdout)["nftables"]
        return {int(e["counter"]["name"].removeprefix("port_")): e["counter"]["packets"] for e in listed if "counter" in e}
