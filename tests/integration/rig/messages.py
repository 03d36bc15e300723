"""Reads forwarded messages back: CEF and LEEF by their own rules, JSON after its header. Independent of the bridge."""
import json
import re


def _split_header(text, fields):
    """Fields between unescaped pipes; CEF: \\| and \\\\ are escapes."""
    out, at, field = [], 0, ""
    while len(out) < fields:
        c = text[at]
        if c == "\\":
            field += text[at + 1]
            at += 2
            continue
        if c == "|":
            out.append(field)
            field = ""
        else:
            field += c
        at += 1
    return out, text[at:]


def cef(message):
    """{"header": [..7], extension keys..}; the message may have a syslog header in front."""
    start = re.search(r"CEF:[01]\|", message).start()
    header, extension = _split_header(message[start:], 7)
    pairs = {}
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9_]+)=", extension))
    for n, key in enumerate(keys):
        end = keys[n + 1].start() if n + 1 < len(keys) else len(extension)
        value = extension[key.end():end]
        pairs[key.group(1)] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m.group(1), m.group(1)), value)
    return {"header": header, **pairs}


def leef(message):
    start = message.index("LEEF:2.0|")
    parts = message[start:].split("|", 6)
    delimiter = parts[5]
    if delimiter.startswith(("x", "0x")):
        delimiter = chr(int(delimiter.lstrip("0x"), 16))
    pairs = dict(p.split("=", 1) for p in parts[6].split(delimiter) if "=" in p)
    return {"header": parts[:6], **pairs}


def json_body(message):
    return json.loads(message[message.index("{"):])


def cef_pbid(message):
    # externalId is always the first key (product.md 6).
    return int(re.search(r"\|externalId=(-?\d+)(?: |$)", message).group(1))


def leef_pbid(message):
    return int(leef(message)["externalId"])


def json_pbid(message):
    # Numbers stay as received, a pbid in quotes too.
    return int(json_body(message)["pbid"])
