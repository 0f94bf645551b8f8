"""Runs Tidegate over the cases of a judge, and reports the verdict."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "target" / "judges"
TIDEGATE = os.environ.get("TIDEGATE", str(ROOT / "target" / "debug" / "tidegate"))


def cache(name):
    """A folder for what a judge has fetched."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def command(arguments, folder, **options):
    """Runs a command to its end, and returns its standard output."""
    done = subprocess.run(arguments, cwd=folder, stdout=subprocess.PIPE, timeout=600, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))} ended with {done.returncode}")
    return done.stdout


def npm(package):
    """The folder of an npm package."""
    folder = cache("npm")
    if not (folder / "node_modules" / package).exists():
        command(["npm", "install", "--silent", "--ignore-scripts", "--no-save", package], folder)
    return folder / "node_modules" / package


def pip(package):
    """The folder of a Python package, for `sys.path`."""
    folder = cache("python")
    if not (folder / package).exists():
        command([sys.executable, "-m", "pip", "install", "-q", "--target", folder, package], folder)
    return folder


def go_module(module, version):
    """The folder of a Go module."""
    found = command(["go", "mod", "download", "-json", f"{module}@{version}"], cache("go"))
    return pathlib.Path(json.loads(found)["Dir"])


def go_run(source, modules, arguments=()):
    """The standard output of a Go program that imports these modules."""
    folder = cache("go-" + pathlib.Path(source).parent.name)
    (folder / "main.go").write_bytes(pathlib.Path(source).read_bytes())
    if not (folder / "go.mod").exists():
        command(["go", "mod", "init", "judge"], folder, stderr=subprocess.DEVNULL)
        command(["go", "get", *modules], folder, stderr=subprocess.DEVNULL)
    return command(["go", "run", ".", *arguments], folder)


def run(pipeline, files=(), check=True):
    """Runs a pipeline in a folder with these files, and returns the files that are there afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.toml").write_text(pipeline)
        for path, contents in dict(files).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(contents)
        done = subprocess.run(
            [TIDEGATE, "run", "pipeline.toml", "--data-dir", "data"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )
        if check and done.returncode != 0:
            sys.exit(f"the pipeline ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
        found = (path for path in folder.rglob("*") if path.is_file() and "data" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def parse(options, texts):
    """What the filter `parse` makes of each text: an object, or the reason of its rejection."""
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    pipeline = f"""
[source.texts]
plugin = "file"
path = "texts.jsonl"

[filter.parse]
plugin = "parse"
field = ".__text"
{settings}

[sink.taken]
plugin = "file"
path = "taken.jsonl"

[filter.reason]
plugin = "jq"
from = "parse.rejected"
query = '{{__at, reason: $meta.attributes.rejected_reason}}'

[sink.refused]
plugin = "file"
path = "refused.jsonl"
"""
    events = (json.dumps({"__at": at, "__text": text}) for at, text in enumerate(texts))
    files = run(pipeline, {"texts.jsonl": "\n".join(events).encode()})
    results = [None] * len(texts)
    for line in files.get("taken.jsonl", b"").splitlines():
        event = json.loads(line)
        at = event.pop("__at")
        event.pop("__text")
        results[at] = event
    for line in files.get("refused.jsonl", b"").splitlines():
        event = json.loads(line)
        results[event["__at"]] = str(event["reason"])
    assert all(result is not None for result in results), "each text is taken or refused"
    return results


class Verdict:
    """Counts cases, and prints those that failed and the differences that are accepted."""

    def __init__(self, name, accepted=()):
        self.name, self.accepted = name, dict(accepted)
        self.passed, self.failures, self.differences = 0, [], {}

    def case(self, name, passed, detail="", kind=None):
        """Counts a case. One that differs may name the `kind` of difference that is accepted."""
        if passed:
            self.passed += 1
        elif kind in self.accepted:
            self.differences.setdefault(kind, []).append(name)
        else:
            self.failures.append(f"{name}: {detail}")

    def finish(self):
        """Prints the verdict, and ends the process."""
        accepted = sum(map(len, self.differences.values()))
        print(f"{self.name}: {self.passed} passed, {len(self.failures)} failed, {accepted} accepted differences")
        for kind, names in self.differences.items():
            print(f"  accepted ({len(names)}): {self.accepted[kind]}")
        for failure in self.failures[:20]:
            print(f"  FAILED {failure}")
        sys.exit(1 if self.failures else 0)
