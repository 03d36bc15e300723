"""The table of faults. Each is a generator: what stands before a yield is the fault, the number yielded how long it lasts in
seconds (times `world.length`), what follows mends it."""
import signal
import subprocess

from rig import cursors
from rig.bridge import bridge_binary

from . import machine
from .recovery import COLLECTOR, HOST, MASTER
from .world import World, write_token

FAULTS = []  # (side, name, function, what it needs)
# These are had at least once in each run.
SECOND = "a second bridge on the same state folder"
RESTORED = "restored: the same pbids, created at other times"


def fault(side, name, needs=None):
    def take(function):
        FAULTS.append((side, name, function, needs))
        return function
    return take


def own_space(world, subject):
    return world.private_space


def can_stop(world, subject):
    return world.private_space or not getattr(subject, "pki", None)


def has_clock(world, subject):
    return world.has_clock


# ---- collector


@fault(COLLECTOR, "stopped and started", can_stop)
def stopped(world, c):
    c.stop()
    yield world.chance.uniform(0, 10)
    c.start()


@fault(COLLECTOR, "killed with -9")
def killed(world, c):
    c.kill()
    yield world.chance.uniform(0, 5)
    c.start()


@fault(COLLECTOR, "frozen (SIGSTOP)")
def frozen(world, c):
    c.freeze()
    yield world.chance.uniform(1, 40)
    c.thaw()


@fault(COLLECTOR, "reset, again and again", own_space)
def reset(world, c):
    for _ in range(world.chance.randint(1, 8)):
        machine.cut_connections(c.port)
        yield world.chance.uniform(0, 1.5)


@fault(COLLECTOR, "black hole", own_space)
def black_hole(world, c, seconds=None):
    machine.black_hole(c.port, True)
    try:
        yield seconds or world.chance.uniform(1, 45)
    finally:
        machine.black_hole(c.port, False)


@fault(COLLECTOR, "a certificate of another CA, then its own", lambda world, c: world.private_space and getattr(c, "pki", None))
def stranger(world, c):
    c.stop()
    c.certificate(world.pki.stranger, world.pki.stranger_key)
    c.start()
    yield world.chance.uniform(1, 8)
    c.stop()
    c.certificate(world.pki.server, world.pki.server_key)
    c.start()


# ---- master

ANSWERS = ["signature_error", "date_error", "signature_error_other_key", "login_redirect", "forbidden", "html_login",
           "html_login_old", "not_found", "response_error", "input_error", "empty_body", "truncated", "server_error",
           "bad_gateway", "html_block"]
# What needs a person's hand is asked again after half a minute at first: too long for a short run.
SOON_AGAIN = ["empty_body", "truncated", "server_error", "bad_gateway"]
BEHAVIOUR = [
    {"kind": "rate_limited", "retry_after": 2, "count": 3},
    {"kind": "slow", "seconds": 3},
    {"kind": "slow", "seconds": 8, "count": 3},
    {"kind": "drip", "bytes_per_second": 1, "count": 2},
    {"kind": "drip", "bytes_per_second": 3000},
    {"kind": "cut", "fraction": 0.5},
    {"kind": "cut", "fraction": 0.9, "complete": True},
    {"kind": "reset", "fraction": 0.7},
    {"kind": "hang"},
    {"kind": "hang", "at": "connect", "count": 4},
    {"kind": "close_after", "requests": 1},
    {"kind": "close_after", "requests": 0},
    {"kind": "tls_refused"},
    {"kind": "repeat"},
    {"kind": "unordered"},
    {"kind": "huge", "with": "blanks", "bytes": 80 << 20, "count": 1},
    {"kind": "huge", "with": "elements", "bytes": 80 << 20, "count": 1},
    {"kind": "huge", "with": "string", "bytes": 20 << 20, "count": 2},
    {"kind": "hostile", "elements": ["null", "7", '"text"', '{"pbid":null}', '{"pbid":1e999}', "[[[[]]]]"]},
]


