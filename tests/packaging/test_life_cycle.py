"""The packages from installation to purge on real service managers: Debian 12, Debian 13, and the RPM by dnf.

Needs root, systemd-nspawn, mmdebstrap and the packages of packaging/build.sh in DTBRIDGE_PACKAGES: this version's and one of
version 0.0.1 of the same code, to upgrade from. tests/packaging/run.sh makes all of it.
"""
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from rig import SOURCE, Collector, RigTest, Simulator, messages, wait_until  # noqa: E402
from tree import NotHere, Tree  # noqa: E402

PACKAGES = pathlib.Path(os.environ.get("DTBRIDGE_PACKAGES", "build/packages")).resolve()
OLD, NEW = "0.0.1", os.environ.get("DTBRIDGE_VERSION", "0.1.0")


class Deb:
    @staticmethod
    def file(version):
        return next(PACKAGES.glob(f"dtbridge_{version}_*.deb"))

    def install(self, tree, version):
        shutil.copy(self.file(version), tree / "root")
        argv = ["apt-get", "install", "-y", "--no-install-recommends", "--allow-downgrades", "-o", "Dpkg::Options::=--force-confold",
                f"/root/{self.file(version).name}"]
        return tree.run(*argv)

    def install_more(self, tree, name):
        file = next(PACKAGES.glob(f"dtbridge-{name}_{NEW}_*.deb"))
        shutil.copy(file, tree / "root")
        return tree.run("apt-get", "install", "-y", "--no-install-recommends", f"/root/{file.name}")

    def check_more(self, test, tree, name, asks):
        checked = tree.run("dtbridge", "check", "--config", "/etc/dtbridge/more.toml")
        test.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        test.assertEqual(tree.run("dpkg-query", "-L", f"dtbridge-{name}").stdout.split()[-1].rsplit("/", 1)[0], f"/usr/share/doc/dtbridge-{name}")

    def remove(self, tree):
        return tree.run("apt-get", "remove", "-y", "dtbridge")

    def purge(self, tree):
        return tree.run("dpkg", "--purge", "dtbridge")

    def prepare(self, tree):
        done = tree.chroot("apt-get", "update", "-qq")
        assert done.returncode == 0, done.stderr


