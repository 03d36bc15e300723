#!/usr/bin/env python3
"""Writes the seeds of every fuzz target into a folder, from the data of the tests and the shipped files: seeds.py FOLDER"""
import gzip
import json
import pathlib
import re
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


def of_a_day(files):
    """Every breach of tests/data/breaches as one element, and one of each file as it stands there."""
    for name, text in files.items():
        whole = json.loads("[" + ",".join(text.splitlines()) + "]" if name.endswith(".ndjson") else text)
        for breach in whole if isinstance(whole, list) else [whole]:
            yield json.dumps(breach, ensure_ascii=False, separators=(",", ":"))
    yield files["single.json"]


def tricky():
    """Breaches whose every string holds what some format has to touch, one kind of it each."""
    for text in ("a\\r\\nb\\rc\\nd", "a\x85b\u2028c\u2029d", " a\\u0000b\\tc\x7fd\x9fe ", "a^b|c=d key=e", 'a\\\\b\\\\n\\"\\\\', "a\\ud800b\\udc00c",
                 "\u00e4\u20ac\U0001f600\u202e", "\u20ac" * 400, "  ", "saas::A:b^c=d", "^#~;!@$%& w=1 x.y-z=2 =3|"):
        model = (f'{{"name":"{text}::{text}","pid":"{text}","uuid":"{text}","category":"{text}","tags":["{text}","{text}"],"priority":3,"description":"{text}",'
                 f'"mitre":{{"techniques":["{text}"]}}}}')
        yield (f'{{"pbid":77,"time":1704100000000,"score":0.87,"breachUrl":"https://{text}","model":{{"then":{model},"now":{{}}}},"device":{{"did":1,"ip":"192.0.2.1",'
               f'"ip6":"2001:db8::1","macaddress":"00:00:5e:00:53:01","hostname":"{text}"}},"triggeredComponents":[{{"ip":"198.51.100.4/32","port":443,'
               f'"metric":{{"label":"{text}"}},"device":{{"did":1}},"triggeredFilters":[{{"filterType":"Connection hostname","trigger":{{"value":"{text}"}}}}]}}]}}')
    yield b'{"pbid":78,"model":{"name":"\xff\xc3(\xe2\x82\xf0\x9f\x98\xed\xa0\x80","uuid":"\xc0\xaf"},"device":{"hostname":"\xe2\x80\xa8\xf4\x90\x80\x80"}}'


def chosen(elements):
    """Elements with what chooses options and decision behind them (chosen_by in tests/fuzz/fuzz_breach.cpp), each bit and value once. The last element has
    every delimiter of LEEF in its strings."""
    flags = [bytes([1 << bit]) for bit in range(8)] + [b"\xff"]
    delimiters = [bytes([mask, n]) for n in range(10) for mask in (0, 8)]
    said = [bytes([1, 0, n, n]) for n in range(16)]
    for number, choices in enumerate([*flags, *said]):
        yield elements[number * 7 % len(elements)].encode("utf-8", "surrogatepass") + choices
    for choices in delimiters:
        yield elements[-1].encode() + choices


def field_maps():
    """Maps with a field of every type and every kind of source, as the shipped ones have few of either."""
    anything = ("@label.tenant", "@label.site", "@label.mac", "@label.number", "/device/vlan", "/device/macaddress", "/model/priority", "/model/tags", "/breachUrl",
                "/time", "/model/name")
    kinds = ("string", "number", "integer", "time", "ip", "mac")
    typed = ("@device.ip", "@device.ipv6", "@peer.ip", "@created", "@score", "@severity", "@acknowledged", "@tags.now")
    fields = [f'{{ key = "k{n}", from = "{source}", type = "{kind}" }}' for n, (source, kind) in enumerate((s, k) for s in anything for k in kinds)]
    fields += [f'{{ key = "t{n}", from = "{source}" }}' for n, source in enumerate(typed)]
    known = [f'{{ key = "{key}", from = "{source}", default = "{default}" }}' for key, source, default in (
        ("src", "@label.site", "192.0.2.1"), ("dst", "@peer.ip", "::ffff:192.0.2.7"), ("smac", "@label.mac", "00:00:5e:00:53:01"), ("dvc", "@device.ipv6", "192.0.2.9"))]
    labelled = ['{ key = "c6a3", label = "Destination IPv6 Address", from = "@peer.ip" }', '{ key = "cn1", label = "n^|=1", from = "@label.number" }',
                '{ key = "cfp1", label = "f", from = "@score" }', '{ key = "cs1", label = "s", from = "@reason" }']
    leef = ['{ key = "sev", from = "@label.number", default = "11" }', '{ key = "devTime", from = "@time" }', '{ key = "srcPort", from = "@peer.port" }']
    cat = ['{ key = "cat", value = "ModelBreach" }']
    for entries in (fields, known, known + labelled, cat + leef + fields, cat + known[:2] + leef):
        yield "fields = [\n" + ",\n".join(['{ key = "externalId", from = "@pbid" }', *entries]) + "\n]\n"