@fault(MASTER, "answers something else (darktrace.md 2.6)")
def answers(world, m):
    answer = world.chance.choice(ANSWERS if world.length == 1 else SOON_AGAIN)
    m.slow = m.slow or answer not in SOON_AGAIN
    m.sim.fault(answer)
    yield world.chance.uniform(0.5, 8)
    m.sim.fault("none")


@fault(MASTER, "misbehaves (slow, cut, reset, hanging, huge, repeated, hostile ...)")
def misbehaves(world, m):
    behaviour = world.chance.choice(BEHAVIOUR)
    m.slow = m.slow or behaviour["kind"] == "tls_refused"
    m.sim.control("POST", "/fault", behaviour)
    yield world.chance.uniform(0.5, 10)
    m.sim.fault("none")


@fault(MASTER, "killed and started again")
def master_killed(world, m):
    m.kill()
    yield world.chance.uniform(0, 10)
    m.start()


@fault(MASTER, "replaced, with a new token")
def new_token(world, m):
    m.kill()
    m.slow = True  # it may be asked with the old token first
    token = f"{world.chance.randrange(1 << 160):040x}"
    write_token(world, m, token)
    m.start()
    yield world.chance.uniform(0, 4)
    world.reload()


# One master is old and ignores creationtime: the bridge then asks it by activity for good, and what is late by days is found
# by the daily sweep only. So it has no late breaches here; and those whose clock is changed neither: a late breach made by a
# clock that is behind is outside of every window but the daily one.

@fault(MASTER, "an old appliance that ignores creationtime", lambda world, m: m.number == 0)
def old(world, m):
    m.sim.fault("ignore_creationtime")
    yield world.chance.uniform(2, 10)
    m.sim.fault("none")


@fault(MASTER, "clock 40 minutes off, and jumping", lambda world, m: m.number in World.WRONG_CLOCKS)
def master_clock(world, m):
    for offset in world.chance.choice(((2400,), (-2400,), (2400, -2400), (-2400, 0, 2400, 600))):
        m.sim.fault("clock", offset=offset)
        yield world.chance.uniform(1, 4)
    m.sim.fault("none")


@fault(MASTER, "late creation, by up to three days", lambda world, m: 5 <= m.number < 9)
def late(world, m):
    m.sim.fault("late", seconds=world.chance.choice((600, 7200, 3 * 86400)), count=world.chance.randint(1, 5),
                hidden=world.chance.choice((0, 3)))
    yield world.chance.uniform(1, 5)


# The same ids with other times are new breaches. What was not polled before is gone with the old appliance, so all of it is; and what
# is late by days would be found by the daily sweep only, so this master has none such.

@fault(MASTER, RESTORED, lambda world, m: m.number == 9)
def replaced(world, m):
    m.sim.rate(0)
    yield 0.1
    for _ in range(150):
        m.note()
        archived = {(pbid, created) for _, pbid, created in cursors.sequences(world.state_dir, m.name)}
        if m.made.keys() <= archived:
            m.sim.fault("replaced", seconds=-world.chance.randint(60, 600))
            m.note()
            world.restored += 1
            break
        yield 0.1
    m.sim.rate(m.rate)


@fault(MASTER, "thousands of breaches at once")
def flood(world, m):
    m.sim.generate(world.chance.randint(500, world.flood), seconds=world.chance.choice((0, 5, 60)))
    yield world.chance.uniform(0, 5)


# ---- host


@fault(HOST, "kill -9")
def bridge_killed(world, _):
    world.kill_bridge()
    yield world.chance.choice((0, 0, world.chance.uniform(0, 5)))
    world.start_bridge()


@fault(HOST, "kill -9, again and again")
def bridge_killed_often(world, _, times=None):
    for _ in range(times or world.chance.randint(3, 10)):
        world.kill_bridge()
        world.start_bridge()
        yield world.chance.uniform(0.02, 1.2)


@fault(HOST, "frozen (SIGSTOP)")
def bridge_frozen(world, _):
    process = world.bridge.process
    process.signal(signal.SIGSTOP)
    yield world.chance.uniform(1, 15)
    process.signal(signal.SIGCONT)


