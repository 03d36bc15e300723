"""rsyslogd and syslog-ng on loopback, each with a configuration of its own, and what they stored."""
import glob
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import unittest

from .basics import SOURCE, free_port, listens, wait_until
from .process import Process


class _Stored:
    def lines(self, name):
        path = self.folder / "out" / name
        if not path.exists():
            return []
        return path.read_text(errors="surrogateescape").split("\n")[:-1]

    def wait_for(self, name, count, deadline=30.0):
        wait_until(lambda: len(self.lines(name)) >= count, deadline,
                   lambda: f"{len(self.lines(name))} of {count} lines in {name} of {type(self).__name__}")

    def wait_quiet(self, name, seconds=0.7):
        """Waits until nothing more comes, to see repeats too."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < seconds:
            now = len(self.lines(name))
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.05)

    def _wait_for_port(self, port):
        wait_until(lambda: listens(port) or not self.process.alive(), 15, f"port {port} of {type(self).__name__}")
        if not self.process.alive():
            raise AssertionError(f"{type(self).__name__} ended: {self.process.err()}{self.process.out()}")

    def stop(self):
        return self.process.stop()


class Rsyslog(_Stored):
    """Ports udp, tcp, tls (client certificate), relp and relp_tls (client certificate) with its module. Files: udp.raw,
    tcp.raw, .. one message a line as received, and udp.log .. as parsed: pri=.. proto=.. ts=.. host=.. app=.. msg=[..].
    RELP messages are in relp.raw, relp_tls.raw before they are answered: what kill() takes is not theirs."""

    def __init__(self, folder, pki, name="rsyslog"):
        if not shutil.which("rsyslogd"):
            raise unittest.SkipTest("rsyslogd is not installed")
        self.folder = folder / name
        (self.folder / "out").mkdir(parents=True)
        (self.folder / "spool").mkdir()
        self.udp, self.tcp, self.tls = free_port(socket.SOCK_DGRAM), free_port(), free_port()
        self.relp, self.relp_tls = free_port(), free_port()
        with_relp = any(pathlib.Path(p).exists() for p in glob.glob("/usr/lib*/*/rsyslog/imrelp.so")
                        + glob.glob("/usr/lib*/rsyslog/imrelp.so"))
        conf = self.folder / "rsyslog.conf"
        conf.write_text(f'''
global(workDirectory="{self.folder}/spool" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{pki.ca}"
  defaultNetstreamDriverCertFile="{pki.server}" defaultNetstreamDriverKeyFile="{pki.server_key}"
  maxMessageSize="64k" preserveFQDN="on" parser.escapeControlCharactersOnReceive="off")
module(load="imudp")
module(load="imtcp" MaxSessions="500")
template(name="raw" type="string" string="%rawmsg%\\n")
template(name="parsed" type="string" string="pri=%PRI% proto=%protocol-version% ts=%timereported:::date-rfc3339% host=%hostname% app=%app-name% pid=%procid% id=%msgid% sd=%structured-data% tag=%syslogtag% msg=[%msg%]\\n")
''' + "".join(f'''ruleset(name="{n}") {{ action(type="omfile" file="{self.folder}/out/{n}.raw" template="raw")
  action(type="omfile" file="{self.folder}/out/{n}.log" template="parsed") }}
''' for n in ("udp", "tcp", "tls")) + f'''
input(type="imudp" address="127.0.0.1" port="{self.udp}" ruleset="udp" rcvbufSize="8m")
input(type="imtcp" address="127.0.0.1" port="{self.tcp}" ruleset="tcp" SupportOctetCountedFraming="on")
input(type="imtcp" address="127.0.0.1" port="{self.tls}" ruleset="tls" SupportOctetCountedFraming="on"
      StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" PermittedPeer=["client.test"])
''' + (f'''module(load="imrelp" tls.tlslib="openssl")
ruleset(name="relp" queue.type="Direct") {{ action(type="omfile" file="{self.folder}/out/relp.raw" template="raw") }}
ruleset(name="relp_tls" queue.type="Direct") {{ action(type="omfile" file="{self.folder}/out/relp_tls.raw" template="raw") }}
input(type="imrelp" address="127.0.0.1" port="{self.relp}" ruleset="relp" maxDataSize="64k" oversizeMode="abort")
input(type="imrelp" address="127.0.0.1" port="{self.relp_tls}" ruleset="relp_tls" maxDataSize="64k" oversizeMode="abort" tls="on"
      tls.authMode="name" tls.permittedPeer=["client.test"] tls.caCert="{pki.ca}" tls.myCert="{pki.server}"
      tls.myPrivKey="{pki.server_key}")
''' if with_relp else ""))
        self.has_relp = with_relp
        checked = subprocess.run(["rsyslogd", "-N1", "-f", str(conf)], capture_output=True, text=True)
        if checked.returncode:
            raise AssertionError("rsyslogd refuses its configuration: " + checked.stderr)
        self.name, self.conf, self.parent = name, conf, folder
        self.start()

    def need_relp(self):
        if not self.has_relp:
            raise unittest.SkipTest("rsyslog's imrelp is not installed (package rsyslog-relp)")

    def start(self):
        (self.folder / "pid").unlink(missing_ok=True)
        self.process = Process(self.name, ["rsyslogd", "-n", "-f", self.conf, "-i", self.folder / "pid"], self.parent)
        for port in (self.tls, self.relp, self.relp_tls) if self.has_relp else (self.tls,):
            self._wait_for_port(port)

    def kill(self):
        self.process.kill()


def syslog_ng_root():
    """The unpacked syslog-ng; SkipTest with the reason where it cannot be had."""
    folder = os.environ.get("DTBRIDGE_SYSLOG_NG")
    got = subprocess.run([str(SOURCE / "tests/support/fetch-syslog-ng.sh"), *([folder] if folder else [])],
                         capture_output=True, text=True)
    if got.returncode:
        raise unittest.SkipTest("syslog-ng cannot be had: " + got.stderr.strip()[-300:])
    return got.stdout.strip().splitlines()[-1]


class SyslogNg(_Stored):
    """Ports udp, tcp (lines), oct (octet counting), tls (octet counting, client certificate). Files: udp.log ..: as parsed
    pri=.. ts=.. host=.. app=.. pid=.. id=.. sd=.. msg=[..]"""

    LINE = re.compile(r"pri=(?P<pri>\S*) ts=(?P<ts>\S*) host=(?P<host>\S*) app=(?P<app>\S*) pid=(?P<pid>\S*) "
                      r"id=(?P<id>\S*) sd=(?P<sd>.*?) msg=\[(?P<msg>.*)\]$", re.S)

    def __init__(self, folder, pki, name="syslog-ng"):
        root = syslog_ng_root()
        self.folder = folder / name
        (self.folder / "out").mkdir(parents=True)
        self.udp = free_port(socket.SOCK_DGRAM)
        self.tcp, self.oct, self.tls = free_port(), free_port(), free_port()
        conf = self.folder / "syslog-ng.conf"
        conf.write_text('''@version: 3.38
options { keep-hostname(yes); use-dns(no); chain-hostnames(no); ts-format(iso); frac-digits(3); log-msg-size(262144);
          flush-lines(1); stats-freq(0); keep-timestamp(yes); };
template t_all { template("pri=$PRI ts=$ISODATE host=$HOST app=$PROGRAM pid=$PID id=$MSGID sd=$SDATA msg=[$MSG]\\n"); };
''' + f'''
source s_udp {{ network(ip("127.0.0.1") port({self.udp}) transport("udp") so-rcvbuf(8388608) flags(syslog-protocol)); }};
source s_tcp {{ network(ip("127.0.0.1") port({self.tcp}) transport("tcp") flags(syslog-protocol)); }};
source s_oct {{ syslog(ip("127.0.0.1") port({self.oct}) transport("tcp")); }};
source s_tls {{ syslog(ip("127.0.0.1") port({self.tls}) transport("tls") max-connections(100)
    tls(key-file("{pki.server_key}") cert-file("{pki.server}") ca-file("{pki.ca}") peer-verify(required-trusted)
        ssl-options(no-sslv2, no-sslv3, no-tlsv1, no-tlsv11))); }};
''' + "".join(f'''destination d_{n} {{ file("{self.folder}/out/{n}.log" template(t_all)); }};
log {{ source(s_{n}); destination(d_{n}); }};
''' for n in ("udp", "tcp", "oct", "tls")))
        self.process = Process(
            name, [f"{root}/usr/sbin/syslog-ng", "-F", "-f", conf, "--module-path", f"{root}/usr/lib/syslog-ng/3.38",
                   "-R", self.folder / "persist", "-p", self.folder / "pid", "-c", self.folder / "ctl", "--no-caps"],
            folder, env={"LD_LIBRARY_PATH": f"{root}/usr/lib/syslog-ng"})
        self._wait_for_port(self.tls)

    def parsed(self, name):
        return [self.LINE.match(line).groupdict() for line in self.lines(name)]
