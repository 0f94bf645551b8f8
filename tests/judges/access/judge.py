"""Access logs: random lines as Apache writes them, in three formats, against the Python package apachelogs."""

import datetime
import random
import sys

import harness

FORMATS = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "vhost_combined": '%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
}


def escaped(text):
    """As Apache escapes what a client sent."""
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\v": r"\v", '"': r"\"", "\\": r"\\"}
    return "".join(
        short.get(chr(byte)) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in text.encode()
    )


def line(chosen, name):
    def word(alphabet, longest):
        return "".join(chosen.choices(alphabet, k=chosen.randrange(1, longest)))

    sent = 'ab/?="\\[]- é😀\n\t\x01;:'
    zone = datetime.timezone(datetime.timedelta(minutes=chosen.choice([0, 60, -420, 330])))
    time = datetime.datetime(2000 + chosen.randrange(30), chosen.randrange(1, 13), chosen.randrange(1, 29),
                             chosen.randrange(24), chosen.randrange(60), chosen.randrange(60), tzinfo=zone)
    address = chosen.choice(["203.0.113.9", "2001:db8::1", "::1", "client.example.net", "localhost"])
    method = chosen.choice(["GET", "POST", "PROPFIND", "M-SEARCH", "VERSION-CONTROL"])
    request = chosen.choice([f"{method} /{word(sent, 12)} HTTP/1.1", "-", word("\x16\x03é", 6)])
    if name == "vhost_combined" and "." not in address and ":" not in address:
        address = "10.0.0.1"
    text = f'{address} - {chosen.choice(["-", "ann", word("abc", 6)])} [{time:%d/%b/%Y:%H:%M:%S %z}] '
    text += f'"{escaped(request)}" {chosen.choice([200, 304, 404, 500])} {chosen.choice(["-", "0", "5120"])}'
    if name != "common":
        text += f' "{escaped(chosen.choice(["-", "http://x/?q=1", word(sent, 12)]))}" "{escaped(word(sent, 20))}"'
    if name == "vhost_combined":
        text = f"{chosen.choice(['www.example.com', 'localhost', 'a-b.example'])}:{chosen.choice([80, 443])} {text}"
    return text


def bytes_of(text):
    """Text as apachelogs gives it, in which each byte that is not ASCII is a character of its own."""
    return text and text.encode("latin-1", "replace").decode("utf-8", "replace")


def expected(entry, name):
    headers = {key.lower(): value for key, value in getattr(entry, "headers_in", {}).items()}
    vhost = {"vhost": f"{entry.virtual_host}:{entry.server_port}"} if name == "vhost_combined" else {}
    return vhost | {
        "remote_addr": entry.remote_host, "user": entry.remote_user, "status": entry.final_status,
        "bytes": entry.bytes_sent, "time": entry.request_time.isoformat(), "request": bytes_of(entry.request_line),
        "referer": bytes_of(headers.get("referer")), "user_agent": bytes_of(headers.get("user-agent")),
    }


def main():
    sys.path.insert(0, str(harness.pip("apachelogs")))
    import apachelogs

    verdict = harness.Verdict("access")
    chosen = random.Random(2616)
    for name, format in FORMATS.items():
        parser = apachelogs.LogParser(format)
        lines = [line(chosen, name) for _ in range(1000)]
        for text, found in zip(lines, harness.parse({"format": "combined"}, lines)):
            theirs = expected(parser.parse(text), name)
            if isinstance(found, str):
                verdict.case(f"{name} {text!r}", False, found)
                continue
            words = [found.pop("method"), found.pop("path"), found.pop("protocol")]
            found["request"] = " ".join(filter(None, words)) or None
            verdict.case(f"{name} {text!r}", found == theirs, f"{found} is not {theirs}")
    # What other formats add is no line of these three.
    line_of = '203.0.113.9 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1 "-" "-"'
    others = [line_of + end for end in (" 0.004", ' "session=1"', " -", ' "a" "b"')] + ["a b " + line_of]
    for text, found in zip(others, harness.parse({"format": "combined"}, others)):
        verdict.case(text, isinstance(found, str), f"{found}")
    verdict.finish()


main()
