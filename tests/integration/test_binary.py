"""The built bridge needs nothing that the oldest supported distribution lacks (EL 9: glibc 2.34, GCC 11's libstdc++, OpenSSL 3.0)."""
import os
import pathlib
import re
import subprocess
import unittest

BINARY = pathlib.Path(os.environ.get("DTBRIDGE_BUILD", "build/release")) / "dtbridge"
CEILINGS = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "OPENSSL": (3, 0, 0), "LIBSYSTEMD": (252,)}
LIBRARIES = {"libssl.so.3", "libcrypto.so.3", "libsystemd.so.0", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def is_release() -> bool:
    cache = BINARY.parent / "CMakeCache.txt"
    return "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" in cache.read_text()


@unittest.skipUnless(is_release(), "only the release build is shipped; sanitizers and assertions need newer symbols")
class Binary(unittest.TestCase):
    def test_symbol_versions_stay_under_the_ceilings(self):
        table = subprocess.run(["objdump", "-T", str(BINARY)], capture_output=True, text=True, check=True).stdout
        seen = 0
        for line in table.splitlines():
            found = re.search(r"\*UND\*.*\(?\b(GLIBC|GLIBCXX|CXXABI|OPENSSL|LIBSYSTEMD)_([0-9.]+)\)?\s+(\S+)", line)
            if not found:
                continue
            seen += 1
            version = tuple(int(part) for part in found[2].split("."))
            self.assertLessEqual(version, CEILINGS[found[1]], f"{found[3]} needs {found[1]}_{found[2]}")
        self.assertGreater(seen, 50)

    def test_only_libraries_that_every_supported_system_has(self):
        table = subprocess.run(["objdump", "-p", str(BINARY)], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"^\s+NEEDED\s+(\S+)", table, re.M))
        self.assertIn("libssl.so.3", needed)
        self.assertEqual(needed - LIBRARIES, set())


if __name__ == "__main__":
    unittest.main()
