use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, Server};

/// Sends `text` over a new connection, and reads until the server closes it or the response is complete.
fn exchange(server: &Server, text: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn server_sends_the_scripted_response_and_records_the_request() {
    let server = Server::start(|request| Answer::json(format!("\"{}\"", request.path())).retry_after(7));
    let answer = exchange(&server, "POST /a?page=2 HTTP/1.1\r\nX-One: 1\r\nContent-Length: 3\r\n\r\nabc");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Retry-After: 7\r\n"));
    assert!(answer.ends_with("Content-Length: 4\r\n\r\n\"/a\""));
    let request = &server.wait_for(1)[0];
    assert_eq!((request.method.as_str(), request.path(), request.query("page")), ("POST", "/a", Some("2")));
    assert_eq!((request.header("x-one"), request.text().as_str()), (Some("1"), "abc"));
}

#[test]
fn chunked_bodies_and_several_requests_per_connection_are_read() {
    let server = Server::scripted([Answer::status(503), Answer::ok("x")]);
    let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = exchange(&server, &format!("{chunked}GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    assert_eq!(answer.matches("HTTP/1.1 503").count(), 1);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2);
    assert_eq!(server.requests()[0].text(), "abcde");
    assert_eq!(server.connections(), 1);
}

#[test]
fn response_can_be_cut_or_withheld() {
    let server = Server::scripted([Answer::ok("body").cut_after(12), Answer::status(200).cut_after(0)]);
    assert_eq!(exchange(&server, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200");
    assert_eq!(exchange(&server, "GET / HTTP/1.1\r\n\r\n"), "");

    for answer in [Answer::silence(), Answer::ok("late").delay(Duration::from_secs(3600))] {
        let server = Server::scripted([answer]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        server.wait_for(1);
        drop(server);
        assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0, "the server has ended and nothing came");
    }
}

#[test]
#[should_panic(expected = "the script did not expect /b")]
fn panic_of_the_script_is_rethrown() {
    let server = Server::start(|request| panic!("the script did not expect {}", request.path()));
    exchange(&server, "GET /b HTTP/1.1\r\n\r\n");
}
