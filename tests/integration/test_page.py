"""The status page in headless Chromium: what it shows is what the API says, whatever a breach is called (product.md 9).

With DTBRIDGE_SCREENSHOTS=DIR every state is kept as a picture, at desktop and phone width, light and dark.
"""
import json
import os
import pathlib
import unittest

from rig import Collector, Simulator, wait_until
from rig import web
from rig.browser import Browser, axe_source
from test_web import TOKEN_ALL, WebTest

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script> & "quotes" \u202e'

CARDS = """[...document.querySelectorAll('#%s > li')].map(li => ({
    name: li.querySelector('h3').textContent, state: li.querySelector('.badge').textContent,
    words: li.querySelector('.words').textContent,
    facts: Object.fromEntries([...li.querySelectorAll('dt')].map(dt => [dt.textContent, dt.nextElementSibling.textContent])),
    spark: li.querySelector('.spark polyline')?.getAttribute('points') ?? null,
    caption: li.querySelector('.caption')?.textContent ?? null}))"""
ROWS = """[...document.querySelectorAll('#newest > li')].map(li => ({
    pbid: Number(li.dataset.pbid), href: li.querySelector('a')?.href ?? null, model: li.querySelector('.what').firstChild.textContent,
    sub: li.querySelector('.sub').textContent,
    decisions: [...li.querySelectorAll('.decisions li')].map(d => d.textContent)}))"""


