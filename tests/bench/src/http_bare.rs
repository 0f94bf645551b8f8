//! A minimal HTTP server: an axum handler that reads the body and answers 200.
//!
//!     http_bare
//!
//! Prints the port that it listens on, and serves until it is killed.

use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let router = Router::new().route("/events", post(|_body: Bytes| async {}));
    axum::serve(listener, router).await?;
    Ok(())
}
