#!/usr/bin/env python3
"""The table of queries: their values by tidegate-query and by jq, and their speed.

usage: queries.py [--speed] [--events N]

JQ names the jq binaries to compare with, separated by spaces; by default the installed one. A query whose values
differ from those of each of them fails the run. --speed prints MB per CPU second of each program, run in turn.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys

from engines import OURS, References, read

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = "alpha beta gamma delta omega error timeout connection user request server cache".split()


def event(source, number):
    items = [
        {"sku": f"A{source.randrange(99)}", "price": source.randrange(10000) / 100, "qty": source.randrange(9)}
        for _ in range(5)
    ]
    return {
        "id": number,
        "ts": f"2026-07-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:{number * 7 % 60:02}Z",
        "level": source.choice(["info", "warn", "error"]),
        "msg": " ".join(source.choice(WORDS) for _ in range(8)),
        "user": {
            "id": source.randrange(10000),
            "name": source.choice(["Ann", "Bob", "Chloé", "Dmitri"]),
            "tags": [source.choice(WORDS) for _ in range(3)],
            "address": {"city": source.choice(["Seoul", "Oslo"]), "zip": f"{source.randrange(99999):05}"},
        },
        "status": source.choice([200, 200, 200, 404, 500]),
        "ms": source.randrange(200000) / 100,
        "items": items,
        "headers": {"host": "example.org", "accept": "*/*", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)"},
        "path": f"/api/v1/users/{number}/orders",
        "method": "GET",
        "ok": True,
        "ref": None,
    }


def queries():
    for line in open(os.path.join(HERE, "queries.txt"), encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            yield line.rstrip("\n").split("\t")


def run(command, text):
    """The standard output, and the CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def values(output):
    return [read(line) for line in output.decode().splitlines() if not line.startswith("error: ")]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--speed", action="store_true")
    options.add_argument("--events", type=int)
    options = options.parse_args()
    references = References.installed(least=(1, 6))
    if references is None:
        print("skipped: there is no jq; set JQ to one")
        return 0
    source = random.Random(7)
    count = options.events or (20_000 if options.speed else 300)
    text = "".join(
        json.dumps(event(source, number), separators=(",", ":"), ensure_ascii=False) + "\n" for number in range(count)
    ).encode()
    different, ratios = 0, []
    for name, query in queries():
        mine, seconds = run([OURS, query], text)
        theirs = [(binary, *run([binary, "-c", query], text)) for binary in references.binaries]
        if all(values(mine) != values(output) for _, output, _ in theirs):
            different += 1
            print(f"DIFFERS {name}: {query}")
        if options.speed:
            best = min(cpu for _, _, cpu in theirs)
            ratios.append(best / max(seconds, 0.001))
            others = ", ".join(f"{len(text) / 1e6 / cpu:.0f}" for _, _, cpu in theirs)
            print(f"{len(text) / 1e6 / max(seconds, 0.001):6.0f} MB/s, jq {others}: {ratios[-1]:5.1f} x  {name}")
    total = sum(1 for _ in queries())
    print(f"{total - different} of {total} queries have the values of jq ({references})")
    if ratios:
        print(f"times the speed of the fastest jq: least {min(ratios):.1f}, median {statistics.median(ratios):.1f}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