class Page(WebTest):
    def setUp(self):
        super().setUp()
        self.browser = self.own(Browser())

    def picture(self, name):
        folder = os.environ.get("DTBRIDGE_SCREENSHOTS")
        if not folder:
            return
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        for width, height, kind in ((1280, 1200, "desktop"), (390, 1500, "phone")):
            for dark in (False, True):
                self.browser.look_like(width, height, dark, kind == "phone")
                self.browser.run("new Promise(r => setTimeout(r, 300))")
                self.browser.screenshot(f"{folder}/{name}-{kind}-{'dark' if dark else 'light'}.png", whole=False)
        self.browser.look_like()

    def stage(self, **more):
        self.sim = self.own(Simulator(self.folder, "acme", generate=12, fqdn="dt.acme.example"))
        self.collector = self.own(Collector("tcp"))
        b = self.bridge(self.sim, **more)
        b.destination("siem", address=self.collector.address, transport="tcp", format="cef",
                      rules=b.rules("half.toml", "[forward]\nmin_score = 0.5\n"))
        return b

    def open(self, b, scheme="http"):
        self.browser.look_like()
        self.browser.open(f"{scheme}://localhost:{b.port}/")
        self.browser.wait("document.body?.dataset.looked > 0", what="the page's first look")

    def fits(self):
        """Nothing sticks out to the side, at phone width either."""
        for width in (1280, 390, 320):
            self.browser.look_like(width, 800, phone=width < 500)
            self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width, f"at {width} px")
        self.browser.look_like()

    def test_the_page_says_what_the_api_says(self):
        b = self.stage()
        self.start(b)
        self.archived(b, "acme", 12)
        self.open(b)
        self.browser.wait("document.getElementById('state').textContent === 'all well'")
        self.browser.wait("document.querySelectorAll('#newest > li').length === 12")

        def settled():
            api = web.get(b, "/api/v1/status").json()["destinations"][0]
            return api["lag"] == 0 and self.browser.run(CARDS % "destinations")[0]["facts"]["confirmed since start"] == str(api["confirmed"])
        wait_until(settled, 30, "the page follows")
        api = web.get(b, "/api/v1/status").json()
        newest = web.get(b, "/api/v1/newest").json()["breaches"]
        [m], [d] = self.browser.run(CARDS % "masters"), self.browser.run(CARDS % "destinations")
        self.assertEqual((m["name"], m["state"], m["words"]), ("acme", "polling", ""))
        self.assertEqual(m["facts"]["archived since start"], "12")
        self.assertEqual((d["name"], d["state"], d["words"]), ("siem", "connected, idle", ""))
        self.assertEqual(d["facts"]["connected to"], api["destinations"][0]["connected_to"])
        self.assertEqual(d["facts"]["held back by rules"], str(api["destinations"][0]["held_back"]))
        self.assertEqual(d["facts"]["waiting"], "none")
        self.assertEqual(len(d["spark"].split()), 48)
        self.browser.wait(f"document.querySelector('#destinations .caption').textContent.startsWith('{d['facts']['confirmed since start']} confirmed in 24 h')")
        rows = self.browser.run(ROWS)
        self.assertEqual([r["pbid"] for r in rows], [x["pbid"] for x in newest])
        for row, breach in zip(rows, newest):
            self.assertEqual((row["model"], row["href"]), (breach["model"], breach["url"]))
            self.assertIn("score " + breach["score"], row["sub"])
            [decision] = breach["decisions"]
            self.assertEqual(row["decisions"], [("forward" if decision["forward"] else "held back") + "siem: " + decision["reason"]])
        self.assertTrue(any(x["decisions"][0]["forward"] for x in newest) and not all(x["decisions"][0]["forward"] for x in newest))
        # Live: news appears without a reload, the newest first.
        self.browser.run("window.same = true")
        self.sim.generate(1)
        self.browser.wait("document.querySelectorAll('#newest > li').length === 13")
        self.assertTrue(self.browser.run("window.same"))
        self.assertEqual(self.browser.run(ROWS)[0]["pbid"], max(self.sim.pbids()))
        # The filter box.
        one = newest[0]
        self.browser.run("document.getElementById('filter').focus()")
        self.browser.type(f"{one['pbid']} acme")
        self.browser.wait(f"document.querySelectorAll('#newest > li').length === "
                          f"{sum(str(one['pbid']) in ' '.join(map(str, [x['pbid'], x['device'], x['model'], x['decisions']])) for x in newest)}"
                          " || document.querySelectorAll('#newest > li').length < 13")
        self.assertIn(one["pbid"], [r["pbid"] for r in self.browser.run(ROWS)])
        self.browser.type(" nothinglikethat")
        self.browser.wait("document.querySelectorAll('#newest > li').length === 0")
        self.assertEqual(self.browser.run("document.getElementById('newest-empty').textContent"), "None fits the filter.")
        self.browser.run("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))")
        self.picture("all-well")
        self.fits()
        # Everything came from the bridge, and no policy was in its way.
        self.assertEqual([u for u in self.browser.requests() if not u.startswith((f"http://localhost:{b.port}/", "about:"))], [])
        self.assertEqual(self.browser.problems(), [])

    def test_hostile_names_stay_text(self):
        b = self.stage()
        self.start(b)
        self.archived(b, "acme", 12)
        breaches = self.sim.all().json()
        evil = breaches[0]
        evil["pbid"] = 999001
        for model in (evil["model"].get("then"), evil["model"].get("now"), evil["model"]):
            if model and "name" in model:
                model["name"] = HOSTILE
        evil["breachUrl"] = "javascript:alert(1)"
        if "device" in evil:
            evil["device"]["hostname"] = HOSTILE
        self.sim.add([evil], move_to_now=True)
        self.archived(b, "acme", 13)
        self.open(b)
        self.browser.wait("!!document.querySelector('#newest > li[data-pbid=\"999001\"]')")
        row = next(r for r in self.browser.run(ROWS) if r["pbid"] == 999001)
        self.assertEqual(row["model"], next(x for x in web.get(b, "/api/v1/newest").json()["breaches"] if x["pbid"] == 999001)["model"])
        self.assertIn("<img src=x", row["model"])
        self.assertTrue(row["href"] is None or row["href"].startswith("https://"), row["href"])
        self.assertEqual(self.browser.run("document.querySelectorAll('#newest img, #newest script').length"), 0)
        self.assertNotIn("owned", self.browser.run("document.title"))
        self.assertEqual(self.browser.problems(), [])
        self.fits()

    def test_every_state_is_told_apart(self):
        b = self.stage()
        b.destination("second", address=self.collector.address, transport="tcp", format="json")
        self.start(b)
        self.archived(b, "acme", 12)
        self.open(b)
        self.browser.wait("document.getElementById('state').textContent === 'all well'")
        self.sim.fault("signature_error")
        self.browser.wait("document.querySelector('#masters .badge').textContent === 'cannot be polled'")
        said = web.get(b, "/api/v1/status").json()
        self.assertEqual(self.browser.run(CARDS % "masters")[0]["words"], said["masters"][0]["error"])
        self.browser.wait("document.getElementById('state').textContent === 'needs attention'")
        self.assertEqual(self.browser.run("[...document.querySelectorAll('#reason-list li')].map(x => x.textContent)"), said["reasons"])
        self.picture("master-down")
        self.fits()
        self.sim.fault("none")
        self.browser.wait("document.querySelector('#masters .badge').textContent === 'polling'", 90)
        self.collector.refuse()
        self.sim.generate(60)
        self.browser.wait("document.querySelector('#destinations .badge').textContent === 'cannot be reached'")
        self.browser.wait("/^\\d+/.test([...document.querySelectorAll('#destinations dt')].find(x => x.textContent === 'waiting').nextElementSibling.textContent)")
        lag = {d["name"]: d["lag"] for d in web.get(b, "/api/v1/status").json()["destinations"]}
        self.assertEqual(lag, {"siem": 60, "second": 60})
        self.browser.wait("[...document.querySelectorAll('#destinations dt')].filter(x => x.textContent === 'waiting').every(x => x.nextElementSibling.textContent.startsWith('60'))")
        self.picture("collector-down")
        self.fits()
        # The service itself away.
        b.process.stop()
        self.browser.wait("document.getElementById('state').textContent === 'no answer'")
        self.picture("bridge-down")

    def test_policy_lines(self):
        b = self.stage()
        self.start(b)
        self.archived(b, "acme", 12)
        self.open(b)
        self.browser.wait("document.querySelectorAll('#destinations > li').length === 1")
        lines = [{"text": 'model "<b>Compliance</b> / *"', "file": "/etc/x/half.toml", "line": 7, "since_start": 1204, "last_24h": 31, "never_in_a_week": False},
                 {"text": 'always_tags "Enhanced Monitoring"', "file": "/etc/x/half.toml", "line": 3, "since_start": 0, "last_24h": 0, "never_in_a_week": True}]
        # As the status shows them, whether this bridge's does or not.
        shown = self.browser.run(f"lastStatus.destinations[0].policy_lines = {json.dumps(lines)}; show(); "
                                 "[...document.querySelectorAll('.policy li')].map(li => [...li.children].map(x => x.textContent))")
        self.assertEqual(shown, [['model "<b>Compliance</b> / *" (half.toml:7)', "1,204, 24 h: 31"],
                                 ['always_tags "Enhanced Monitoring" (half.toml:3)', "never in a week"]])
        self.assertEqual(self.browser.run("document.querySelector('.policy summary').textContent"), "siem: 2 lines, 1 never in a week")
        self.picture("policy-lines")

    def test_backlog(self):
        self.sim = self.own(Simulator(self.folder, "acme", generate=400))
        slow = self.own(Collector("tcp"))
        b = self.bridge(self.sim)
        b.destination("paced", address=slow.address, transport="tcp", format="json", pace="2/s")
        self.start(b)
        self.archived(b, "acme", 400)
        self.open(b)
        self.browser.wait("['connected', 'catching up'].includes(document.querySelector('#destinations .badge').textContent)")
        shown = self.browser.run(CARDS % "destinations")[0]
        self.assertGreater(int(shown["facts"]["waiting"].split(",")[0]), 100)
        self.assertEqual(self.browser.run("document.getElementById('state').textContent"), "all well")
        self.picture("backlog")

    def test_disk_full(self):
        b = self.stage()
        b.archive["min_free"] = "900000GiB"
        self.start(b)
        self.open(b)
        self.browser.wait("document.getElementById('reason-list').textContent.includes('disk of the archive is full')")
        self.picture("disk-full")
        self.fits()

    def test_a_token_opens_it_where_one_is_needed(self):
        b = self.stage(tokens=True)
        self.start(b)
        self.archived(b, "acme", 12)
        self.open(b)
        self.browser.wait("!document.getElementById('sign-in').hidden")
        self.assertEqual(self.browser.run("document.querySelectorAll('#newest > li').length"), 0)
        self.assertEqual(self.browser.run("document.getElementById('newest-empty').textContent"), "Breaches need a token.")
        self.picture("token")
        self.browser.run("document.getElementById('token').focus()")
        self.browser.type("wrong-token-0123456789")
        self.browser.key("Enter")
        self.browser.wait("document.getElementById('token-error').textContent === 'This token is not taken.'")
        self.browser.run("document.getElementById('token').focus()")
        self.browser.type(TOKEN_ALL)
        self.browser.key("Enter")
        self.browser.wait("document.querySelectorAll('#newest > li').length === 12")
        self.assertTrue(self.browser.run("document.getElementById('sign-in').hidden"))
        self.assertEqual(self.browser.run("JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])"), '[0,0,""]')

    def test_keyboard_and_screen_reader(self):
        b = self.stage()
        self.start(b)
        self.archived(b, "acme", 12)
        self.open(b)
        self.browser.wait("document.querySelectorAll('#newest > li').length === 12")
        reached = []
        for _ in range(6):
            self.browser.key("Tab")
            reached.append(self.browser.run("document.activeElement.className || document.activeElement.id || document.activeElement.tagName"))
        self.assertEqual(reached[:2], ["skip", "filter"])
        self.assertIn("A", reached[2:], "links of the breaches")
        # The focus stays where it is while the page refreshes itself.
        self.browser.run("document.querySelector('#newest a').focus()")
        href = self.browser.run("document.activeElement.href")
        looked = self.browser.run("Number(document.body.dataset.looked)")
        self.browser.wait(f"Number(document.body.dataset.looked) > {looked + 1}")
        self.assertEqual(self.browser.run("document.activeElement.href"), href)
        source = axe_source()
        if source is None:
            self.skipTest("axe-core is not installed: npm install -g axe-core, or DTBRIDGE_AXE=.../axe.min.js")
        self.browser.call("Page.setBypassCSP", enabled=True)
        for dark in (False, True):
            self.browser.look_like(dark=dark)
            self.open(b)
            self.browser.look_like(dark=dark)
            self.browser.wait("document.querySelectorAll('#newest > li').length === 12")
            self.browser.run(source + "; true")
            found = self.browser.run("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
                                     ".then(r => ({passes: r.passes.length, violations: r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 200))])}))")
            self.assertEqual(found["violations"], [], "dark" if dark else "light")
            self.assertGreater(found["passes"], 20)


if __name__ == "__main__":
    unittest.main()
