"""Real collectors that are stopped, killed, frozen and started again on the same port, and what they have stored.

What a collector has read it writes at once (no queue of its own), as the bridge's promise for TCP and TLS ends where the
collector's kernel has acknowledged (product.md 8): one that dies with a queue in memory loses that queue."""
import datetime
import os
import re
import signal
import subprocess
import time

from rig.basics import free_port, listens, wait_until
from rig.process import Process
from rig.syslogd import syslog_ng_root

from . import machine

# <PRI>1 CREATED MASTER APP ... of the RFC 5424 header that every destination of the soak uses.
HEADER = re.compile(r"^<\d+>1 (\S+) (\S+) \S+ \S+ \S+ \S+ ?(.*)$", re.S)
# Events of the bridge itself, such as that a master uses ids again, have its name for APP.
EVENT = re.compile(rb"^<\d+>1 \S+ \S+ dtbridge ")


def created_ms(text):
    """Of a header's time, as any collector writes it."""
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


class Collector:
    """name, port, arrived: {(master, pbid, created): how often}. look() reads what has been stored since; news: what of it came for the
    first time, until somebody clears it."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.stored = self.folder / "stored"
        self.port = free_port()
        self.process = None
        self.starts = 0
        self.arrived = {}
        self.news = []
        self.lines = 0
        self.events = 0
        self.unreadable = []
        self.frozen = False
        self._at = 0
        self.write_configuration()

    def start(self):
        self.starts += 1
        # The half line of one that was killed is no message.
        if self.stored.exists():
            with open(self.stored, "r+b") as f:
                size = f.seek(0, os.SEEK_END)
                back = min(size, 1 << 20)
                f.seek(size - back)
                f.truncate(size - back + f.read().rfind(b"\n") + 1)
        self.process = self.spawn(f"{self.name}-{self.starts}")

        wait_until(lambda: listens(self.port) or not self.process.alive(), 30, f"port {self.port} of {self.name}")
        if not self.process.alive():
            raise AssertionError(f"{self.name} ended: {self.process.err()[-2000:]}{self.process.out()[-2000:]}")

    def stop(self):
        self.process.stop(20)

    def kill(self):
        """kill -9 once it has read nearly all that came: what a stalled one had taken is not promised."""
        wait_until(lambda: machine.unread_bytes(self.port) < 16384, 30, f"{self.name} to read what it has got")
        self.process.kill()

    def freeze(self):
        self.process.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.process.signal(signal.SIGCONT)
        wait_until(lambda: machine.unread_bytes(self.port) < 16384, 60, f"{self.name} to read what it has got")
        self.frozen = False

    def look(self):
        if not self.stored.exists():
            return
        with open(self.stored, "rb") as f:
            f.seek(self._at)
            new = f.read()
        whole = new[:new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.split(b"\n")[:-1]:
            self.lines += 1
            if EVENT.match(line):
                self.events += 1
                continue
            key = self.key(line.decode("utf-8", "surrogateescape"))
            if key:
                if key not in self.arrived:
                    self.news.append(key)
                self.arrived[key] = self.arrived.get(key, 0) + 1
            else:
                self.unreadable.append(line[:2000])

    def is_cut(self, line):
        """Whether a whole message that has come too begins so: with a newline as frame, a collector takes what a broken connection has
        left of a message for one (RFC 6587 3.4.2 has no length to know better)."""
        with open(self.stored, "rb") as f:
            return any(whole.startswith(line) and len(whole) > len(line) + 1 for whole in f)

    def key(self, line):
        found = HEADER.match(line)
        pbid = re.search(self.pbid, found.group(3)) if found else None
        return (found.group(2), int(pbid.group(1)), created_ms(found.group(1))) if pbid else None


class Rsyslog(Collector):
    INPUT = """
module(load="imtcp" MaxSessions="200")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="keep" SupportOctetCountedFraming="on" {tls})
"""

    def __init__(self, name, folder, pbid, pki=None):
        self.pbid = pbid
        self.pki = pki
        self.server = pki and (pki.server, pki.server_key)
        super().__init__(name, folder)

    def write_configuration(self):
        tls = driver = ""
        if self.pki:
            cert, key = self.server
            driver = (f'defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{self.pki.ca}" '
                      f'defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}"')
            tls = ('StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" '
                   'PermittedPeer=["client.test"]')
        self.conf = self.folder / "rsyslog.conf"
        self.conf.write_text(f'''
global(workDirectory="{self.folder}" maxMessageSize="128k" preserveFQDN="on" parser.escapeControlCharactersOnReceive="off" {driver})
main_queue(queue.type="Direct")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="keep" queue.type="Direct") {{ action(type="omfile" file="{self.stored}" template="raw") }}
{self.INPUT.format(port=self.port, tls=tls)}''')
        checked = subprocess.run(["rsyslogd", "-N1", "-f", str(self.conf)], capture_output=True, text=True)
        if checked.returncode:
            raise AssertionError("rsyslogd refuses its configuration: " + checked.stderr)

    def spawn(self, name):
        return Process(name, ["rsyslogd", "-n", "-f", self.conf, "-iNONE"], self.folder)

    def stop(self):
        """With TLS it gets nothing for a moment first: when it stops, its OpenSSL driver reads what has just come while it waits for
        the peer's close_notify, drops that and closes in order, which is what "confirmed" cannot know (docs/delivery.md)."""
        if not self.pki or not machine.private:
            super().stop()
            return
        machine.black_hole(self.port, True)
        time.sleep(0.5)
        super().stop()
        machine.black_hole(self.port, False)

    def certificate(self, cert, key):
        """From the next start on."""
        self.server = (cert, key)
        self.write_configuration()


class RsyslogRelp(Rsyslog):
    """What it has answered for is stored, whatever ends it: nothing need be read first."""

    INPUT = """
module(load="imrelp" ruleset="keep")
input(type="imrelp" address="127.0.0.1" port="{port}" maxDataSize="256k")
"""

    def kill(self):
        self.process.kill()


class SyslogNg(Collector):
    def __init__(self, name, folder, pbid):
        self.pbid = pbid
        self.root = syslog_ng_root()
        super().__init__(name, folder)

    def write_configuration(self):
        self.conf = self.folder / "syslog-ng.conf"
        # The window is as small as it may be, and the reader waits for the writer.
        self.conf.write_text(f'''@version: 3.38
options {{ keep-hostname(yes); use-dns(no); chain-hostnames(no); ts-format(iso); frac-digits(3); log-msg-size(262144);
          flush-lines(1); stats-freq(0); keep-timestamp(yes); }};
template t {{ template("<$PRI>1 $ISODATE $HOST $PROGRAM - - - $MSG\\n"); }};
source s {{ syslog(ip("127.0.0.1") port({self.port}) transport("tcp") max-connections(10) log-iw-size(1000)); }};
destination d {{ file("{self.stored}" template(t)); }};
log {{ source(s); destination(d); flags(flow-control); }};
''')

    def spawn(self, name):
        return Process(name, [f"{self.root}/usr/sbin/syslog-ng", "-F", "-f", self.conf, "--module-path",
                              f"{self.root}/usr/lib/syslog-ng/3.38", "-R", self.folder / "persist", "-p",
                              self.folder / "pid", "-c", self.folder / "ctl", "--no-caps"],
                       self.folder, env={"LD_LIBRARY_PATH": f"{self.root}/usr/lib/syslog-ng"})
