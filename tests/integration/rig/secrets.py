"""Looks for secrets in what a program wrote, however they are spelt."""
import base64
import json
import mmap
import urllib.parse


def spellings(secret):
    raw = secret.encode()
    # As it stands, in hex, in an URL, in JSON, and in base64 at each of the three offsets.
    out = {raw, raw.hex().encode(), urllib.parse.quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        out.add(text[[0, 2, 3][offset]:len(text) - 4 - (4 if offset else 0)])
    return {s for s in out if len(s) >= 8}


def files_with(secrets, files):
    """Which of these files hold one of these secrets."""
    wanted = {s for secret in secrets for s in spellings(secret)}

    def holds(path):
        try:
            with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as text:
                return any(text.find(s) >= 0 for s in wanted)
        except (OSError, ValueError):  # a socket, gone by now, empty
            return False
    return [path for path in files if path.is_file() and holds(path)]
