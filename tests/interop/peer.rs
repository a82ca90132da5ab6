//! A peer: serves every function of `wit/peer.wit` on published crates, and calls every one of them.
//! Each peer's package includes this file with its own versions of the crates.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, select_all};
use tokio::task::{JoinHandle, JoinSet};
use wrpc_transport_nats::Client;

mod callee {
    wit_bindgen_wrpc::generate!({ world: "callee", path: "../wit" });
}
mod caller {
    wit_bindgen_wrpc::generate!({ world: "caller", path: "../wit" });
}

use caller::interop::values::{bare, echo, flow};

/// A peer that serves; it stops when this is dropped.
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn client(url: &str, group: Option<&str>) -> Result<Client> {
    let nats = async_nats::connect(url).await?;
    Client::new(nats, "lat.comp", group.map(Arc::from)).await
}

#[derive(Clone)]
struct Echo;

mod serves {
    use super::callee::exports::interop::values::{bare, echo, flow};
    use super::*;

    impl<C: Send + Sync> echo::Handler<C> for Echo {
        async fn send_scalars(&self, _: C, v: echo::Scalars) -> Result<echo::Scalars> {
            Ok(v)
        }
        async fn send_lists(&self, _: C, v: echo::Lists) -> Result<echo::Lists> {
            Ok(v)
        }
        async fn send_choices(&self, _: C, v: echo::Choices) -> Result<echo::Choices> {
            Ok(v)
        }
        async fn several(
            &self,
            _: C,
            a: u32,
            b: String,
            c: Option<Bytes>,
        ) -> Result<(u32, String, Option<Bytes>)> {
            Ok((a, b, c))
        }
        async fn blob(&self, _: C, v: Bytes) -> Result<Bytes> {
            Ok(v)
        }
        async fn attempt(&self, _: C, v: Result<u32, String>) -> Result<Result<u32, String>> {
            Ok(v)
        }
    }

    impl<C: Send + Sync> bare::Handler<C> for Echo {
        async fn unit(&self, _: C) -> Result<()> {
            Ok(())
        }
        async fn give(&self, _: C) -> Result<u32> {
            Ok(42)
        }
        async fn take(&self, _: C, v: String) -> Result<()> {
            ensure!(v == "taken");
            Ok(())
        }
        async fn fail(&self, _: C, _: u8) -> Result<u8> {
            anyhow::bail!("it always fails")
        }
    }

    impl<C: Send + Sync> flow::Handler<C> for Echo {
        async fn bytes(&self, _: C, _: u8, v: Incoming<Bytes>) -> Result<Incoming<Bytes>> {
            Ok(v)
        }
        async fn texts(&self, _: C, v: Incoming<Vec<String>>) -> Result<Incoming<Vec<String>>> {
            Ok(v)
        }
        async fn later(&self, _: C, v: Later<u32>) -> Result<Later<u32>> {
            Ok(v)
        }
        async fn exchange(&self, _: C, v: flow::Message) -> Result<Result<flow::Message, String>> {
            Ok(Ok(v))
        }
        async fn numbers(&self, _: C, v: Incoming<Vec<u64>>) -> Result<Incoming<Vec<u64>>> {
            Ok(v)
        }
        async fn readings(
            &self,
            _: C,
            v: Incoming<Vec<flow::Reading>>,
        ) -> Result<Incoming<Vec<flow::Reading>>> {
            Ok(v)
        }
        async fn deferred(
            &self,
            _: C,
            v: Later<Incoming<Vec<u32>>>,
        ) -> Result<Later<Incoming<Vec<u32>>>> {
            Ok(v)
        }
        async fn gather(
            &self,
            _: C,
            v: Incoming<Vec<Incoming<Vec<String>>>>,
        ) -> Result<Vec<String>> {
            let groups: Vec<Vec<Incoming<Vec<String>>>> = v.collect().await;
            let texts = groups.into_iter().flatten().map(|texts| async {
                let texts: Vec<Vec<String>> = texts.collect().await;
                texts.concat().concat()
            });
            Ok(futures::future::join_all(texts).await)
        }
    }
}

type Incoming<T> = std::pin::Pin<Box<dyn futures::Stream<Item = T> + Send>>;
type Later<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves every function.
pub async fn serve(url: &str) -> Result<Serving> {
    let client = client(url, Some("lat.comp")).await?;
    let functions = callee::serve(&client, Echo).await?;
    let calls = functions.into_iter().map(|(_, _, calls)| calls.boxed());
    let mut calls: BoxStream<'_, _> = select_all(calls).boxed();
    let task = async move {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                call = calls.next() => match call {
                    Some(Ok(call)) => { running.spawn(call); }
                    Some(Err(_)) => {}
                    None => return,
                },
                Some(_) = running.join_next() => {}
            }
        }
    };
    // Old releases do not wait for their subscriptions; callers retry while nobody serves.
    Ok(Serving(tokio::spawn(task)))
}

