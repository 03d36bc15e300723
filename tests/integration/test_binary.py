"""The built bridge needs nothing that the oldest supported distributions lack: packaging/check-binary.py, which guards the packages, says so."""
import os
import pathlib
import re
import subprocess
import sys
import unittest

from rig import RigTest, SOURCE

BINARY = pathlib.Path(os.environ.get("DTBRIDGE_BUILD", "build/release")).resolve() / "dtbridge"
CHECK = SOURCE / "packaging/check-binary.py"


def check(binary):
    return subprocess.run([sys.executable, CHECK, binary], capture_output=True, text=True)


def is_release() -> bool:
    cache = BINARY.parent / "CMakeCache.txt"
    return "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" in cache.read_text()


@unittest.skipUnless(is_release(), "only the release build is shipped; sanitizers and assertions need newer symbols")
class Binary(unittest.TestCase):
    def test_the_bridge_stays_under_the_ceilings(self):
        done = check(BINARY)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # It did read the table.
        self.assertGreater(int(re.search(r"(\d+) versioned symbols", done.stdout)[1]), 50)
        self.assertRegex(done.stdout, r"libssl\.so\.3")

    def test_it_is_hardened(self):
        headers = subprocess.run(["objdump", "-p", BINARY], capture_output=True, text=True, check=True).stdout
        self.assertRegex(headers, r"(?m)^\s+RELRO")
        self.assertRegex(headers, r"(?m)^\s+FLAGS_1\s+0x0*8000001")  # NOW and PIE
        self.assertRegex(headers, r"(?s)STACK.*?flags rw-")
        symbols = subprocess.run(["objdump", "-T", BINARY], capture_output=True, text=True, check=True).stdout
        self.assertIn("__stack_chk_fail", symbols)
        self.assertRegex(symbols, r"__\w+_chk\b")


class Check(RigTest):
    """That the check finds what it is for."""

    def build(self, source, *flags):
        program = self.folder / "program"
        subprocess.run(["g++", "-x", "c++", "-", "-o", program, *flags], input=source, text=True, check=True)
        return program

    def test_it_names_a_symbol_that_is_too_new(self):
        # hypot came anew with glibc 2.35.
        done = check(self.build("#include <math.h>\nint main(int n, char**) { return int(hypot(n, n)); }", "-O0"))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("hypot needs GLIBC_2.35, over 2.34", done.stderr)

    def test_it_names_a_library_that_is_not_everywhere(self):
        done = check(self.build("extern \"C\" const char* zlibVersion();\nint main() { return zlibVersion()[0]; }", "-lz"))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("it is linked to libz.so.1, which not every supported system has", done.stderr)

    def test_it_does_not_pass_what_it_cannot_read(self):
        text = self.folder / "no-binary"
        text.write_text("text")
        self.assertNotEqual(check(text).returncode, 0)
        # A static program names no symbol and no library: that is not what is shipped.
        self.assertNotEqual(check(self.build("int main() {}", "-static")).returncode, 0)


if __name__ == "__main__":
    unittest.main()
