"""The base of the black-box tests."""
import os
import sys
import unittest

from .basics import BUILD, Folder
from .bridge import Bridge
from .secrets import files_with

PEAK_KIB = 64 * 1024  # product.md 10, with ten masters


def print_logs(folder, title):
    """The ends of all logs in it; with DTBRIDGE_KEEP=1 it is kept."""
    print(f"\n--- logs of {title} ---", file=sys.stderr)
    for path in sorted(folder.path.rglob("*")):
        if path.suffix in (".err", ".out") and path.is_file() and path.stat().st_size and path.parent.name not in ("out", "masters"):
            text = path.read_text(errors="replace")
            print(f"--- {path.relative_to(folder.path)} (end)\n{text[-2500:]}", file=sys.stderr)
    if os.environ.get("DTBRIDGE_KEEP"):
        folder.keep = True
        print(f"--- kept: {folder.path}", file=sys.stderr)


def broken_promises(bridges, folder, most_masters=10):
    """Of those of bridges with so many masters the memory is looked at, too."""
    for bridge in bridges:
        if bridge.secrets and (found := files_with(bridge.secrets, bridge.written())):
            yield f"a secret is in {', '.join(str(p.relative_to(folder.path)) for p in found)}"
        # Other builds carry their instruments with them.
        if BUILD.name == "release" and len(bridge.masters) <= most_masters and bridge.peak_kib > PEAK_KIB:
            yield f"{bridge.name} took {bridge.peak_kib} KiB of memory, more than {PEAK_KIB}"


def has_failed(case):
    """Asked by a cleanup of it; the outcome's own flag speaks of the cleanup only then."""
    result = getattr(getattr(case, "_outcome", None), "result", None)
    problems = getattr(result, "failures", []) + getattr(result, "errors", [])
    return any(getattr(test, "test_case", test) is case for test, _ in problems)


class RigTest(unittest.TestCase):
    """self.folder is a temporary folder; what is given to self.own(x) is stopped or closed at the end. When a test fails the
    ends of all logs are printed; with DTBRIDGE_KEEP=1 the folder is kept. Whatever a test is about, in the end no secret of its
    bridges lies in what they wrote, and none of them has taken more memory than it may."""

    maxDiff = 4000

    def setUp(self):
        self.folder = Folder()
        self.bridges = []
        self.addCleanup(self._finish)

    def own(self, thing):
        ends = [getattr(thing, name) for name in ("close", "stop") if hasattr(thing, name)]
        process = getattr(thing, "process", None)
        if isinstance(thing, Bridge):
            self.bridges.append(thing)

        def end():
            if hasattr(thing, "start") and getattr(thing, "process", None) is None:
                return
            (ends[0] if ends else process.stop)()
        self.addCleanup(end)
        return thing

    def _finish(self):
        broken = list(broken_promises(self.bridges, self.folder))
        if has_failed(self) or broken:
            print_logs(self.folder, self.id())
        self.folder.close()
        self.assertEqual(broken, [])
