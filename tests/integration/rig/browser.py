"""Headless Chromium, driven through its DevTools protocol over a pipe (NUL-terminated JSON on descriptors 3 and 4)."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import unittest

from .basics import slow_build
from .process import _in_child

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def axe_source():
    """The text of axe-core, or None: DTBRIDGE_AXE names axe.min.js, else where `npm install -g axe-core` puts it."""
    for path in (os.environ.get("DTBRIDGE_AXE"), "/usr/lib/node_modules/axe-core/axe.min.js",
                 "/usr/local/lib/node_modules/axe-core/axe.min.js", "/usr/share/nodejs/axe-core/axe.min.js"):
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                return f.read()
    return None


class Browser:
    """b = Browser(); b.open(url); b.run("document.title"); b.screenshot(path); b.close()"""

    def __init__(self):
        if not CHROMIUM:
            raise unittest.SkipTest("chromium is not installed")
        self.folder = tempfile.mkdtemp(prefix="dtbridge-chromium-")
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()

        def wire():
            _in_child()
            a, b = os.dup(theirs_in), os.dup(theirs_out)  # neither may be 3 or 4 while these are set
            a, b = os.dup(a), os.dup(b)
            os.dup2(a, 3)
            os.dup2(b, 4)
        self.popen = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             "--ignore-certificate-errors", f"--user-data-dir={self.folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=wire, close_fds=False,
            start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Security"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 90 * slow_build()
        while True:
            answer = self._read(end, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _read(self, end, what):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, end - time.monotonic()))
            piece = os.read(self._from, 1 << 20) if ready else b""
            if not piece:
                raise AssertionError(f"chromium does not answer {what}")
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(text)

    def run(self, script):
        """The value of a JavaScript expression (a promise is waited for)."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise AssertionError(f"{script[:200]}: {json.dumps(done['exceptionDetails'])[:1000]}")
        return done["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)

    def wait(self, script, deadline=60.0, what=None):
        """Until the expression is true; answers its value."""
        end = time.monotonic() + deadline * slow_build()
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {deadline:.0f} s on the page: {what or script}\n"
                                     + str(self.run("document.body.innerText"))[:3000])
            time.sleep(0.2)

    def look_like(self, width=1280, height=900, dark=False, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def key(self, name, code=None, text=None):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        for kind in ("keyDown", "keyUp"):
            more = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes.get(name, 0), **more)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def problems(self):
        """What the console, the log and the network complained of so far."""
        self.run("1")
        out = []
        for e in self.events:
            p = e.get("params", {})
            if e.get("method") == "Runtime.exceptionThrown":
                out.append(json.dumps(p["exceptionDetails"])[:500])
            if e.get("method") == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
                out.append(p["entry"]["text"])
            if e.get("method") == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
                out.append(json.dumps(p["args"])[:500])
        return out

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def close(self):
        try:
            os.killpg(self.popen.pid, 9)
        except ProcessLookupError:
            pass
        self.popen.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self.folder, ignore_errors=True)