@fault(HOST, "stopped and started")
def bridge_stopped(world, _):
    status = world.stop_bridge()
    if status != 0:
        world.ended_by_itself.append(f"exit status {status} after SIGTERM: {world.bridge.process.err()[-1500:]}")
    yield world.chance.uniform(0, 3)
    world.start_bridge()


@fault(HOST, SECOND)
def second_bridge(world, _):
    first = world.bridge.process
    for _ in range(300):
        if world.bridge.http("/healthz") == 200 or not first.alive():
            break
        yield 0.1
    if first.alive():
        try:
            second = subprocess.run([bridge_binary(), "run", "--config", world.bridge.config], capture_output=True, text=True, timeout=30)
            status, said = second.returncode, second.stderr
        except subprocess.TimeoutExpired:
            status, said = None, ""
        if status != 1 or f"pid {first.pid}," not in said:
            world.wrong.append(f"a second bridge beside {first.pid}: exit status {status}, {said[-500:]}")
    yield 0.5


@fault(HOST, "disk full", own_space)
def disk_full(world, _):
    world.disk.fill()
    yield world.chance.uniform(1, 12)
    world.disk.free()


@fault(HOST, "disk full, killed and started while it is", own_space)
def disk_full_at_start(world, _):
    world.disk.fill()
    yield world.chance.uniform(0.5, 3)
    world.kill_bridge()
    yield 0.2
    # What cannot be opened for want of space may end the service; the service manager starts it again.
    world.may_end = True
    world.start_bridge()
    yield world.chance.uniform(1, 6)
    world.disk.free()
    world.sample()
    world.may_end = False


@fault(HOST, "descriptors used up")
def descriptors(world, _):
    pid = world.bridge.process.pid
    world.lower_descriptors()
    yield world.chance.uniform(1, 10)
    world.raise_descriptors(pid)
    world.reload()  # one that came meanwhile could not read its files, and said so


@fault(HOST, "clock set back and forward", has_clock)
def host_clock(world, _):
    for offset in world.chance.choice(((2400,), (-2400,), (86400, -86400), (-600, 7200, 0))):
        world.clock.set(offset)
        yield world.chance.uniform(2, 5)
    world.clock.set(0)


@fault(HOST, "reload with a broken file")
def broken_file(world, _):
    good = world.bridge.config.read_text()
    for text in (good[:len(good) // 2], "", good + "\n[[master]]\nname = 7\n", good.replace("[service]", "[servise]")):
        world.bridge.config.write_text(text)
        world.reload()
        yield world.chance.uniform(0.05, 1)
    world.bridge.config.write_text(good)
    world.reload()


@fault(HOST, "reload: intervals and a pace change, a destination gets another name and back")
def changes(world, _):
    b = world.bridge
    for entry, _ in b.masters:
        entry["interval"] = world.chance.choice(("150ms", "250ms", "400ms"))
    json_entry = b.destinations[1]
    before = json_entry["name"]
    json_entry["formerly"], json_entry["name"] = before, "json-new" if before == "json" else "json"
    b.destinations[2]["pace"] = world.chance.choice(("", "500/s"))
    b.write()
    world.reload()
    yield world.chance.uniform(0.5, 3)


@fault(HOST, "reload: a master and a destination leave and come back")
def leave(world, _):
    b = world.bridge
    masters, destinations = list(b.masters), list(b.destinations)
    left = world.chance.choice(masters)
    b.masters.remove(left)
    before = cursors.standing(world.state_dir)
    b.destinations.remove(world.chance.choice(destinations))
    b.write()
    world.reload()
    yield world.chance.uniform(0.5, 4)
    b.masters[:], b.destinations[:] = masters, destinations
    b.write()
    world.reload()
    world.sends.master_left(left[0]["name"], before)


@fault(HOST, "reload, twenty times in a second")
def storm(world, _):
    for _ in range(20):
        world.reload()
        yield 0.05
