"""The simulated master as a process, and signed requests to it made here, independently of both programs."""
import email.utils
import gzip
import hashlib
import hmac
import http.client
import json
import ssl
import time
import urllib.parse

from . import policy
from .basics import BUILD, free_port, wait_until
from .process import Process

PUBLIC_TOKEN = "0123456789abcdef0123456789abcdef01234567"
PRIVATE_TOKEN = "76543210fedcba9876543210fedcba9876543210"
ALL = ("/modelbreaches?creationtime=true&deviceattop=true&endtime={end}&includeacknowledged=true"
       "&includesuppressed=true&starttime={start}")


def sign(target, date, public=PUBLIC_TOKEN, private=PRIVATE_TOKEN):
    return hmac.new(private.encode(), f"{target}\n{public}\n{date}".encode(), hashlib.sha1).hexdigest()


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Simulator:
    """sim = Simulator(folder, "acme", generate=100); sim.url, sim.fault("slow", seconds=3), sim.expected()"""

    def __init__(self, folder, name="sim", tls=True, listen=None, public=PUBLIC_TOKEN, private=PRIVATE_TOKEN,
                 tls_folder=None, **options):
        self.name = name
        self.public, self.private = public, private
        listen = listen or f"127.0.0.1:{free_port()}"  # one that can be had again
        argv = [BUILD / "darktrace-simulator", "--listen", listen, "--control", "127.0.0.1:0",
                "--public-token", public, "--private-token", private]
        if tls:
            self.tls_folder = tls_folder or folder / f"{name}-tls"
            argv += ["--tls", self.tls_folder]
        for key, value in options.items():
            flag = "--" + key.replace("_", "-")
            if value is True:
                argv.append(flag)
            elif isinstance(value, (list, tuple)):
                argv += [flag, *value]
            elif value is not None and value is not False:
                argv += [flag, value]
        self.process = Process(name, argv, folder)
        self.url = self.process.wait_for_line("listening on ").removeprefix("listening on ")
        self.control_url = self.process.wait_for_line("control on ").removeprefix("control on ")
        self.port = urllib.parse.urlsplit(self.url).port

    @property
    def ca_file(self):
        return self.tls_folder / "server.pem"

    # control address

    def control(self, method, target, body=None, raw=False):
        c = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(self.control_url).port, timeout=60)
        try:
            c.request(method, target, body if body is None or isinstance(body, (bytes, str)) else json.dumps(body))
            r = c.getresponse()
            text = r.read()
        finally:
            c.close()
        if r.status != 200:
            raise AssertionError(f"{method} {target}: {r.status} {text!r}")
        return text if raw else json.loads(text)

    def fault(self, kind, **settings):
        return self.control("POST", "/fault", {"kind": kind, **settings})

    def state(self, pbids=True):
        return self.control("GET", "/state" if pbids else "/state?pbids=0")

    def expected(self, full=False, **window):
        query = dict(window)
        if full:
            query["full"] = "1"
        return self.control("GET", "/expected?" + urllib.parse.urlencode({k: v for k, v in query.items()}))

    def everything(self):
        """All breaches as the API gives them with device at top, numbers with a point as Decimal."""
        return policy.load(self.control("GET", "/expected?full=1", raw=True))

    def pbids(self):
        return [e["pbid"] for e in self.expected()]

    def add(self, breaches, move_to_now=False):
        body = breaches if isinstance(breaches, (str, bytes)) else json.dumps(breaches)
        return self.control("POST", "/add" + ("?move=now" if move_to_now else ""), body)

    def generate(self, count, seconds=0):
        return self.control("POST", "/generate", {"count": count, "seconds": seconds})

    def rate(self, per_second):
        return self.control("POST", "/rate", {"per_second": per_second})

    def acknowledge(self, pbids, value=True):
        return self.control("POST", "/acknowledge", {"pbids": list(pbids), "value": value})

    def remove(self, pbids, value=True):
        """They are not shown any more; value=False: they are again."""
        return self.control("POST", "/remove", {"pbids": list(pbids), "value": value})

    def exchange_tokens(self, public, private):
        self.control("POST", "/tokens", {"public": public, "private": private})
        self.public, self.private = public, private

    def wait_for_requests(self, more, deadline=20.0, path="/modelbreaches"):
        """Waits until so many more requests for path have come."""
        count = lambda: self.state(False)["requests_by_path"].get(path, 0)  # noqa: E731
        start = count()
        wait_until(lambda: count() >= start + more, deadline, f"{more} more requests at {self.name}")

    # the API, as a client

    def connection(self, timeout=30):
        if self.url.startswith("https"):
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                               context=ssl._create_unverified_context())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def headers(self, target, date=None, **changed):
        date = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) if date is None else date
        return {"DTAPI-Token": self.public, "DTAPI-Date": date,
                "DTAPI-Signature": sign(target, date, self.public, self.private), **changed}

    def get(self, target, date=None, headers=None, zipped=False, connection=None, method="GET", body=None):
        own = connection is None
        c = connection or self.connection()
        try:
            h = self.headers(target, date) if headers is None else headers
            if zipped:
                h["Accept-Encoding"] = "gzip"
            c.request(method, target, body, h)
            r = c.getresponse()
            data = r.read()
            if r.getheader("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            return Answer(r.status, r.headers, data)
        finally:
            if own:
                c.close()

    def all(self, start=0, end=9999999999999, **kwargs):
        return self.get(ALL.format(start=start, end=end), **kwargs)

    def stop(self):
        return self.process.stop()


def parse_http_date(text):
    return email.utils.parsedate_to_datetime(text).timestamp()
