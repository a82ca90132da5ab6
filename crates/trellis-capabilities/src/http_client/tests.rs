//! Tests of the client against real servers on loopback.
#![allow(clippy::unwrap_used)]

mod denials;
mod exchange;
mod grants;
mod limits;
mod server;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};

use super::{
    AllowList, ClientConfig, ClientError, HttpClient, RequestBody, Resolve, ResponseBody, Timeouts,
    TlsTrust,
};

/// Returns the config of a client that trusts the public authorities.
fn config(allow: &str) -> ClientConfig {
    ClientConfig::new(AllowList::parse(allow).unwrap(), TlsTrust::new([]).unwrap())
}

fn client(allow: &str) -> HttpClient {
    HttpClient::new(config(allow))
}

fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(text: &'static str) -> RequestBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Asks for `uri` with nothing special about it.
async fn get(client: &HttpClient, uri: &str) -> Result<Response<ResponseBody>, ClientError> {
    let request = Request::get(uri).body(empty()).unwrap();
    client.send(request, Timeouts::default()).await
}

/// Asks for `uri` and reads the whole response.
async fn read(client: &HttpClient, uri: &str) -> Result<String, ClientError> {
    let body = get(client, uri)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    Ok(String::from_utf8(body.into()).unwrap())
}

/// Timeouts so short that a test may wait for them.
fn short() -> Timeouts {
    let short = Duration::from_millis(60);
    Timeouts {
        connect: short,
        first_byte: short,
        between_bytes: short,
    }
}

/// A resolver that gives each of its answers once, and the last one for ever.
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |it: &&str| it.parse().unwrap();
        let answers = answers
            .iter()
            .map(|it| it.iter().map(parse).collect())
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Script {
    fn resolve(&self, _name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        Box::pin(async move { Ok(next.unwrap_or_default()) })
    }
}

/// A resolver that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}
