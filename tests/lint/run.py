#!/usr/bin/env python3
"""Runs every check of this folder on the tree; prints their findings and exits 1 if there is one."""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main() -> int:
    status = 0
    for check in sorted(HERE.glob("check_*.py")):
        status |= subprocess.run([sys.executable, str(check)], cwd=HERE.parent.parent).returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
