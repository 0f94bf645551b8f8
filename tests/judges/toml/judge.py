"""TOML: toml-test, through `tidegate check`: a file that is no TOML gets a diagnostic of its syntax, any other none."""

import concurrent.futures
import json
import subprocess

import harness

# The codes of the diagnostics that say that a file is no TOML document.
SYNTAX = {"syntax", "duplicate-key"}


def codes(value):
    """All codes in a report."""
    if isinstance(value, dict):
        found = {value["code"]} if isinstance(value.get("code"), str) else set()
        return found.union(*map(codes, value.values()))
    return set().union(*map(codes, value)) if isinstance(value, list) else set()


def check(path):
    """The codes of the diagnostics that a file gets, and what was printed if that is no report."""
    arguments = [harness.TIDEGATE, "check", "--format", "json", str(path)]
    done = subprocess.run(arguments, capture_output=True, timeout=60, cwd=path.parent)
    try:
        report = json.loads(done.stdout)
        return codes(report), " ".join(report["problems"])
    except ValueError:
        return set(), (done.stdout + done.stderr).decode(errors="replace")


def main():
    verdict = harness.Verdict("toml", {
        "newer": "TOML 1.1 is read as well: what 1.0 does not allow and 1.1 does is no mistake",
        "digits": "a number without digits (`0b`) is refused as out of range, where its option is read",
    })
    tests = harness.go_module("github.com/toml-lang/toml-test", "v1.6.0") / "tests"
    newer = set((tests / "files-toml-1.1.0").read_text().split())
    names = [name for name in (tests / "files-toml-1.0.0").read_text().split() if name.endswith(".toml")]
    assert len(names) > 500, len(names)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: check(tests / name), names))
    for name, (found, printed) in zip(names, results):
        refused = bool(found & SYNTAX) or "is not UTF-8" in printed
        valid = name.startswith("valid/")
        kind = "digits" if "out-of-range" in found else "newer" if name not in newer else None
        verdict.case(name, refused != valid, f"{sorted(found)} {printed[:200]}", None if valid else kind)
    verdict.finish()


main()
