"""A PostgreSQL of the test's own: in a temporary folder, on a socket there, as a user without rights."""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import unittest

from .basics import Folder, free_port, wait_until
from .process import Process


def programs():
    """The folder of PostgreSQL's programs, or None."""
    said = os.environ.get("DTBRIDGE_POSTGRES_BIN")
    if said:
        return pathlib.Path(said)
    for version in range(20, 12, -1):
        folder = pathlib.Path(f"/usr/lib/postgresql/{version}/bin")
        if (folder / "initdb").exists():
            return folder
    return None


class Postgres:
    """p = Postgres(); p.url; p.stop(); p.start()

    pki: also on loopback, by TLS and password alone. measured: as one in earnest is, and it counts its statements. of: a server
    that it follows by streaming; that one then answers no commit before it is here, too, and promote() makes this one go on alone."""

    def __init__(self, pki=None, password=None, measured=False, of=None):
        self.bin = programs()
        if self.bin is None:
            raise unittest.SkipTest("no PostgreSQL is installed")
        self.folder = Folder("dtbridge-pg-")
        self.logs = Folder("dtbridge-pg-log-")
        self.as_user = []
        if os.geteuid() == 0:  # initdb refuses root
            name = "postgres" if any(u.pw_name == "postgres" for u in pwd.getpwall()) else "nobody"
            user = pwd.getpwnam(name)
            os.chown(self.folder.path, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                            "--pdeathsig=KILL"]
        self.data = self.folder / "data"
        self.port = free_port() if pki else 5432
        self.settings = ["-p", str(self.port), "-c", "listen_addresses=" + ("127.0.0.1" if pki else "")]
        if measured:
            self.settings += ["-c", "shared_preload_libraries=pg_stat_statements"]
        else:
            self.settings += ["-c", "fsync=off"]
        self.starts = 0
        self.process = None
        self.url = self.url_of(self)
        if of:
            self._follow(of)
        else:
            self._begin(pki, password, measured)

    @staticmethod
    def url_of(*servers, **keys):
        """The archive at whichever of them takes writes; servers: what has a folder with a socket, and a port."""
        hosts, ports = (",".join(map(str, values)) for values in zip(*((s.folder.path, s.port) for s in servers)))
        if len(servers) > 1:
            keys["target_session_attrs"] = "read-write"
        return f"postgresql:///archive?user=test&host={hosts}&port={ports}" + "".join(f"&{k}={v}" for k, v in keys.items())

    def _begin(self, pki, password, measured):
        self._run("initdb", "-D", self.data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        if pki:
            for source, name in ((pki.server, "server.crt"), (pki.server_key, "server.key")):
                target = self.data / name
                shutil.copy(source, target)
                target.chmod(0o600)
                shutil.chown(target, self.data.stat().st_uid, self.data.stat().st_gid)
            (self.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
            self.settings += ["-c", "ssl=on"]
        self.start()
        if password:
            self.sql("postgres", f"ALTER ROLE test PASSWORD '{password}'")
        self.sql("postgres", "CREATE DATABASE archive")
        if measured:
            self.sql("postgres", "CREATE EXTENSION pg_stat_statements")

    def _follow(self, primary):
        source = f"host={primary.folder.path} port={primary.port} user=test"
        self._run("pg_basebackup", "-D", self.data, "-d", source, "-c", "fast", "-X", "stream", "-N", "-R")
        # Back soon when the primary is.
        self.settings += ["-c", f"primary_conninfo={source} application_name=follower", "-c", "wal_retrieve_retry_interval=200ms"]
        self.start()
        for setting in ("ALTER SYSTEM SET synchronous_standby_names = 'follower'", "SELECT pg_reload_conf()"):
            primary.sql("postgres", setting)
        wait_until(lambda: primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") == ["sync"], 30,
                   lambda: "it does not follow: " + self.process.err()[-2000:])

    def _run(self, program, *argv):
        done = subprocess.run([*self.as_user, self.bin / program, *argv], capture_output=True, text=True, cwd="/")
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stderr}")

    @property
    def socket(self):
        return self.folder / f".s.PGSQL.{self.port}"

    def start(self):
        self.starts += 1
        self.process = Process(f"postgres-{self.starts}",
                               [*self.as_user, self.bin / "postgres", "-D", self.data, "-k", self.folder.path,
                                *self.settings], self.logs.path, cwd="/")
        wait_until(lambda: self.ready(), 30, lambda: "PostgreSQL does not start: " + self.process.err()[-2000:])

    def promote(self):
        self._run("pg_ctl", "promote", "-D", self.data, "-w", "-s")

    def ready(self):
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder.path, "-p", str(self.port), "-U", "test"],
                              capture_output=True).returncode == 0

    def stop(self):
        """At once, connections and all, as a crash would."""
        self.process.signal(signal.SIGQUIT)
        self.process.wait(20)

    def sql(self, database, text):
        """Rows as text, columns with | between them."""
        done = subprocess.run([self.bin / "psql", "-h", self.folder.path, "-p", str(self.port), "-U", "test", "-d", database, "-X", "-A", "-t",
                               "-v", "ON_ERROR_STOP=1", "-c", text], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout.splitlines()

    def cpu_seconds(self):
        """Of the server and all its processes, those that have ended included."""
        def of(pid, fields):
            # Behind the name, which may hold anything: state, parent, ..
            after = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return sum(int(after[i - 3]) for i in fields)
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return (of(pid, (14, 15, 16, 17)) + sum(of(c, (14, 15)) for c in children)) / os.sysconf("SC_CLK_TCK")

    def worked(self):
        """{"statements", "transactions", "wal"} of the archive since the start; BEGIN and COMMIT are statements."""
        row = self.sql("postgres", "SELECT coalesce(sum(calls), 0), coalesce(sum(calls) FILTER (WHERE query = 'COMMIT' OR query = 'ROLLBACK'), 0), "
                       "pg_current_wal_lsn() - '0/0'::pg_lsn FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid WHERE "
                       "d.datname = 'archive'")[0].split("|")
        return {"statements": int(row[0]), "transactions": int(row[1]), "wal": int(row[2])}

    def close(self):
        if self.process is not None and self.process.alive():
            self.process.signal(signal.SIGQUIT)
            self.process.wait(20)
        shutil.rmtree(self.folder.path, ignore_errors=True)
        self.folder.close()
        self.logs.close()