class Rpm:
    """dnf inside the tree, whose libraries are Debian's; to dnf a stub package provides what an EL 9 system has."""
    STUB = """Name: el9-base
Version: 9
Release: 1
Summary: What an EL 9 system provides
License: MIT
BuildArch: noarch
{provides}
%description
Stands for the base system in the solver.
%files
"""
    SYMBOLS = {
        "libc.so.6": ["GLIBC_2." + str(n) for n in (2, 3, 4, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 22, 25, 26, 27, 28, 32, 33, 34)]
        + ["GLIBC_2.2.5", "GLIBC_2.3.2", "GLIBC_2.3.4", ""],
        "libm.so.6": ["GLIBC_2.2.5", "GLIBC_2.27", "GLIBC_2.29", ""],
        "libstdc++.so.6": ["CXXABI_1.3", "CXXABI_1.3.1", "CXXABI_1.3.2", "CXXABI_1.3.3", "CXXABI_1.3.5", "CXXABI_1.3.7", "CXXABI_1.3.8",
                           "CXXABI_1.3.9", "CXXABI_1.3.11", "CXXABI_1.3.13", "GLIBCXX_3.4", ""]
        + [f"GLIBCXX_3.4.{n}" for n in range(1, 30)],
        "libgcc_s.so.1": ["GCC_3.0", "GCC_3.3.1", "GCC_3.4", "GCC_4.2.0", ""],
        "libssl.so.3": ["OPENSSL_3.0.0", ""], "libcrypto.so.3": ["OPENSSL_3.0.0", ""],
        "libsystemd.so.0": ["LIBSYSTEMD_209", "LIBSYSTEMD_227", "LIBSYSTEMD_252", ""],
        "ld-linux-x86-64.so.2": ["GLIBC_2.2.5", "GLIBC_2.3", "GLIBC_2.4", ""],
    }

    def __init__(self, folder):
        self.folder = folder

    @staticmethod
    def file(version):
        return next(PACKAGES.glob(f"dtbridge-{version}-*.rpm"))

    def prepare(self, tree):
        provides = ["shadow-utils", "/bin/sh", "systemd", "ca-certificates", "rtld(GNU_HASH)"]
        provides += ["librdkafka = 1.6.1", "libpq = 13.20"]  # to the solver; the files are not there
        provides += [f"{library}({version})(64bit)" for library, versions in self.SYMBOLS.items() for version in versions]
        repository = tree / "root/repository"
        repository.mkdir()
        spec = self.folder / "el9-base.spec"
        spec.write_text(self.STUB.format(provides="\n".join("Provides: " + p for p in provides)))
        subprocess.run(["rpmbuild", "-bb", "--define", f"_topdir {self.folder / 'rpmbuild'}", spec], check=True, capture_output=True)
        shutil.copy(next((self.folder / "rpmbuild").glob("RPMS/*/*.rpm")), repository)
        for version in (OLD, NEW):
            shutil.copy(self.file(version), repository)
        for name in ("kafka", "postgresql"):
            shutil.copy(next(PACKAGES.glob(f"dtbridge-{name}-{NEW}-*.rpm")), repository)
        subprocess.run(["createrepo_c", "-q", repository], check=True, capture_output=True)
        (tree / "root/dnf.conf").write_text("[main]\ngpgcheck=0\nreposdir=/nonexistent\nplugins=0\ninstall_weak_deps=0\n"
                                            "[local]\nname=local\nbaseurl=file:///root/repository\n")

    def dnf(self, tree, *argv):
        return tree.run("dnf", "-y", "-c", "/root/dnf.conf", "--releasever=9", *argv)

    def install(self, tree, version):
        older = version == OLD and (tree / "usr/bin/dtbridge").exists()
        return self.dnf(tree, "downgrade" if older else "install", f"dtbridge-{version}")

    def install_more(self, tree, name):
        return self.dnf(tree, "install", f"dtbridge-{name}")

    def check_more(self, test, tree, name, asks):
        asked = self.dnf(tree, "-q", "repoquery", "--installed", "--requires", f"dtbridge-{name}").stdout.splitlines()
        test.assertIn(f"dtbridge = {NEW}", asked)
        test.assertIn(asks, asked)
        test.assertEqual(self.dnf(tree, "-q", "repoquery", "--installed", "--list", f"dtbridge-{name}").stdout.split(),
                         [f"/usr/share/doc/dtbridge-{name}", f"/usr/share/doc/dtbridge-{name}/README.md"])

    def remove(self, tree):
        return self.dnf(tree, "remove", "dtbridge")


