use std::io::{BufRead, BufReader};
use std::time::Instant;

use super::*;

/// An echo server, a proxy to it, and a connection through the proxy.
struct Through {
    proxy: Proxy,
    client: BufReader<TcpStream>,
    /// Lines that the server received.
    heard: Arc<Mutex<Vec<String>>>,
}

fn through() -> Through {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap(), Random::new(3)).unwrap();
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines.map_while(std::result::Result::ok) {
            log.lock().unwrap().push(line.clone());
            if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
                break;
            }
        }
    });
    Through { proxy, client: BufReader::new(client), heard }
}

impl Through {
    /// Sends a line and reads the reply; empty if the connection was closed instead.
    fn ask(&mut self, line: &str) -> String {
        self.client.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        match self.client.read_until(b'\n', &mut answer) {
            Ok(_) => String::from_utf8_lossy(&answer).into_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn bytes_pass_unchanged_without_a_fault() {
    let mut through = through();
    assert_eq!(through.ask("one"), "one\n");
    assert_eq!(through.ask("two"), "two\n");
    assert_eq!(through.proxy.struck(), 0);
}

#[test]
fn delay_applies_in_both_directions() {
    let mut through = through();
    through.proxy.set(Trouble::Delay(Duration::from_millis(60)));
    let since = Instant::now();
    assert_eq!(through.ask("late"), "late\n");
    assert!(since.elapsed() >= Duration::from_millis(120), "both ways: {:?}", since.elapsed());
}

#[test]
fn split_bytes_arrive_complete() {
    let mut through = through();
    through.proxy.set(Trouble::Split);
    assert_eq!(through.ask("byte by byte"), "byte by byte\n");
    assert!(through.proxy.struck() >= 2);
}

#[test]
fn cut_closes_the_connection_after_half_a_chunk() {
    let mut through = through();
    through.proxy.set(Trouble::Cut);
    assert_eq!(through.ask("never whole"), "");
    assert!(through.heard.lock().unwrap().iter().all(|line| line != "never whole"));
}

#[test]
fn request_of_a_dropped_reply_reaches_the_server() {
    let mut through = through();
    through.proxy.set(Trouble::DropReply);
    assert_eq!(through.ask("heard"), "");
    assert_eq!(*through.heard.lock().unwrap(), ["heard"]);
}

#[test]
fn replies_are_garbled_and_requests_are_not() {
    let mut through = through();
    through.proxy.set(Trouble::Garble);
    // The line end may be garbled too, so the reply is read by its length.
    through.client.get_mut().write_all(b"plain\n").unwrap();
    let mut answer = [0; 6];
    through.client.read_exact(&mut answer).unwrap();
    assert_ne!(&answer, b"plain\n");
    assert_eq!(*through.heard.lock().unwrap(), ["plain"]);
}

#[test]
fn half_open_connection_stays_silent() {
    let mut through = through();
    assert_eq!(through.ask("before"), "before\n");
    through.proxy.set(Trouble::HalfOpen);
    through.client.get_mut().write_all(b"swallowed\n").unwrap();
    while through.proxy.struck() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    through.proxy.set(Trouble::None);
    through.client.get_mut().write_all(b"after\n").unwrap();
    through.client.get_mut().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = through.client.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!(*through.heard.lock().unwrap(), ["before"]);
}
