"""Random programs of the jq language, as trees that can be made smaller, and random inputs."""

NAMES = ["a", "b", "c", "key", "value", "é"]
TEXTS = ["", "a", "b", "ab", "aXbX", "é😀", "1", "-1.5", "01", "nan", "a,b", "\n", "a\n", '"', "\\", "null", "[1]", "a b", "<&'\">", "YQ==", "2015-03-05T23:51:47Z"]
NUMBERS = ["0", "1", "2", "-1", "0.5", "3", "10", "1e3", "1.0", "100", "-0", "1e17", "123456789012345678", "1.5e300"]
PATTERNS = ["a", "a*", "[ab]+", "(a)(b)?", "(?<x>a)|(?<y>b)", "^", "$", "x", "\\\\d+", "", "(?i)A", ".", "a|b", "[^a]", "\\\\s", "(?=b)"]
PLAIN = [
    "length", "keys", "keys_unsorted", "add", "any", "all", "flatten", "reverse", "sort", "unique", "min", "max", "not",
    "tostring", "tonumber", "type", "ascii_downcase", "ascii_upcase", "explode", "implode", "tojson", "fromjson", "floor",
    "sqrt", "abs", "to_entries", "from_entries", "transpose", "first", "last", "values", "nulls", "booleans", "numbers",
    "strings", "arrays", "objects", "iterables", "scalars", "recurse", "..", "paths", "leaf_paths", "tostream", "empty", "error",
    "utf8bytelength", "ascii", "trim", "ltrim", "rtrim", "isnan", "isinfinite", "isnormal", "infinite", "nan", "toarray",
    "combinations", "@text", "@json", "@csv", "@tsv", "@html", "@uri", "@sh", "@base64", "@base64d",
    "todate", "fromdate", "gmtime", "mktime", "splits(\"a\")", "significand", "logb", "round", "ceil", "trunc", "getpath([\"a\"])", "getpath([\"a\",0])", "[.[]?]", "[paths]", "tojson|fromjson", "have_literal_numbers",
]
ONE = [
    "map({})", "map_values({})", "select({})", "recurse({})", "sort_by({})", "group_by({})", "unique_by({})", "min_by({})",
    "max_by({})", "path({})", "del({})", "paths({})", "with_entries({})", "first({})", "last({})", "isempty({})", "any({})",
    "all({})", "add({})", "walk({})", "to_entries|map({})", "try ({}) catch .", "({})?", "[{}]", "-({})", "{{a: {}}}", "{{\"b\": {}, c: 1}}",
    "{{({}): 1}}", "({}) as $x | $x", "({}) as $x | [$x, .]", "({}) as [$x, $y] | {{$x, $y}}", "({}) as {{a: $x}} | $x",
    "({}) as [$x] ?// {{a: $x}} ?// $x | $x", "\"<\\({})>\"", "@json \"v=\\({})\"", "@base64 \"\\({})\"", "@csv \"\\([{}])\"",
    "has({})", "contains({})", "inside({})", "index({})", "rindex({})", "indices({})", "startswith({})", "endswith({})",
    "ltrimstr({})", "rtrimstr({})", "split({})", "join({})", "flatten({})", "range({})", "getpath({})", "delpaths({})",
    "IN({})", "limit(2; {})", "skip(1; {})", "nth(1; {})", "nth({})", "until(true; {})", "[limit(5; repeat({}))]", "first(range(3)|{})",
    "def f: {}; f", "def f: {}; [f, f]", "def f($x): $x; f({})", "def f(g): g | g; f({})", "label $l | ({}), break $l", "tostream|select({})",
    "splits({})", "ascii_downcase|{}", "error({})", "[.[]? | {}]", "pick({})", "getpath([({})])", "bsearch({})", "ltrimstr(\"a\")|{}",
    "fromstream(({}) | tostream)", "[truncate_stream(1; {})]", "INDEX({})", "isvalid({})", "$__loc__ | {}", "limit({}; 1, 2)",
    "tojson | {}", "to_entries | {}", "in({})", "ltrimstr({})", "del(.[{}])", "del(.[({}):])", "debug | {}",
]
TWO = [
    "({}) | ({})", "({}), ({})", "({}) + ({})", "({}) - ({})", "({}) * ({})", "({}) / ({})", "({}) % ({})", "({}) == ({})",
    "({}) != ({})", "({}) < ({})", "({}) >= ({})", "({}) and ({})", "({}) or ({})", "({}) // ({})", "if {} then {} end",
    "({}) |= ({})", "({}) = ({})", "({}) += ({})", "({}) //= ({})", "({}) *= ({})", "({}) -= ({})", "setpath({}; {})", "[{}, {}]",
    "{{a: ({}), b: ({})}}", "any({}; {})", "all({}; {})", "range({}; {})", "sub(\"a\"; {}) | {}", "reduce ({}) as $x (null; . + $x) | {}",
    "reduce ({}) as $x (0; {})", "foreach ({}) as $x (0; {})", "[foreach ({}) as $x ([]; . + [$x]; {})]", "[while({}; {})|1] | .[0:3]",
    "({}) as $x | {}", "({}) as $x | ({}) | [., $x]", "def f(g): {}; f({})", "try ({}) catch ({})", "getpath(path({})) | {}", "IN({}; {})",
    "limit(3; {}) | {}", "label $l | ({}), (break $l), ({})", "pow({}; {})", "ltrimstr({}) | {}", "[paths({})] | {}", "splits({}; {})",
    "with_entries(.key |= ({}) | .value |= ({}))", "to_entries[] | [({}), ({})]", "path(({}) | ({}))", "del(({}), ({}))", "[.[]? | if {} then {} else . end]",
    "recurse({}; {})", "first({}) // {}", "({})? // ({})", "[({}) as [$x] ?// $x | [$x] | {}]", "tojson | test({}) | {}", "group_by({}) | map({})",
]
REGEX = ["test(\"{}\")", "[match(\"{}\"; \"g\")]", "capture(\"{}\")", "[scan(\"{}\")]", "split(\"{}\"; null)", "sub(\"{}\"; \"<\\(.x)>\")", "gsub(\"{}\"; \"-\")", "[splits(\"{}\"; \"g\")]", "gsub(\"{}\"; \"x\", \"y\")", "test(\"{}\"; \"ix\")", "[match(\"{}\") | .offset, .length]"]
PATHS = [".a", ".b", ".a.b", ".[0]", ".[1]", ".[-1]", ".[]", ".[]?", ".a[]?", ".a?", ".[1:]", ".[:1]", ".[-2:]", ".[\"a\"]", ".a[0]", ".[0].a", "..", ".[0:2]", ".a[1:]", ".\"é\"", ".[\"a\",\"b\"]?", ".[0,1]?", ".[2.7]?", ".[null:1]?"]


