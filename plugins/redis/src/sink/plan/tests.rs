use proptest::prelude::*;
use serde_json::json;
use tidegate_sdk::serde_json::Value;

use super::*;
use crate::server::resp;
use crate::sink::options::Options;

fn planned(options: Value, payloads: &[&str]) -> (Commands, Vec<(usize, String)>) {
    let mut options = options;
    options["url"] = "redis://localhost".into();
    let options: Options = serde_json::from_value(options).unwrap();
    let mut commands = Commands::default();
    let (shape, batch) = (Shape::new(&options).unwrap(), tidegate_testkit::batch(payloads));
    let mut plan = Plan::new(&shape, &batch);
    while plan.supply(&mut commands) {}
    let rejected = plan.delivery.rejected().iter().map(|one| (one.event, one.reason.clone())).collect();
    (commands, rejected)
}

/// Each command as words.
fn words(commands: &Commands) -> Vec<String> {
    let command = |command: &crate::server::commands::Command| match resp::tree(
        &commands.buffer[command.bytes.clone()],
    ) {
        Ok(resp::Reply::Array(parts)) => {
            parts.iter().map(|part| part.text().unwrap()).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    };
    commands.list.iter().map(command).collect()
}

#[test]
fn events_of_one_key_share_a_command() {
    let (commands, _) = planned(json!({"command": "rpush", "key": "l"}), &["a", "b", "c"]);
    assert_eq!(words(&commands), ["RPUSH l a b c"]);
}

#[test]
fn a_command_is_closed_at_its_limits() {
    let (by_count, _) = planned(json!({"command": "sadd", "key": "s"}), &["x"; COMMAND_EVENTS + 1]);
    let lengths: Vec<_> = by_count.list.iter().map(|command| command.events.len()).collect();
    assert_eq!(lengths, [COMMAND_EVENTS, 1]);
    let big = "x".repeat(COMMAND_BYTES / 2);
    let (by_bytes, _) = planned(json!({"command": "sadd", "key": "s"}), &[big.as_str(); 3]);
    let lengths: Vec<_> = by_bytes.list.iter().map(|command| command.events.len()).collect();
    assert_eq!(lengths, [2, 1]);
}

#[test]
fn keys_from_data_are_grouped_and_keep_their_order() {
    let payloads = [r#"{"k":1,"v":"a"}"#, r#"{"k":2,"v":"b"}"#, r#"{"v":"c"}"#, r#"{"k":1,"v":"d"}"#];
    let (commands, rejected) =
        planned(json!({"command": "rpush", "key": "l:{.k}", "value": ".v"}), &payloads);
    assert_eq!(words(&commands), ["RPUSH l:1 a d", "RPUSH l:2 b"]);
    assert_eq!(commands.order, [0, 3, 1]);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].0, 2);
}

