"""CSV: csv-spectrum, and Python's reader as another opinion on random records."""

import csv
import io
import json
import random

import harness

PIPELINE = """
[source.records]
plugin = "file"
path = "in.csv"
decode = "csv"
{header}

[sink.out]
plugin = "file"
path = "out.jsonl"
"""


def read(text, columns=None):
    """The records as the source `file` reads them."""
    header = f"csv = {{ header = {json.dumps(columns)} }}" if columns else ""
    files = harness.run(PIPELINE.format(header=header), {"in.csv": text})
    return [json.loads(line) for line in files.get("out.jsonl", b"").splitlines()]


def main():
    verdict = harness.Verdict("csv", {
        "quote": "a quote in a field that does not begin with one is malformed, as RFC 4180 has it",
    })
    folder = harness.npm("csv-spectrum")
    spectrum = sorted((folder / "csvs").glob("*.csv"))
    assert len(spectrum) == 12
    for path in spectrum:
        expected = json.loads((folder / "json" / f"{path.stem}.json").read_bytes())
        found = read(path.read_bytes())
        kind = "quote" if path.stem == "location_coordinates" and not found else None
        verdict.case(path.stem, found == expected, f"{found} is not {expected}", kind)
    chosen = random.Random(4180)
    columns = ["a", "b", "c"]
    alphabet = ["x", "é", " ", ",", ";", '"', '""', "\n", "\r\n", "\t", "'", "\\", "\u2028"]
    records = [["".join(chosen.choices(alphabet, k=chosen.randrange(6))) for _ in columns] for _ in range(5000)]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        for end in ("\n", "\r\n"):
            text = io.StringIO()
            csv.writer(text, quoting=quoting, lineterminator=end).writerows(records)
            found = [list(event.values()) for event in read(text.getvalue().encode(), columns)]
            theirs = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
            assert theirs == records
            for at, record in enumerate(records):
                verdict.case(f"record {at}", at < len(found) and found[at] == record, f"{record}")
    # The filter `parse` reads the same, one record at a time.
    lines = []
    for record in records:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerow(record)
        lines.append(text.getvalue().removesuffix("\r\n"))
    for record, found in zip(records, harness.parse({"format": "csv", "columns": columns}, lines)):
        verdict.case(f"parse {record}", found == dict(zip(columns, record)), f"{found}")
    verdict.finish()


main()
