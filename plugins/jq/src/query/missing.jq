# What jq defines and jaq does not.

def toarray: if type == "array" then . else [.] end;
def ascii: [.] | implode;
def have_literal_numbers: true;

def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] |= $row);
def INDEX(f): INDEX(.[]; f);

def @csv:
  def cell:
    if type == "string" then "\"" + (split("\"") | join("\"\"")) + "\""
    elif . == null then ""
    elif type == "array" or type == "object" then error("\(type) is not valid in a csv row")
    else tostring end;
  if type == "array" then map(cell) | join(",") else error("\(type) cannot be csv-formatted, only an array can be") end;

def @tsv:
  def cell:
    if type == "string" then
      split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r")
    elif . == null then ""
    elif type == "array" or type == "object" then error("\(type) is not valid in a tsv row")
    else tostring end;
  if type == "array" then map(cell) | join("\t") else error("\(type) cannot be tsv-formatted, only an array can be") end;
