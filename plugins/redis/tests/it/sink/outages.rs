use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_sdk::Class;

use crate::sink::server::{Opened, Server, again, free_port, open};

#[tokio::test]
async fn a_server_that_is_down_at_start_is_tried_again() {
    let options =
        json!({"url": format!("redis://127.0.0.1:{}", free_port()), "command": "rpush", "key": "l"});
    let error = Opened::new(&options).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().starts_with("cannot connect to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_server_that_restarts_gets_everything() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    sink.deliver(["a"]).await;
    server.kill();
    let batch = tidegate_testkit::batch(["b", "c"]);
    let (events, class, _) = again(&sink.try_write(&batch).await.unwrap());
    assert_eq!(events, [0, 1]);
    // Whether the end of the connection is known before the write is the runtime's affair.
    assert!(matches!(class, Class::Retry | Class::Ambiguous), "{class:?}");
    server.restart();
    sink.deliver_in_the_end(&batch).await;
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["a", "b", "c"]);
}

/// Guards a loop that dialled a server that is away for ever, because no command was made that could fail.
#[tokio::test]
async fn a_server_that_stays_away_fails_each_write() {
    let mut server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    sink.deliver(["a"]).await;
    server.kill();
    for _ in 0..3 {
        let written = tokio::time::timeout(Duration::from_secs(20), sink.write(["b"; 1000])).await;
        let (events, _, message) = again(&written.expect("it ends"));
        assert_eq!(events.len(), 1000, "{message}");
    }
    let (_, class, message) = again(&sink.write(["b"]).await);
    assert_eq!(class, Class::Retry);
    assert!(message.starts_with("cannot connect to"), "{message}");
}

#[tokio::test]
async fn idle_connection_that_was_closed_is_replaced() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    sink.deliver(["a"]).await;
    server.ask::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // The runtime learns of the end of a socket between two polls; a look at the clock lets it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    sink.deliver(["b"]).await;
    assert_eq!(server.ask::<usize>(&["LLEN", "l"]), 2);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_the_time_limit() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l", "time_limit": "1s"})).await;
    sink.deliver(["a"]).await;
    server.signal("STOP");
    let start = Instant::now();
    let (events, class, message) = again(&sink.write(["b"]).await);
    server.signal("CONT");
    assert_eq!((events, class), (vec![0], Class::Ambiguous));
    assert!(message.contains("did not answer within 1s"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
    sink.deliver_in_the_end(&tidegate_testkit::batch(["c"])).await;
}

#[tokio::test]
async fn connecting_has_a_time_limit() {
    let server = Server::start(&[]);
    server.signal("STOP");
    let options = json!({"url": server.url(), "command": "rpush", "key": "l", "connect_time_limit": "200ms"});
    let error = Opened::new(&options).open().await.unwrap_err();
    server.signal("CONT");
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains("took longer than 200ms"), "{error}");
}

#[tokio::test]
async fn cancelled_write_leaves_no_answers() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "publish", "key": "c"})).await;
    let mut depth = open(&server, json!({"command": "rpush", "key": "l", "depth_limit": 5})).await;
    server.signal("STOP");
    let batch = tidegate_testkit::batch(["a", "b"]);
    for given_up in [&mut sink, &mut depth] {
        let write = given_up.try_write(&batch);
        assert!(tokio::time::timeout(Duration::from_millis(100), write).await.is_err());
    }
    server.signal("CONT");
    // An answer to what was given up would be taken for a depth of 0, and the key is deep.
    server.ask::<()>(&["RPUSH", "l", "1", "2", "3", "4", "5"]);
    let error = depth.try_write(&batch).await.unwrap_err();
    assert_eq!(error.class(), Class::Busy, "{error}");
    sink.deliver(["c"]).await;
}

/// A server that lets a client log in, then reads `request` bytes, sends `answer` and hangs up.
pub(crate) fn fake(request: usize, answer: &[u8]) -> (u16, JoinHandle<()>) {
    let answer = answer.to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let mut stream = logged_in(&listener);
        read(&mut stream, request);
        stream.write_all(&answer).unwrap();
    };
    (port, std::thread::spawn(serve))
}

/// The next connection, whose client has logged in.
fn logged_in(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    let login = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$8\r\ntidegate\r\n*1\r\n$4\r\nPING\r\n".len();
    read(&mut stream, login);
    stream.write_all(b"+OK\r\n+PONG\r\n").unwrap();
    stream
}

fn read(stream: &mut TcpStream, length: usize) {
    stream.read_exact(&mut vec![0; length]).unwrap();
}

/// A SET of a key and a value of one character each.
const SET: usize = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n".len();