class LifeCycle:
    suite = None
    more = ()
    tools = ("systemd-nspawn", "mmdebstrap")

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root for systemd-nspawn")
        for tool in self.tools:
            if not shutil.which(tool):
                self.skipTest(f"{tool} is not installed")
        self.kind = self.make_kind()
        try:
            self.tree = self.own(Tree(self.suite, self.more))
        except NotHere as why:
            self.skipTest(str(why))
        self.kind.prepare(self.tree)

    def configure(self, sim, siem, rules="mappings/everything.toml"):
        token = self.tree / "etc/dtbridge/credentials/acme.token"
        token.write_text(sim.private + "\n")
        self.give(token, 0o640, owner=0)
        (self.tree / "etc/dtbridge/dtbridge.toml").write_text(f"""
[service]
listen = ""
[archive]
retention = "36500d"
[[master]]
name = "acme"
url = "{sim.url}"
public_token = "{sim.public}"
private_token_file = "credentials/acme.token"
interval = "1s"
[[destination]]
name = "siem"
masters = ["acme"]
address = "{siem.address}"
transport = "tcp"
format = "cef"
start = "all"
rules = "{rules}"
""")

    def give(self, path, mode, owner=None):
        """To the service."""
        uid = int(re.search(r"^dtbridge:x:(\d+):", (self.tree / "etc/passwd").read_text(), re.M)[1])
        gid = int(re.search(r"^dtbridge:x:(\d+):", (self.tree / "etc/group").read_text(), re.M)[1])
        os.chown(path, uid if owner is None else owner, gid)
        path.chmod(mode)

    def add_archive_of_the_first_schema(self, veteran, qradar):
        """A master with an archive as the very first version wrote it, for the next start: breaches 6 to 12, the last two not for destinations;
        "qradar" has got those up to 8, and its position is long ago."""
        archive = self.tree / "var/lib/dtbridge/masters/veteran/archive.db"
        archive.parent.mkdir()
        self.give(archive.parent, 0o750)
        with sqlite3.connect(archive) as db:
            db.executescript((SOURCE / "tests/data/archive-v1.sql").read_text())
        self.assertEqual(self.schema(archive), 1)
        self.give(archive, 0o640)
        with open(self.tree / "etc/dtbridge/dtbridge.toml", "a") as config:
            config.write(f"""
[[master]]
name = "veteran"
url = "{veteran.url}"
public_token = "{veteran.public}"
private_token_file = "credentials/acme.token"
interval = "1s"
[[destination]]
name = "qradar"
masters = ["veteran"]
address = "{qradar.address}"
transport = "tcp"
format = "json"
start = "all"
rules = "mappings/everything.toml"
""")
        return archive

    @staticmethod
    def schema(archive):
        # Of the file's header, whatever journal it has.
        return int.from_bytes(archive.read_bytes()[60:64], "big")

    def check_what_was_brought_forward(self, archive, qradar):
        """Breaches are all there, and the cursor lives on: what was delivered is not sent again, what waited is."""
        wait_until(lambda: {messages.json_pbid(m) for m in qradar.texts()} >= {9, 10}, 60, self.tree.journal)
        kept = [json.loads(line)["pbid"] for line in self.tree.run("dtbridge", "export", "--master", "veteran", check=True).stdout.splitlines()]
        self.assertEqual(sorted(pbid for pbid in kept if pbid < 100), [6, 7, 8, 9, 10, 11, 12])
        got = sorted(pbid for pbid in (messages.json_pbid(m) for m in qradar.texts()) if pbid < 100)
        self.assertEqual(got, [9, 10])
        self.tree.run("systemctl", "stop", "dtbridge", check=True)  # so that the file is whole
        self.assertGreater(self.schema(archive), 1)
        with sqlite3.connect(f"file:{archive}?mode=ro", uri=True) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM breach WHERE pbid < 100").fetchone(), (7,))
            cursors = db.execute("SELECT name, seq >= 10, lost FROM cursor").fetchall()
            self.assertEqual(cursors, [("qradar", 1, 5)])
        self.tree.run("systemctl", "start", "dtbridge", check=True)

    def arrived(self, siem):
        return {messages.cef_pbid(m) for m in siem.texts()}

    def all_arrive(self, sim, siem):
        wait_until(lambda: set(sim.pbids()) <= self.arrived(siem), 90,
                   lambda: f"{len(set(sim.pbids()) - self.arrived(siem))} breaches are missing\n{self.tree.journal()[-2000:]}")

    def active(self):
        return self.tree.property("ActiveState") == "active"

    def test_life_cycle(self):
        tree, kind = self.tree, self.kind
        # Through a service manager that runs: what an operator sees.
        tree.boot()
        done = kind.install(tree, OLD)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("is installed and not running", done.stdout + done.stderr)
        tree.run("systemctl", "daemon-reload", check=True)
        self.assertEqual(tree.property("UnitFileState"), "disabled")
        modes = tree.run("stat", "-c", "%a %U %G", "/etc/dtbridge/credentials", "/etc/dtbridge/dtbridge.toml", "/var/lib/dtbridge").stdout
        self.assertEqual(modes.splitlines(), ["750 root dtbridge", "640 root dtbridge", "750 dtbridge dtbridge"])
        self.assertIn(f"dtbridge {OLD}", tree.run("dtbridge", "version", check=True).stdout)

        # Not configured: no failure, no start, and it says why.
        tree.run("systemctl", "start", "dtbridge")
        self.assertEqual(tree.property("ActiveState"), "inactive")
        self.assertRegex(tree.journal(), r"dtbridge is not configured: .* still has blanks \(\d+\), marked FILL IN")
        refused = tree.run("dtbridge", "check")
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr + refused.stdout, r"/etc/dtbridge/dtbridge\.toml:\d+: .*name")

        # Configured.
        sim = self.own(Simulator(self.folder, "acme", tls=False, generate=300, rate=5))
        siem = self.own(Collector("tcp"))
        self.configure(sim, siem)
        tree.run("dtbridge", "check", check=True)
        tree.run("systemctl", "enable", "--now", "dtbridge", check=True)
        wait_until(self.active, 30, tree.journal)
        self.all_arrive(sim, siem)
        pid = int(tree.property("MainPID"))
        self.assertEqual(tree.run("stat", "-c", "%U", f"/proc/{pid}").stdout.strip(), "dtbridge")
        self.assertEqual(tree.run("stat", "-c", "%a %U", "/var/lib/dtbridge").stdout.strip(), "750 dtbridge")
        self.assertEqual(tree.run("stat", "-c", "%a %G", "/run/dtbridge/control.sock").stdout.strip(), "660 dtbridge")

        texts = [p for folder in ("doc/dtbridge/licences", "licenses/dtbridge") for p in (tree / "usr/share" / folder).glob("*")]
        self.assertTrue([p for p in texts if "sqlite" in p.name.lower()], f"the licence texts of what is linked in: {texts}")

        # Reload: a good file takes effect, a bad one does not, and the process stays.
        mappings = tree / "etc/dtbridge/mappings/everything.toml"
        mappings.write_text(mappings.read_text() + "\n# edited by the operator\n")
        tree.run("systemctl", "reload", "dtbridge", check=True)
        wait_until(lambda: "the new configuration is in force" in tree.journal(), 20, tree.journal)
        config = (tree / "etc/dtbridge/dtbridge.toml").read_text()
        (tree / "etc/dtbridge/dtbridge.toml").write_text(config + "nonsense = 1\n")
        tree.run("systemctl", "reload", "dtbridge")
        wait_until(lambda: "the last good one stays in force" in tree.journal(), 20, tree.journal)
        (tree / "etc/dtbridge/dtbridge.toml").write_text(config)
        self.assertEqual(int(tree.property("MainPID")), pid)

        # The hardening is what it is said to be.
        score = tree.run("systemd-analyze", "security", "--no-pager", "dtbridge").stdout
        exposure = float(re.search(r"Overall exposure level for dtbridge\.service: ([0-9.]+)", score)[1])
        self.assertLessEqual(exposure, 1.5, score)
        verified = tree.run("systemd-analyze", "verify", "--man=no", "dtbridge.service")
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))

        # Killed, and hung: it comes back by itself.
        tree.run("sh", "-c", f"kill -9 {pid}", check=True)
        wait_until(lambda: self.active() and int(tree.property("MainPID")) not in (0, pid), 30, tree.journal)
        drop_in = tree / "etc/systemd/system/dtbridge.service.d"
        drop_in.mkdir()
        (drop_in / "test.conf").write_text("[Service]\nWatchdogSec=3s\n")
        tree.run("systemctl", "daemon-reload", check=True)
        tree.run("systemctl", "restart", "dtbridge", check=True)
        pid = int(tree.property("MainPID"))
        tree.run("sh", "-c", f"kill -STOP {pid}", check=True)
        wait_until(lambda: self.active() and int(tree.property("MainPID")) not in (0, pid), 40, tree.journal)
        shutil.rmtree(drop_in)
        # As if the older version had another unit.
        unit = tree / tree.property("FragmentPath").lstrip("/")
        said = re.search("^Description=(.*)", unit.read_text(), re.M)[1]
        unit.write_text(unit.read_text().replace(f"Description={said}", "Description=of the older version"))
        tree.run("systemctl", "daemon-reload", check=True)
        self.assertEqual(tree.property("Description"), "of the older version")

        # Upgrade under load: the edited conffile stays, nothing is lost, the new version runs, and brings archives forward.
        veteran = self.own(Simulator(self.folder, "veteran", tls=False, generate=20, first_pbid=1000))
        qradar = self.own(Collector("tcp"))
        archive = self.add_archive_of_the_first_schema(veteran, qradar)
        config = (tree / "etc/dtbridge/dtbridge.toml").read_text()
        sim.generate(2000, seconds=10)
        done = kind.install(tree, NEW)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        wait_until(lambda: self.active() and f'started version={NEW}' in tree.journal().replace('"', ""), 40, tree.journal)
        self.assertEqual((tree.property("Description"), tree.property("NeedDaemonReload")), (said, "no"), "the new unit is in force")
        self.assertIn("# edited by the operator", mappings.read_text())
        self.assertEqual((tree / "etc/dtbridge/dtbridge.toml").read_text(), config)
        self.all_arrive(sim, siem)
        self.check_what_was_brought_forward(archive, qradar)
        wait_until(self.active, 30, tree.journal)
        self.assertEqual(tree.property("UnitFileState"), "enabled")

        # Downgrade: refused in plain words, and what runs goes on.
        done = kind.install(tree, OLD)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"dtbridge {OLD} is older than the installed {NEW}", done.stdout + done.stderr)
        self.assertTrue(self.active())
        self.assertIn(f"dtbridge {NEW}", tree.run("dtbridge", "version", check=True).stdout)

        # Kafka and PostgreSQL are packages more, of the same version.
        kafka = config + ('[[destination]]\nname = "stream"\nmasters = ["acme"]\naddress = "broker.example"\n'
                          'transport = "kafka"\ntopic = "breaches"\n')
        postgresql = config.replace("[archive]\n", '[archive]\nurl = "postgresql://dtbridge@db.example/dtbridge"\n', 1)
        for name, text, asks in (("kafka", kafka, "librdkafka >= 1.6"), ("postgresql", postgresql, "libpq >= 13")):
            (tree / "etc/dtbridge/more.toml").write_text(text)
            refused = tree.run("dtbridge", "check", "--config", "/etc/dtbridge/more.toml")
            self.assertEqual(refused.returncode, 1, refused.stdout)
            self.assertIn(f"install the package dtbridge-{name}", refused.stderr)
            done = kind.install_more(tree, name)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            kind.check_more(self, tree, name, asks)
        (tree / "etc/dtbridge/more.toml").unlink()
        self.assertTrue(self.active())

        # Removal keeps state and configuration.
        done = kind.remove(tree)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotEqual(tree.property("ActiveState"), "active")
        self.assertEqual(tree.run("sh", "-c", "grep -slx dtbridge /proc/[0-9]*/comm").stdout, "", "the service still runs")
        self.assertFalse((tree / "usr/bin/dtbridge").exists())
        self.assertTrue((tree / "var/lib/dtbridge/masters/acme/archive.db").exists())
        self.assertTrue((tree / "etc/dtbridge/credentials/acme.token").exists())
        self.after_removal()

    def after_removal(self):
        pass


