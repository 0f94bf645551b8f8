"""A Redis of the benchmark's own: on a free port, in memory only, asked in the plain protocol."""

import pathlib
import socket
import subprocess
import time


class Redis:
    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        self.answers = self.socket.makefile("rb", buffering=1 << 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, *words):
        parts = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(request)
        return self.answer()

    def answer(self):
        line = self.answers.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return self.answers.read(int(rest) + 2)[:-2] if rest != b"-1" else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest

    def cpu_seconds(self):
        """What the server has used since it was started, all threads."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def values(self, key):
        """What landed: the values of a list, or the only field of each entry of a stream, in order."""
        if self.ask("TYPE", key) == b"list":
            for start in range(0, self.ask("LLEN", key), 5000):
                yield from self.ask("LRANGE", key, start, start + 4999)
            return
        start = "-"
        while entries := self.ask("XRANGE", key, start, "+", "COUNT", 5000):
            yield from (fields[1] for _, fields in entries)
            start = "(" + entries[-1][0].decode()
