#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/TARGET/ anew from what fuzzing found: keep.py [--targets breach,http] [FOLDER]

FOLDER has one folder for each target, as a long run leaves them (its corpus folders; only read). To them come the seeds of
seeds.py and what is in tests/fuzz/corpus already, so without FOLDER the corpus is only tidied, as after a change of a target.

Kept is what covers most for its size: libFuzzer says which features each input reaches; then, one after the other, the input
that adds most to the seeds and to those before, for its share of the bounds, until nothing adds any or a bound (150 files,
100 KiB) is reached. What the seeds cover is not kept again (run.sh starts with both), nor is an input of over 4 KiB. The same
inputs and the same build give the same files (but for a few of http, whose timers are not the same twice), named by their SHA-1
as libFuzzer does.

Files named regression-* are the findings of runs, put there by hand when they were fixed. They are kept as they are and count
towards the bounds. Nothing from a real appliance or network may get in: the seeds are data of our own, and FOLDER must stem
from runs that began with nothing else.
"""
import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE.parents[1] / "build" / "fuzz"
MAX_FILES, MAX_BYTES, MAX_FILE = 150, 100 * 1024, 4096


def inputs_of(folders):
    """The distinct inputs of some folders by their SHA-1, smallest first."""
    found = {}
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            data = path.read_bytes()
            found[hashlib.sha1(data).hexdigest()] = data  # a name, not a signature
    return sorted(found.items(), key=lambda item: (len(item[1]), item[0]))


def features_of(program: pathlib.Path, given: pathlib.Path, new: pathlib.Path):
    """By file, which features (edges and how often they were passed) an input reaches."""
    with tempfile.TemporaryDirectory() as work:
        control = pathlib.Path(work, "control")
        # This kind of merge notes all features of an input, -merge=1 only those that no input before it had.
        done = subprocess.run([program, "-set_cover_merge=1", f"-merge_control_file={control}", "-timeout=60", "-rss_limit_mb=2048",
                               f"-artifact_prefix={work}/", given, new], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{program.name} -set_cover_merge=1 failed:\n{done.stderr[-4000:]}")
        lines = control.read_text().splitlines()
    names = lines[2 : 2 + int(lines[0])]
    found = {pathlib.Path(name): frozenset() for name in names}
    for line in lines[2 + len(names) :]:
        kind, *numbers = line.split()
        if kind == "FT":
            found[pathlib.Path(names[int(numbers[0])])] = frozenset(numbers[1:])
    return found


def choose(inputs, features, covered, files: int, size: int):
    """The names of the inputs that are worth their room, best first; files and size: of what is kept anyway."""
    left, news = dict(inputs), {name: features[name] - covered for name, _ in inputs}
    while left and files < MAX_FILES:
        best, most = "", 0.0
        for name, data in list(left.items()):
            adds = len(news[name])
            if adds == 0 or size + len(data) > MAX_BYTES:
                del left[name]  # neither changes any more
                continue
            worth = adds / (1 / MAX_FILES + len(data) / MAX_BYTES)
            if worth > most:
                best, most = name, worth
        if not best:
            return
        added = news[best]
        news = {name: found - added for name, found in news.items() if name in left}
        files, size = files + 1, size + len(left[best])
        yield best, left.pop(best)


def keep(target: str, folder, seeds: pathlib.Path) -> None:
    corpus = HERE / "corpus" / target
    regressions = sorted(corpus.glob("regression-*"))
    inputs = inputs_of([corpus] + ([folder / target] if folder else []))
    with tempfile.TemporaryDirectory() as work:
        given, new = pathlib.Path(work, "given"), pathlib.Path(work, "new")
        given.mkdir()
        new.mkdir()
        for number, path in enumerate([*sorted((seeds / target).iterdir()), *regressions]):
            shutil.copy(path, given / str(number))
        known = {name for name, _ in inputs_of([given])}
        inputs = [(name, data) for name, data in inputs if len(data) <= MAX_FILE and name not in known]
        for name, data in inputs:
            (new / name).write_bytes(data)
        reached = features_of(PROGRAMS / f"fuzz-{target}", given, new)
    covered = frozenset().union(*(found for path, found in reached.items() if path.parent == given))
    features = {path.name: found for path, found in reached.items() if path.parent == new}
    everything = covered.union(*features.values())
    size = sum(path.stat().st_size for path in regressions)
    kept = dict(choose(inputs, features, covered, len(regressions), size))
    corpus.mkdir(parents=True, exist_ok=True)
    for path in corpus.iterdir():
        if path not in regressions and path.name not in kept:
            path.unlink()
    for name, data in kept.items():
        (corpus / name).write_bytes(data)
    size += sum(map(len, kept.values()))
    more = len(covered.union(*(features[name] for name in kept))) - len(covered)
    print(f"{target}: {len(kept) + len(regressions)} files, {size} bytes; features: {len(covered)} by the seeds, {more} more by these, "
          f"of {len(everything) - len(covered)} that there were")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--targets", help="comma-separated; all that are built otherwise")
    options.add_argument("folder", nargs="?", type=pathlib.Path)
    given = options.parse_args()
    targets = given.targets.split(",") if given.targets else sorted(p.name.removeprefix("fuzz-") for p in PROGRAMS.glob("fuzz-*") if p.is_file())
    with tempfile.TemporaryDirectory() as seeds:
        subprocess.run([sys.executable, HERE / "seeds.py", seeds], check=True)
        for target in targets:
            keep(target, given.folder, pathlib.Path(seeds))


if __name__ == "__main__":
    main()
