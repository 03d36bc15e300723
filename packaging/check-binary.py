#!/usr/bin/env python3
"""Fails when a binary needs what the oldest supported distribution lacks, and names the symbol: check-binary.py BINARY.

The oldest are EL 9 and Ubuntu 22.04: glibc 2.34, libstdc++ of GCC 11, OpenSSL 3.0.
"""
import re
import subprocess
import sys

CEILINGS = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "OPENSSL": (3, 0, 0), "LIBSYSTEMD": (249,)}
LIBRARIES = {"libssl.so.3", "libcrypto.so.3", "libsystemd.so.0", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def objdump(option: str, binary: str) -> str:
    return subprocess.run(["objdump", option, binary], capture_output=True, text=True, check=True).stdout


def too_new(symbols: str) -> list[str]:
    """What is over a ceiling, of the output of `objdump -T`."""
    found = []
    for line in symbols.splitlines():
        need = re.search(r"\*UND\*.*\(?\b(GLIBC|GLIBCXX|CXXABI|OPENSSL|LIBSYSTEMD)_([0-9.]+)\)?\s+(\S+)", line)
        if need and tuple(int(part) for part in need[2].split(".")) > CEILINGS[need[1]]:
            found.append(f"{need[3]} needs {need[1]}_{need[2]}, over {'.'.join(map(str, CEILINGS[need[1]]))}")
    return found


def needed(headers: str) -> set[str]:
    """Libraries, of the output of `objdump -p`."""
    return set(re.findall(r"^\s+NEEDED\s+(\S+)", headers, re.M))


def main() -> int:
    binary = sys.argv[1]
    problems = too_new(objdump("-T", binary))
    problems += [f"it is linked to {name}, which not every supported system has"
                 for name in sorted(needed(objdump("-p", binary)) - LIBRARIES)]
    for problem in problems:
        print(f"{binary}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
