"""The programs that are compared: the example `jq` of tidegate-query, and jq itself."""

import json
import os
import re
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
OURS = os.environ.get("TIDEGATE_JQ") or os.path.join(ROOT, "target/debug/examples/jq")
SECONDS = 10


class Failed(Exception):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def run(command, text):
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failed("TIMEOUT") from late
    return done


def text_of(values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def read(line):
    try:
        return json.loads(line)
    except ValueError:
        return f"UNREADABLE {line!r}"


def ours(query, values):
    """The result for each value."""
    done = run([OURS, query], text_of(values))
    if done.returncode != 0:
        stderr = done.stderr.decode(errors="replace").strip()
        raise Failed("DOES NOT COMPILE" if done.returncode == 1 else f"FAILED {stderr}")
    lines = done.stdout.decode().splitlines()
    return ["LIMIT" if line.startswith("error: the query") else read(line) for line in lines]


class References:
    """One or more releases of jq."""

    def __init__(self, binaries):
        self.binaries = binaries

    @classmethod
    def installed(cls, least=(1, 7)):
        """The binaries that JQ names, or the installed one, if they are new enough."""
        named = os.environ.get("JQ", "").split() or [path for path in [shutil.which("jq")] if path]
        recent = [path for path in named if version(path) >= least]
        return cls(recent) if recent else None

    def all(self, query, values):
        outputs = []
        for binary in self.binaries:
            try:
                done = run([binary, "-c", query], text_of(values))
            except Failed as failed:
                outputs.append(failed.reason)
                continue
            if done.returncode in (2, 3):
                outputs.append("DOES NOT COMPILE")
                continue
            lines = done.stdout.decode(errors="replace").splitlines()
            outputs.append([read(line) for line in lines])
        return outputs

    def __str__(self):
        return " and ".join(".".join(map(str, version(path))) for path in self.binaries)


def version(binary):
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", shown)
    return tuple(int(part) for part in found.groups() if part) if found else (0,)
