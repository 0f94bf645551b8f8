"""Work A in Python: python.py json|orjson INPUT OUTPUT"""

import json
import sys


def main(library, source, target):
    if library == "orjson":
        import orjson

        loads, dumps = orjson.loads, orjson.dumps
    else:
        loads = json.loads

        def dumps(value):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    with open(source, "rb") as lines, open(target, "wb", buffering=1 << 20) as out:
        for line in lines:
            event = loads(line)
            if event["country"] == "US":
                out.write(dumps({"name": event["name"], "lat": event["lat"]}) + b"\n")


main(*sys.argv[1:])
