//! Effectively once, step by step.

use std::fs;

use tidegate_sdk::{Batch, Delivery, Lane, Record};

use super::stream::{Driver, FILES, claim, claimed, event, lane, options, problem, record};
use super::*;

async fn fails(options: &Value) -> tidegate_sdk::Error {
    Driver::start(options).await.map(drop).unwrap_err()
}

/// Part of the expected message, and the change of the file.
type Damage = (&'static str, fn(&std::path::Path));

fn delivered(delivery: &Delivery) {
    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none(), "{delivery:?}");
}

#[tokio::test]
async fn committed_events_stay_and_others_are_cut_off() {
    for variant in ["plain", "rotated", "zstd", "gzip", "template"] {
        let folder = TempDir::new().unwrap();
        let options = options(folder.path(), variant);
        let mut done = 0;
        for round in 1..6 {
            let mut driver = Driver::start(&options).await.unwrap();
            assert_eq!(driver.next, done, "it resumes at its record");
            for events in 0..30 {
                driver.commit(events).await;
            }
            done = driver.next;
            drop(driver);
            assert_eq!(problem(folder.path(), variant, done), None, "round {round}");
            // Bytes of a crash after the last commit.
            let active = match variant {
                "template" => folder.path().join("3/out.jsonl"),
                _ => folder.path().join(options["path"].as_str().unwrap()),
            };
            let mut torn = fs::File::options().append(true).open(&active).unwrap();
            std::io::Write::write_all(&mut torn, b"torn {").unwrap();
        }
    }
}

#[tokio::test]
async fn the_same_record_is_not_written_twice() {
    let folder = TempDir::new().unwrap();
    let mut driver = Driver::start(&options(folder.path(), "plain")).await.unwrap();
    delivered(&driver.try_commit(3).await.unwrap());
    driver.commit(3).await;
    assert_eq!(problem(folder.path(), "plain", 3), None);
    // An empty batch moves the lane on.
    delivered(
        &driver
            .sink
            .transactional()
            .unwrap()
            .commit(&Batch::builder().finish(), &lane(""), &record(7), &driver.cx)
            .await
            .unwrap(),
    );
    drop(driver);
    assert_eq!(Driver::start(&options(folder.path(), "plain")).await.unwrap().next, 7);
}

#[tokio::test]
async fn each_lane_has_its_own_record() {
    let folder = TempDir::new().unwrap();
    let options = options(folder.path(), "plain");
    let (mut sink, cx, lanes) = claimed(&options, &claim(false)).await.unwrap();
    assert!(lanes.is_empty());
    for (partition, done) in [("a", 1), ("b", 2), ("a", 3)] {
        delivered(
            &sink
                .transactional()
                .unwrap()
                .commit(&batch([event(done)]), &lane(partition), &record(done), &cx)
                .await
                .unwrap(),
        );
    }
    let none = Lane { source: "other".into(), partition: "".into() };
    delivered(
        &sink.transactional().unwrap().commit(&batch(["x"]), &none, &Record::default(), &cx).await.unwrap(),
    );
    drop(sink);
    let (_, _, lanes) = claimed(&options, &claim(false)).await.unwrap();
    let expected = [(lane("a"), record(3)), (lane("b"), record(2)), (none, Record::default())];
    assert_eq!(lanes, expected.into_iter().collect());
}

#[tokio::test]
async fn a_batch_with_a_bad_event_is_not_written_at_all() {
    let folder = TempDir::new().unwrap();
    let mut driver = Driver::start(&options(folder.path(), "template")).await.unwrap();
    driver.commit(10).await;
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::hard_link(folder.path().join("3/out.jsonl"), folder.path().join("hard")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("2"), folder.path().join("soft")).unwrap();
    let before = fs::read(folder.path().join("1/out.jsonl")).unwrap();
    for bad in [r#"{"f":"../x"}"#, r#"{"g":1}"#, r#"{"f":"soft"}"#] {
        let events = [event(11), bad.to_owned(), event(12)];
        let delivery = driver
            .sink
            .transactional()
            .unwrap()
            .commit(&batch(&events), &lane(""), &record(13), &driver.cx)
            .await
            .unwrap();
        let rejected: Vec<usize> = delivery.rejected().iter().map(|one| one.event).collect();
        assert_eq!(rejected, [1], "{bad}: {delivery:?}");
        assert_eq!(fs::read(folder.path().join("1/out.jsonl")).unwrap(), before);
    }
    driver.commit(FILES).await;
    fs::remove_file(folder.path().join("hard")).unwrap();
    drop(driver);
    assert_eq!(Driver::start(&options(folder.path(), "template")).await.unwrap().next, 10 + FILES);
    assert_eq!(problem(folder.path(), "template", 10 + FILES), None);
}

