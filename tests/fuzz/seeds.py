#!/usr/bin/env python3
"""Writes the seeds of every fuzz target into a folder, from the data of the tests and the shipped files: seeds.py FOLDER"""
import gzip
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write(folder: pathlib.Path, texts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"seed-{number:03}").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def relp():
    """What a RELP collector answers; the first byte chooses the session (tests/fuzz/fuzz_relp.cpp)."""
    rsp = lambda number, data="200 OK": f"{number} rsp {len(data)}{' ' if data else ''}{data}\n"  # noqa: E731
    hello = "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog"
    in_order = "".join(rsp(n) for n in range(2, 26)) + rsp(26, "") + "0 serverclose 0\n"
    wrapped = "".join(rsp(n if n <= 999999999 else n - 999999999) for n in range(999999991, 1000000015))
    yield "\x00" + rsp(1, hello)
    yield "\x00" + rsp(1, "500 no")
    yield "\x00" + "0 serverclose 0\n"
    yield "\x01" + in_order
    yield "\x03" + wrapped
    yield "\x01" + "".join(rsp(n) for n in reversed(range(2, 26)))
    yield "\x01" + rsp(2) + rsp(3, "500 disk full")
    yield "\x01" + rsp(2) + rsp(2)
    yield "\x01" + "2 rsp 999999999 x"
    yield "\x01" + "HTTP/1.1 400 Bad Request\r\n\r\n"


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    data = ROOT / "tests" / "data"
    edge = (data / "api_edge_cases_derived.json").read_text()
    hostile = (data / "api_edge_cases_hostile.json").read_text()
    errors = json.loads((data / "api_error_responses.json").read_text())
    elements = [line.strip().rstrip(",") for text in (edge, hostile) for line in text.splitlines() if line.strip()[:1] == "{"]
    write(target / "breach", elements)
    write(target / "answer", [edge[:20_000], hostile, *(e["body"] for e in errors)])
    zipped = [b"ab" + gzip.compress(e.encode(), mtime=0) for e in elements[:4]] + [gzip.compress(b"\0" * 100_000, mtime=0)]
    write(target / "inflate", zipped)
    one = gzip.compress(b'[{"pbid":1}]', mtime=0)
    write(target / "http", [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 5\r\nDate: Mon, 01 Jan 2024 01:00:00 GMT\r\n\r\n",
        b"HTTP/1.1 020 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n[1,2", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"])
    write(target / "rules", [p.read_text() for p in sorted((ROOT / "mappings").glob("*.toml"))] + ["model,min_score,action,note\nA,0.5,,\n"])
    write(target / "fields", [p.read_text() for p in sorted((ROOT / "mappings" / "fields").glob("*.toml"))])
    write(target / "relp", relp())
    write(target / "proxy", ["HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nearly", "HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
                             "HTTP/1.1 502\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + "x" * 20_000, "220 mail.test ESMTP\r\n\r\n"])
    write(target / "config", [p.read_text() for p in sorted((ROOT / "deploy").glob("*.toml"))])


if __name__ == "__main__":
    main()