def config(example: str):
    """The example with its blanks filled in, by files of tests/fuzz/fuzz_config.cpp, and what people get wrong."""
    filled = re.sub(r'^(url|address|name) = ""', lambda m: f'{m[1]} = "{"https://d.example" if m[1] == "url" else "siem"}"', example, flags=re.M)
    filled = re.sub(r'^public_token = ""', 'public_token = "0123456789abcdef"', filled, flags=re.M)
    for name in ("planted.token", "planted.lines", "planted.blanks", "none", "/dev/null"):
        yield re.sub(r'^private_token_file = ""', f'private_token_file = "{name}"', filled, flags=re.M)
    short = "\n".join(line for line in filled.splitlines() if line[:1] not in ("", "#"))
    yield short.replace('private_token_file = ""', 'private_token_file = "planted.token"') + """
transport = "tls"
tls = { ca_file = "planted.pem", cert_file = "planted.pem", key_file = "planted.key" }
rules = "planted.toml"
fields = "planted.toml"
format = "cef"

[[api_token]]
name = "t"
file = "planted.token"
masters = ["*"]
"""


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    data = ROOT / "tests" / "data"
    edge = (data / "api_edge_cases_derived.json").read_text()
    hostile = (data / "api_edge_cases_hostile.json").read_text()
    errors = json.loads((data / "api_error_responses.json").read_text())
    elements = [line.strip().rstrip(",") for text in (edge, hostile) for line in text.splitlines() if line.strip()[:1] == "{"]
    day = {p.name: p.read_text() for p in sorted((data / "breaches").iterdir()) if p.suffix != ".md"}
    breaches = [*elements, *of_a_day(day)]
    write(target / "breach", [*breaches, *tricky(), *chosen([e for e in (*breaches, *tricky()) if isinstance(e, str)])])
    # One object, an array over many lines, one element per line; the morning is as the noon and over 65,536 bytes.
    noon = day["noon.ndjson"].splitlines(keepends=True)
    write(target / "answer", [edge[:20_000], hostile, *(e["body"] for e in errors), day["single.json"], day["afternoon.json"], "".join(noon[:2])])
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
    write(target / "rules", [p.read_text() for p in sorted((ROOT / "mappings").glob("*.toml"))] + [
        "model,min_score,action,note\nA,0.5,,\n", '[forward]\nnever_tags = ["*"]\n', '[forward]\nalways_tags = ["x*"]\n', '[forward]\ncategories = ["Critical"]\n', "[forward]\nmin_priority = 3\n",
        '[devices]\n"host:h*" = 0.2\n[models]\n"A*" = "never"\n', '[devices]\n"label:site=plant-*" = "never"\n"label:odd=*" = 0.2\n"label:tenant=acme" = "always"\n',
        '[[throttle]]\nby = ["model", "device"]\nlimit = 2\nper = "1h"\n[[throttle]]\nby = ["master"]\nlimit = 5\nper = "90s"\nsummary = false\n',
        '[models]\n"A*" = "always"\n[[throttle]]\nby = ["category"]\nlimit = 1\nper = "7d"\n'])
    write(target / "fields", [*(p.read_text() for p in sorted((ROOT / "mappings" / "fields").glob("*.toml"))), *field_maps()])
    write(target / "inventory", ["\ufeffowner;IP;Business Unit\r\nann;10.1.2.3;\"Sales; EMEA\"\r\nbob;2001:DB8::1;\r\n", "mac,owner\n00-00-5e-00-53-01,\"a \"\"b\"\"\nc\"\nzz,x\n",
                                 "hostname,site\nPC-1.Example,plant-7\npc-1.example,other\n,z\n", "ip,owner\n10.0.0.1,ann,x\n10.0.0.2,\"" + "\u20ac" * 400 + '"\n',
                                 "ip,own er,own er\n", 'ip,owner\n10.0.0.1,"ann\n'])
    write(target / "listener", ["master=acme&limit=10000&model=Compliance+%2f%20*&since=-24h&rules=stage-2&format=leef&envelope=json&wait=60s&", "master=acme&after=MSA3NyBhY21l",
                                "MSA3NyBhY21l", "MSA5MjIzMzcyMDM2ODU0Nzc1ODA3IGFjbWU", "master=a&since=2026-01-31T00:00:00Z&wait=5&format=cef", "master=a&master=b&model=%zz", "a=1&b&c&d=%ff"])
    write(target / "relp", relp())
    write(target / "proxy", ["HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nearly", "HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
                             "HTTP/1.1 502\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + "x" * 20_000, "220 mail.test ESMTP\r\n\r\n"])
    examples = [p.read_text() for p in sorted((ROOT / "deploy").glob("*.toml"))]
    write(target / "config", [*examples, *config(examples[0])])


if __name__ == "__main__":
    main()
