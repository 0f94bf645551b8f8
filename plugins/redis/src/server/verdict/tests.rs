use super::*;

fn class(text: &str) -> Option<Class> {
    match classify(Expect::Number, &Reply::Error(text.as_bytes())) {
        Verdict::Again(class, _) => Some(class),
        _ => None,
    }
}

#[test]
fn a_number_is_success_whatever_it_is() {
    for number in [0, 1, -1] {
        assert_eq!(classify(Expect::Number, &Reply::Integer(number)), Verdict::Done(number));
    }
    assert_eq!(classify(Expect::Id, &Reply::Bulk(b"1-1")), Verdict::Done(0));
    assert!(matches!(classify(Expect::Id, &Reply::Null), Verdict::Again(Class::Misconfigured, _)));
}

#[test]
fn errors_say_what_happens_next() {
    for text in ["OOM command not allowed", "LOADING x", "READONLY x", "MASTERDOWN x", "CLUSTERDOWN x"] {
        assert_eq!(class(text), Some(Class::Retry), "{text}");
    }
    for text in ["TRYAGAIN x", "BUSY x", "NOREPLICAS x", "MISCONF x", "ERR max number of clients reached"] {
        assert_eq!(class(text), Some(Class::Retry), "{text}");
    }
    for text in ["NOAUTH x", "WRONGPASS x", "ERR unknown command 'XADD'"] {
        assert_eq!(class(text), Some(Class::Misconfigured), "{text}");
    }
    assert_eq!(
        class("NOPERM this user has no permissions to run the 'xadd' command"),
        Some(Class::Misconfigured)
    );
}

#[test]
fn a_key_is_refused_apart_from_its_values() {
    let classify = |text: &str| classify(Expect::Ok, &Reply::Error(text.as_bytes()));
    assert!(matches!(classify("WRONGTYPE Operation"), Verdict::Key(_)));
    assert!(matches!(classify("NOPERM No permissions to access a key"), Verdict::Key(_)));
    assert!(matches!(classify("ERR string exceeds maximum allowed size"), Verdict::Event(_)));
}

#[test]
fn at_login_only_what_matters_is_an_error() {
    for text in ["NOPERM x", "ERR Unknown subcommand or wrong number of arguments. Try CLIENT HELP."] {
        assert!(at_login(text.as_bytes()).is_none(), "{text}");
    }
    let class = |text: &str| at_login(text.as_bytes()).map(|error| error.class());
    assert_eq!(class("LOADING x"), Some(Class::Retry));
    assert_eq!(class("ERR DB index is out of range"), Some(Class::Misconfigured));
    assert_eq!(
        class("ERR AUTH <password> called without any password configured"),
        Some(Class::Misconfigured)
    );
}

#[test]
fn redirects_name_their_node() {
    let classify = |text: &str| classify(Expect::Ok, &Reply::Error(text.as_bytes()));
    let address = "127.0.0.1:6381".to_owned();
    assert_eq!(
        classify("MOVED 3999 127.0.0.1:6381"),
        Verdict::Moved { slot: 3999, address: address.clone() }
    );
    assert_eq!(classify("ASK 3999 127.0.0.1:6381"), Verdict::Ask { address });
}