#[tokio::test]
async fn a_changed_file_is_refused_until_the_pipeline_starts_over() {
    let changes: [Damage; 4] = [
        ("has 4 bytes", |file| fs::File::options().write(true).open(file).unwrap().set_len(4).unwrap()),
        ("does not hold", |file| {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replace('x', "y")).unwrap();
        }),
        ("has 0 bytes", |file| fs::remove_file(file).unwrap()),
        (".tidegate is damaged", |file| fs::write(format!("{}.tidegate", file.display()), "").unwrap()),
    ];
    for (message, change) in changes {
        let folder = TempDir::new().unwrap();
        let options = options(folder.path(), "plain");
        let mut driver = Driver::start(&options).await.unwrap();
        driver.commit(20).await;
        drop(driver);
        let file = folder.path().join("out.jsonl");
        change(&file);
        for _ in 0..2 {
            let error = fails(&options).await;
            assert_eq!(error.class(), Class::Fatal);
            assert!(error.message().contains(message), "{error}");
            assert!(error.message().contains(file.to_str().unwrap()), "{error}");
        }
        let (_, _, lanes) = claimed(&options, &claim(true)).await.unwrap();
        assert!(lanes.is_empty());
        assert_eq!(Driver::start(&options).await.unwrap().next, 0);
    }
}

#[tokio::test]
async fn changes_by_other_processes_are_noticed() {
    let changes: [Damage; 4] = [
        ("is gone", |file| fs::remove_file(file).unwrap()),
        ("has 1 bytes", |file| fs::File::options().write(true).open(file).unwrap().set_len(1).unwrap()),
        (".tidegate is gone", |file| fs::remove_file(format!("{}.tidegate", file.display())).unwrap()),
        ("claimed by another process", |file| {
            let ledger = format!("{}.tidegate", file.display());
            fs::copy(&ledger, format!("{ledger}.copy")).unwrap();
            fs::rename(format!("{ledger}.copy"), &ledger).unwrap();
        }),
    ];
    for (message, change) in changes {
        let folder = TempDir::new().unwrap();
        let mut driver = Driver::start(&options(folder.path(), "plain")).await.unwrap();
        driver.commit(20).await;
        change(&folder.path().join("out.jsonl"));
        let error = driver.try_commit(1).await.unwrap_err();
        assert_eq!(error.class(), Class::Fatal);
        assert!(error.message().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_second_process_waits_and_another_pipeline_is_refused() {
    let folder = TempDir::new().unwrap();
    let options = options(folder.path(), "plain");
    let mut driver = Driver::start(&options).await.unwrap();
    driver.commit(1).await;
    let error = fails(&options).await;
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("out.jsonl.tidegate.lock is locked"), "{error}");
    let (cx, _) = context();
    let mut plain = build_sink(&plugin(), &options);
    plain.open(&cx).await.unwrap();
    assert_eq!(plain.write(&batch(["x"]), &cx).await.unwrap_err().class(), Class::Misconfigured);
    driver.commit(1).await;
    drop(driver);
    let other = tidegate_sdk::Claim { pipeline: "other".into(), ..claim(false) };
    let error = claimed(&options, &other).await.map(drop).unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("belongs to the sink `sink` of the pipeline `pipeline`"), "{error}");
    // From now on delivery is at least once: the ledger would cut off new events.
    write(&mut plain, &cx, &["plain"]).await;
    assert!(!fs::exists(folder.path().join("out.jsonl.tidegate")).unwrap());
    let driver = Driver::start(&options).await.unwrap();
    assert_eq!(driver.next, 0);
    let expected = format!("{}\n{}\nplain\n", event(0), event(1));
    assert_eq!(fs::read_to_string(folder.path().join("out.jsonl")).unwrap(), expected);
}

#[tokio::test]
async fn existing_contents_stay() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("out.jsonl");
    fs::write(&file, "old\nhalf").unwrap();
    let mut driver = Driver::start(&options(folder.path(), "plain")).await.unwrap();
    driver.commit(1).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("old\nhalf\n{}\n", event(0)));
}

#[tokio::test]
async fn files_of_a_template_may_be_archived_and_few_are_remembered() {
    let folder = TempDir::new().unwrap();
    let options = options(folder.path(), "template");
    let mut driver = Driver::start(&options).await.unwrap();
    driver.commit(FILES).await;
    let ledger = || fs::read_to_string(folder.path().join("{.f}_out.jsonl.tidegate")).unwrap();
    assert!(ledger().contains("4/out.jsonl"));
    drop(driver);
    fs::remove_dir_all(folder.path().join("4")).unwrap();
    let mut driver = Driver::start(&options).await.unwrap();
    assert!(!ledger().contains("4/out.jsonl"));
    driver.commit(FILES).await;
    assert_eq!(fs::read_to_string(folder.path().join("4/out.jsonl")).unwrap(), event(9) + "\n");
    for number in 0..40 {
        let one = batch([format!(r#"{{"f":"new{number}"}}"#)]);
        delivered(
            &driver
                .sink
                .transactional()
                .unwrap()
                .commit(&one, &lane("b"), &record(number), &driver.cx)
                .await
                .unwrap(),
        );
    }
    drop(driver);
    drop(Driver::start(&options).await.unwrap());
    assert!(ledger().matches("out.jsonl\"").count() <= 3, "{}", ledger());
}

#[tokio::test]
async fn sinks_that_cannot_keep_it_say_why() {
    for (more, reason) in [("mode", "truncate"), ("sync", "on the disk")] {
        let mut options = json!({ "path": "out" });
        options[more] = if more == "mode" { "truncate".into() } else { false.into() };
        let why = build_sink(&plugin(), &options).transactional().err().unwrap().to_string();
        assert!(why.contains(reason), "{why}");
    }
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/dev/null", path(&folder, "out")).unwrap();
    let error = fails(&json!({ "path": path(&folder, "out") })).await;
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("is not a regular file"), "{error}");
}