#[test]
fn keys_from_data_share_a_piece() {
    for (command, extra) in
        [("rpush", json!({})), ("sadd", json!({})), ("hset", json!({})), ("zadd", json!({"score": ".k"}))]
    {
        let mut options = json!({"command": command, "key": "l:{.k}", "url": "redis://localhost"});
        options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let options: Options = serde_json::from_value(options).unwrap();
        let payloads: Vec<_> = (0..8192).map(|key| format!(r#"{{"k":{key}}}"#)).collect();
        let (shape, batch) = (Shape::new(&options).unwrap(), tidegate_testkit::batch(&payloads));
        let (mut plan, mut commands) = (Plan::new(&shape, &batch), Commands::default());
        let mut pieces = 0;
        let mut last = 0;
        loop {
            let more = plan.supply(&mut commands);
            pieces += 1;
            let made = commands.buffer.len() - last;
            assert!(made < PIECE_BYTES + 100, "{command}: {made} bytes");
            last = commands.buffer.len();
            if !more {
                break;
            }
        }
        assert_eq!(commands.list.len(), payloads.len(), "each key has a command of its own");
        assert!(pieces <= last / PIECE_BYTES + 1, "{command}: {pieces} pieces of {last} bytes");
    }
}

#[test]
fn each_command_has_its_form() {
    let event = r#"{"id":7,"name":"Ada","tags":["x", 1],"gone":null}"#;
    for (options, expected) in [
        (json!({"command": "xadd", "key": "s"}), format!("XADD s * event {event}")),
        (
            json!({"command": "xadd", "key": "s", "as": "fields", "maxlen": 5}),
            r#"XADD s MAXLEN ~ 5 * id 7 name Ada tags ["x", 1] gone null"#.into(),
        ),
        (
            json!({"command": "xadd", "key": "s", "field": "d", "value": ".name", "maxlen": 5, "maxlen_exact": true}),
            "XADD s MAXLEN 5 * d Ada".into(),
        ),
        (json!({"command": "set", "key": "u:{.id}", "ttl": "2s"}), format!("SET u:7 {event} PX 2000")),
        (json!({"command": "hset", "key": "h"}), r#"HSET h id 7 name Ada tags ["x", 1] gone null"#.into()),
        (
            json!({"command": "hset", "key": "h", "as": "payload", "field": ".id", "value": ".name"}),
            "HSET h 7 Ada".into(),
        ),
        (
            json!({"command": "hset", "key": "h", "as": "payload", "field": "n:{.id}", "value": ".name"}),
            "HSET h n:7 Ada".into(),
        ),
        (json!({"command": "zadd", "key": "z", "score": ".id", "value": ".name"}), "ZADD z 7 Ada".into()),
        (json!({"command": "publish", "key": "{{c}}"}), format!("PUBLISH {{c}} {event}")),
    ] {
        let (commands, rejected) = planned(options.clone(), &[event]);
        assert_eq!(words(&commands), [expected], "{options}");
        assert!(rejected.is_empty(), "{options}: {rejected:?}");
    }
}

#[test]
fn events_that_do_not_fit_are_rejected_alone() {
    for (options, bad, reason) in [
        (json!({"command": "zadd", "key": "z", "score": ".s"}), r#"{"s":"1"}"#, "not a number"),
        (json!({"command": "zadd", "key": "z", "score": ".s"}), r#"{"s":1e400}"#, "not a number"),
        (json!({"command": "zadd", "key": "z", "score": ".s"}), r#"{"t":1}"#, "no `.s`"),
        (json!({"command": "hset", "key": "h"}), "[1]", "not a JSON object"),
        (json!({"command": "hset", "key": "h"}), "{}", "empty object"),
        (json!({"command": "hset", "key": "h"}), r#"{"a":1"#, "malformed JSON"),
        (json!({"command": "hset", "key": "h"}), r#"{"a":1} x"#, "malformed JSON"),
        (json!({"command": "xadd", "key": "s", "value": ".v"}), r#"{"v":null}"#, "no `.v`"),
    ] {
        let good = r#"{"s":1,"v":2}"#;
        let (commands, rejected) = planned(options.clone(), &[good, bad, good]);
        assert_eq!(commands.order, [0, 2], "{options}");
        assert_eq!(rejected.len(), 1, "{options}");
        assert!(rejected[0].1.contains(reason), "{options}: {rejected:?}");
    }
}

#[test]
fn commands_lie_in_order_and_know_their_key() {
    let (commands, _) = planned(json!({"command": "set", "key": "k:{.a}"}), &[r#"{"a":1}"#, r#"{"a":22}"#]);
    assert_eq!(commands.list[0].bytes.end, commands.list[1].bytes.start);
    assert_eq!(commands.list[1].bytes.end, commands.buffer.len());
    let keys: Vec<_> = commands.list.iter().map(|command| &commands.buffer[command.key.clone()]).collect();
    assert_eq!(keys, [b"k:1".as_slice(), b"k:22"]);
}

proptest! {
    #[test]
    fn every_event_is_in_one_command_of_its_key_in_order(keys in prop::collection::vec(0..4_usize, 0..2000)) {
        let payloads: Vec<String> = keys.iter().map(|key| format!(r#"{{"k":{key}}}"#)).collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let (commands, rejected) = planned(json!({"command": "rpush", "key": "l:{.k}"}), &payloads);
        prop_assert!(rejected.is_empty());
        let mut seen = vec![Vec::new(); 4];
        for command in &commands.list {
            let key = &commands.buffer[command.key.clone()];
            for event in &commands.order[command.events.clone()] {
                let expected = format!("l:{}", keys[*event]);
                prop_assert_eq!(key, expected.as_bytes());
                seen[keys[*event]].push(*event);
            }
        }
        prop_assert!(seen.iter().all(|events| events.is_sorted()));
        prop_assert_eq!(seen.iter().map(Vec::len).sum::<usize>(), keys.len());
    }
}
