"""A Kafka cluster (mock brokers of librdkafka, tests/tools/mock_kafka.cpp), read back by kcat."""
import json
import shutil
import subprocess
import unittest

from .basics import BUILD, wait_until
from .process import Process


class Record:
    def __init__(self, fields):
        self.key = fields["key"]
        self.value = fields["payload"]
        self.partition, self.offset = fields["partition"], fields["offset"]
        names = fields.get("headers", [])
        self.headers = dict(zip(names[::2], names[1::2]))


class Kafka:
    """k = Kafka(folder, brokers=3, topics={"breaches": 4}); k.addresses, k.down(1), k.errors(3), k.read("breaches")"""

    def __init__(self, folder, brokers=1, topics=None, name="kafka"):
        if not shutil.which("kcat"):
            raise unittest.SkipTest("kcat is not installed")
        self.count = brokers
        argv = [BUILD / "mock-kafka", brokers, *(f"{topic}:{n}" for topic, n in (topics or {}).items())]
        self.process = Process(name, argv, folder, stdin=subprocess.PIPE)
        self.bootstraps = self.process.wait_for_line("brokers ").removeprefix("brokers ")
        self.addresses = self.bootstraps.split(",")
        self.asked = 0

    def ask(self, word, number):
        self.process.popen.stdin.write(f"{word} {number}\n".encode())
        self.process.popen.stdin.flush()
        self.asked += 1
        answers = wait_until(lambda: (a := self.process.out().splitlines()[1:]) and len(a) >= self.asked and a, 10, f"{word} {number}")
        assert answers[-1] == "ok", f"{word} {number}: {answers[-1]}"

    def down(self, broker=None):
        """One broker, or all."""
        for n in [broker] if broker else range(1, self.count + 1):
            self.ask("down", n)

    def up(self, broker=None):
        for n in [broker] if broker else range(1, self.count + 1):
            self.ask("up", n)

    def errors(self, number):
        self.ask("errors", number)

    def large(self, number):
        self.ask("large", number)

    def read(self, topic):
        """All records, each partition from its beginning, in order."""
        got = subprocess.run(["kcat", "-C", "-b", self.bootstraps, "-t", topic, "-o", "beginning", "-e", "-q", "-J"],
                             capture_output=True, timeout=60)
        if got.returncode:
            raise AssertionError(f"kcat: {got.stderr.decode(errors='replace')[-1000:]}")
        return [Record(json.loads(line)) for line in got.stdout.decode().splitlines()]

    def close(self):
        self.process.popen.stdin.close()
        self.process.stop()
