"""Bridges that share masters by leases in one PostgreSQL, and what can be said of them from outside: who owned which master when, who
wrote to the database, and what came to the collectors."""
import bisect
import collections
import pathlib
import re
import time

from . import cursors
from .basics import slow_build, wait_until
from .bridge import Bridge
from .collectors import Collector
from .pki import Pki
from .postgres import Postgres
from .process import who_has
from .relay import Relay
from .simulator import Simulator
from .syslogd import Rsyslog

# The database itself notes each change of owner, and each row that is written for a master with the connection's name and the
# owner at that moment. The owner cannot change while a transaction that passed the fence is open, so this is the fence seen
# from its other side.
WATCH = """
CREATE SCHEMA rig;
CREATE TABLE rig.owned(n bigserial, at timestamptz DEFAULT clock_timestamp(), master text, owner text, number bigint);
CREATE FUNCTION rig.note_owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO rig.owned(master, owner, number) VALUES (NEW.master, NEW.owner, NEW.number);
    RETURN NULL;
END $$;
CREATE TRIGGER note_owner AFTER UPDATE ON dtbridge.lease FOR EACH ROW
    WHEN (OLD.owner IS DISTINCT FROM NEW.owner OR OLD.number <> NEW.number) EXECUTE FUNCTION rig.note_owner();
INSERT INTO rig.owned(master, owner, number) SELECT master, owner, number FROM dtbridge.lease;
CREATE TABLE rig.written(n bigserial, at timestamptz DEFAULT clock_timestamp(), relation text, master text, writer text, owner text,
    number bigint);
CREATE FUNCTION rig.note_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    whose bigint := coalesce(changed -> 'master', changed -> 'id');
BEGIN
    INSERT INTO rig.written(relation, master, writer, owner, number)
        SELECT TG_ARGV[0], m.name, current_setting('application_name'), l.owner, l.number
        FROM dtbridge.master m LEFT JOIN dtbridge.lease l ON l.master = m.name WHERE m.id = whose;
    RETURN NULL;
END $$;
"""
WRITTEN = ("master", "seen", "block", "cursor", "polled", "batch")

MESSAGE = re.compile(rb"^<\d+>1 \S+ (\S+) (\S+) .*?(?:\"pbid\":\"?|\|externalId=)(\d+)", re.S)


