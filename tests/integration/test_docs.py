"""The documentation says what the program does: every key, every command, every command line, every quoted message."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import unittest

from rig import BUILD, SOURCE, Bridge, Collector, RigTest, Simulator, bridge_binary, run_cli

DOCS = SOURCE / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), SOURCE / "README.md"])
ODD = "qqqqqqqqqqqqqqqqqqqqqq"  # like no key, so that the reader lists those it knows


def table_keys(path):
    """{section: [key..]} of the first columns of a page's tables; a section is the last word in code of its heading."""
    found, section, head = {}, "", False
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            code = re.search(r"`([^`]+)`", line)
            section = code.group(1).strip("[]") if code else line.strip("# ")
            found.setdefault(section, [])
        elif line.startswith("|"):
            if not head:
                head = True
                continue
            found[section] += re.findall(r"`([^`]+)`", re.split(r"(?<!\\)\|", line)[1])
            continue
        head = False
    return found


class Keys(RigTest):
    """The reader itself is asked for its keys, by a key that it does not know."""

    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def errors(self, text, command=("check",)):
        path = self.folder / "dtbridge.toml"
        path.write_text(text)
        return run_cli(*command, config=path).stderr.decode()

    def known(self, section, text):
        found = re.search(rf"unknown key in {re.escape(section)}; known are ([^\n]*)", self.errors(text))
        return found.group(1).split(", ") if found else None

    def test_configuration(self):
        documented = table_keys(DOCS / "configuration.md")
        top = self.known("this file", f"{ODD} = 1\n")
        self.assertLessEqual({"service", "archive", "master", "destination", "api_token"}, set(top))
        missing, sections = [], 0
        for section in top:
            array = section in ("master", "destination", "api_token")
            head = f"[[{section}]]\n" if array else f"[{section}]\n"
            keys = self.known(f"[{section}]", head + f"{ODD} = 1\n")
            if keys is None:
                self.assertIn("not built yet", self.errors(head + "x = 1\n"), section)
                continue
            sections += 1
            for key in keys:
                if documented.get(section, []).count(key) != 1 and not self.alias(head, key):
                    missing.append(f"{section}.{key}")
                way = 'transport = "kafka"\n' if key == "kafka" else ""
                below = self.known(f"[{section}.{key}]", head + way + f"{key} = {{ {ODD} = 1 }}\n")
                where = f"{section}.query" if key == "query" else key
                for inner in below or []:
                    if key != "listen_tls" and documented.get(where, []).count(inner) != 1:
                        missing.append(f"{section}.{key}.{inner}")
        self.assertEqual(missing, [], "not exactly once in docs/configuration.md")
        self.assertGreaterEqual(sections, 5)

    def alias(self, head, key):
        """A key that this version knows only to say that it is not built, or not for this place."""
        return all(re.search(rf"{key}: [^\n]*(not built yet; expected it to be left out|; expected "
                             rf"\[)", self.errors(head + f"{key} = {value}\n")) for value in ('"x"', "{}"))

    def test_every_documented_key_is_one(self):
        documented = table_keys(DOCS / "configuration.md")
        for section in ("service", "archive", "master", "destination", "api_token"):
            array = section in ("master", "destination", "api_token")
            head = f"[[{section}]]\n" if array else f"[{section}]\n"
            keys = self.known(f"[{section}]", head + f"{ODD} = 1\n")
            self.assertEqual([k for k in documented[section] if k not in keys], [], section)
        query = self.known("[master.query]", f"[[master]]\nquery = {{ {ODD} = 1 }}\n")
        self.assertEqual([k for k in documented["master.query"] if re.fullmatch("[a-z]+", k) and k not in query
                          and k not in ("true", "false", "deviceatop")], [])

    def rules_keys(self, text):
        path = self.folder / "rules.toml"
        path.write_text(text)
        got = run_cli("filter", "--rules", path, stdin=b"").stderr.decode()
        found = re.search(r"unknown(?: key)?; expected ([^(\n]*)", got)
        self.assertTrue(found, got)
        return re.findall(r"[a-z_]+", re.sub(r" or | and ", " ", found.group(1)))

    def test_mapping(self):
        documented = table_keys(DOCS / "mapping.md")
        for section, text in (("forward", f"[forward]\n{ODD} = 1\n"), ("throttle", f"[[throttle]]\n{ODD} = 1\n"),
                              ("Values", f'[models]\n"A" = {{ {ODD} = 1 }}\n')):
            keys = self.rules_keys(text)
            self.assertGreaterEqual(len(keys), 4)
            for key in keys:
                self.assertEqual(documented[section].count(key), 1, f"{section}: {key}")
        self.assertEqual(set(self.rules_keys(f"[{ODD}]\n")), {"forward", "models", "devices", "throttle"})

    def test_example_has_every_key(self):
        """deploy/dtbridge.toml names every key once, commented out or filled in."""
        example = (SOURCE / "deploy" / "dtbridge.toml").read_text()
        for section in ("service", "archive", "master", "destination", "api_token"):
            array = section in ("master", "destination", "api_token")
            head = f"[[{section}]]\n" if array else f"[{section}]\n"
            for key in self.known(f"[{section}]", head + f"{ODD} = 1\n"):
                if f"[{section}.{key}]" not in example and not self.alias(head, key):
                    self.assertRegex(example, rf"(?m)^(# )?{key} = ", f"{section}.{key}")


