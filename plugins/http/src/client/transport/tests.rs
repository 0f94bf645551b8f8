//! Proxies, logins in URLs, and interim answers without an end.

use std::time::Instant;

use tidegate_sdk::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::client::test_server::{Server, ok, status};

const LIMIT: Duration = Duration::from_secs(10);

async fn get(transport: &Transport, url: &str) -> Result<u16, Error> {
    let url = Url::parse(url).unwrap();
    let answer = transport.send(Method::GET, &url, HeaderMap::new(), None).await?;
    Ok(answer.status().as_u16())
}

fn through(proxy: &Server, user: &str) -> Transport {
    let address = proxy.url.replace("http://", &format!("http://{user}"));
    Transport::with_proxies(LIMIT, Matcher::builder().all(address).no("direct.invalid,127.0.0.1").build())
        .unwrap()
}

#[tokio::test]
async fn a_proxy_is_asked_with_the_whole_address_and_its_login() {
    let proxy = Server::start(|_| ok("")).await;
    assert_eq!(get(&through(&proxy, "me:pw@"), "http://api.invalid/a?b=1").await.unwrap(), 200);
    let asked = &proxy.asked()[0];
    assert_eq!(asked.target, "http://api.invalid/a?b=1");
    assert_eq!(asked.header("host"), Some("api.invalid"));
    assert_eq!(asked.header("proxy-authorization"), Some("Basic bWU6cHc="));
    assert_eq!(asked.header("authorization"), None);
    // Hosts of the list are asked directly.
    let server = Server::start(|_| ok("")).await;
    get(&through(&proxy, ""), &server.url).await.unwrap();
    assert_eq!((server.targets(), proxy.targets().len()), (vec!["/".to_owned()], 1));
}

#[tokio::test]
async fn a_secure_connection_goes_through_a_tunnel() {
    let proxy = Server::start(|_| status(403, "")).await;
    let error = get(&through(&proxy, "me:pw@"), "https://api.invalid/").await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    let asked = &proxy.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("CONNECT", "api.invalid:443"));
    assert_eq!(asked.header("proxy-authorization"), Some("Basic bWU6cHc="));
}

#[tokio::test]
async fn a_login_in_the_url_is_sent_as_a_header() {
    let server = Server::start(|_| ok("")).await;
    let transport = Transport::with_proxies(LIMIT, Matcher::builder().build()).unwrap();
    get(&transport, &server.url.replace("http://", "http://me:p%40+w@")).await.unwrap();
    assert_eq!(server.asked()[0].header("authorization"), Some("Basic bWU6cEArdw=="));
    assert!(server.asked()[0].header("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
}

#[tokio::test]
async fn interim_answers_without_an_end_are_left_early() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let transport = Transport::with_proxies(LIMIT, Matcher::builder().build()).unwrap();
    let flood = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
        let piece = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
        let mut sent = 0;
        while stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    };
    let began = Instant::now();
    let (answer, sent) = tokio::join!(get(&transport, &url), flood);
    let error = answer.unwrap_err();
    assert!(error.message().contains("interim answers"), "{error}");
    assert_eq!(error.class(), Class::Ambiguous);
    assert!(began.elapsed() < LIMIT && sent < 64 << 20, "{sent} bytes");

    // A few are allowed.
    let polite = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(INFORMATIONAL as usize);
        stream.write_all(&interim).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
    };
    let (answer, ()) = tokio::join!(get(&transport, &url), polite);
    assert_eq!(answer.unwrap(), 204);
}