#[tokio::test]
async fn only_what_was_not_answered_is_ambiguous() {
    let (port, server) = fake(4 * SET, b"+OK\r\n+OK\r\n+O");
    let url = format!("redis://127.0.0.1:{port}");
    let mut sink = Opened::new(&json!({"url": url, "command": "set", "key": "k"}));
    sink.open().await.unwrap();
    let (events, class, message) = again(&sink.write(["a", "b", "c", "d"]).await);
    assert_eq!((events, class), (vec![2, 3], Class::Ambiguous), "{message}");
    server.join().unwrap();
}

/// A reply too many would be taken for that of the next command, and each later one for that of the next command.
#[tokio::test]
async fn answer_that_was_not_asked_for_breaks_the_connection() {
    let request = b"*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$1\r\na\r\n".len();
    let (port, server) = fake(request, b":1\r\n:2\r\n");
    let options = json!({
        "url": format!("redis://127.0.0.1:{port}"), "command": "rpush", "key": "l", "time_limit": "5s",
    });
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    let first = sink.write(["a"]).await;
    server.join().unwrap();
    if first.to_retry().is_none() {
        // The second reply came after the first was read. It is not the answer to this write.
        let (events, _, message) = again(&sink.write(["b"]).await);
        assert_eq!(events, [0], "{message}");
    }
}

#[tokio::test]
async fn errors_and_silence_of_one_batch_are_distinguished() {
    let (port, server) = fake(3 * SET, b"-OOM no memory\r\n+OK\r\n");
    let url = format!("redis://127.0.0.1:{port}");
    let mut sink = Opened::new(&json!({"url": url, "command": "set", "key": "k"}));
    sink.open().await.unwrap();
    let (events, class, _) = again(&sink.write(["a", "b", "c"]).await);
    assert_eq!((events, class), (vec![0, 2], Class::Ambiguous));
    server.join().unwrap();
}

/// Guards that the answer to a write that was given up is taken for that to the next one.
#[tokio::test]
async fn an_answer_that_comes_late_is_nobodys() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut first = logged_in(&listener);
        read(&mut first, SET);
        // The next command on this connection receives the late reply first.
        std::thread::spawn(move || {
            let asked_again = first.read_exact(&mut [0; SET]).is_ok();
            asked_again.then(|| first.write_all(b"-ERR late\r\n+OK\r\n"))
        });
        let mut second = logged_in(&listener);
        read(&mut second, SET);
        second.write_all(b"+OK\r\n").unwrap();
    });
    let mut sink = Opened::new(&json!({"url": url, "command": "set", "key": "k", "time_limit": "200ms"}));
    sink.open().await.unwrap();
    let (_, class, _) = again(&sink.write(["a"]).await);
    assert_eq!(class, Class::Ambiguous);
    sink.deliver(["b"]).await;
    server.join().unwrap();
}

#[tokio::test]
async fn garbage_for_an_answer_breaks_the_connection() {
    let (port, server) = fake(SET, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let url = format!("redis://127.0.0.1:{port}");
    let mut sink = Opened::new(&json!({"url": url, "command": "set", "key": "k"}));
    sink.open().await.unwrap();
    let (_, class, message) = again(&sink.write(["a"]).await);
    assert_eq!(class, Class::Ambiguous);
    assert!(message.contains("not of the Redis protocol"), "{message}");
    server.join().unwrap();
}

/// A server whose error does not say which of the values it refuses.
#[tokio::test]
async fn refused_value_in_a_shared_command_rejects_only_its_own_event() {
    let push = |values: &[&str]| {
        let words = [&["RPUSH", "l"], values].concat();
        let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        format!("*{}\r\n{}", 2 + values.len(), words.collect::<String>()).len()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (together, singly) = (push(&["a", "b", "c", "d"]), 4 * push(&["a"]));
    let server = std::thread::spawn(move || {
        let mut stream = logged_in(&listener);
        read(&mut stream, together);
        stream.write_all(b"-ERR this value is not for me\r\n").unwrap();
        read(&mut stream, singly);
        stream.write_all(b":1\r\n-ERR this value is not for me\r\n:2\r\n-OOM no memory\r\n").unwrap();
    });
    let mut sink = Opened::new(&json!({"url": url, "command": "rpush", "key": "l"}));
    sink.open().await.unwrap();
    let delivery = sink.write(["a", "b", "c", "d"]).await;
    server.join().unwrap();
    let rejected: Vec<_> = delivery.rejected().iter().map(|one| one.event).collect();
    assert_eq!(rejected, [1], "{delivery:?}");
    assert_eq!((again(&delivery).0, again(&delivery).1), (vec![3], Class::Retry));
}