class Commands(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def listed(self):
        """{command: built}"""
        text = run_cli("--help").stdout.decode()
        return {line.split()[0]: "not built yet" not in line for line in text.splitlines() if re.match(r"  [a-z]", line)}

    def described(self):
        """{command: its part of docs/commands.md}"""
        parts = re.split(r"(?m)^### (\w+)$", (DOCS / "commands.md").read_text())
        return dict(zip(parts[1::2], (p.split("\n## ")[0] for p in parts[2::2])))

    def test_all_are_described(self):
        listed, described = self.listed(), self.described()
        self.assertEqual([c for c in listed if c not in described], [])
        for command, built in listed.items():
            if not built:
                continue
            got = run_cli(command, "--help")
            self.assertEqual(got.returncode, 0, command)
            text = got.stdout.decode()
            self.assertIn(f"usage: dtbridge {command}", text)
            example = re.search(r"\nexample:\n  (dtbridge .*)\n", text)
            self.assertTrue(example, f"{command} --help has no example")
            options = re.findall(r"(?m)^ +--([a-z0-9-]+)", text)
            for option in options:
                if option not in ("config", "help"):
                    self.assertIn(f"--{option}", described[command] + " ", f"docs/commands.md: {command} --{option}")

    def test_completion(self):
        """Commands, options and names, as a shell would offer them."""
        if not shutil.which("bash"):
            self.skipTest("bash is not there")
        config = self.folder / "c.toml"
        config.write_text('[[master]]\nname = "acme" # one\n[master.query]\nname = "no"\n[[destination]]\n  name="soc-1"\n'
                          '[[destination]]\nname = "soc-2"\n[[destination]]\nname = \'soc-3\' # "it"\n'
                          '[[destination]]\nname = "$(touch run)x"\n')
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dtbridge; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')

        def complete(*words):
            got = subprocess.run(["bash", "-uc", script, "bash", SOURCE / "deploy/completion/dtbridge", bridge_binary(), *words],
                                 capture_output=True, cwd=self.folder.path)
            self.assertEqual(got.stderr, b"")
            return got.stdout.decode().split()
        self.assertEqual(complete("che"), ["check"])
        built = [c for c, b in self.listed().items() if b]
        self.assertEqual(sorted(c for c in complete("") if c[0] != "-"), sorted(built))
        self.assertEqual(complete("check", "--co"), ["--connect", "--config"])
        self.assertEqual(complete("test", "--config", str(config), "--destination", ""), ["soc-1", "soc-2", "soc-3"])
        self.assertFalse((self.folder / "run").exists(), "what stands in a configuration was run")
        self.assertEqual(complete("get", "--config", str(config), "--master", ""), ["acme"])
        self.assertEqual(complete("format", "--format", "c"), ["cef"])
        self.assertEqual(complete("profiles", "spl"), ["splunk-sc4s"])
        self.assertEqual(complete("setup", "--profile", "q"), ["qradar"])
        self.assertEqual(complete("setup", "--stage", ""), ["1", "2", "3", "everything"])
        self.assertEqual(complete("check", "--config", "c."), ["c.toml"])
        self.assertEqual(complete("filter", "c."), ["c.toml"])
        self.assertEqual(complete("archive", ""), ["copy"])
        self.assertIn("--config", complete("archive", "--"))
        self.assertEqual(complete("archive", "copy", "--to", ""), ["postgresql", "sqlite"])


class Pages(RigTest):
    def test_links(self):
        """Every relative link leads to a file, and every page is reached from README.md."""
        reached, queue = set(), [SOURCE / "README.md"]
        while queue:
            page = queue.pop()
            if page in reached:
                continue
            reached.add(page)
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"(?s)```.*?```", "", page.read_text())):
                if "://" in target:
                    continue
                path = (page.parent / target).resolve()
                self.assertTrue(path.exists(), f"{page.relative_to(SOURCE)}: {target}")
                if path.suffix == ".md":
                    queue.append(path)
        self.assertEqual([str(p.relative_to(SOURCE)) for p in PAGES if p not in reached], [], "not reached from README.md")

    def test_a_page_per_profile(self):
        bridge_binary()
        names = [line.split()[0] for line in run_cli("profiles").stdout.decode().splitlines()]
        self.assertEqual(len(names), 12)
        for name in names:
            page = (DOCS / "siem" / f"{name}.md").read_text()
            for part in ("## In the bridge", "## What it follows"):
                self.assertIn(part, page, name)
            self.assertRegex(page, r"(?m)^## In [A-Z]|^## In syslog-ng|^## In rsyslog", name)
            self.assertIn(f'profile = "{name}"', page)
            self.assertIn(f"({name}.md)", (DOCS / "siem" / "README.md").read_text())

    def test_messages(self):
        """What troubleshooting.md quotes is in the program's sources."""
        sources = "".join(p.read_text() for p in sorted((SOURCE / "src").rglob("*.[ch]pp")))
        literals = re.sub(r'"\s*\n\s*"', "", sources)  # one text over several lines
        quoted = re.findall(r'(?m)^\| "([^"]+)"[^|]*\|', (DOCS / "troubleshooting.md").read_text())
        self.assertGreaterEqual(len(quoted), 25)
        self.assertEqual([q for q in quoted if q not in literals], [])

    def test_manual_pages(self):
        """Clean by mandoc and by man, with every heading of their sources."""
        pages = {"commands": "dtbridge.1", "configuration": "dtbridge.toml.5", "mapping": "dtbridge-mapping.5"}
        for source, name in pages.items():
            out = self.folder / name
            subprocess.run(["python3", SOURCE / "cmake/man.py", DOCS / f"{source}.md", out], check=True)
            if shutil.which("mandoc"):
                lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", out], capture_output=True, text=True)
                self.assertEqual((lint.stdout, lint.returncode), ("", 0), name)
            if shutil.which("man"):
                got = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", out], capture_output=True, text=True,
                                     env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANROFFSEQ": ""})
                self.assertEqual(got.stderr, "", name)
                self.assertGreater(len(got.stdout.splitlines()), 100)
            built = out.read_text()
            for heading in re.findall(r"(?m)^## (.+)$", (DOCS / f"{source}.md").read_text()):
                title = heading.replace("`", "")
                self.assertIn(".Sh " + (title if title.startswith("[") else title.upper()), built)


    def test_installed(self):
        """cmake --install puts pages and completion where man and bash look for them."""
        if not (BUILD / "docs" / "cmake_install.cmake").exists():
            self.skipTest("not a build folder of CMake")
        subprocess.run(["cmake", "--build", BUILD, "--target", "man"], check=True, capture_output=True)
        subprocess.run(["cmake", "-P", BUILD / "docs" / "cmake_install.cmake"], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(self.folder.path)})
        for name in ("man/man1/dtbridge.1", "man/man5/dtbridge.toml.5", "man/man5/dtbridge-mapping.5",
                     "bash-completion/completions/dtbridge"):
            found = [p for p in self.folder.path.rglob(pathlib.Path(name).name) if str(p).endswith("share/" + name)]
            self.assertEqual(len(found), 1, name)


