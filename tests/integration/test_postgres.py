"""An archive in PostgreSQL as an outside observer sees it: the same job, a database that goes and comes back, and the
way from SQLite to PostgreSQL and back."""
import json
import shutil
import socket
import time
import unittest

from rig import Bridge, Collector, Network, Pki, RigTest, Simulator, bridge_binary, messages, run_cli, wait_until
from rig.postgres import Postgres
from rig.relay import Relay


class OverPostgres(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.database = self.own(Postgres())
        self.sim = self.own(Simulator(self.folder, "acme", generate=120, seed=7, span="20h"))
        self.collector = self.own(Collector("tcp"))

    def bridge(self, name="dtbridge", **archive):
        b = self.own(Bridge(self.folder.path, name))
        b.archive = {"url": self.database.url, **archive}
        b.master(self.sim)
        b.destination("siem", address=self.collector.address, transport="tcp", format="json")
        return b

    def wait_for_all(self, deadline=60):
        wanted = set(self.sim.pbids())
        got = lambda: {messages.json_pbid(t) for t in self.collector.texts()}  # noqa: E731
        wait_until(lambda: wanted <= got(), deadline, lambda: f"{len(wanted - got())} of {len(wanted)} are missing")
        return wanted

    def test_a_database_that_goes_and_comes_back(self):
        """Polling stops in between with a plain reason, and nothing is missing."""
        bridge = self.bridge()
        bridge.start()
        self.wait_for_all()
        wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")

        self.database.stop()
        tries = []
        knocks = socket.socket(socket.AF_UNIX)
        self.addCleanup(knocks.close)
        self.database.socket.unlink(missing_ok=True)
        knocks.bind(str(self.database.socket))
        knocks.listen()
        knocks.settimeout(30)
        self.sim.generate(40, seconds=5)
        wait_until(lambda: bridge.http("/readyz") == 503, 20, "not ready without its archive")
        said = bridge.wait_for_log(r"the archive does not take what was polled: PostgreSQL[^\n]*").group(0)
        self.assertIn("database archive", said)
        master = bridge.status()["masters"][0]
        self.assertIn("the archive does not take what was polled: PostgreSQL", master["error"])
        # The archive is tried again, the master is not asked meanwhile.
        asked = self.sim.state(False)["requests_by_path"]["/modelbreaches"]
        while len(tries) < 4:
            c, _ = knocks.accept()
            c.close()
            tries.append(c)
        self.assertEqual(self.sim.state(False)["requests_by_path"]["/modelbreaches"], asked)
        self.sim.generate(40, seconds=5)
        knocks.close()
        self.database.socket.unlink(missing_ok=True)

        self.database.start()
        wanted = self.wait_for_all(120)
        self.assertEqual(len(wanted), 200)
        wait_until(lambda: bridge.http("/readyz") == 200, 20, "ready again")
        wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")
        self.assertEqual(bridge.stop(), 0)
        exported = run_cli("export", "--master", "acme", config=bridge.config)
        self.assertEqual(exported.returncode, 0, exported.stderr)
        self.assertEqual({json.loads(line)["pbid"] for line in exported.stdout.splitlines()}, wanted)
        self.assertEqual(len(exported.stdout.splitlines()), len(wanted))
        self.assertEqual(self.database.sql("archive", "SELECT count(*), max(seq) FROM dtbridge.seen"), ["200|200"])

    def test_a_database_whose_machine_is_switched_off(self):
        """Nobody says that it is gone. A statement that was under way is not waited for as long as one that runs (30 s)."""
        network = self.own(Network())
        way = self.own(Relay(self.database, network))
        bridge = self.bridge(url=f"postgresql://test@{way.address}:{way.port}/archive?sslmode=disable")
        bridge.start()
        self.wait_for_all()
        wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")
        network.drop()
        start = time.monotonic()
        self.sim.generate(40, seconds=1)
        bridge.wait_for_log(r"the archive does not take what was polled: PostgreSQL", deadline=28)
        noticed = time.monotonic() - start
        print(f"\nnoticed after {noticed:.1f} s")
        self.assertLess(noticed, 25)
        network.heal()
        self.wait_for_all()

    def test_a_bridge_that_is_killed_goes_on_from_the_database(self):
        bridge = self.bridge()
        bridge.start()
        self.wait_for_all()
        wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")
        bridge.kill()
        before = self.collector.count()
        self.sim.generate(30, seconds=5)
        bridge.start()
        self.wait_for_all()
        self.assertEqual(self.collector.count(), before + 30)

    def test_commands_over_postgresql(self):
        bridge = self.bridge(schema_per_master=True)
        bridge.start()
        self.wait_for_all()
        wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")
        for beside_a_service in (True, False):
            pbid = self.sim.pbids()[0]
            why = run_cli("explain", "--master", "acme", "--pbid", pbid, config=bridge.config)
            self.assertEqual(why.returncode, 0, why.stderr)
            self.assertIn(b"siem", why.stdout)
            models = run_cli("models", "--master", "acme", "--csv", config=bridge.config)
            self.assertEqual(models.returncode, 0, models.stderr)
            if beside_a_service:
                bridge.stop()
        self.assertEqual(bridge.status()["masters"][0]["archived"], 120)
        tables = self.database.sql("archive", "SELECT count(*) FROM pg_tables WHERE schemaname = 'dtbridge_acme'")
        self.assertGreaterEqual(int(tables[0]), 2)
        # A customer's data goes alone and whole, from a machine that never had that master, too.
        shutil.rmtree(bridge.folder / "state" / "masters")
        bridge.masters.clear()
        other = self.own(Simulator(self.folder, "other", generate=3, seed=8))
        bridge.master(other)
        bridge.write()
        gone = run_cli("forget", "acme", "--yes", config=bridge.config)
        self.assertEqual(gone.returncode, 0, gone.stderr)
        self.assertEqual(self.database.sql("archive", "SELECT (SELECT count(*) FROM dtbridge.master), (SELECT count(*) "
                                           "FROM dtbridge.seen), (SELECT count(*) FROM pg_tables WHERE schemaname = "
                                           "'dtbridge_acme')"), ["0|0|0"])

    def test_tls_is_verified_and_the_password_is_in_a_file(self):
        pki = Pki(self.folder / "pki")
        server = self.own(Postgres(pki, password="correct horse"))
        bridge = self.bridge(password_file="db.password")

        def at(name, ca):
            return f"postgresql://test@{name}:{server.port}/archive?sslmode=verify-full&sslrootcert={ca}"

        def refused(url, password):
            bridge.archive["url"] = url
            bridge.token("db.password", password)
            bridge.write()
            said = run_cli("export", "--master", "acme", config=bridge.config)
            self.assertEqual(said.returncode, 1)
            self.assertNotIn(password.encode(), said.stderr)
            return said.stderr.decode()
        self.assertIn("certificate verify failed", refused(at("localhost", pki.other_ca), "correct horse"))
        self.assertIn("does not match host name", refused(at("db.example", pki.ca) + "&hostaddr=127.0.0.1", "correct horse"))
        self.assertIn("password authentication failed", refused(at("localhost", pki.ca), "battery staple"))
        found, text = self.check_connect(bridge)
        self.assertIn("is it the password of this role", found["problem"])
        bridge.token("db.password", "correct horse")
        found, text = self.check_connect(bridge)
        self.assertTrue(found["ok"], found)
        self.assertEqual(found["connected_to"], f"localhost:{server.port}")
        self.assertRegex(found["tls"]["version"], r"^TLSv1\.[23]$")
        self.assertIn(found["tls"]["version"] + ", " + found["tls"]["cipher"], text)
        self.assertNotIn("correct horse", text)
        bridge.start()
        self.wait_for_all()
        self.assertEqual(server.sql("archive", "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                    "WHERE application_name = 'dtbridge'"), ["t"])
        self.assertNotIn("correct horse", bridge.log())

    def check_connect(self, bridge):
        """What check --connect says of the database, and all it prints."""
        bridge.write()
        said = run_cli("check", "--connect", "--json", config=bridge.config, timeout=60)
        self.assertTrue(said.stdout, said.stderr)
        answer = json.loads(said.stdout)
        found = next(c for c in answer["checks"] if c["kind"] == "database")
        self.assertEqual(said.returncode, 0 if answer["ok"] else 1, said.stderr.decode()[-6000:])
        if not found["ok"]:
            self.assertFalse(answer["ok"])
        text = run_cli("check", "--connect", config=bridge.config, timeout=60)
        self.assertEqual(text.returncode, said.returncode)
        return found, text.stdout.decode()

    def test_check_looks_at_the_database(self):
        bridge = self.bridge()
        version = self.database.sql("archive", "SHOW server_version")[0]
        found, text = self.check_connect(bridge)
        self.assertTrue(found["ok"], found)
        self.assertEqual(found["server_version"], version)
        self.assertEqual(found["connected_to"], str(self.database.socket))
        self.assertTrue(found["socket"])
        self.assertTrue(found["read_write"])
        self.assertFalse(found["standby"])
        self.assertEqual(found["schema_version"], 0)
        self.assertGreater(found["round_trip_ms"], 0)
        self.assertIn("there is no schema dtbridge yet; the service may make it", text)
        self.assertIn(f"PostgreSQL {version}, over a socket of this host", text)
        self.assertEqual(self.database.sql("archive", "SELECT count(*) FROM pg_namespace WHERE nspname = 'dtbridge'"), ["0"])
        bridge.start()
        self.wait_for_all()
        for by_service in (True, False):
            found, text = self.check_connect(bridge)
            self.assertTrue(found["ok"], found)
            self.assertEqual(found["schema_version"], found["newest_schema_version"])
            self.assertIn("the schema dtbridge is there", text)
            if by_service:
                bridge.stop()
        bridge.destinations[0]["transport"] = "udp"  # which is not watched for three seconds
        self.database.sql("archive", "UPDATE dtbridge.version SET version = 1")
        self.assertIn("of an earlier version", self.check_connect(bridge)[1])

        def refused(words, **now):
            found, text = self.check_connect(bridge)
            self.assertFalse(found["ok"], found)
            self.assertIn(words, found["problem"])
            self.assertIn(found["problem"], text)
            self.assertIn("database archive: FAILED", text)
            for key, value in now.items():
                self.assertEqual(found[key], value)
        self.database.sql("archive", "UPDATE dtbridge.version SET version = 99")
        refused("written by a newer dtbridge", step="schema")
        self.database.sql("archive", "ALTER DATABASE archive SET default_transaction_read_only = on")
        refused("default_transaction_read_only", read_write=False, standby=False)
        self.database.sql("postgres", "ALTER DATABASE archive RESET default_transaction_read_only")
        self.database.sql("archive", "UPDATE dtbridge.version SET version = 1")
        self.database.sql("archive", "CREATE ROLE weak LOGIN")
        whole = bridge.archive["url"]
        bridge.archive["url"] = whole.replace("user=test", "user=weak")
        refused("GRANT USAGE, CREATE ON SCHEMA dtbridge TO weak", step="schema")
        self.database.sql("archive", "GRANT USAGE, CREATE ON SCHEMA dtbridge TO weak")
        refused("the tables belong to role test: connect as that one, or GRANT test TO weak")
        self.database.sql("postgres", "CREATE DATABASE empty")
        bridge.archive["url"] = whole.replace("/archive?user=test", "/empty?user=weak")
        refused("CREATE SCHEMA dtbridge AUTHORIZATION weak")
        bridge.archive["url"] = whole.replace("/archive?", "/nowhere?")
        refused("create it", step="connect", connected_to="")
        bridge.archive["url"] = whole
        self.database.stop()
        refused("does the server run", step="connect")

    def test_check_names_a_standby(self):
        self.database.stop()
        (self.database.data / "standby.signal").touch()
        self.database.start()
        bridge = self.bridge()
        found, text = self.check_connect(bridge)
        self.assertFalse(found["ok"])
        self.assertTrue(found["standby"])
        self.assertIn("is a standby, which takes no writes: name the primary in [archive] url", found["problem"])
        self.assertIn("a standby, read-only", text)
        bridge.archive["url"] += "&target_session_attrs=read-write"
        self.assertIn("name the primary", self.check_connect(bridge)[0]["problem"])

    def test_from_sqlite_to_postgresql_and_back(self):
        """What is exported and explained is the same byte for byte, and no destination gets anything twice."""
        bridge = self.bridge(retention="90d")
        url = bridge.archive.pop("url")

        def command(*argv):
            done = run_cli(*argv, config=bridge.config)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        def life():
            # So many new ones as a day brings, some acknowledged, and all of it delivered once.
            before = self.collector.count()
            self.sim.generate(25, seconds=5)
            bridge.start()
            self.wait_for_all()
            wait_until(lambda: bridge.status()["destinations"][0]["lag"] == 0, 20, "everything is confirmed")
            self.assertEqual(bridge.stop(), 0)
            return self.collector.count() - before

        def facts():
            pbids = sorted(self.sim.pbids())
            return {"export": command("export", "--master", "acme"),
                    "explain": [command("explain", "--master", "acme", "--pbid", p, "--json") for p in pbids[::20]],
                    "cursors": bridge.status()["destinations"][0]["cursors"],
                    "position": bridge.status()["masters"][0]["position"]}

        self.assertEqual(life(), 145)
        before = facts()
        bridge.archive["url"] = url
        bridge.write()
        self.assertIn(b"copied 145 breaches, 145 keys, 1 cursor", command("archive", "copy", "--to", "postgresql"))
        self.assertEqual(facts(), before)
        self.assertEqual(life(), 25)
        twice = run_cli("archive", "copy", "--to", "postgresql", config=bridge.config)
        self.assertEqual(twice.returncode, 1)
        self.assertIn(b"acme: already there, left as it is", twice.stdout)
        self.assertIn(b"copied 0 of 1 archives; 1 was already there", twice.stderr)
        twice = run_cli("archive", "copy", "--to", "postgresql", "--master", "acme", config=bridge.config)
        self.assertEqual(twice.returncode, 1)
        self.assertIn(b"not overwritten", twice.stderr)
        before = facts()
        refused = run_cli("archive", "copy", "--to", "sqlite", config=bridge.config)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"acme: already there, left as it is", refused.stdout)
        old = bridge.folder / "state" / "masters" / "acme"
        for file in old.glob("archive.db*"):
            file.unlink()
        self.assertIn(b"copied 170 breaches, 170 keys, 1 cursor", command("archive", "copy", "--to", "sqlite"))
        del bridge.archive["url"]
        bridge.write()
        self.assertEqual(facts(), before)
        self.assertEqual(life(), 25)

    # two bridges

    def two(self, masters=6):
        """Two bridges of one configuration; the masters are one simulator's under several names."""
        pair = []
        for name in ("north", "south"):
            b = self.own(Bridge(self.folder.path, name))
            b.archive = {"url": self.database.url, "bridge": name}
            for i in range(masters):
                b.master(self.sim, name=f"acme-{i}")
            b.destination("siem", address=self.collector.address, transport="tcp", format="json", annotate=True)
            pair.append(b)
        return pair

    def owners(self, bridge):
        return {m["name"]: m["owner"] for m in bridge.status()["masters"]}

    def counts(self):
        """How often each breach of each master came."""
        got = {}
        for text in self.collector.texts():
            breach = json.loads(text[text.index("{"):])
            key = breach["dtbridge"]["master"], breach["pbid"]
            got[key] = got.get(key, 0) + 1
        return got

    def wait_for_each(self, masters=6, deadline=60):
        wanted = {(f"acme-{i}", p) for i in range(masters) for p in self.sim.pbids()}
        wait_until(lambda: wanted <= set(self.counts()), deadline,
                   lambda: f"{len(wanted - set(self.counts()))} of {len(wanted)} are missing")
        wait_until(lambda: all(d["lag"] == 0 for b in self.running for d in b.status()["destinations"]), 20,
                   "everything is confirmed")

    def test_two_bridges_share_masters_and_one_follows_the_other(self):
        north, south = self.two()
        self.running = [north]
        began = time.monotonic()
        north.start()
        wait_until(lambda: north.status()["bridges"]["owned"] == 6, 20, "one alone works for all")
        self.assertLess(time.monotonic() - began, 10)
        wait_until(lambda: north.http("/readyz") == 200, 20, "it is ready")
        self.wait_for_each()

        south.start()
        self.running.append(south)
        wait_until(lambda: south.status()["bridges"]["owned"] >= 2, 30, "the second has its share")
        wait_until(lambda: sorted({*self.owners(north).values()}) == ["north", "south"]
                   and self.owners(north) == self.owners(south), 20, "both say the same")
        seen = south.status()
        self.assertEqual([m["name"] for m in seen["bridges"]["members"]], ["north", "south"])
        self.assertEqual(seen["bridges"]["takeovers"], 0)
        self.assertEqual([m["name"] for m in seen["masters"] if m["owned"]],
                         [n for n, o in self.owners(south).items() if o == "south"])
        self.assertEqual({m["state"] for m in seen["masters"] if not m["owned"]}, {"elsewhere"})
        # What was moved in good order was sent once.
        self.sim.generate(20, seconds=3)
        self.wait_for_each()
        self.assertEqual(set(self.counts().values()), {1})
        figures = south.http("/metrics", body=True).decode()
        self.assertIn("\ndtbridge_bridges 2\n", figures)
        self.assertIn(f"\ndtbridge_masters_owned {seen['bridges']['owned']}\n", figures)
        mine = [m["name"] for m in seen["masters"] if m["owned"]][0]
        other = [m["name"] for m in seen["masters"] if not m["owned"]][0]
        self.assertIn(f'dtbridge_master_up{{master="{mine}"}} 1', figures)
        self.assertNotIn(f'dtbridge_master_up{{master="{other}"}}', figures)
        # Whoever asks for breaches gets them from either.
        for b in (north, south):
            lines = b.http(f"/api/v1/breaches?master={other}&limit=1000", body=True).decode().splitlines()
            self.assertEqual(len(lines), 141)
        refused = run_cli("backfill", "--master", other, "--from", "-1h", "--to", "now", config=south.config)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"north", refused.stderr)

        began = time.monotonic()
        self.assertEqual(north.stop(), 0)
        self.running.remove(north)
        self.assertLess(time.monotonic() - began, 5)
        wait_until(lambda: south.status()["bridges"]["owned"] == 6, 20, "the other has everything")
        self.assertEqual(south.status()["bridges"]["takeovers"], 0)
        self.sim.generate(20, seconds=3)
        self.wait_for_each()
        self.assertEqual(set(self.counts().values()), {1})
        self.assertEqual(set(self.database.sql("archive", "SELECT name FROM dtbridge.bridge")), {"south"})
        self.assertEqual(south.stop(), 0)
        self.assertEqual(self.database.sql("archive", "SELECT name FROM dtbridge.bridge"), [])

    def test_a_bridge_that_is_killed_is_followed_within_15_s(self):
        north, south = self.two()
        self.running = [north, south]
        for b in self.running:
            b.start()
        wait_until(lambda: {*self.owners(south).values()} == {"north", "south"}, 30, "they share")
        self.wait_for_each()
        lost = north.status()["bridges"]["owned"]
        north.kill()
        self.running.remove(north)
        began = time.monotonic()
        self.sim.generate(20, seconds=3)
        wait_until(lambda: south.status()["bridges"]["owned"] == 6, 30, "the other has everything")
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(south.status()["bridges"]["takeovers"], lost)
        self.wait_for_each()

    def test_two_processes_of_one_name(self):
        north, south = self.two(masters=2)
        south.archive["bridge"] = "north"
        north.start()
        wait_until(lambda: north.status()["bridges"]["owned"] == 2, 20, "the first has all")
        south.start()
        wait_until(lambda: south.status()["bridges"]["owned"] == 2, 40, "the later one has the name")
        self.assertEqual(north.http("/readyz"), 503)
        said = json.loads(north.http("/readyz", body=True))["reasons"]
        self.assertTrue(any("another process works under the name north" in r for r in said), said)
        self.assertEqual(north.status()["bridges"]["owned"], 0)
        self.assertEqual(south.stop(), 0)
        wait_until(lambda: north.status()["bridges"]["owned"] == 2, 40, "the first takes part again")

    def test_a_reload_that_renames_a_master_takes_its_archive_along(self):
        north, south = self.two(masters=4)
        self.running = [north, south]
        for b in self.running:
            b.start()
        wait_until(lambda: {*self.owners(south).values()} == {"north", "south"}, 30, "they share")
        self.wait_for_each(masters=4)
        for b in self.running:
            b.masters[0][0]["name"] = "acme-new"
            b.masters[0][0]["formerly"] = "acme-0"
            b.write()
            b.reload()
        wait_until(lambda: all(self.owners(b).get("acme-new") for b in self.running), 60, "the new name has an owner")

        def archived():
            return self.database.sql("archive", "SELECT count(*) FROM dtbridge.seen")[0]
        wait_until(lambda: any(c["master"] == "acme-new" and c["seq"] == 120 for b in self.running
                               for d in b.status()["destinations"] for c in d["cursors"]), 60, "its cursor came along")
        self.assertEqual(archived(), "480")
        self.assertEqual(set(self.counts().values()), {1})


if __name__ == "__main__":
    unittest.main()
