#!/usr/bin/env python3
"""Keeps the direction of dependency between modules: who may include whom, and which library headers stay out of headers.

A module is one folder with one direction of dependency (CONTRIBUTING.md). A finding is one line
`file:line: what is wrong`. Usage: check_includes.py [ROOT], the root of the source tree (default: the working directory).
"""
import pathlib
import re
import sys

# Module -> modules whose public headers (include/dtbridge/<module>/) it may include besides its own.
MAY_INCLUDE = {
    "core": set(),
    "async": set(),
    "toml": {"core"},
    "rules": {"core", "toml"},
    "format": {"core", "toml", "rules"},  # a message may carry what the rules said (decision)
    "tune": {"core", "rules"},
    "config": {"core", "toml", "rules", "format"},  # and the options of every module, see OPTIONS
    "net": {"core", "async"},
    "db": {"core"},
    "archive": {"core", "async", "db", "cluster"},  # the leases of its masters
    "cluster": {"core"},
    "poll": {"core", "async", "net", "archive"},
    "transport": {"core", "async", "net", "cluster"},  # cluster: a master's lease, asked before each write
    "deliver": {"core", "async", "archive", "cluster", "rules", "format", "transport"},
    "web": {"core", "async", "net", "archive", "rules", "format"},  # net: TLS on the listening side
    "app": {"core", "async", "rules", "format", "tune", "config", "net", "db", "archive", "cluster", "poll", "transport", "deliver", "web"},
}
# Plain structs that config fills in; config may include them from every module.
OPTIONS = re.compile(r"(options|tls_options)\.hpp$")

# Library headers that cost seconds to compile: in no header, public or private.
NOT_IN_HEADERS = ("boost/beast", "boost/asio/ssl", "sqlite3.h", "toml++/", "spdlog/", "fmt/", "libpq-fe.h")
# Library headers that would make a dependency of ours one of every module that includes us.
NOT_IN_PUBLIC_HEADERS = ("openssl/", "zstd.h", "zlib.h", "systemd/", "librdkafka/")
# Library headers -> the modules whose .cpp files may include them.
ONLY_IN = {
    "boost/beast": {"net", "web"},
    "libpq-fe.h": {"db"},
    "boost/asio": {"async", "net", "archive", "cluster", "poll", "transport", "deliver", "web", "app"},
    "sqlite3.h": {"db", "app"},  # app: the library's version for `dtbridge version`
    "spdlog/": {"core"},
    "fmt/": {"core"},
    "librdkafka/": {"transport"},
}

# Library headers -> the one .cpp file that may include them: it sets up the library in a way that must be the same
# in the whole program.
ONLY_IN_FILE = {"toml++/": pathlib.PurePosixPath("src/toml/document.cpp")}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def module_of(path: pathlib.Path) -> str:
    """The module a file of src/ or include/dtbridge/ belongs to."""
    parts = path.parts
    return parts[2] if parts[0] == "include" else parts[1]


def check_include(root: pathlib.Path, path: pathlib.Path, target: str) -> str:
    """What is wrong with one include of one file, or ""."""
    module = module_of(path)
    for library in NOT_IN_HEADERS:
        if path.suffix == ".hpp" and target.startswith(library):
            return f"<{target}> in a header; include it in a .cpp file only"
    for library in NOT_IN_PUBLIC_HEADERS:
        if path.parts[0] == "include" and target.startswith(library):
            return f"<{target}> in a public header; include it in src/{module} only"
    for library, modules in ONLY_IN.items():
        if target.startswith(library) and module not in modules:
            return f"module {module} may not use <{target}>; only {', '.join(sorted(modules))} may"
    for library, file in ONLY_IN_FILE.items():
        if target.startswith(library) and path != file:
            return f"<{target}> outside {file}, the one file that may include it"
    parts = pathlib.PurePosixPath(target).parts
    public = parts[0] == "dtbridge" and len(parts) > 2
    private = not public and len(parts) > 1 and parts[0] in MAY_INCLUDE and (root / "src" / target).exists()
    if private and parts[0] != module:
        return f"<{target}> is private to {parts[0]}; only what is in include/dtbridge/{parts[0]} may be included"
    if private and path.parts[0] == "include":
        return f"<{target}> is a private header; a public one may not depend on it"
    if not public or parts[1] == module:
        return ""
    other = parts[1]
    if other not in MAY_INCLUDE:
        return f"<{target}> belongs to no module"
    if module == "config" and other != "app" and OPTIONS.search(target):
        return ""
    if other not in MAY_INCLUDE[module]:
        allowed = ", ".join(sorted(MAY_INCLUDE[module])) or "none"
        return f"module {module} may not include {other} (<{target}>); it may include: {allowed}"
    return ""


def findings(root: pathlib.Path) -> list[str]:
    found = []
    files = [p for folder in ("include/dtbridge", "src") for p in (root / folder).rglob("*.[ch]pp")]
    if not files:
        return [f"{root}: no C++ file below include/dtbridge and src"]
    for file in sorted(files):
        path = file.relative_to(root)
        if module_of(path) not in MAY_INCLUDE:
            found.append(f"{path}:1: folder {module_of(path)} is no module; add it to the table of {pathlib.Path(__file__).name}")
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            wrong = check_include(root, path, match.group(1)) if match else ""
            if wrong:
                found.append(f"{path}:{number}: {wrong}")
    return found


def main() -> int:
    found = findings(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
