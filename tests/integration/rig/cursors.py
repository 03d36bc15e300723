"""How far each destination is in each master's archive, read from the bridge's own files or from its database: what a break or a
kill may repeat.

The rule (product.md 1): a breach comes once, and once more for each break at which it was archived and the cursor had not passed it."""
import contextlib
import pathlib
import shutil
import sqlite3
import tempfile


def ask(file, question):
    """question(connection) about an archive that a bridge may have open or has been killed over; it is not written to."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as db:
            return question(db)
    except sqlite3.OperationalError:
        # On a full disk the WAL's index cannot be made again beside it.
        with tempfile.TemporaryDirectory(prefix="dtbridge-cursors-") as folder:
            for end in ("", "-wal"):
                if pathlib.Path(f"{file}{end}").exists():
                    shutil.copy(f"{file}{end}", f"{folder}/archive.db{end}")
            with contextlib.closing(sqlite3.connect(f"{folder}/archive.db")) as db:
                return question(db)


def archives(state_dir, only="*"):
    return {file.parent.name: file for file in sorted(pathlib.Path(state_dir).glob(f"masters/{only}/archive.db"))}


def standing(state_dir):
    """{master: (last seq, {destination: its cursor})}; an archive without tables yet is left out."""
    def question(db):
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'cursor'").fetchone():
            return None
        # One statement, so that it is one moment.
        rows = db.execute("SELECT last_seq, name, seq FROM state LEFT JOIN cursor").fetchall()
        return rows[0][0], {name: seq for _, name, seq in rows if name is not None}
    found = {master: ask(file, question) for master, file in archives(state_dir).items()}
    return {master: at for master, at in found.items() if at}


def sequences(state_dir, only="*"):
    """{(master, pbid, created): seq} of all that was ever archived, of one master or of all."""
    return {(master, pbid, created): seq for master, file in archives(state_dir, only).items()
            for pbid, created, seq in ask(file, lambda db: db.execute("SELECT pbid, created, seq FROM seen").fetchall())}


class Files:
    """The archives of a bridge that keeps them in state_dir."""

    def __init__(self, bridge):
        self.folder = bridge.service["state_dir"]

    def standing(self):
        return standing(self.folder)

    def sequences(self):
        return sequences(self.folder)


class Tables:
    """The archives in a database: postgres() is the server that has them just now."""

    def __init__(self, postgres):
        self.postgres = postgres

    def standing(self):
        rows = self.postgres().sql("archive", "SELECT m.name, m.last_seq, c.name, c.seq FROM dtbridge.master m "
                                   "LEFT JOIN dtbridge.cursor c ON c.master = m.id")
        found = {}
        for master, last, name, seq in (row.split("|") for row in rows):
            at = found.setdefault(master, (int(last), {}))[1]
            if name:
                at[name] = int(seq)
        return found

    def sequences(self):
        rows = self.postgres().sql("archive", "SELECT m.name, s.pbid, s.created, s.seq FROM dtbridge.seen s "
                                   "JOIN dtbridge.master m ON m.id = s.master")
        return {(master, int(pbid), int(created)): int(seq) for master, pbid, created, seq in (row.split("|") for row in rows)}


class Breaks:
    """breaks = Breaks(Files(bridge)); breaks.killed() after each kill, breaks.now() before each break of the connections; at the end
    breaks.too_often("destination", {(master, pbid): how often it came}) answers {} when the rule was kept. masters: it broke for
    these alone."""

    def __init__(self, archives):
        self.archives = archives
        self.at = []  # (standing before it, standing behind it or None: that of the next one)

    def _standing(self, masters=None):
        return {m: at for m, at in self.archives.standing().items() if masters is None or m in masters}

    def killed(self, masters=None):
        at = self._standing(masters)
        self.at.append((at, at))

    def now(self, masters=None):
        self.at.append((self._standing(masters), None))

    def over(self):
        """What is archived from here on was not in flight at the last break."""
        before = self.at[-1][0]
        self.at[-1] = (before, self._standing(before))

    def too_often(self, destination, counts):
        """{(master, pbid): (how often it came, how often it may, its seq)}"""
        end = self.archives.standing()
        spans = []
        for n, (before, behind) in enumerate(self.at):
            behind = behind or (self.at[n + 1][0] if n + 1 < len(self.at) else end)
            spans.append({m: (before.get(m, (0, {}))[1].get(destination, 0), last) for m, (last, _) in behind.items()})
        seqs = {(master, pbid): seq for (master, pbid, _), seq in self.archives.sequences().items()}
        found = {}
        for (master, pbid), n in counts.items():
            if n == 1:
                continue
            seq = seqs[master, pbid]
            may = 1 + sum(cursor < seq <= last for cursor, last in (s[master] for s in spans if master in s))
            if n > may:
                found[master, pbid] = (n, may, seq)
        return found
