use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use tidegate_sdk::Class;

use crate::sink::server::{Opened, Server, ask_at, free_port, open};

#[tokio::test]
async fn a_socket_file_is_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let server = Server::start(&["--unixsocket", socket.to_str().unwrap()]);
    let url = format!("unix://{}?db=2", socket.display());
    open(&server, json!({"url": url, "command": "rpush", "key": "l"})).await.deliver(["a"]).await;
    assert_eq!(ask_at::<usize>(&format!("{}/2", server.url()), &["LLEN", "l"]).unwrap(), 1);
}

#[tokio::test]
async fn the_database_is_chosen_by_option_before_url() {
    let server = Server::start(&[]);
    let options =
        json!({"url": format!("{}/3", server.url()), "database": 5, "command": "rpush", "key": "l"});
    open(&server, options).await.deliver(["a"]).await;
    assert_eq!(ask_at::<usize>(&format!("{}/5", server.url()), &["LLEN", "l"]).unwrap(), 1);
    let options = json!({"database": 99, "command": "rpush", "key": "l", "url": server.url()});
    let error = Opened::new(&options).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
}

fn openssl(folder: &TempDir, arguments: &str) {
    let output =
        Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority (`ca.pem`) and certificates signed by it: `server.pem` for redis.test, `client.pem`.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
    openssl(&folder, &format!("req -x509 {key} -keyout other.key -out other.pem -days 2 -subj /CN=other"));
    for (name, names) in [("server", "DNS:redis.test"), ("client", "DNS:client.test")] {
        std::fs::write(folder.path().join("extensions"), format!("subjectAltName={names}\n")).unwrap();
        openssl(&folder, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let files = format!("-in {name}.csr -out {name}.pem -extfile extensions");
        openssl(&folder, &format!("x509 -req {files} -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"));
    }
    folder
}

#[tokio::test]
async fn tls_proves_both_sides() {
    let folder = certificates();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let port = free_port();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let port_text = port.to_string();
    let mut options = vec!["--tls-port", &port_text, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    options.extend(["--tls-ca-cert-file", &authority, "--tls-auth-clients", "yes"]);
    let server = Server::start(&options);
    let url = format!("rediss://127.0.0.1:{port}");
    let with = |tls: serde_json::Value| json!({"url": url, "command": "rpush", "key": "l", "tls": tls});
    let ours = json!({"ca_file": authority, "server_name": "redis.test",
        "client_cert": path("client.pem"), "client_key": path("client.key")});
    let big = "x".repeat(100_000);
    open(&server, with(ours.clone())).await.deliver([big.as_str(); 20]).await;
    assert_eq!(server.ask::<usize>(&["LLEN", "l"]), 20);

    for (name, value) in [
        ("server_name", json!("127.0.0.1")),
        ("ca_file", json!(path("other.pem"))),
        ("ca_file", json!(path("missing.pem"))),
        ("ca_file", json!(path("ca.key"))),
    ] {
        let mut wrong = ours.clone();
        wrong[name] = value;
        let error = Opened::new(&with(wrong.clone())).open().await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured, "{wrong}: {error}");
    }
    let without = json!({"ca_file": authority, "server_name": "redis.test"});
    assert!(Opened::new(&with(without)).open().await.is_err());
}

#[tokio::test]
async fn rediss_is_never_plain_text() {
    let server = Server::start(&[]);
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let options = json!({"url": url, "command": "rpush", "key": "l", "connect_time_limit": "300ms"});
    // The server waits for the end of what it takes for a line, so it is the limit that ends this.
    let error = Opened::new(&options).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    assert!(server.ask::<String>(&["INFO", "commandstats"]).find("cmdstat_ping").is_none());
}