class DebOnDebian12(LifeCycle, RigTest):
    suite = "bookworm"
    make_kind = staticmethod(Deb)

    def after_removal(self):
        tree = self.tree
        (tree / "etc/dtbridge/dtbridge.toml.old-20260102T030405Z").write_text("")
        # Many give the archive a disk of its own: purging empties it.
        tree.run("mount", "--bind", "/var/lib/dtbridge", "/var/lib/dtbridge", check=True)
        done = self.kind.purge(tree)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(list((tree / "var/lib/dtbridge").iterdir()), [])
        for path in ("etc/dtbridge", "usr/share/dtbridge", "usr/share/doc/dtbridge", "etc/systemd/system/multi-user.target.wants/dtbridge.service"):
            self.assertFalse(os.path.lexists(tree / path), path)


class DebOnDebian13(DebOnDebian12):
    suite = "trixie"


class RpmOnEl9(LifeCycle, RigTest):
    suite = "bookworm"
    more = ("dnf", "libssl3", "libstdc++6")
    tools = (*LifeCycle.tools, "createrepo_c", "rpmbuild")

    def make_kind(self):
        return Rpm(self.folder.path)

    def after_removal(self):
        # An edited file is set aside under a name that rpm says; the rest of what it brought is gone.
        self.assertTrue((self.tree / "etc/dtbridge/dtbridge.toml.rpmsave").exists())
        for path in ("usr/share/dtbridge", "usr/share/doc/dtbridge", "etc/systemd/system/multi-user.target.wants/dtbridge.service"):
            self.assertFalse(os.path.lexists(self.tree / path), path)


if __name__ == "__main__":
    unittest.main()
