"""logfmt: 5,000 records that go-logfmt writes, and 5,000 lines that it may refuse, against its own reader."""

import json
import pathlib

import harness


def expected(line):
    """What the filter makes of the pairs: a repeated key is an array, a key without a value is true or empty."""
    values = {}
    for key, value in line["Pairs"]:
        values.setdefault(key, []).append(value)
    return values


def same(found, pairs):
    def is_value(ours, theirs):
        # Their reader does not tell `a`, `a=` and `a=""` apart.
        return ours == theirs or (theirs is None and (ours is True or ours == ""))

    def fits(ours, theirs):
        ours = ours if len(theirs) > 1 else [ours]
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(is_value, ours, theirs))

    return found.keys() == pairs.keys() and all(fits(found[key], pairs[key]) for key in pairs)


def main():
    verdict = harness.Verdict("logfmt", {
        "empty": "an empty line is refused, because it would become an event without a field",
    })
    written = harness.go_run(pathlib.Path(__file__).with_name("main.go"), ["github.com/go-logfmt/logfmt@v0.6.1"])
    lines = [json.loads(line) for line in written.splitlines()]
    assert len(lines) == 10_000
    for line, found in zip(lines, harness.parse({"format": "logfmt"}, [line["Text"] for line in lines])):
        refused = isinstance(found, str)
        if line["Error"] or refused:
            kind = "empty" if not line["Error"] and not line["Pairs"] else None
            verdict.case(repr(line["Text"]), refused == bool(line["Error"]), f"{found} {line['Error']}", kind)
        else:
            verdict.case(repr(line["Text"]), same(found, expected(line)), f"{found} is not {line['Pairs']}")
    verdict.finish()


main()
