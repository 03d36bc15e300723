"""A cable between one program and a server's socket that can be cut without either end being told."""
import socket
import threading

from .basics import Folder


class Relay:
    """A socket in a folder of its own, or a port in a network, that leads to `target.socket`. After cut() connections stay and nothing
    passes in either direction; after heal() what was sent meanwhile arrives, as when a network that lost packets is back."""

    def __init__(self, target, network=None):
        self.target = target
        self.folder = Folder("dtbridge-relay-")
        self._whole = threading.Event()
        self._whole.set()
        if network:
            self._listener = network.socket(socket.SOCK_STREAM)
            self._listener.bind((network.address, 0))
            self.address, self.port = self._listener.getsockname()
        else:
            self.port = target.port
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.folder / target.socket.name))
        self._listener.listen(32)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._whole.clear()

    def heal(self):
        self._whole.set()

    def close(self):
        self._whole.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.folder.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near):
        self._whole.wait()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(str(self.target.socket))
        except OSError:
            near.close()
            far.close()
            return
        back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
        back.start()
        self._pass_on(near, far)
        back.join()
        near.close()
        far.close()

    def _pass_on(self, source, sink):
        try:
            while data := source.recv(1 << 16):
                self._whole.wait()
                sink.sendall(data)
        except OSError:
            pass
        self._whole.wait()
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
