# Functions of the language that are defined in itself.
def recurse(f; condition): recurse(f | select(condition));
def recurse_down: recurse;
def todate: strftime("%Y-%m-%dT%H:%M:%SZ");
def todateiso8601: todate;
def fromdateiso8601: strptime("%Y-%m-%dT%H:%M:%SZ") | mktime;
def fromdate: fromdateiso8601;
def date: todate;
def dateadd(unit; number): . + number;
def datesub(unit; number): . - number;
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type == "array" or type == "object");
def scalars: select(type != "array" and type != "object");
def finites: select(isinfinite or isnan | not);
def normals: select(isnormal);
def isvalid(f): try (f | true) catch false;
def isfinite: type == "number" and (isinfinite | not);
def error(message): message | error;
def paths: path(..) | select(length > 0);
def paths(node): path(recurse | select(node)) | select(length > 0);
def leaf_paths: paths(scalars);
def pick(paths): . as $value | reduce path(paths) as $path (null; setpath($path; $value | getpath($path)));
def nth($place; f):
  if $place < 0 then error("nth doesn't support negative indices") else first(skip($place; f)) end;
def in(values): . as $key | values | has($key);
def inside(values): . as $value | values | contains($value);
def combinations:
  if length == 0 then [] else .[0][] as $first | .[1:] | combinations as $rest | [$first] + $rest end;
def combinations($times): . as $values | [range($times) | $values] | combinations;
def index($part): indices($part) | .[0];
def rindex($part): indices($part) | .[-1];
def INDEX(stream; name): reduce stream as $row ({}; .[$row | name | tostring] = $row);
def INDEX(name): INDEX(.[]; name);
def JOIN($table; name): [.[] | [., $table[name]]];
def JOIN($table; stream; name): stream | [., $table[name]];
def JOIN($table; stream; name; joined): stream | [., $table[name]] | joined;
def IN(values): any(values == .; .);
def IN(source; values): any(source == values; .);
def tostream:
  path(def inner: (.[]? | inner), .; inner) as $path
  | getpath($path)
  | reduce path(.[]?) as $last ([$path, .]; [$path + $last]);
def fromstream(stream):
  {value: null, done: false} as $start
  | foreach stream as $event ($start;
      (if .done then $start else . end)
      | if $event | length == 2
        then .done = ($event[0] | length == 0) | setpath(["value"] + $event[0]; $event[1])
        else .done = ($event[0] | length == 1) end;
      if .done then .value else empty end);
def truncate_stream(stream):
  . as $depth | null | stream | . as $event
  | if .[0] | length > $depth then setpath([0]; $event[0][$depth:]) else empty end;
def debug(messages): (messages | debug | empty), .;
