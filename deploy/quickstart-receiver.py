#!/usr/bin/env python3
"""A tiny collector for the quickstart: takes JSON over syslog (TCP) and prints each breach with the bridge's reason.

    quickstart-receiver.py PORT_FILE
"""
import json
import pathlib
import socketserver
import sys
import time


def messages(stream):
    """Syslog messages of one connection: octet counting where a frame starts with a digit, else lines (RFC 6587)."""
    while True:
        first = stream.read(1)
        if not first:
            return
        if first.isdigit():
            digits = first
            while (byte := stream.read(1)).isdigit():
                digits += byte
            yield stream.read(int(digits))
        else:
            yield first + stream.readline().rstrip(b"\n")


def show(message: bytes) -> str:
    text = message.decode("utf-8")
    breach = json.loads(text[text.index("{"):])
    said = breach.get("dtbridge", {})
    if "event" in said:
        return f"the bridge says: {said.get('message', said['event'])}"
    when = time.strftime("%H:%M:%S", time.gmtime((breach.get("creationTime") or breach["time"]) / 1000))
    device = breach.get("device", {})
    name = device.get("hostname") or device.get("ip") or f"did {device.get('did')}"
    return (f"{when} UTC  {said.get('master', '?')}  score {breach.get('score')}  {breach['model']['name'].replace('::', ' / ')}\n"
            f"          device {name}\n"
            f"          forwarded because: {said.get('reason', '?')}\n"
            f"          {breach.get('breachUrl', '')}")


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        for message in messages(self.rfile):
            print(show(message), flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> int:
    with Server(("127.0.0.1", 0), Connection) as server:
        target = pathlib.Path(sys.argv[1])
        draft = target.with_suffix(".draft")
        draft.write_text(str(server.server_address[1]))
        draft.rename(target)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
