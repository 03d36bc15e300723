"""Clients of the network face: plain HTTP with headers, curl, and the control socket."""
import http.client
import json
import socket
import ssl
import subprocess


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]


def get(bridge, path, token=None, method="GET", host="127.0.0.1", ca=None, headers=None, timeout=90):
    """One request; over TLS where ca is given (its name is not checked: the address may be any of this host)."""
    if ca:
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = False
        c = http.client.HTTPSConnection(host, bridge.port, timeout=timeout, context=context)
    else:
        c = http.client.HTTPConnection(host, bridge.port, timeout=timeout)
    try:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = "Bearer " + token
        c.request(method, path, headers=sent)
        r = c.getresponse()
        return Reply(r.status, r.headers, r.read())
    finally:
        c.close()


def control(bridge, command):
    """What the control socket answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(str(bridge.folder / "state" / "control.sock"))
        s.sendall(json.dumps({"command": command}).encode() + b"\n")
        text = b""
        while not text.endswith(b"\n"):
            piece = s.recv(65536)
            if not piece:
                break
            text += piece
    return json.loads(text)


def shell(script, env, folder):
    return subprocess.run(["bash", "-u", "-c", script], cwd=folder, capture_output=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", **{k: str(v) for k, v in env.items()}})
