"""A network namespace that is joined to this one by a cable, for breaks that loopback cannot have."""
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
import unittest

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Network:
    """n = Network(); n.address is in it, n.socket() makes a socket in it; n.drop() loses every packet without a word,
    n.heal() ends that. SkipTest with the reason where it cannot be had. Traffic stays between the two ends."""

    def __init__(self):
        for tool in ("ip", "nft", "ss"):
            if not shutil.which(tool):
                raise unittest.SkipTest(f"{tool} is not installed")
        if os.geteuid() != 0:
            raise unittest.SkipTest("a network namespace needs root")
        number = next(_numbers)
        self.name = f"dtb-{os.getpid()}-{number}"
        self.here = f"dtb{os.getpid()}a{number}"[:15]
        there = f"dtb{os.getpid()}b{number}"[:15]
        # 198.18.0.0/15 is for tests of networks (RFC 2544); four addresses of it.
        base = (os.getpid() * 8 + number) % 32768 * 4
        net = f"198.{18 + base // 65536}.{base // 256 % 256}"
        self.address, mine = f"{net}.{base % 256 + 2}", f"{net}.{base % 256 + 1}"
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if made.returncode:
            raise unittest.SkipTest("no network namespace can be made here: " + made.stderr.strip())
        try:
            self._run("ip", "link", "add", self.here, "type", "veth", "peer", "name", there, "netns", self.name)
            self._run("ip", "addr", "add", f"{mine}/30", "dev", self.here)
            self._run("ip", "link", "set", self.here, "up")
            self.inside("ip", "addr", "add", f"{self.address}/30", "dev", there)
            self.inside("ip", "link", "set", there, "up")
            self.inside("ip", "link", "set", "lo", "up")
        except AssertionError:
            self.close()
            raise

    def _run(self, *argv, stdin=None):
        done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{argv}: {done.stderr.strip()}")
        return done.stdout

    def inside(self, *argv, stdin=None):
        return self._run("ip", "netns", "exec", self.name, *argv, stdin=stdin)

    def socket(self, kind):
        """Its thread alone is in the namespace; the socket stays there."""
        got = []

        def make():
            with open(f"/var/run/netns/{self.name}") as ns:
                if _libc.setns(ns.fileno(), _CLONE_NEWNET):
                    return
            got.append(socket.socket(socket.AF_INET, kind))
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return got[0]

    def drop(self):
        self.inside("nft", "-f", "-", stdin="add table inet faults\n"
                    "add chain inet faults in { type filter hook input priority 0; policy drop; }\n"
                    "add chain inet faults out { type filter hook output priority 0; policy drop; }\n")

    def heal(self):
        self.inside("nft", "delete", "table", "inet", "faults")

    def cable(self, up):
        self._run("ip", "link", "set", self.here, "up" if up else "down")

    def kill_connections(self):
        """Those of this side, as an administrator's ss -K does; how many."""
        out = self._run("ss", "-H", "-K", "-t", "dst", self.address)
        return len(out.splitlines())

    def close(self):
        subprocess.run(["ip", "link", "del", self.here], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
