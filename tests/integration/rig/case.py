"""The base of the black-box tests."""
import os
import sys
import unittest

from .basics import Folder


class RigTest(unittest.TestCase):
    """self.folder is a temporary folder; what is given to self.own(x) is stopped or closed at the end. When a test fails the
    ends of all logs are printed; with DTBRIDGE_KEEP=1 the folder is kept."""

    maxDiff = 4000

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self._finish)

    def own(self, thing):
        ends = [getattr(thing, name) for name in ("close", "stop") if hasattr(thing, name)]
        process = getattr(thing, "process", None)

        def end():
            if hasattr(thing, "start") and getattr(thing, "process", None) is None:
                return
            (ends[0] if ends else process.stop)()
        self.addCleanup(end)
        return thing

    def _failed(self):
        # While a cleanup runs, the outcome's own flag speaks of the cleanup only.
        result = getattr(getattr(self, "_outcome", None), "result", None)
        problems = getattr(result, "failures", []) + getattr(result, "errors", [])
        return any(getattr(test, "test_case", test) is self for test, _ in problems)

    def _finish(self):
        if self._failed():
            print(f"\n--- logs of {self.id()} ---", file=sys.stderr)
            for path in sorted(self.folder.path.rglob("*")):
                if path.suffix in (".err", ".out") and path.is_file() and path.stat().st_size and path.parent.name != "out":
                    text = path.read_text(errors="replace")
                    print(f"--- {path.relative_to(self.folder.path)} (end)\n{text[-2500:]}", file=sys.stderr)
            if os.environ.get("DTBRIDGE_KEEP"):
                self.folder.keep = True
                print(f"--- kept: {self.folder.path}", file=sys.stderr)
        self.folder.close()
