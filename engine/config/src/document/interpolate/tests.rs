use super::*;

fn with(text: &str) -> Result<TextValue, Vec<String>> {
    let environment = Environment {
        variable: &|name| match name {
            "HOST" => Some("example.org".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        },
        secret_file: &|path| match path {
            "/run/token" => Ok("s3cret\n".to_owned()),
            _ => Err("no such file".to_owned()),
        },
        library: &|_, _| Ok(Vec::new()),
    };
    expand(text, &environment)
        .map_err(|problems| problems.into_iter().map(|one| one.diagnostic.message).collect())
}

fn value(text: &str) -> String {
    with(text).unwrap().value
}

#[test]
fn variables_defaults_and_secrets() {
    assert_eq!(value("http://${HOST}/a"), "http://example.org/a");
    assert_eq!(value("${PORT:-80}${HOST:-x}"), "80example.org");
    assert_eq!(value("[${EMPTY}][${EMPTY:-no}][${PORT:-}]"), "[][no][]");
    assert_eq!(value("Bearer ${file:/run/token}"), "Bearer s3cret");
    assert_eq!(with("${PORT:-80}").unwrap().hidden, Vec::<String>::new());
    assert_eq!(with("${HOST}").unwrap().hidden, ["example.org"]);
}

#[test]
fn a_doubled_dollar_stands_for_itself() {
    assert_eq!(value("$${HOST} $$ $x ${HOST}"), "${HOST} $$ $x example.org");
}

#[test]
fn each_wrong_variable_is_reported_once() {
    assert_eq!(
        with("${A}${B}${HOST}").unwrap_err(),
        ["the environment variable `A` is not set", "the environment variable `B` is not set"]
    );
    assert_eq!(with("a ${HOST").unwrap_err(), ["this `${` is not closed by a `}`"]);
    assert_eq!(with("${9}").unwrap_err(), ["`9` is not a variable's name"]);
    assert_eq!(with("${file:/nope}").unwrap_err(), ["the secret file `/nope` cannot be read"]);
}

#[test]
fn places_survive_the_replacement() {
    let written = "${HOST}.bad.${PORT:-80}.tail";
    let prose = with(written).unwrap();
    let at = |part: &str| {
        let start = prose.value.find(part).unwrap();
        written[prose.written(start..start + part.len())].to_owned()
    };
    assert_eq!(at("bad"), "bad");
    assert_eq!(at("tail"), "tail");
    assert_eq!(at("80"), "${PORT:-80}");
    assert_eq!(at("example.org.bad"), "${HOST}.bad");
    assert_eq!(at("mple"), "${HOST}");
}

#[test]
fn text_from_outside_is_not_shown() {
    assert_eq!(redact("`s3cret` is no URL", &["s3cret"]), "`***` is no URL");
    assert_eq!(redact("the port `3c` is no number", &["s3cret"]), "the port `***` is no number");
    assert_eq!(redact("s3cret's end", &["s3cret"]), "***'s end");
    assert_eq!(redact("`a` and a word", &["a"]), "`***` and a word");
    assert_eq!(redact("`url` is bad", &["s3cret"]), "`url` is bad");
}