class Cluster:
    """c = Cluster(folder, bridges=3, masters=30); c.start(); c.wait_even()

    Destinations: "tcp" (JSON), "tls" (CEF) and "relp" (JSON, a real rsyslog). Database: .database() is the server that takes writes;
    .follower follows it until fail_over(). The last bridge's way to the database is .relay, which can be cut."""

    def __init__(self, folder, bridges=3, masters=30):
        self.folder = folder
        self.parts = []  # to be closed
        self.pki = Pki(folder / "pki")
        self.rsyslog = self._own(Rsyslog(folder.path, self.pki))
        self.rsyslog.need_relp()
        self.primary = self._own(Postgres())
        self.follower = self._own(Postgres(of=self.primary))
        self.relays = [self._own(Relay(server)) for server in (self.primary, self.follower)]
        self.bridges = {}
        self.tcp = self._own(Collector("tcp", name_of=self.sender, receive_buffer=32 << 10))
        self.tls = self._own(Collector("tls", pki=self.pki, name_of=self.sender))
        self.sims = {}
        (folder / "masters").mkdir()
        for n in range(masters):
            name = f"master-{n:02}"
            self.sims[name] = self._own(Simulator(folder / "masters", name, tls=False, seed=n + 1, generate=5, span="10h", size=3000))
        for n in range(bridges):
            self._make_bridge(f"node{n + 1}", self.relays if n == bridges - 1 else (self.primary, self.follower))
        self.archives = cursors.Tables(self.database)
        self.failed_over = False

    def _own(self, thing):
        self.parts.append(thing)
        return thing

    def _make_bridge(self, name, servers):
        b = self.bridges[name] = Bridge(self.folder.path, name)
        b.archive = {"url": Postgres.url_of(*servers, application_name=name), "bridge": name}
        for sim in self.sims.values():
            b.master(sim, interval="500ms")
        keys = {"header": "rfc5424", "hostname": "master"}
        b.destination("tcp", address=self.tcp.address, transport="tcp", format="json", framing="octet-counting", **keys)
        b.destination("tls", address=f"localhost:{self.tls.port}", transport="tls", format="cef", tls={"ca_file": str(self.pki.ca)},
                      **keys)
        b.destination("relp", address=f"127.0.0.1:{self.rsyslog.relp}", transport="relp", format="json", **keys)

    def sender(self, address):
        """The bridge that has this address of a connection."""
        running = {b.process: name for name, b in list(self.bridges.items()) if b.process}
        return running.get(who_has(address, running))

    def start(self):
        for b in self.bridges.values():
            b.start(wait=False)
        for b in self.bridges.values():
            b.wait_ready()
        wait_until(lambda: self.ask("SELECT to_regclass('dtbridge.lease')") != [[""]], 20, "the tables of leases")
        self.wait_even()
        self.database().sql("archive", WATCH + "".join(
            f"CREATE TRIGGER note_write AFTER INSERT OR UPDATE OR DELETE ON dtbridge.{table} FOR EACH ROW "
            f"EXECUTE FUNCTION rig.note_write('{table}');\n" for table in WRITTEN))

    def close(self):
        for b in self.bridges.values():
            if b.process:
                b.stop()
        for part in reversed(self.parts):
            (part.close if hasattr(part, "close") else part.stop)()

    def database(self):
        return self.follower if self.failed_over else self.primary

    def fail_over(self):
        """The server that takes writes dies, and the one that follows it goes on in its place. At the relay nobody answers any more
        who would refuse a connection, as when the machine is off."""
        self.primary.stop()
        self.relays[0].cut()
        self.follower.promote()
        self.failed_over = True

    def ask(self, question):
        return [row.split("|") for row in self.database().sql("archive", question)]

    # owners

    def owners(self):
        """{master: who has its lease and has renewed it}, by the database."""
        return {master: owner for master, owner in self.ask(
            "SELECT master, owner FROM dtbridge.lease WHERE expires > extract(epoch FROM clock_timestamp()) * 1000 AND owner IS NOT NULL")}

    def living(self):
        return {name: b for name, b in self.bridges.items() if b.process and b.process.alive()}

    def wait_even(self, among=None, deadline=40):
        """Waits until every master has an owner and no bridge has more than its share and one; answers the owners."""
        among = sorted(among or self.living())
        most = -(-len(self.sims) // len(among)) + 1

        def look():
            owners = self.owners()
            shares = collections.Counter(owners.values())
            return owners if (set(owners) == set(self.sims) and sorted(shares) == among and max(shares.values()) <= most
                              and self.is_told(owners, among)) else None
        return wait_until(look, deadline, lambda: f"masters are not spread over {among}: {collections.Counter(self.owners().values())}",
                          every=0.2)

    def heard_since(self, wall):
        """Bridges whose leases were renewed since then (for ten seconds)."""
        return {name for name, in self.ask(f"SELECT name FROM dtbridge.bridge WHERE expires > {wall * 1000 + 10_000}")}

    def is_told(self, owners, by):
        """Whether each of those bridges says the same in its status."""
        for name in by:
            try:
                status = self.bridges[name].status()
            except ValueError:
                return False  # it starts just now
            told = {m["name"]: (m["owner"], m["owned"]) for m in status["masters"]}
            if told != {m: (o, o == name) for m, o in owners.items()}:
                return False
        return True

    def note(self):
        """A mark for since()."""
        return int(self.ask("SELECT coalesce(max(n), 0) FROM rig.owned")[0][0])

    def since(self, mark):
        """[(master, owner or "", at)] of all changes of owner after that mark, in order."""
        return [(master, owner, float(at)) for master, owner, at in
                self.ask(f"SELECT master, owner, extract(epoch FROM at) FROM rig.owned WHERE n > {mark} ORDER BY n")]

    def at_rest(self):
        """Seconds since the last change of owner."""
        return float(self.ask("SELECT extract(epoch FROM clock_timestamp() - max(at)) FROM rig.owned")[0][0])

    def wait_taken_over(self, lost, mark, died, deadline=15):
        """Waits until others have what `lost` held; {master: seconds from its death until its next owner}."""
        def look():
            taken = {}
            for master, owner, at in self.since(mark):
                if master in lost and owner:
                    taken.setdefault(master, at - died)
            return taken if set(taken) == set(lost) else None
        return wait_until(look, deadline, lambda: f"not taken over: {sorted(set(lost) - {m for m, o, _ in self.since(mark) if o})}", every=0.2)

    def gaps(self, mark):
        """{master: the longest that it was nobody's} while it was handed over in good order."""
        freed, longest = {}, {}
        for master, owner, at in self.since(mark):
            if not owner:
                freed[master] = at
            elif master in freed:
                longest[master] = max(longest.get(master, 0), at - freed.pop(master))
        return longest

    def strange_writes(self):
        """Rows that a bridge wrote for a master that was not its own."""
        return self.ask("SELECT relation, master, writer, owner, number, at FROM rig.written WHERE writer IS DISTINCT FROM owner LIMIT 10")

    # breaches

    def burst(self, each):
        for sim in self.sims.values():
            sim.generate(each, seconds=2)

    def rate(self, per_second):
        for sim in self.sims.values():
            sim.rate(per_second)

    def expected(self):
        return {(name, pbid) for name, sim in self.sims.items() for pbid in sim.pbids()}

    def arrived(self):
        """{destination: {(master, pbid): how often}}"""
        texts = {"tcp": self.tcp.messages, "tls": self.tls.messages,
                 "relp": [line[line.index("<"):].encode() for line in self.rsyslog.lines("relp.raw") if "<" in line]}
        return {name: collections.Counter(filter(None, map(breach_of, list(messages)))) for name, messages in texts.items()}

    def wait_for_all(self, deadline=60):
        """Waits until every breach that there is has come to every destination and every cursor stands behind the last one."""
        expected = self.expected()

        def missing():
            return {name: len(gone) for name, got in self.arrived().items() if (gone := expected - set(got))}
        wait_until(lambda: not missing(), deadline, lambda: f"missing: {missing()}", every=0.3)

        def is_at_rest():
            return all(seqs == {"tcp": last, "tls": last, "relp": last} for last, seqs in self.archives.standing().values())
        wait_until(is_at_rest, deadline, lambda: f"not confirmed: {self.archives.standing()}", every=0.3)
        return expected

    def late(self, collector, since=0.0, grace=2.0):
        """[(sender, master, seconds)] of what came to collector, since then, from a bridge that had lost the master for so long and
        longer than grace."""
        wall = time.time() - time.monotonic()
        history = collections.defaultdict(list)
        for master, owner, at in self.since(0):
            history[master].append((at, owner))
        found = []
        for message, at, sender in list(zip(collector.messages, collector.times, collector.senders)):
            breach = breach_of(message)
            if not breach or at < since:
                continue
            changes, came = history[breach[0]], at + wall
            # Who had it when it came, or at some time in the grace before.
            first = max(bisect.bisect_left(changes, (came - grace * slow_build(), "")) - 1, 0)
            owners = [owner for _, owner in changes[first:bisect.bisect_left(changes, (came, ""))]]
            if owners and sender not in owners:
                found.append((sender, breach[0], came - changes[first][0]))
        return found

    def in_kernel(self, bridge):
        """Bytes that it has written to the TCP collector and that the collector's kernel has not taken yet."""
        port = f":{self.tcp.port:04X}"
        total = 0
        for fields in map(str.split, pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]):
            if fields[2].endswith(port) and self.sender(("127.0.0.1", int(fields[1].split(":")[1], 16))) == bridge:
                total += int(fields[4].split(":")[0], 16)
        return total

    def sent_by(self, collector, sender):
        """[(master, pbid)] that came to collector from that bridge so far, in order."""
        return [breach_of(m) for m, s in list(zip(collector.messages, collector.senders)) if s == sender]


def breach_of(message):
    """(master, pbid); None for an event of the bridge itself, whose APP-NAME is its name."""
    found = MESSAGE.match(message)
    return (found[1].decode(), int(found[3])) if found and found[2] != b"dtbridge" else None
