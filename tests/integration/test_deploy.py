"""What deploy/ and packaging/ hand to operators is right as far as that can be told without a container engine or a cluster."""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import tomllib
import unittest

from rig import BUILD, RigTest, SOURCE, bridge_binary, run_cli

try:
    import yaml
except ImportError:
    yaml = None
try:
    import jinja2
except ImportError:
    jinja2 = None

DEPLOY = SOURCE / "deploy"


def documents(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Kubernetes(RigTest):
    def setUp(self):
        super().setUp()
        self.all = documents(DEPLOY / "kubernetes" / "dtbridge.yaml")

    def of(self, kind):
        return [d for d in self.all if d["kind"] == kind]

    def test_one_replica_that_never_meets_another(self):
        spec = self.of("Deployment")[0]["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["type"]), (1, "Recreate"))
        self.assertEqual(self.of("PersistentVolumeClaim")[0]["spec"]["accessModes"], ["ReadWriteOncePod"])

    def test_the_pod_meets_the_restricted_standard(self):
        # Kubernetes, Pod Security Standards, profile "restricted".
        pod = self.of("Deployment")[0]["spec"]["template"]["spec"]
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertNotEqual(pod["securityContext"]["runAsUser"], 0)
        self.assertIn(pod["securityContext"]["seccompProfile"]["type"], ("RuntimeDefault", "Localhost"))
        for flag in ("hostNetwork", "hostPID", "hostIPC"):
            self.assertFalse(pod.get(flag, False))
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
        for volume in pod["volumes"]:
            self.assertLessEqual(set(volume) - {"name"}, allowed)
        for container in pod["containers"]:
            context = container["securityContext"]
            self.assertFalse(context["allowPrivilegeEscalation"])
            self.assertTrue(context["readOnlyRootFilesystem"])
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})

    def test_names_fit_together(self):
        pod = self.of("Deployment")[0]["spec"]["template"]["spec"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        for mount in pod["containers"][0]["volumeMounts"]:
            self.assertIn(mount["name"], volumes)
        self.assertEqual(volumes["configuration"]["configMap"]["name"], self.of("ConfigMap")[0]["metadata"]["name"])
        self.assertEqual(volumes["credentials"]["secret"]["secretName"], self.of("Secret")[0]["metadata"]["name"])
        self.assertEqual(volumes["state"]["persistentVolumeClaim"]["claimName"], self.of("PersistentVolumeClaim")[0]["metadata"]["name"])
        ports = {p["name"] for p in pod["containers"][0]["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertIn(pod["containers"][0][probe]["httpGet"]["port"], ports)

    def test_the_configuration_is_right(self):
        bridge_binary()
        (self.folder / "dtbridge.toml").write_text(self.of("ConfigMap")[0]["data"]["dtbridge.toml"])
        shutil.copytree(SOURCE / "mappings", self.folder / "mappings")
        credentials = self.folder / "credentials"
        credentials.mkdir()
        for name, text in self.of("Secret")[0]["stringData"].items():
            (credentials / name).write_text("0123456789abcdef" if name.endswith(".token") else text)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=t",
                        "-keyout", credentials / "listen.key", "-out", credentials / "listen.pem"], check=True, capture_output=True)
        for path in credentials.iterdir():
            path.chmod(0o600)
        done = run_cli("check", config=self.folder / "dtbridge.toml", env={"CREDENTIALS_DIRECTORY": str(credentials)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Compose(RigTest):
    def test_what_it_names_is_there(self):
        services = documents(DEPLOY / "compose.yaml")[0]["services"]
        self.assertEqual(set(services), {"master", "rsyslog", "bridge"})
        for service in services.values():
            context = DEPLOY / service["build"]["context"]
            self.assertTrue((context / service["build"]["dockerfile"]).exists())
        flags = {a for a in services["master"]["command"] if a.startswith("--")}
        text = subprocess.run([BUILD / "darktrace-simulator", "--help"], capture_output=True, text=True).stdout
        self.assertEqual({f for f in flags if f not in text}, set())

    def test_the_demo_configuration_is_right(self):
        bridge_binary()
        shutil.copytree(DEPLOY / "container" / "demo", self.folder / "demo")
        (self.folder / "demo/acme.token").chmod(0o600)
        done = run_cli("check", config=self.folder / "demo/dtbridge.toml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_copied_files_exist(self):
        for path in (DEPLOY / "container").glob("*Containerfile"):
            for source in re.findall(r"^COPY (?!--from)(\S+) ", path.read_text(), re.M):
                context = SOURCE if source == "." else path.parent
                self.assertTrue((context / source).exists(), f"{path.name}: {source}")


@unittest.skipUnless(yaml and jinja2, "python3-yaml or python3-jinja2 is not installed")
class Ansible(RigTest):
    """The role's template, in Jinja as Ansible sets it up: these filters, this test, and no line end behind a block."""

    def setUp(self):
        super().setUp()
        bridge_binary()
        self.jinja = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
        self.jinja.filters.update(to_json=json.dumps, from_json=json.loads)
        self.jinja.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
        self.defaults = documents(DEPLOY / "ansible/roles/dtbridge/defaults/main.yml")[0]
        self.credentials = self.folder / "credentials"
        self.credentials.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=t",
                        "-keyout", self.folder / "key", "-out", self.folder / "ca.pem"], check=True, capture_output=True)
        shutil.copytree(SOURCE / "mappings", self.folder / "mappings")

    def resolved(self, value):
        """As Ansible resolves variables; those of a vault are all the same here."""
        if isinstance(value, dict):
            return {key: self.resolved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolved(inner) for inner in value]
        if not isinstance(value, str):
            return value
        names = {name: "0123456789abcdef" for name in re.findall(r"vault_\w+", value)}
        return self.jinja.from_string(value).render(lookup=lambda kind, name: (self.folder / "ca.pem").read_text(), **names)

    def render(self, masters, destinations, api_tokens=(), **sections):
        text = (DEPLOY / "ansible/roles/dtbridge/templates/dtbridge.toml.j2").read_text()
        given = {"api_tokens": list(api_tokens), "masters": masters, "destinations": destinations, **sections}
        out = self.jinja.from_string(text).render({**self.defaults, **{f"dtbridge_{name}": value for name, value in given.items()}},
                                                  ansible_managed="Ansible managed")
        wanted = {name.removesuffix("s"): value for name, value in given.items() if name.endswith("s")} | sections
        self.assertEqual(tomllib.loads(out), {name: value for name, value in wanted.items() if value}, out)
        return out

    def check(self, text):
        (self.folder / "dtbridge.toml").write_text(text)
        done = run_cli("check", config=self.folder / "dtbridge.toml")
        self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr.decode() + text)

    def test_the_example_is_right(self):
        given = self.resolved(documents(DEPLOY / "ansible/site.yml")[0][0]["roles"][0]["vars"])
        for name, text in given["dtbridge_credentials"].items():
            (self.credentials / name).write_text(text)
            (self.credentials / name).chmod(0o600)
        self.assertTrue(any(isinstance(value, dict) for master in given["dtbridge_masters"] for value in master.values()))
        self.check(self.render(given["dtbridge_masters"], given["dtbridge_destinations"]))

    def test_tables_in_tables(self):
        (self.credentials / "acme.token").write_text("0123456789abcdef")
        (self.credentials / "acme.token").chmod(0o600)
        shutil.copy(self.folder / "ca.pem", self.credentials / "acme-ca.pem")
        acme = {"name": "acme", "url": "https://darktrace.acme.example", "public_token": "x", "private_token_file": "credentials/acme.token",
                "tls": {"ca_file": "credentials/acme-ca.pem", "verify": True}, "labels": {"tenant": "a \"b\" \\ \u00fc \U0001f600"},
                "query": {"minimal": False, "fulldevicedetails": True}}
        siem = {"name": "siem", "profile": "arcsight", "address": "siem.acme.example", "masters": ["acme", "ac*"],
                "cef": {"version": 1, "severity": {"Critical": 10, "5": 9}}, "tls": {"ca_file": "credentials/acme-ca.pem"}}
        self.check(self.render([acme], [siem, {**siem, "name": "second", "cef": {"severity": "score"}}]))
        (self.credentials / "api.token").write_text("0123456789abcdef")
        (self.credentials / "api.token").chmod(0o600)
        (self.folder / "assets.csv").write_text("ip,site\n")
        self.check(self.render([acme], [siem], [{"name": "pull", "file": "credentials/api.token", "masters": ["*"]}],
                               service={"log_format": "json"}, archive={"retention": "30d"}, enrich={"file": "assets.csv", "key": "ip"}))
        # TOML has no null.
        text = (DEPLOY / "ansible/roles/dtbridge/templates/dtbridge.toml.j2").read_text()
        out = self.jinja.from_string(text).render({**self.defaults, "dtbridge_masters": [{"name": "a", "proxy": None, "tls": {"ca_file": None}}]},
                                                  ansible_managed="x")
        self.assertEqual(tomllib.loads(out), {"master": [{"name": "a", "tls": {}}]})
        # What no configuration has, but TOML knows.
        odd = {"": 1, "a b": {"c.d": {"ü": {"\"": [1, 2.5, ["x", {"y z": []}], {}]}}}, "bare_-1": "\t\n"}
        self.render([odd], [])

    def test_files_are_checked_before_they_are_in_place(self):
        """A wrong mapping file beside a service that runs would keep its next start from working."""
        by_name = {task["name"]: task["ansible.builtin.copy"] for task in documents(DEPLOY / "ansible/roles/dtbridge/tasks/main.yml")[0]
                   if "ansible.builtin.copy" in task}
        (self.folder / "bad").write_text("[forward]\nmin_scor = 1\n")
        for name, good in (("Copy mapping files", "mappings/stage-2.toml"), ("Copy field maps", "mappings/fields/cef.toml")):
            for path, status in ((SOURCE / good, 0), (self.folder / "bad", 1)):
                line = self.jinja.from_string(by_name[name]["validate"]).render(item={"format": "cef"}) % path
                done = subprocess.run([bridge_binary(), *line.split()[1:]], capture_output=True, text=True, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, status, line + done.stderr)
        self.assertIs(documents(DEPLOY / "ansible/site.yml")[0][0]["force_handlers"], True)


class Quickstart(RigTest):
    def test_an_event_of_the_bridge_is_shown(self):
        spec = importlib.util.spec_from_file_location("receiver", DEPLOY / "quickstart-receiver.py")
        receiver = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(receiver)
        self.assertEqual(receiver.show(b'<165>1 - - - - - - {"dtbridge":{"event":"disk","message":"Disk fills"}}'), "the bridge says: Disk fills")


class Version(unittest.TestCase):
    def test_what_names_a_version_names_this_one(self):
        version = re.search(r"^project\(dtbridge VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(), re.M)[1]
        named = {path: set(re.findall(r"dtbridge[:_-](\d+\.\d+\.\d+)", path.read_text()))
                 for path in (DEPLOY / "kubernetes/dtbridge.yaml", DEPLOY / "ansible/site.yml")}
        self.assertEqual(named, {path: {version} for path in named})


class Sbom(unittest.TestCase):
    @unittest.skipUnless(shutil.which("dpkg-query"), "the libraries' versions are those of Debian packages")
    def test_it_is_spdx_2_3_and_names_what_is_linked(self):
        def bill():
            done = subprocess.run([SOURCE / "packaging/sbom.py", "1.2.3"], capture_output=True, text=True, check=True,
                                  env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
            return json.loads(done.stdout)
        document = bill()
        self.assertEqual(document, bill())
        # SPDX 2.3, chapters 6, 7 and 11: what must be there, and in which form.
        self.assertEqual((document["spdxVersion"], document["dataLicense"], document["SPDXID"]), ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
        self.assertRegex(document["documentNamespace"], r"^[a-z]+:[^#\s]+$")
        self.assertEqual(document["creationInfo"]["created"], "2023-11-14T22:13:20Z")
        for creator in document["creationInfo"]["creators"]:
            self.assertRegex(creator, r"^(Tool|Organization|Person): \S")
        identifiers = [p["SPDXID"] for p in document["packages"]]
        self.assertEqual(len(identifiers), len(set(identifiers)))
        for package in document["packages"]:
            self.assertRegex(package["SPDXID"], r"^SPDXRef-[A-Za-z0-9.-]+$")
            for key in ("name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"):
                self.assertTrue(package[key], f"{package['SPDXID']}: {key}")
            self.assertRegex(package["supplier"], r"^(Organization|Person): \S")
            self.assertIs(package["filesAnalyzed"], False)
            for reference in package.get("externalRefs", []):
                self.assertRegex(reference["referenceLocator"], r"^pkg:deb/debian/[A-Za-z0-9.%-]+@[A-Za-z0-9.~%-]+\?distro=bookworm$")
        known = {"DESCRIBES", "STATIC_LINK", "DYNAMIC_LINK"}
        for relation in document["relationships"]:
            self.assertIn(relation["relationshipType"], known)
            self.assertIn(relation["spdxElementId"], [*identifiers, "SPDXRef-DOCUMENT"])
            self.assertIn(relation["relatedSpdxElement"], identifiers)
        # Every library that the shipped binary may load is there, and every one whose licence text comes with it.
        linked = {p["name"].lower() for p in document["packages"]}
        with_text = re.findall(r"\b([a-z]+):(?:lib|zlib1g)", (SOURCE / "packaging/licences.sh").read_text())
        self.assertEqual(len(with_text), 7)
        self.assertLessEqual({"openssl", "libsystemd", "libstdc++", "glibc"} | {n.replace("tomlplusplus", "toml++") for n in with_text}, linked)


class RootFileSystem(RigTest):
    @unittest.skipUnless(os.geteuid() == 0, "needs root to own files and to chroot")
    @unittest.skipIf("asan" in BUILD.name or "tsan" in BUILD.name, "the sanitizers need /proc")
    def test_it_holds_all_that_the_bridge_needs(self):
        root = self.folder / "root"
        subprocess.run([SOURCE / "packaging/rootfs.sh", bridge_binary(), root], check=True, capture_output=True)
        self.assertFalse((root / "bin/sh").exists())

        def inside(*argv):
            return subprocess.run(["chroot", "--userspec=10001:10001", root, *argv], capture_output=True, text=True)
        version = inside("/usr/bin/dtbridge", "version")
        self.assertEqual(version.returncode, 0, version.stderr)
        # A configured bridge is right in there, and can look up a name from files.
        (root / "etc/dtbridge/acme.token").write_text("0123456789abcdef\n")
        (root / "etc/dtbridge/acme.token").chmod(0o640)
        os.chown(root / "etc/dtbridge/acme.token", 0, 10001)
        (root / "etc/dtbridge/dtbridge.toml").write_text(
            '[[master]]\nname = "acme"\nurl = "https://darktrace.example"\npublic_token = "0123"\nprivate_token_file = "acme.token"\n'
            '[[destination]]\nname = "siem"\naddress = "siem.example"\ntransport = "tcp"\nrules = "mappings/stage-2.toml"\n'
            '[[destination]]\nname = "stream"\naddress = "broker.example"\ntransport = "kafka"\ntopic = "breaches"\n')
        checked = inside("/usr/bin/dtbridge", "check", "--config", "/etc/dtbridge/dtbridge.toml")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


class Unit(unittest.TestCase):
    def test_the_shipped_example_is_not_configured_and_a_filled_one_is(self):
        script = SOURCE / "packaging/systemd/is-configured"
        example = DEPLOY / "dtbridge.toml"
        done = subprocess.run([script, example], capture_output=True, text=True)
        blanks = len(re.findall(r'^[a-z_]+ = ""\s*# <<< FILL IN', example.read_text(), re.M))
        self.assertGreaterEqual(blanks, 6)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"still has blanks ({blanks})", done.stderr)
        filled = re.sub(r'^([a-z_]+) = ""(\s*# <<< FILL IN)', r'\1 = "x"\2', example.read_text(), flags=re.M)
        done = subprocess.run([script, "/dev/stdin"], input=filled, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run([script, "/nonexistent"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)

    def test_exposure(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15",
                               SOURCE / "packaging/systemd/dtbridge.service"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-600:] + done.stderr)
        self.assertLessEqual(float(re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)[1]), 1.5)


if __name__ == "__main__":
    unittest.main()