/// The calling end, for the benchmark.
#[derive(Clone)]
pub struct Calls(Arc<Client>);

impl Calls {
    /// Connects.
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Arc::new(client(url, None).await?)))
    }

    /// Calls the function without parameters and results.
    pub async fn nop(&self) -> Result<()> {
        bare::unit(&*self.0, None).await
    }

    /// Sends bytes there and back.
    pub async fn blob(&self, bytes: &Bytes) -> Result<Bytes> {
        echo::blob(&*self.0, None, bytes).await
    }
}

fn scalars() -> echo::Scalars {
    echo::Scalars {
        a: true,
        b: 200,
        c: -128,
        d: 65_535,
        e: -8_192,
        f: u32::MAX,
        g: -134_217_728,
        h: u64::MAX,
        i: -(1 << 62),
        j: -2.5,
        k: 0.1,
        l: '🦀',
        m: "żółw".to_owned(),
    }
}

fn lists() -> echo::Lists {
    echo::Lists {
        bytes: Bytes::from_static(&[1, 2, 255]),
        numbers: vec![1, 300, 0],
        signed: vec![-1, 0, i64::MAX, -65],
        floats: vec![0.0, -0.0, f64::INFINITY],
        switches: vec![true, false],
        letters: vec!['a', '€'],
        texts: vec![String::new(), "bc".to_owned()],
        nested: vec![vec![], vec![1, -300]],
        pairs: vec![(7, "x".to_owned())],
    }
}

fn choices() -> echo::Choices {
    echo::Choices {
        shape: echo::Shape::Circle(1.5),
        shapes: vec![
            echo::Shape::Point,
            echo::Shape::Label("l".to_owned()),
            echo::Shape::Path(vec![(1, -2)]),
        ],
        colour: echo::Colour::Blue,
        rights: echo::Rights::READ | echo::Rights::RUN,
        many: echo::Many::F0 | echo::Many::F9,
        maybe: Some(5),
        twice: Some(None),
        outcome: Err("no".to_owned()),
        done: Ok(()),
        failed: Err("why".to_owned()),
        made: Ok("it".to_owned()),
    }
}

fn same(sent: impl std::fmt::Debug, received: impl std::fmt::Debug) -> Result<()> {
    let (sent, received) = (format!("{sent:?}"), format!("{received:?}"));
    ensure!(sent == received, "sent {sent}, received {received}");
    Ok(())
}

/// Calls every function and compares what comes back.
pub async fn call_all(url: &str) -> Result<()> {
    let client = client(url, None).await?;
    patiently(|| call_values(&client)).await?;
    patiently(|| call_bare(&client)).await?;
    patiently(|| call_flow(&client)).await
}

/// Far more than all calls of one interface take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Does `work` in a bounded time, and again where the release is known to lose answers.
async fn patiently<W: Future<Output = Result<()>>>(work: impl Fn() -> W) -> Result<()> {
    let mut attempts = 1;
    loop {
        match tokio::time::timeout(TIME_MAX, work()).await {
            Ok(done) => return done,
            Err(_) if attempts < crate::ATTEMPTS_MAX => attempts += 1,
            Err(late) => return Err(late.into()),
        }
    }
}

async fn call_values(client: &Client) -> Result<()> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("source-id", "peer");
    same(
        scalars(),
        echo::send_scalars(client, Some(headers), &scalars())
            .await
            .context("scalars")?,
    )?;
    same(
        lists(),
        echo::send_lists(client, None, &lists())
            .await
            .context("lists")?,
    )?;
    same(
        choices(),
        echo::send_choices(client, None, &choices())
            .await
            .context("choices")?,
    )?;
    let several = echo::several(client, None, 300, "x", Some(&Bytes::from_static(b"ab"))).await;
    let expected = (300, "x", Some(Bytes::from_static(b"ab")));
    same(expected, several.context("several")?)?;
    let big = Bytes::from((0..5 << 19).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    let blob = echo::blob(client, None, &big).await.context("blob")?;
    ensure!(
        blob == big,
        "{} bytes came back of {}",
        blob.len(),
        big.len()
    );
    for attempt in [Ok(9), Err("no".to_owned())] {
        same(
            &attempt,
            echo::attempt(client, None, &attempt)
                .await
                .context("attempt")?,
        )?;
    }
    let calls = (0..1_000).map(|i| async move {
        let text = i.to_string();
        same(
            (i, &text, None::<Bytes>),
            echo::several(client, None, i, &text, None).await?,
        )
    });
    let results: Vec<Result<()>> = stream::iter(calls).buffer_unordered(1_000).collect().await;
    results
        .into_iter()
        .collect::<Result<()>>()
        .context("a thousand at once")
}

