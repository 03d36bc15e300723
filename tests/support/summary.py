#!/usr/bin/env python3
"""Adds up the cases inside every test program of JUnit files of ctest, says what was skipped and why, and prints one closing line.

    summary.py [--strict LIST] STATUS XML..

STATUS is what the run has come to so far, 0 or not. With --strict, a skip that LIST (tests/skips.txt) does not name counts as failed."""
import argparse
import ast
import fnmatch
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field

UNSAID = "no reason was said"
# ctest's own words; what is missing may have been a skip.
CUT = re.compile(r"\[This part of the test output was removed since it exceeds the threshold")


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)  # the reason of each


def cases(output: str) -> Tally:
    """What a test program reported of its cases; all zero where it reported none."""
    total = failed = 0
    for match in re.finditer(r"^Running (\d+) test cases?\.\.\.", output, re.M):  # Boost.Test
        total += int(match[1])
    for match in re.finditer(r"^Ran (\d+) tests? in ", output, re.M):  # unittest
        total += int(match[1])
    failed += len(set(re.findall(r'error: in "([^"]+)"', output)))
    # unittest's last word; the same may stand in a log that a test printed.
    verdicts = "".join(re.findall(r"^(?:OK|FAILED) (\(.*\))$", output, re.M))
    failed += sum(map(int, re.findall(r"\b(?:failures|errors|unexpected successes)=(\d+)", verdicts)))
    said = [ast.literal_eval(m[1]) for m in re.finditer(r"""\.\.\. skipped ('.*'|".*")$""", output, re.M)]  # unittest -v
    counted = sum(map(int, re.findall(r"\bskipped=(\d+)", verdicts)))
    said += [UNSAID] * (counted - len(said))
    said += re.findall(r"^skipped: (.*)$", output, re.M)  # ours, of Boost.Test and shell
    return Tally(max(total - failed - len(said), 0), failed, said)


def of_testcase(case: ElementTree.Element) -> Tally:
    """One test of ctest, which is a whole program."""
    output = case.findtext("system-out") or ""
    got = cases(output)
    if case.get("status") == "run":
        if got.passed + got.failed + len(got.skipped) == 0:
            got.passed = 1
    elif case.get("status") in ("notrun", "disabled"):
        got.passed = 0
        got.skipped = got.skipped or [UNSAID]
    else:
        got.failed = max(got.failed, 1)
    if CUT.search(output):
        got.skipped.append("its output was cut, so nobody knows")
    return got


def read_list(path: str) -> list[tuple[str, str]]:
    """The pairs of patterns, test and reason, of a list such as tests/skips.txt."""
    pairs = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, colon, reason = line.partition(": ")
        if not colon or not test.strip() or not reason.strip():
            sys.exit(f"{path}:{number}: TEST: REASON is wanted")
        pairs.append((test.strip(), reason.strip()))
    return pairs


def may_skip(test: str, reason: str, listed: list[tuple[str, str]]) -> bool:
    return any(fnmatch.fnmatchcase(test, t) and fnmatch.fnmatchcase(reason, r) for t, r in listed)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--strict", metavar="LIST")
    parser.add_argument("status", type=int)
    parser.add_argument("files", nargs="*", metavar="XML")
    asked = parser.parse_args()
    listed = read_list(asked.strict) if asked.strict else []
    whole = Tally()
    skips = Counter()
    for path in asked.files:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            one = of_testcase(case)
            whole.passed += one.passed
            whole.failed += one.failed
            name = f"{pathlib.Path(path).stem}/{case.get('name')}"
            skips.update((name, reason) for reason in one.skipped)
    skipped = 0
    for (test, reason), times in sorted(skips.items()):
        unexpected = asked.strict is not None and not may_skip(test, reason, listed)
        print(f"{'skipped, and not to be' if unexpected else 'skipped'}: {times} of {test}: {reason}")
        if unexpected:
            whole.failed += times
        else:
            skipped += times
    if whole.passed + whole.failed == 0 or (asked.status and not whole.failed):
        whole.failed += 1
    print(f"{whole.passed} passed, {whole.failed} failed, {skipped} skipped")
    return 1 if whole.failed or asked.status else 0


if __name__ == "__main__":
    sys.exit(main())
