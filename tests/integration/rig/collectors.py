"""Simple collectors: UDP, TCP, TLS and RELP, octet counting or lines, with faults on command."""
import re
import socket
import ssl
import struct
import threading
import time

from .basics import free_port, wait_until


class Collector:
    """Collects messages in .messages (bytes) with their arrival in .times (monotonic).

    kind: "udp", "tcp", "tls", "relp", "relp+tls". Framing is told apart per frame (RFC 6587: a digit starts a counted frame).
    stall(): takes connections and never reads. reset(): RST to all connections. refuse(): nothing listens any more;
    accept() listens again on the same port. Incomplete frames at a connection's end are counted in .cut, never taken.
    close_after = n: closes every connection after n messages. reset_in_message = n: RST to the next n connections in the
    middle of a message. use(..): other certificates for new connections. network: a Network of rig/network.py to listen in.
    name_of: a function that names who connects from an address; .senders has it for each message, stall(sender=name) is for that
    one alone. receive_buffer: bytes that the kernel takes before they are read, so that a stalled sender soon waits.
    """

    def __init__(self, kind="tcp", port=0, pki=None, client_certificate=False, keep_raw=False, host="127.0.0.1", network=None,
                 name_of=None, receive_buffer=0):
        self.kind = kind
        self.host = host
        # Not one that the kernel would give to somebody's outgoing connection while refuse() leaves it alone.
        self.port = port or (0 if network else free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM, host))
        self.messages = []
        self.times = []
        self.senders = []
        self.raw = bytearray()
        self.keep_raw = keep_raw
        self.cut = 0
        self.connections = 0
        self.bad_frames = []
        self._open = {}
        self._lock = threading.Lock()
        self._reading = threading.Event()
        self._reading.set()
        self._listener = None
        self._slow = 0.0
        self._context = None
        self._network = network
        self._name_of = name_of
        self._receive_buffer = receive_buffer
        self._stalled_senders = set()
        self.close_after = 0
        self.reset_in_message = 0
        self.closes = 0  # RELP sessions that ended by "close"
        if kind.endswith("tls"):
            self.use(pki.server, pki.server_key, pki.ca if client_certificate else None)
        self.accept()

    def use(self, certificate, key, client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        self._context = context

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def accept(self):
        if self._listener:
            return
        kind = socket.SOCK_DGRAM if self.kind == "udp" else socket.SOCK_STREAM
        s = self._network.socket(kind) if self._network else socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.kind == "udp":
            try:
                s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE; loopback drops bursts otherwise
            except OSError:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        s.bind((self.host, self.port))
        self.port = s.getsockname()[1]
        if self.kind != "udp":
            if self._receive_buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)  # those that are accepted have it, too
            s.listen(128)
        self._listener = s
        threading.Thread(target=self._datagrams if self.kind == "udp" else self._accept_loop, args=(s,), daemon=True).start()

    def refuse(self, close_connections=True):
        s, self._listener = self._listener, None
        if s:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        if close_connections:
            self.close_connections()

    def close_connections(self):
        """FIN to all."""
        with self._lock:
            for c in list(self._open):
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def reset(self):
        """RST to all connections, by their own threads within 50 ms: closing a descriptor under a reader sends nothing yet."""
        with self._lock:
            for c in self._open:
                self._open[c] = "reset"

    def stall(self, on=True, sender=None):
        if sender:
            (self._stalled_senders.add if on else self._stalled_senders.discard)(sender)
        elif on:
            self._reading.clear()
        else:
            self._reading.set()

    def slow_down(self, seconds_per_read):
        self._slow = seconds_per_read

    def close(self):
        self._reading.set()
        self.refuse()

    def count(self):
        return len(self.messages)

    def wait_for(self, count, deadline=30.0):
        wait_until(lambda: len(self.messages) >= count, deadline,
                   lambda: f"{len(self.messages)} of {count} messages at the {self.kind} collector")

    def open_connections(self):
        with self._lock:
            return len(self._open)

    def texts(self):
        return [m.decode("utf-8") for m in list(self.messages)]

    def _take(self, message, sender=None):
        # Whoever looks meanwhile finds of every message that is there who sent it and when.
        self.times.append(time.monotonic())
        self.senders.append(sender)
        self.messages.append(message)

    def _datagrams(self, s):
        while True:
            try:
                data = s.recv(65535)
            except OSError:
                return
            if not data and self._listener is not s:
                return
            self._take(data)

    def _accept_loop(self, s):
        while True:
            try:
                c, peer = s.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(c, peer), daemon=True).start()

    def _serve(self, plain, peer):
        c = plain
        sender = self._name_of(peer) if self._name_of else None
        try:
            if self._context:
                c.settimeout(30)
                c = self._context.wrap_socket(c, server_side=True)
                c.settimeout(None)
        except (OSError, ssl.SSLError):
            plain.close()
            return
        with self._lock:
            self._open[c] = "open"
        held = bytearray()
        before = 0
        try:
            while True:
                # Short waits, so that stall() and reset() take effect between reads.
                c.settimeout(0.05)
                if self._open[c] == "reset":
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                if not self._reading.is_set() or sender in self._stalled_senders:
                    time.sleep(0.05)
                    continue
                try:
                    # Small pieces, so that what is not taken is left to the kernel, which then resets instead of closing: what a
                    # collector has read and drops by itself, nobody can know of.
                    data = c.recv(1000 if self.reset_in_message or self.close_after else 1 << 16)
                except TimeoutError:
                    continue
                if not data:
                    break
                if self.keep_raw:
                    self.raw += data
                held += data
                got = self._relp_frames(held, c, sender) if self.kind.startswith("relp") else self._frames(held, sender)
                if got is None:
                    break
                before += got
                if self.close_after and before >= self.close_after:
                    held.clear()
                    break
                if self.reset_in_message and before and held:
                    self.reset_in_message -= 1
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                if self._slow:
                    time.sleep(self._slow)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.pop(c, None)
            if held:
                self.cut += 1
            try:
                c.close()
            except OSError:
                pass

    RELP = re.compile(rb"(\d{1,9}) ([A-Za-z]{1,32}) (\d{1,9})(?= |\n)")

    def _relp_frames(self, held, c, sender):
        """Answers whole frames; how many messages there were, None when the session is over."""
        taken = 0
        while held:
            head = self.RELP.match(held)
            if not head:
                if len(held) > 64:
                    self.bad_frames.append(bytes(held[:80]))
                    return None
                break
            size = int(head[3])
            start = head.end() + (1 if size else 0)
            if len(held) < start + size + 1:
                break
            number, command, data = int(head[1]), head[2], bytes(held[start:start + size])
            if held[start + size] != 10:
                self.bad_frames.append(bytes(held[:80]))
                return None
            del held[:start + size + 1]
            answer = b"200 OK"
            if command == b"open":
                answer = b"200 OK\nrelp_version=0\nrelp_software=rig\ncommands=syslog"
            elif command == b"syslog":
                self._take(data, sender)
                taken += 1
            elif command == b"close":
                self.closes += 1
                c.sendall(b"%d rsp 0\n0 serverclose 0\n" % number)
                return None
            c.sendall(b"%d rsp %d %s\n" % (number, len(answer), answer))
            if self.close_after and taken >= self.close_after:
                break
        return taken

    def _frames(self, held, sender):
        """Takes whole frames; how many there were."""
        at, taken = 0, 0
        while at < len(held):
            if self.close_after and taken >= self.close_after:
                break
            if 0x30 <= held[at] <= 0x39:
                blank = held.find(b" ", at, at + 12)
                if blank < 0:
                    if len(held) - at >= 12:
                        self.bad_frames.append(bytes(held[at:at + 80]))
                        at = len(held)
                    break
                size = int(held[at:blank])
                if blank + 1 + size > len(held):
                    break
                self._take(bytes(held[blank + 1:blank + 1 + size]), sender)
                taken += 1
                at = blank + 1 + size
            else:
                end = held.find(b"\n", at)
                if end < 0:
                    break
                if end > at:
                    self._take(bytes(held[at:end]), sender)
                    taken += 1
                at = end + 1
        del held[:at]
        return taken
