"""syslog: the samples of go-syslog's tests, in both forms, against its own reader."""

import datetime
import json
import pathlib
import re

import harness

MODULE = ("github.com/leodido/go-syslog/v4", "v4.6.0")

NAMES = {"Facility": "facility_code", "Severity": "severity_code", "Host": "hostname", "App": "app_name",
         "Proc": "proc_id", "Id": "msg_id"}


def instant(text):
    return text and datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def differences(sample, found):
    """The fields that are not the same."""
    for theirs, ours in NAMES.items():
        if sample[theirs] != found[ours]:
            yield f"{ours}: {found[ours]!r}, not {sample[theirs]!r}"
    if (sample["Message"] or "") != found["message"]:
        yield f"message: {found['message']!r}, not {sample['Message']!r}"
    if sample["Form"] == "rfc5424" and instant(sample["Time"]) != instant(found["timestamp"]):
        yield f"timestamp: {found['timestamp']}, not {sample['Time']}"
    if sample["Form"] == "rfc5424" and sample["Data"] != found["structured_data"]:
        yield f"structured_data: {found['structured_data']}, not {sample['Data']}"


def kind_of(sample, found, different):
    """The kind of an accepted difference."""
    text, error = sample["Text"], sample["Error"]
    if isinstance(found, str):
        if sample["Form"] == "rfc3164":
            return "strict"
        return "version" if not re.match(r"<\d+>1 ", text) else None
    if not sample["Valid"]:
        if sample["Form"] == "rfc3164":
            return "lenient"
        if re.search(r"expecting an? (hostname|app-name|procid|msgid|structured data)", error, re.I):
            return "lengths"
        return None
    if "\ufeff" in text and different and all(one.startswith("message") for one in different):
        return "mark"
    if any(": [" in one or "{" in one for one in different) and "structured_data" in different[0]:
        return "repeated"
    return None


def main():
    verdict = harness.Verdict("syslog", {
        "version": "a message of RFC 5424 has version 1; no other version exists",
        "lengths": "words may be longer than RFC 5424 allows; nothing is misread",
        "mark": "the byte order mark, which says that a message is UTF-8, is no part of it",
        "repeated": "a parameter that occurs several times is an array of its values, where go-syslog keeps the last",
        "strict": "Cisco's counters and stars, fractions of a second in the older form, and a message that ends after its host are refused",
        "lenient": "in the older form a message may hold line breaks, a day may be `05`, and a time of RFC 3339 may have nine digits",
    })
    folder = harness.go_module(*MODULE)
    main_go = pathlib.Path(__file__).with_name("main.go")
    samples = [json.loads(line) for line in harness.go_run(main_go, ["@".join(MODULE)], [folder]).splitlines()]
    assert len(samples) > 150, len(samples)
    for sample, found in zip(samples, harness.parse({"format": "syslog"}, [sample["Text"] for sample in samples])):
        refused = isinstance(found, str)
        different = list(differences(sample, found)) if sample["Valid"] and not refused else []
        passed = sample["Valid"] != refused and not different
        detail = f"{different or found} {sample['Error']}"
        verdict.case(f"{sample['Form']} {sample['Text']!r}", passed, detail, kind_of(sample, found, different))
    verdict.finish()


main()
