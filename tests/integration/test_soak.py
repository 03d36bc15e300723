"""A short run of tests/soak.sh, which keeps it true. The long one is started by hand: tests/soak.sh --minutes 30."""
import os
import random
import re
import subprocess
import unittest

from rig import BUILD, SOURCE, bridge_binary
from rig.basics import slow_build

SECONDS = float(os.environ.get("DTBRIDGE_SOAK_SECONDS", "20"))


class Soak(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def soak(self, *argv):
        return subprocess.run([SOURCE / "tests/soak.sh", *argv], capture_output=True, text=True, timeout=600 * slow_build(),
                              env={**os.environ, "DTBRIDGE_BUILD": str(BUILD)})

    def test_short(self):
        seed = int(os.environ.get("DTBRIDGE_SOAK_SEED", random.randrange(1 << 30)))
        print(f"\nsoak: seed {seed} (DTBRIDGE_SOAK_SEED repeats it)")
        ended = self.soak("--minutes", f"{SECONDS / 60:.3f}", "--seed", str(seed))
        print(ended.stdout)
        self.assertEqual(ended.returncode, 0, ended.stdout[-6000:] + ended.stderr[-3000:])
        rows = re.findall(r"^(cef-tls|json-tcp|leef-tcp|json-relp|cef-pair) +(\d+) +(\d+) +(\d+) +\d+ +(\d+|-) ", ended.stdout, re.M)
        self.assertEqual(len(rows), 5)
        for name, expected, received, missing, too_often in rows:
            self.assertGreater(int(expected), 100, name)
            self.assertGreaterEqual(int(received), int(expected), name)
            self.assertEqual(int(missing), 0, name)
            self.assertEqual(too_often, "-" if "no namespaces of its own" in ended.stdout else "0", name)

    def test_wrong_usage(self):
        self.assertEqual(self.soak("--hours", "1").returncode, 2)


if __name__ == "__main__":
    unittest.main()