async fn call_bare(client: &Client) -> Result<()> {
    bare::unit(client, None).await.context("unit")?;
    same(42, bare::give(client, None).await.context("give")?)?;
    bare::take(client, None, "taken").await.context("take")?;
    ensure!(
        bare::fail(client, None, 1).await.is_err(),
        "a failure came as success"
    );
    Ok(())
}

async fn call_flow(client: &Client) -> Result<()> {
    let chunks = || stream::iter([Bytes::from_static(b"aaa"), Bytes::from_static(b"bbb")]);
    let (stream, io) = flow::bytes(client, None, 9, chunks().boxed())
        .await
        .context("bytes")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let received: Vec<Bytes> = stream.collect().await;
    same(
        Bytes::from(received.concat()),
        Bytes::from_static(b"aaabbb"),
    )?;
    io.await??;

    let texts = vec![vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]];
    let (stream, io) = flow::texts(client, None, stream::iter(texts).boxed())
        .await
        .context("texts")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let received: Vec<Vec<String>> = stream.collect().await;
    same(received.concat(), ["a", "b", "c"])?;
    io.await??;

    let (later, io) = flow::later(client, None, Box::pin(async { 7 }))
        .await
        .context("later")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    same(later.await, 7)?;
    io.await??;

    let message = flow::Message {
        body: chunks().boxed(),
        trailers: Box::pin(async { Some("end".to_owned()) }),
        status: 200,
    };
    let (message, io) = flow::exchange(client, None, message)
        .await
        .context("exchange")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let message = message.map_err(anyhow::Error::msg)?;
    let body: Vec<Bytes> = message.body.collect().await;
    same(Bytes::from(body.concat()), Bytes::from_static(b"aaabbb"))?;
    same(message.trailers.await, Some("end"))?;
    same(message.status, 200)?;
    io.await??;
    call_flow_of_types(client).await
}

fn reading(at: u64) -> flow::Reading {
    flow::Reading {
        at,
        values: vec![0.1; (at % 5) as usize],
        level: (at % 2 == 0).then_some(at as u16),
        sensor: "s".repeat((at % 7) as usize),
    }
}

async fn call_flow_of_types(client: &Client) -> Result<()> {
    let numbers: Vec<u64> = (0..5_000).map(|number| number << 40).collect();
    let chunks: Vec<_> = numbers.chunks(700).map(<[u64]>::to_vec).collect();
    let (stream, io) = flow::numbers(client, None, stream::iter(chunks).boxed())
        .await
        .context("numbers")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let received: Vec<Vec<u64>> = stream.collect().await;
    same(received.concat(), numbers)?;
    io.await??;

    let chunks = [(0..1), (1..50), (50..2_000)];
    let chunks = chunks.map(|range| range.map(reading).collect::<Vec<_>>());
    let (stream, io) = flow::readings(client, None, stream::iter(chunks).boxed())
        .await
        .context("readings")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let received: Vec<Vec<flow::Reading>> = stream.collect().await;
    let received: Vec<flow::Reading> = received.into_iter().flatten().collect();
    same(received, (0..2_000).map(reading).collect::<Vec<_>>())?;
    io.await??;

    let late: Later<Incoming<Vec<u32>>> = Box::pin(async {
        let numbers: Incoming<Vec<u32>> = Box::pin(stream::iter([vec![1, 2], vec![3]]));
        numbers
    });
    let (later, io) = flow::deferred(client, None, late)
        .await
        .context("deferred")?;
    let io = tokio::spawn(async move {
        match io {
            Some(io) => io.await,
            None => Ok(()),
        }
    });
    let received: Vec<Vec<u32>> = later.await.collect().await;
    same(received.concat(), [1, 2, 3])?;
    io.await??;
    Ok(())
}

/// Calls the function that the published releases cannot serve.
pub async fn call_gather(url: &str) -> Result<()> {
    let client = client(url, None).await?;
    patiently(|| call_gather_of(&client)).await
}

async fn call_gather_of(client: &Client) -> Result<()> {
    let texts = [vec![], vec!["a"], vec!["b", "cd", "e"]];
    let texts = texts.map(|texts| {
        let texts = texts.into_iter().map(|text| vec![text.to_owned()]);
        let texts: Incoming<Vec<String>> = Box::pin(stream::iter(texts.collect::<Vec<_>>()));
        texts
    });
    let [first, second, third] = texts;
    let groups: Incoming<Vec<Incoming<Vec<String>>>> =
        Box::pin(stream::iter([vec![first], vec![second, third]]));
    let (joined, io) = flow::gather(client, None, groups).await.context("gather")?;
    if let Some(io) = io {
        io.await?;
    }
    same(joined, ["", "a", "bcde"])
}
