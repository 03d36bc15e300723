#!/usr/bin/env python3
"""Writes the seeds of every fuzz target into a folder, from the data of the tests and the shipped files: seeds.py FOLDER"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write(folder: pathlib.Path, texts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"seed-{number:03}").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    data = ROOT / "tests" / "data"
    edge = (data / "api_edge_cases_derived.json").read_text()
    hostile = (data / "api_edge_cases_hostile.json").read_text()
    errors = json.loads((data / "api_error_responses.json").read_text())
    elements = [line.strip().rstrip(",") for text in (edge, hostile) for line in text.splitlines() if line.strip()[:1] == "{"]
    write(target / "breach", elements)
    write(target / "answer", [edge[:20_000], hostile, *(e["body"] for e in errors)])
    write(target / "rules", [p.read_text() for p in sorted((ROOT / "mappings").glob("*.toml"))] + ["model,min_score,action,note\nA,0.5,,\n"])
    write(target / "fields", [p.read_text() for p in sorted((ROOT / "mappings" / "fields").glob("*.toml"))])
    write(target / "config", [p.read_text() for p in sorted((ROOT / "deploy").glob("*.toml"))])


if __name__ == "__main__":
    main()