class Tree:
    """A part of a program: a text with places for other parts."""

    def __init__(self, form, parts=()):
        self.form, self.parts = form, list(parts)

    def __str__(self):
        return self.form.format(*self.parts) if self.parts else self.form


class Grammar:
    def __init__(self, source):
        self.random = source

    def program(self):
        return self.part(self.random.choice([2, 3, 3, 4, 4, 5]))

    def part(self, depth):
        pick = self.random.random()
        if depth <= 0 or pick < 0.12:
            return Tree(self.leaf())
        if pick < 0.2:
            return Tree(self.random.choice(REGEX).replace("{}", self.random.choice(PATTERNS)))
        if pick < 0.3:
            return Tree(self.random.choice(PLAIN))
        if pick < 0.6:
            return Tree(self.random.choice(ONE), [self.part(depth - 1)])
        return Tree(self.random.choice(TWO), [self.part(depth - 1), self.part(depth - 2)])

    def leaf(self):
        import json

        return self.random.choice(
            [
                lambda: ".",
                lambda: self.random.choice(PATHS),
                lambda: self.random.choice(PATHS),
                lambda: self.random.choice(NUMBERS),
                lambda: json.dumps(self.random.choice(TEXTS), ensure_ascii=False),
                lambda: self.random.choice(["null", "true", "false", "[]", "{}", "[1,2]", '{"a":1}', '["a"]', '["a",0]', '[["a"]]', "empty"]),
                lambda: self.random.choice(PLAIN),
            ]
        )()


def shrunk(tree):
    """Smaller programs: a part in the place of the whole, or a smaller part."""
    for part in tree.parts:
        yield part
    if tree.parts:
        yield Tree(".")
    for place, part in enumerate(tree.parts):
        if str(part) != ".":
            yield Tree(tree.form, tree.parts[:place] + [Tree(".")] + tree.parts[place + 1 :])
        for smaller in shrunk(part):
            yield Tree(tree.form, tree.parts[:place] + [smaller] + tree.parts[place + 1 :])


def inputs(source, count):
    fixed = [None, True, 0, "a", [], {}, [1, 2, 3], {"a": 1, "b": [1, {"a": 2}]}]
    return fixed[: count // 2] + [value(source, 3) for _ in range(count - min(len(fixed), count // 2))]


def value(source, depth):
    kind = source.randrange(9 if depth > 0 else 5)
    if kind == 0:
        return source.choice([None, True, False])
    if kind in (1, 2):
        return source.choice([0, 1, 2, -1, 0.5, 3, 1e3, 1e17, -7.25, 123456789, 1.5e300, 100000000000000000000])
    if kind in (3, 4):
        return source.choice(TEXTS)
    if kind in (5, 6):
        return [value(source, depth - 1) for _ in range(source.randrange(4))]
    return {source.choice(NAMES): value(source, depth - 1) for _ in range(source.randrange(4))}