class CommandLines(RigTest):
    """Every command line of the pages and of --help is run, in a folder that has what they name."""

    @classmethod
    def setUpClass(cls):
        bridge_binary()

    # Not run: what never ends, asks, needs what is not in the folder, or is run by tests of its own.
    NOT_RUN = re.compile(r"^dtbridge (run|setup|forget|recover|archive|soak|COMMAND)\b|profiles NAME|--destination D\b|--html")

    def lines(self):
        """(page, line) of every line of a code block that starts with dtbridge, and the examples of --help."""
        for page in PAGES:
            block = False
            for line in page.read_text().splitlines():
                if line.startswith("```"):
                    block = not block
                elif block or line.startswith("    "):
                    text = line.strip().removeprefix("sudo ")
                    if text.startswith("dtbridge ") and not text.startswith(("dtbridge polls", "dtbridge stands")):
                        yield page.relative_to(SOURCE), re.sub(r"\s+#.*", "", text)
        for line in re.findall(r"(?m)^  ([a-z]+) ", run_cli("--help").stdout.decode()):
            for example in re.findall(r"\nexample:\n  (.*)\n", run_cli(line, "--help").stdout.decode()):
                yield pathlib.Path(f"{line} --help"), example

    def test_none_stands_as_prose(self):
        """A command line that begins a paragraph is a code block, or it is shown as running text."""
        commands = "|".join(re.findall(r"(?m)^  ([a-z]+) ", run_cli("--help").stdout.decode()))
        for page in PAGES:
            block, before = False, ""
            for number, line in enumerate(page.read_text().splitlines(), 1):
                block ^= line.startswith("```")
                if not block and not before.strip():
                    self.assertNotRegex(line, rf"^(sudo )?dtbridge ({commands})\b",
                                        f"{page.relative_to(SOURCE)}:{number}: four blanks before it make it a code block")
                before = line

    def test_all(self):
        sim = self.own(Simulator(self.folder, "acme", generate=20, first_pbid=4701))
        siem = self.own(Collector("tcp"))
        bridge = Bridge(self.folder.path)
        bridge.master(sim)
        for name in ("qradar", "soc"):
            bridge.destination(name, profile="qradar", transport="tcp", address=siem.address)
        self.own(bridge).start()
        siem.wait_for(40)  # twenty for each of the two
        one = (SOURCE / "tests" / "data" / "breaches" / "single.json").read_text()
        sim.add(one, move_to_now=True)  # 5397, which README.md asks about
        siem.wait_for(42)
        (bridge.folder / "new.toml").write_text((SOURCE / "mappings" / "stage-3.toml").read_text())
        (bridge.folder / "breaches.json").write_bytes(sim.all().body)
        (bridge.folder / "mappings").symlink_to(SOURCE / "mappings")
        built = {line.split()[0] for line in run_cli("--help").stdout.decode().splitlines()
                 if re.match(r"  [a-z]", line) and "not built yet" not in line}
        (bridge.folder / "bin").mkdir()
        (bridge.folder / "bin" / "dtbridge").write_text(
            f'#!/bin/sh\nc=$1; shift\nexec {shlex.quote(str(bridge_binary()))} "$c" --config {bridge.config} "$@"\n')
        (bridge.folder / "bin" / "dtbridge").chmod(0o755)
        ran = []
        for page, line in self.lines():
            command = line.split()[1]
            if self.NOT_RUN.search(line) or command not in built or ("dtbridge " + line.split(" ", 1)[1]) in ran:
                continue
            line = line.replace(" --config dtbridge.toml", "").replace(" --config /etc/dtbridge/dtbridge.toml", "")
            with self.subTest(page=str(page), line=line):
                got = subprocess.run(["sh", "-c", line], cwd=bridge.folder, capture_output=True, timeout=60,
                                     env={**os.environ, "PATH": f"{bridge.folder}/bin:{os.environ['PATH']}"})
                self.assertEqual(got.returncode, 0, got.stdout.decode() + got.stderr.decode())
            ran.append(line)
        for command in ("check", "test", "filter", "format", "get", "sign", "profiles", "version"):
            self.assertTrue(any(line.startswith(f"dtbridge {command}") for line in ran), command)

    def test_configurations(self):
        """The [[destination]] and [[master]] blocks of the pages are right as they stand."""
        tried = 0
        for page in PAGES:
            for block in re.findall(r"(?s)```toml\n(.*?)```", page.read_text()):
                tried += 1
                text = block.replace("…", "00" * 32)
                if "[[master]]" not in text:
                    text = ('[[master]]\nname = "acme"\nurl = "https://dt.acme.example"\npublic_token = "x"\n'
                            'private_token_file = "credentials/acme.token"\n') + text
                (self.folder / "credentials").mkdir(exist_ok=True)
                token = self.folder / "credentials" / "acme.token"
                token.write_text("y")
                token.chmod(0o600)
                for name in re.findall(r'(?m)^(?:file|sasl_password_file) = "([^"]+)"', text):
                    (self.folder / name).write_text("0123456789abcdef0123456789abcdef" + page.stem)
                    (self.folder / name).chmod(0o600)
                for name in re.findall(r'(?:ca|cert)_file = "([^"]+)"', text):
                    shutil.copy(self.ca(), self.folder / name)
                for name in re.findall(r'key_file = "([^"]+)"', text):
                    shutil.copy(self.folder / "k", self.folder / name)
                path = self.folder / "dtbridge.toml"
                path.write_text(text)
                got = run_cli("check", config=path)
                with self.subTest(page=str(page.relative_to(SOURCE))):
                    self.assertEqual(got.returncode, 0, got.stderr.decode() + text)
        self.assertGreaterEqual(tried, 14)

    def ca(self):
        path = self.folder / "some-ca.crt"
        if not path.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                            self.folder / "k", "-out", path, "-subj", "/CN=ca"], check=True, capture_output=True)
        return path


if __name__ == "__main__":
    unittest.main()
