#!/usr/bin/env python3
"""What summary.py makes of reports of ctest."""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import summary  # noqa: E402

BOOST = "Running 12 test cases...\n\n*** No errors detected\n"
BOOST_SKIPS = "skipped: no captured samples in \"/x\"\nRunning 12 test cases...\n\n*** No errors detected\n"
BOOST_FAILS = 'Running 12 test cases...\na.cpp(3): error: in "s/one": check\na.cpp(4): error: in "s/one": check\n'
UNITTEST = "test_a (test_x.A.test_a) ... ok\ntest_b (test_x.A.test_b) ... ok\n\nRan 2 tests in 0.1s\n\nOK\n"
LOG = "2026-11-26T20:18:46.203Z info poll one: the master answers again failures=9 errors=3 skipped=2\n"
UNITTEST_SKIPS = ("test_a (test_x.A.test_a) ... skipped 'needs root'\ntest_b (test_x.A.test_b) ... skipped \"it's not here\"\n"
                  "test_c (test_x.A.test_c) ... ok\n\nRan 3 tests in 0.1s\n\nOK (skipped=2)\n")
UNITTEST_FAILS = "test_a (test_x.A.test_a) ... FAIL\n\nRan 5 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n"
CUT = "begin...\n[This part of the test output was removed since it exceeds the threshold of 1024 bytes.]\n"


class Summary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_on(self, *tests, listed=None, status=0, preset="release"):
        """Of tests (NAME, OUTPUT[, STATUS]): exit status, closing line, the lines before."""
        report = self.folder / f"{preset}.xml"
        report.write_text("<testsuite>" + "".join(
            f'<testcase name="{name}" status="{(*more, "run")[0]}"><system-out>{escape(out)}</system-out></testcase>' for name, out, *more in tests) + "</testsuite>")
        arguments = [str(status), str(report)]
        if listed is not None:
            allowed = self.folder / "skips.txt"
            allowed.write_text(listed)
            arguments = ["--strict", str(allowed), *arguments]
        before, sys.argv = sys.argv, ["summary.py", *arguments]
        try:
            with contextlib.redirect_stdout(io.StringIO()) as said:
                code = summary.main()
        finally:
            sys.argv = before
        *lines, closing = said.getvalue().splitlines()
        return code, closing, lines

    def test_counts_the_cases_within_programs(self):
        self.assertEqual(self.run_on(("unit-a", BOOST), ("integration-x", UNITTEST)), (0, "14 passed, 0 failed, 0 skipped", []))
        self.assertEqual(self.run_on(("unit-a", BOOST_FAILS, "fail")), (1, "11 passed, 1 failed, 0 skipped", []))
        self.assertEqual(self.run_on(("unit-a", LOG + BOOST), ("integration-x", LOG + UNITTEST)), (0, "14 passed, 0 failed, 0 skipped", []))
        self.assertEqual(self.run_on(("check", "fine\n")), (0, "1 passed, 0 failed, 0 skipped", []))
        self.assertEqual(self.run_on(("check", "bad\n", "fail")), (1, "0 passed, 1 failed, 0 skipped", []))

    def test_nothing_is_not_right(self):
        self.assertEqual(self.run_on(), (1, "0 passed, 1 failed, 0 skipped", []))
        self.assertEqual(self.run_on(("unit-a", BOOST), status=1), (1, "12 passed, 1 failed, 0 skipped", []))

    def test_skips_are_named_with_their_reasons(self):
        code, closing, lines = self.run_on(("integration-x", UNITTEST_SKIPS), ("unit-core", BOOST_SKIPS))
        self.assertEqual((code, closing), (0, "12 passed, 0 failed, 3 skipped"))
        self.assertEqual(lines, ["skipped: 1 of release/integration-x: it's not here", "skipped: 1 of release/integration-x: needs root",
                                 'skipped: 1 of release/unit-core: no captured samples in "/x"'])

    def test_a_skip_that_is_not_listed_fails(self):
        tests = (("integration-x", UNITTEST_SKIPS), ("unit-core", BOOST_SKIPS))
        listed = "# why\nrelease/integration-x: needs root\n*/unit-core: no captured samples in *\n"
        code, closing, lines = self.run_on(*tests, listed=listed)
        self.assertEqual((code, closing), (1, "12 passed, 1 failed, 2 skipped"))
        self.assertEqual(lines[0], "skipped, and not to be: 1 of release/integration-x: it's not here")
        self.assertEqual(self.run_on(*tests, listed=listed + "*/integration-*: it's not*\n")[:2], (0, "12 passed, 0 failed, 3 skipped"))
        self.assertEqual(self.run_on(*tests, listed="")[:2], (1, "12 passed, 3 failed, 0 skipped"))

    def test_a_listed_reason_counts_for_its_test_and_preset_alone(self):
        self.assertEqual(self.run_on(("unit-core", BOOST_SKIPS), listed="?san/unit-core: *\n")[0], 1)
        self.assertEqual(self.run_on(("unit-core", BOOST_SKIPS), listed="?san/unit-core: *\n", preset="tsan")[0], 0)
        self.assertEqual(self.run_on(("unit-core", BOOST_SKIPS), listed="*/unit-db: *\n")[0], 1)

    def test_what_is_listed_may_run(self):
        self.assertEqual(self.run_on(("unit-core", BOOST), listed="*/unit-core: no captured samples in *\n"), (0, "12 passed, 0 failed, 0 skipped", []))

    def test_skips_without_a_word_are_not_lost(self):
        self.assertEqual(self.run_on(("integration-x", UNITTEST_FAILS, "fail"))[1], "1 passed, 3 failed, 1 skipped")
        self.assertEqual(self.run_on(("packages", "", "notrun"), listed="")[:2], (1, "0 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.run_on(("integration-x", CUT), listed="")[0], 1)

    def test_the_list_of_this_tree_can_be_read(self):
        self.assertGreater(len(summary.read_list(str(HERE.parent / "skips.txt"))), 3)


if __name__ == "__main__":
    unittest.main()
