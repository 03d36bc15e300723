#!/usr/bin/env python3
"""Keeps files of the present schemas, before a version with them is released: tests/data/keep_schema.py [BUILD]

Writes archive-v<n>.sql and service-v<n>.sql beside this script, of files that unit-archive of BUILD (default build/release) makes; then name
them in tests/unit/archive/released_test.cpp, which opens them with every later version. What is there already is left alone: it is what that
version wrote."""
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def keep(database: pathlib.Path, kind: str) -> None:
    db = sqlite3.connect(database)
    version, application = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id"))
    kept = HERE / f"{kind}-v{version}.sql"
    if kept.exists():
        print(f"{kept.name} is there already")
        return
    lines = list(db.iterdump())
    kept.write_text("\n".join([*lines, f"PRAGMA application_id={application}; PRAGMA user_version={version};"]) + "\n")
    print(f"{kept.name} is made")


def main() -> None:
    build = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "build/release"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([build / "unit-archive", "--run_test=released/make"], check=True, env=os.environ | {"DTBRIDGE_FIXTURE": folder})
        for kind in ("archive", "service"):
            keep(pathlib.Path(folder) / f"{kind}.db", kind)


if __name__ == "__main__":
    main()
