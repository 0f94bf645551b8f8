use jiff::Timestamp;
use tidegate_runtime::status::{GraphState, GraphStatus, Health};
use tidegate_sdk::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::commands::run::reloads::{Outcome, Reload, Reloads};
use crate::commands::run::sample_status::{component, graph};

struct Fixed(Health);

impl Pipelines for Fixed {
    fn drain(&self) {}
    fn abort(&self) {}
    async fn finished(&self) {}
    async fn reload(&self) {}
    fn reloads(&self) -> Reloads {
        let message = "2 errors".to_owned();
        let last = Some(Reload { time: Timestamp::UNIX_EPOCH, outcome: Outcome::Refused, message });
        Reloads { counts: [3, 1, 0], last, resident_libraries: 0 }
    }
    fn status(&self) -> Vec<GraphStatus> {
        let mut users = component("users", Kind::Source);
        users.health = self.0.clone();
        vec![graph("p", GraphState::Running, vec![users])]
    }
}

async fn serve(health: Health) -> (SocketAddr, Serving) {
    let admin =
        Admin::bind("127.0.0.1:0".parse().unwrap(), Hosts::new(["tide.example"]).unwrap()).await.unwrap();
    (admin.address(), admin.serve(Arc::new(Fixed(health))))
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host = if request.contains("\r\n") { "" } else { "\r\nHost: localhost" };
    stream.write_all(format!("{request}{host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn each_page_is_what_it_says() {
    let (address, serving) = serve(Health::Ready).await;
    let get = async |path: &str| ask(address, &format!("GET {path} HTTP/1.1")).await;
    assert!(get("/").await.contains("<title>Tidegate</title>"));
    assert!(get("/healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(get("/status").await.contains(r#""component":"users","kind":"source""#));
    let reloads = r#""reloads":{"done":3,"refused":1,"incomplete":0,"last":{"time":"1970-01-01T00:00:00Z","outcome":"refused","message":"2 errors"}}"#;
    assert!(get("/status").await.contains(reloads), "{}", get("/status").await);
    assert!(get("/nothing").await.starts_with("HTTP/1.1 404"));
    let metrics = get("/metrics?x=1").await;
    assert!(metrics.to_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(metrics.contains("tidegate_events_in_total{pipeline=\"p\",component=\"users\""));
    assert!(metrics.contains("\ntidegate_reloads_total{outcome=\"done\"} 3\n"), "{metrics}");
    assert!(metrics.contains("\ntidegate_last_reload_success 0\n"), "{metrics}");
    serving.stop().await;
}

#[tokio::test]
async fn ready_means_200_and_not_ready_503_with_the_reason() {
    let (address, serving) = serve(Health::Ready).await;
    assert!(ask(address, "GET /readyz HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    serving.stop().await;
    let (address, serving) = serve(Health::Waiting("no answer from 127.0.0.1".into())).await;
    let answer = ask(address, "GET /readyz HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#""reason":"no answer from 127.0.0.1""#), "{answer}");
    serving.stop().await;
}

#[tokio::test]
async fn only_get_is_served() {
    let (address, serving) = serve(Health::Ready).await;
    let answer = ask(address, "POST /metrics HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.to_lowercase().contains("allow: get\r\n"), "{answer}");
    serving.stop().await;
}

#[tokio::test]
async fn stopping_ends_connections_that_say_nothing() {
    let (address, serving) = serve(Health::Ready).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS + 2 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    timeout(Duration::from_secs(10), serving.stop()).await.expect("a silent connection does not hold it up");
}

#[tokio::test]
async fn an_address_in_use_is_a_clear_error() {
    let (address, serving) = serve(Health::Ready).await;
    let Err(failure) = Admin::bind(address, Hosts::default()).await else { panic!("the address is in use") };
    assert!(failure.message.starts_with(&format!("--admin {address} cannot be listened on")), "{failure:?}");
    serving.stop().await;
}

#[tokio::test]
async fn only_requests_for_this_machine_are_served() {
    let (address, serving) = serve(Health::Ready).await;
    let port = address.port();
    for good in [
        format!("Host: localhost:{port}"),
        "Host: 127.0.0.1".to_owned(),
        "Host: [::1]:1".to_owned(),
        "Host: tide.example".to_owned(),
        format!("Host: localhost\r\nOrigin: http://localhost:{port}"),
        "X-No-Host: there is none".to_owned(),
    ] {
        let answer = ask(address, &format!("GET /status HTTP/1.1\r\n{good}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{good}: {answer}");
    }
    for bad in [
        "Host: evil.example",
        "Host: evil.example\r\nHost: localhost",
        "Host: localhost\r\nOrigin: https://evil.example",
        "Host: localhost\r\nOrigin: null",
    ] {
        for path in ["/", "/status", "/metrics", "/healthz"] {
            let answer = ask(address, &format!("GET {path} HTTP/1.1\r\n{bad}")).await;
            assert!(
                answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 400"),
                "{bad}: {answer}"
            );
        }
    }
    let answer = ask(address, "GET http://evil.example/status HTTP/1.1\r\nHost: localhost").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    serving.stop().await;
}

/// Guards against a client that holds all connections, so that no other is accepted.
#[tokio::test]
async fn a_client_with_every_connection_does_not_block_others() {
    let (address, serving) = serve(Health::Ready).await;
    let mut held = Vec::new();
    for number in 0..3 * CONNECTIONS {
        let mut silent = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            silent.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        }
        held.push(silent);
    }
    for _ in 0..10 {
        let answer = timeout(HEADER_TIME, ask(address, "GET /healthz HTTP/1.1")).await;
        assert!(answer.expect("at once").ends_with("\r\n\r\nok\n"));
    }
    timeout(Duration::from_secs(10), serving.stop()).await.expect("none of them holds it up");
}

#[test]
fn the_address_with_the_most_connections_gives_up_its_oldest() {
    let slots = Arc::new(Slots::default());
    let take = |last: u8| Slots::take(&slots, IpAddr::from([127, 0, 0, last]));
    let honest = take(1);
    let greedy: Vec<Slot> = (1..CONNECTIONS).map(|_| take(2)).collect();
    let more = [take(3), take(2)];
    assert!(!honest.evicted.is_cancelled() && more.iter().all(|slot| !slot.evicted.is_cancelled()));
    let gone = greedy.iter().take_while(|slot| slot.evicted.is_cancelled()).count();
    assert_eq!(gone, 2, "the two oldest");
    drop((honest, greedy, more));
    assert!(slots.0.lock().all.is_empty());
}
