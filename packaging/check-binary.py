#!/usr/bin/env python3
"""Fails when a binary needs what the oldest supported distribution lacks, and names the symbol: check-binary.py BINARY.

The oldest are EL 9 and Ubuntu 22.04: glibc 2.34, libstdc++ of GCC 11, OpenSSL 3.0.
"""
import re
import subprocess
import sys

# glibc 2.34 and GCC 11 are EL 9's; systemd 249 is Ubuntu 22.04's.
CEILINGS = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "OPENSSL": (3, 0, 0), "LIBSYSTEMD": (249,)}
LIBRARIES = {"libssl.so.3", "libcrypto.so.3", "libsystemd.so.0", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def objdump(option: str, binary: str) -> str:
    return subprocess.run(["objdump", option, binary], capture_output=True, text=True, check=True).stdout


def versioned(symbols: str) -> list[tuple[str, str, str]]:
    """Symbol, library's name and version of what is needed from elsewhere, of the output of `objdump -T`."""
    needs = re.findall(r"\*UND\*.*\(?\b(GLIBC|GLIBCXX|CXXABI|OPENSSL|LIBSYSTEMD)_([0-9.]+)\)?\s+(\S+)", symbols)
    return [(symbol, name, version) for name, version, symbol in needs]


def too_new(symbols: str) -> list[str]:
    """What is over a ceiling."""
    return [f"{symbol} needs {name}_{version}, over {'.'.join(map(str, CEILINGS[name]))}" for symbol, name, version in versioned(symbols)
            if tuple(int(part) for part in version.split(".")) > CEILINGS[name]]


def needed(headers: str) -> set[str]:
    """Libraries, of the output of `objdump -p`."""
    return set(re.findall(r"^\s+NEEDED\s+(\S+)", headers, re.M))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    binary = sys.argv[1]
    symbols, libraries = objdump("-T", binary), needed(objdump("-p", binary))
    problems = too_new(symbols)
    problems += [f"it is linked to {name}, which not every supported system has" for name in sorted(libraries - LIBRARIES)]
    if not versioned(symbols) or not libraries:
        problems.append("no versioned symbol or no library is needed, so this is not the dynamically linked program that is shipped")
    for problem in problems:
        print(f"{binary}: {problem}", file=sys.stderr)
    if not problems:
        print(f"{binary}: {len(versioned(symbols))} versioned symbols are under the ceilings; needs {' '.join(sorted(libraries))}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
