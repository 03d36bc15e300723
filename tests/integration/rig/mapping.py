"""A second implementation of mapping files (product.md 5), made from the contract alone, for what the tests' policies use:
[forward], [models] by uuid, pid, name and glob, [devices] by did, ip, host, type and label, [[throttle]]. A verdict is True or False."""
import decimal
import ipaddress
import re
import tomllib

ID_KEY = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def name_of(text):
    """Separators alike, case ignored."""
    return re.sub(r"[ \t]*(?:::|/)[ \t]*", "/", text.strip()).lower()


def glob(pattern):
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.S)


def threshold(value):
    if isinstance(value, str):
        value = value.strip()
        return decimal.Decimal(value[:-1].strip()) / 100 if value.endswith("%") else decimal.Decimal(value)
    return decimal.Decimal(value)


def integer(value):
    """A JSON value as an integer, or None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]+", value) else None
    if isinstance(value, (int, decimal.Decimal)) and value == int(value):
        return int(value)
    return None


class Line:
    """("always",), ("never",), (">=", limit), (">", limit) or None where a table only carries other things."""

    def __init__(self, value):
        self.action = None
        if isinstance(value, dict):
            if "action" in value:
                value = value["action"]
            elif "min_score" in value:
                self.action = (">=", threshold(value["min_score"]))
                return
            elif "above_score" in value:
                self.action = (">", threshold(value["above_score"]))
                return
            else:
                return
        if isinstance(value, str) and value.strip().lower() in ("always", "never"):
            self.action = (value.strip().lower(),)
        else:
            self.action = (">=", threshold(value))


class Mapping:
    def __init__(self, text):
        data = tomllib.loads(text, parse_float=decimal.Decimal)
        forward = data.get("forward", {})
        self.limit = None
        for key, relation in (("min_score", ">="), ("above_score", ">")):
            if key in forward:
                self.limit = (relation, threshold(forward[key]))
        self.priority = forward.get("min_priority")
        self.categories = {c.lower() for c in forward.get("categories", [])}
        self.always = [glob(t.lower()) for t in forward.get("always_tags", [])]
        self.never = [glob(t.lower()) for t in forward.get("never_tags", [])]
        self.tags_from = forward.get("tags_from", "then")
        self.acknowledged = forward.get("acknowledged", True)
        self.suppressed = forward.get("suppressed", True)
        self.uuids, self.pids, self.names, self.globs = {}, {}, {}, []
        for order, (key, value) in enumerate(data.get("models", {}).items()):
            self._model(order, key, Line(value))
        self.globs.sort(key=lambda g: (-g[0], g[1]))
        self.devices = [(key.split(":", 1)[0], key.split(":", 1)[1].strip(), Line(value))
                        for key, value in data.get("devices", {}).items()]

    def _model(self, order, key, line):
        key = key.strip()
        if key.lower().startswith("uuid:") or ID_KEY.match(key.lower()):
            self.uuids[key.lower().removeprefix("uuid:").strip()] = line
        elif key.lower().startswith("pid:") or key.isdigit():
            self.pids[int(key.lower().removeprefix("pid:"))] = line
        else:
            if key.lower().startswith("name:"):
                key = key[5:]
            name = name_of(key)
            if "*" in name or "?" in name:
                self.globs.append((sum(c not in "*?" for c in name), order, glob(name), line))
            else:
                self.names[name] = line

    def model_line(self, model):
        uuid = str(model.get("uuid", "")).strip().lower()
        if uuid in self.uuids:
            return self.uuids[uuid]
        pid = integer(model.get("pid"))
        if pid in self.pids:
            return self.pids[pid]
        name = name_of(model.get("name") or "")
        if not name:
            return None
        if name in self.names:
            return self.names[name]
        return next((line for _, _, pattern, line in self.globs if pattern.fullmatch(name)), None)

    def device_line(self, devices, labels):
        for kind in ("did", "ip", "host", "type", "label"):
            found = []
            for order, (of, text, line) in enumerate(self.devices):
                if kind == "label":
                    name, _, value = text.partition("=")
                    fits = of == kind and name in labels and glob(value.lower()).fullmatch(labels[name].lower())
                else:
                    fits = of == kind and any(self._is_device(kind, text, d) for d in devices)
                if fits:
                    rank = {"ip": lambda: ipaddress.ip_network(text).num_addresses,
                            "did": lambda: 0}.get(kind, lambda: -sum(c not in "*?" for c in text))()
                    found.append((rank, order, line))
            if found:
                return min(found, key=lambda f: f[:2])[2]
        return None

    @staticmethod
    def _is_device(kind, text, device):
        if kind == "did":
            return integer(device.get("did")) == int(text)
        if kind == "ip":
            network = ipaddress.ip_network(text)
            addresses = [device.get("ip"), device.get("ip6")] + [i.get("ip") for i in device.get("ips") or []]
            for a in addresses:
                try:
                    if a and ipaddress.ip_address(a) in network:
                        return True
                except (ValueError, TypeError):
                    pass
            return False
        names = [device.get("hostname")] if kind == "host" else [device.get("typename"), device.get("typelabel")]
        return any(n and glob(text.lower()).fullmatch(n.strip().lower()) for n in names)

    def forwards(self, breach, labels={}):
        return self.decide(breach, labels)[0]

    def decide(self, breach, labels={}):
        """(forward, whether by an "always")."""
        then, now = models(breach)
        if not self.acknowledged and (breach.get("acknowledged") is True or
                                      (isinstance(breach.get("acknowledged"), dict) and breach["acknowledged"])):
            return False, False
        if not self.suppressed and breach.get("suppressed") is True:
            return False, False
        device = self.device_line(all_devices(breach), labels)
        model = self.model_line(then)
        for line in (device, model):
            if line and line.action and line.action[0] in ("always", "never"):
                return (line.action[0] == "always",) * 2
        have = tags(then) if self.tags_from == "then" else tags(now) if self.tags_from == "now" else tags(then) | tags(now)
        if any(p.fullmatch(t) for p in self.never for t in have):
            return False, False
        if any(p.fullmatch(t) for p in self.always for t in have):
            return True, True
        return self._by_threshold(breach, then, device, model), False

    def _by_threshold(self, breach, then, device, model):
        score = breach.get("score")
        for line in (device, model):
            if line and line.action:
                return over(score, line.action)
        if self.categories:
            category = "compliance" if then.get("compliance") is True else (then.get("category") or "").lower()
            if not category:
                return True
            if category not in self.categories:
                return False
        priority = integer(then.get("priority"))
        if self.priority is not None and priority is not None and priority < self.priority:
            return False
        return True if self.limit is None else over(score, self.limit)


class Throttles:
    """From the first forwarded of a key, `limit` pass per `per`; a later one starts anew. All must pass; an "always" counts but passes."""

    def __init__(self, text):
        units = {"s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
        self.rules = [(t["by"], t["limit"], int(t["per"][:-1]) * units[t["per"][-1]])
                      for t in tomllib.loads(text).get("throttle", [])]
        self.windows = [{} for _ in self.rules]

    def held_by(self, breach, always, master="acme"):
        """The number of the throttle that holds what the rules forward, or None: then it has passed."""
        created = breach["creationTime"]
        inside = []
        for (by, limit, per), windows in zip(self.rules, self.windows):
            key = tuple(self._factor(f, breach, master) for f in by)
            window = windows.get(key)
            inside.append((windows, key, window if window and created < window[0] + per else None))
        if not always:
            for number, ((_, limit, _), (_, _, window)) in enumerate(zip(self.rules, inside)):
                if window and window[1] >= limit:
                    return number
        for windows, key, window in inside:
            if window:
                window[1] += 1
            else:
                windows[key] = [created, 1]
        return None

    @staticmethod
    def _factor(name, breach, master):
        then = models(breach)[0]
        if name == "master":
            return master
        if name == "model":
            return then["name"]
        if name == "device":  # of its master
            return master, (breach.get("device") or {}).get("did")
        return "Compliance" if then.get("compliance") is True else then.get("category")


def over(score, limit):
    if score is None:
        return True
    score = decimal.Decimal(score)
    return score > limit[1] if limit[0] == ">" else score >= limit[1]


def models(breach):
    """then and now of a breach; one stands for both where only one is given."""
    model = breach.get("model") or {}
    if "then" in model or "now" in model:
        then = model.get("then") or model.get("now")
        return then, model.get("now") or then
    return model, model


def all_devices(breach):
    found = [breach.get("device")] + [c.get("device") for c in breach.get("triggeredComponents") or [] if isinstance(c, dict)]
    return [d for d in found if isinstance(d, dict)]


def tags(model):
    return {t.strip().lower() for t in model.get("tags") or [] if isinstance(t, str) and t.strip()}
