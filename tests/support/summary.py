#!/usr/bin/env python3
"""Adds up the cases inside every test program of one or more JUnit files of ctest and prints one closing line."""
import re
import sys
import xml.etree.ElementTree as ElementTree


def cases(output: str) -> tuple[int, int, int]:
    """Passed, failed and skipped cases that a test program reported, or (0, 0, 0) where it reported none."""
    total = failed = skipped = 0
    for match in re.finditer(r"^Running (\d+) test cases?\.\.\.", output, re.M):  # Boost.Test
        total += int(match[1])
    for match in re.finditer(r"^Ran (\d+) tests? in ", output, re.M):  # unittest
        total += int(match[1])
    failed += len(set(re.findall(r'error: in "([^"]+)"', output)))
    for match in re.finditer(r"(?:failures|errors)=(\d+)", output):
        failed += int(match[1])
    for match in re.finditer(r"skipped=(\d+)", output):
        skipped += int(match[1])
    return max(total - failed - skipped, 0), failed, skipped


def main() -> int:
    status = int(sys.argv[1])
    passed = failed = skipped = 0
    for path in sys.argv[2:]:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            output = case.findtext("system-out") or ""
            good, bad, left_out = cases(output)
            if case.get("status") == "run":
                if good + bad + left_out == 0:
                    good = 1
                failed += bad
            elif case.get("status") in ("notrun", "disabled"):
                left_out = max(left_out, 1)
                good = 0
            else:
                failed += max(bad, 1)
            passed += good
            skipped += left_out
    if passed + failed == 0 or (status and not failed):
        failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or status else 0


if __name__ == "__main__":
    sys.exit(main())
