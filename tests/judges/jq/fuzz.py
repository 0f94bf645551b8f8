#!/usr/bin/env python3
"""Differential fuzzer: random programs over random inputs, by tidegate-query and by jq.

usage: fuzz.py [--programs N] [--inputs N] [--seed N] [--words]

JQ names the jq binaries to compare with, separated by spaces; by default the installed one, if it is 1.7 or newer.
A result counts as right if one of them has it. A difference is minimised, and fails the run unless differences.txt
lists it with its reason.
"""

import argparse
import json
import os
import random
import re
import sys

from engines import Failed, References, ours
from grammar import Grammar, inputs, shrunk

HERE = os.path.dirname(os.path.abspath(__file__))
# Every result and the error that ends them, as one line of output for each input.
WRAPPED = '[limit(64; try ((%s) | [.]) catch {"error": .})]'


def rules():
    """The accepted differences: what they match, and the reason."""
    found = []
    for line in open(os.path.join(HERE, "differences.txt"), encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            pattern, reason = line.rstrip("\n").split("\t", 1)
            found.append((re.compile(pattern), reason.strip()))
    return found


def plain(value, words):
    """A value in which what may differ is left out: the form of numbers and, without `words`, the text of errors."""
    if isinstance(value, dict):
        if list(value) == ["error"] and isinstance(value["error"], str):
            message = re.sub(r" \(.*?(\)|\.\.\.\)?)(?= |$)|\.\.\.$", "", value["error"])
            return {"error": message if words else ""}
        return {name: plain(part, words) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part, words) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 10**308 else 1.7976931348623157e308 * (1 if value > 0 else -1)
    return value


class Judge:
    def __init__(self, references, words):
        self.references, self.words = references, words

    def differences(self, program, values):
        """The inputs on which the program has results that no reference has, with both results."""
        query = WRAPPED % program
        try:
            found = ours(query, values)
        except Failed as failed:
            found = failed.reason
        expected = [output for output in self.references.all(query, values) if output != "DOES NOT COMPILE"]
        if not expected:
            return []
        different = []
        for place, value in enumerate(values):
            mine = line(found, place)
            theirs = [line(output, place) for output in expected]
            if mine in ("LIMIT",) or "TIMEOUT" in theirs:
                continue
            if all(plain(mine, self.words) != plain(other, self.words) for other in theirs):
                different.append((value, mine, theirs))
        return different

    def minimised(self, tree, value):
        """A smaller program that still differs on the input, or on a smaller one."""
        smaller = True
        while smaller:
            smaller = False
            for candidate in shrunk(tree):
                if self.differences(str(candidate), [value]):
                    tree, smaller = candidate, True
                    break
        for part in parts(value):
            if self.differences(str(tree), [part]):
                return self.minimised(tree, part)
        return tree, value


def line(output, place):
    """The result for one input; a text that names the failure if there is none."""
    if isinstance(output, str):
        return output
    return output[place] if place < len(output) else "MISSING"


def parts(value):
    if isinstance(value, list):
        yield from value
        yield from (value[:place] + value[place + 1 :] for place in range(len(value)))
    elif isinstance(value, dict):
        yield from value.values()
        yield from ({k: v for k, v in value.items() if k != name} for name in value)
    elif value is not None:
        yield None


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--programs", type=int, default=300)
    options.add_argument("--inputs", type=int, default=20)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options.add_argument("--words", action="store_true", help="compare the texts of errors too")
    options.add_argument("--most", type=int, default=10, help="differences after which the run ends")
    options = options.parse_args()
    references = References.installed()
    if references is None:
        print("skipped: there is no jq of 1.7 or newer; set JQ to one")
        return 0
    judge, accepted, reported = Judge(references, options.words), {}, 0
    grammar = Grammar(random.Random(options.seed))
    known = rules()
    pairs = 0
    for _ in range(options.programs):
        tree = grammar.program()
        values = inputs(grammar.random, options.inputs)
        pairs += len(values)
        different = judge.differences(str(tree), values)
        if not different:
            continue
        small, value = judge.minimised(tree, different[0][0])
        found = judge.differences(str(small), [value])
        shown = json.dumps(value, ensure_ascii=False)
        case = f"{small}  on  {shown}: " + (f"{found[0][1]!r}, not {found[0][2]!r}" if found else "")
        rule = next((reason for pattern, reason in known if pattern.search(case)), None)
        if rule:
            accepted[rule] = accepted.get(rule, 0) + 1
            continue
        reported += 1
        print(f"DIFFERS {case}")
        if reported == options.most:
            break
    for reason, count in sorted(accepted.items()):
        print(f"accepted {count} x: {reason}")
    print(f"{options.programs} programs, {pairs} pairs, {references}: {reported} differ (--seed {options.seed})")
    return 1 if reported else 0


if __name__ == "__main__":
    sys.exit(main())
