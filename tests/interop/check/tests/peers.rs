//! Ours against the published wRPC crates, both ways, over a real nats-server.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wire::plan::AsyncPath;
use trellis_wire::{Dialect, FunctionPlan, Limits, Reader, Scan, WitTypes, scan, wave};
use trellis_wrpc::{
    AcceptedBy, CallError, CallOptions, ChannelReader, ChannelWriter, Client, Config, Export,
    IndexPath, Invocation, ParamStreams, Reply, Returns, Served, Server, ServerConfig, Target,
    Transport,
};
use wit_parser::Resolve;

const VALUES: &[(&str, &str)] = &[
    (
        "send-scalars",
        r#"{a: true, b: 200, c: -128, d: 65535, e: -8192, f: 4294967295, g: -134217728,
            h: 18446744073709551615, i: -4611686018427387904, j: -2.5, k: 0.1, l: '🦀', m: "żółw"}"#,
    ),
    (
        "send-lists",
        r#"{bytes: [1, 2, 255], numbers: [1, 300, 0], signed: [-1, 0, 9223372036854775807, -65],
            floats: [0.5, -1.5, inf], switches: [true, false], letters: ['a', '€'], texts: ["", "bc"],
            nested: [[], [1, -300]], pairs: [(7, "x")]}"#,
    ),
    (
        "send-lists",
        r#"{bytes: [], numbers: [], signed: [], floats: [], switches: [], letters: [], texts: [],
            nested: [], pairs: []}"#,
    ),
    (
        "send-choices",
        r#"{shape: circle(1.5), shapes: [point, label("l"), path([(1, -2)])], colour: blue,
            rights: {read, run}, many: {f0, f9}, maybe: some(5), twice: some(none), outcome: err("no"),
            done: ok, failed: err("why"), made: ok("it")}"#,
    ),
    (
        "send-choices",
        r#"{shape: point, shapes: [], colour: red, rights: {}, many: {}, maybe: none, twice: none,
            outcome: ok(9), done: err, failed: ok, made: err}"#,
    ),
    ("several", r#"300, "x", some([97, 98])"#),
    ("several", r#"0, "", none"#),
    ("attempt", "ok(9)"),
    ("attempt", r#"err("no")"#),
];

/// The functions of one interface of `wit/peer.wit`.
struct Interface {
    id: &'static str,
    functions: HashMap<String, Arc<FunctionPlan>>,
}

impl Interface {
    fn load(name: &str) -> Self {
        let mut resolve = Resolve::default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        resolve.push_path(folder).unwrap();
        let found = resolve
            .interfaces
            .iter()
            .find(|(_, it)| it.name.as_deref() == Some(name));
        let (interface, _) = found.unwrap();
        let id = format!("interop:values/{name}@0.1.0");
        let mut types = WitTypes::new(&resolve);
        let plans = resolve.interfaces[interface]
            .functions
            .iter()
            .map(|(name, function)| {
                let signature = types.function(function).unwrap();
                (
                    name.clone(),
                    Arc::new(FunctionPlan::compile(&signature).unwrap()),
                )
            });
        Self {
            functions: plans.collect(),
            id: Box::leak(id.into_boxed_str()),
        }
    }

    fn target(&self, function: &str) -> Target {
        let returns = match self.functions[function].signature.result {
            Some(_) => Returns::Value,
            None => Returns::Unknown,
        };
        Target::new("lat", "comp", self.id, function)
            .unwrap()
            .returning(returns)
    }
}

struct Host {
    transport: Transport,
    client: Client,
    server: Server,
}

async fn host(nats: &NatsServer) -> Host {
    let connection = async_nats::connect(nats.url()).await.unwrap();
    let transport = Transport::open(connection, Config::new("ours"))
        .await
        .unwrap();
    Host {
        client: Client::new(&transport),
        server: Server::new(&transport, ServerConfig::default()),
        transport,
    }
}

fn soon() -> CallOptions {
    CallOptions::new(Duration::from_secs(30))
}

/// Calls until someone serves: old releases do not say when they do.
async fn call(host: &Host, target: &Target, params: Bytes) -> Result<Bytes, CallError> {
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match host.client.call(target, params.clone(), soon()).await {
            Err(error) if !error.may_have_run() && tokio::time::Instant::now() < until => {
                tokio::task::yield_now().await;
            }
            done => return done,
        }
    }
}

/// Calls every function of a peer. Many at once come last: servers of 1.9 are behind with their
/// own notes for a moment then, and drop what they wait for.
async fn call_peer(host: &Host) {
    call_bare(host).await;
    call_flow(host).await;
    call_values(host).await;
}

async fn call_values(host: &Host) {
    let echo = Interface::load("echo");
    for (function, text) in VALUES {
        let plan = &echo.functions[*function];
        let values = wave::parse_params(&plan.signature.params, text).unwrap();
        let params = plan.encode_params(&values, Dialect::A).unwrap();
        let result = call(host, &echo.target(function), params.clone().into())
            .await
            .unwrap();
        // A tuple of the parameters, or the only one: the same bytes.
        assert_eq!(result, params, "{function}({text})");
        plan.decode_result(&result, Dialect::A, &Limits::default())
            .unwrap()
            .unwrap();
    }
    let blob = &echo.functions["blob"];
    let big = (0..5 << 19).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    let big = trellis_wire::Value::Bytes(big);
    let params: Bytes = blob.encode_params(&[big], Dialect::A).unwrap().into();
    assert!(
        call(host, &echo.target("blob"), params.clone())
            .await
            .unwrap()
            == params
    );
    let target = echo.target("attempt");
    let calls = (0..1_000).map(|i: u32| {
        let target = &target;
        async move {
            let mut params = BytesMut::from(&[0][..]);
            put_leb(&mut params, i);
            let result = host
                .client
                .call(target, params.clone().freeze(), soon())
                .await?;
            assert_eq!(result, params);
            Ok::<(), CallError>(())
        }
    });
    try_join_all(calls).await.unwrap();
}

fn put_leb(to: &mut BytesMut, mut value: u32) {
    while value >= 128 {
        to.extend_from_slice(&[value as u8 | 128]);
        value >>= 7;
    }
    to.extend_from_slice(&[value as u8]);
}

async fn call_bare(host: &Host) {
    let bare = Interface::load("bare");
    assert_eq!(
        call(host, &bare.target("unit"), Bytes::new())
            .await
            .unwrap(),
        ""
    );
    assert_eq!(
        call(host, &bare.target("give"), Bytes::new())
            .await
            .unwrap(),
        "\x2a"
    );
    assert_eq!(
        call(host, &bare.target("take"), "\x05taken".into())
            .await
            .unwrap(),
        ""
    );
    let failed = call(host, &bare.target("fail"), "\x01".into())
        .await
        .unwrap_err();
    assert_eq!(failed.class(), ErrorClass::Trap);
}

/// What is sent on one channel, in pieces.
type Pieces = &'static [&'static str];

async fn call_flow(host: &Host) {
    let flow = Interface::load("flow");
    let body: Pieces = &["\x03aaa", "\x03b", "bb\x00"];
    let texts: Pieces = &["\x01\x01a\x02\x01b", "\x01c\x00"];
    let numbers: Pieces = &["\x02\x07", "\x08\x01\x09\x00"];
    // At 5, 0.0 and 2.0, level 7, of "s"; and at 6, of nothing.
    let readings: Pieces = &[
        "\x02\x05\x02\0\0\0\0\0\0\0\0\0\0\0",
        "\0\0\0\0@\x01\x07\x01s\x06\0\0\0\0",
    ];
    let pipe = |function, params, sent| pipe(host, &flow, function, params, sent);
    let received = pipe("bytes", "\x09\x00", vec![body]).await;
    assert_eq!(
        elements(&received[0], |reader| vec![reader.u8().unwrap()]),
        b"aaabbb"
    );
    let received = pipe("texts", "\x00", vec![texts]).await;
    let text = |reader: &mut Reader<'_>| reader.string().unwrap().as_bytes().to_vec();
    assert_eq!(elements(&received[0], text), b"abc");
    let received = pipe("numbers", "\x00", vec![numbers]).await;
    let number = |reader: &mut Reader<'_>| vec![reader.u64().unwrap() as u8];
    assert_eq!(elements(&received[0], number), [7, 8, 9]);
    let received = pipe("readings", "\x00", vec![readings]).await;
    let expected = "5 [0.0, 2.0] Some(7) s;6 [] None ;";
    assert_eq!(elements(&received[0], reading), expected.as_bytes());
    // What the future is follows it on its channel.
    let received = pipe(
        "deferred",
        "\x00",
        vec![&["\x00\x02\x07\x08", "\x01\x09\x00"]],
    )
    .await;
    let number = |reader: &mut Reader<'_>| vec![reader.u32().unwrap() as u8];
    assert_eq!(received[0][0], 0);
    assert_eq!(elements(&received[0][1..], number), [7, 8, 9]);
    let received = pipe("later", "\x00", vec![&["\x07"]]).await;
    assert_eq!(received, ["\x07"]);
    let received = pipe("exchange", "\x00\x00\x48", vec![body, &["\x01\x03end"]]).await;
    assert_eq!(
        elements(&received[0], |reader| vec![reader.u8().unwrap()]),
        b"aaabbb"
    );
    assert_eq!(received[1], "\x01\x03end");
}

/// Reads a record of the type `reading`, as a text.
fn reading(reader: &mut Reader<'_>) -> Vec<u8> {
    let at = reader.u64().unwrap();
    let count = reader.u32().unwrap();
    let values: Vec<f64> = (0..count).map(|_| reader.f64().unwrap()).collect();
    let level = reader.bool().unwrap().then(|| reader.u16().unwrap());
    let sensor = reader.string().unwrap();
    format!("{at} {values:?} {level:?} {sensor};").into_bytes()
}

/// Calls a function with channels in parameters and result. Returns what came on those of the result.
async fn pipe(
    host: &Host,
    flow: &Interface,
    function: &str,
    params: &'static str,
    sent: Vec<Pieces>,
) -> Vec<Bytes> {
    let plan = &flow.functions[function];
    let options = CallOptions {
        params: ParamStreams::Follow,
        ..soon()
    };
    let call = host
        .client
        .invoke(&flow.target(function), params.into(), options)
        .await
        .unwrap();
    assert_eq!(call.accepted_by().await.unwrap(), AcceptedBy::Legacy);
    let writers = plan
        .param_channels
        .iter()
        .map(|at| call.param_writer(path(at)).unwrap());
    let write = try_join_all(writers.zip(sent).map(|(mut writer, pieces)| async move {
        for piece in pieces {
            writer.write((*piece).into()).await?;
        }
        writer.finish().await
    }));
    let readers = plan
        .result_channels
        .iter()
        .map(|at| call.result_reader(path(at)));
    let read = try_join_all(readers.map(read_all));
    let is_complete = |bytes: &[u8]| is_whole(plan, plan.results, bytes);
    let result = call.result_until(is_complete);
    let (_, received, _) = tokio::try_join!(write, read, result).unwrap();
    received
}

fn path(at: &AsyncPath) -> IndexPath {
    IndexPath::new(&at.fixed().unwrap())
}

async fn read_all(mut reader: ChannelReader) -> Result<Bytes, CallError> {
    let mut all = BytesMut::new();
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

/// The elements of a stream, joined, without the bounds of its chunks.
fn elements(channel: &[u8], mut element: impl FnMut(&mut Reader<'_>) -> Vec<u8>) -> Vec<u8> {
    let mut reader = Reader::new(channel);
    let mut all = Vec::new();
    loop {
        match reader.u32().unwrap() {
            0 => return all,
            count => (0..count).for_each(|_| all.extend(element(&mut reader))),
        }
    }
}

fn is_whole(plan: &FunctionPlan, id: trellis_wire::plan::PlanId, bytes: &[u8]) -> bool {
    let scanned = scan(&plan.plan, id, bytes, Dialect::A, &Limits::default());
    !matches!(scanned, Ok(Scan::NeedMore { .. }))
}

/// Serves every function to a peer: decodes what comes and encodes it again.
async fn serve_peer(host: &Host) -> Vec<Served> {
    let mut all = Vec::new();
    for name in ["echo", "flow"] {
        let interface = Interface::load(name);
        for (function, plan) in interface.functions {
            let export = Export::new("lat", "comp", interface.id, &function).unwrap();
            let handler = move |invocation| echo(plan.clone(), invocation);
            all.push(host.server.serve(&export, handler).await.unwrap());
        }
    }
    let bare = Interface::load("bare");
    for (function, plan) in bare.functions {
        let export = Export::new("lat", "comp", bare.id, &function).unwrap();
        let handler = move |invocation: Invocation| {
            let (plan, function) = (plan.clone(), function.clone());
            async move {
                let is_complete = |bytes: &[u8]| is_whole(&plan, plan.params, bytes);
                invocation.params_until(is_complete).await?;
                match function.as_str() {
                    "fail" => Err(CallError::new(ErrorClass::Trap, "it always fails")),
                    "give" => Ok(Reply::value("\x2a")),
                    _ => Ok(Reply::value(Bytes::new())),
                }
            }
        };
        all.push(host.server.serve(&export, handler).await.unwrap());
    }
    host.transport.settle().await.unwrap();
    all
}

async fn echo(plan: Arc<FunctionPlan>, invocation: Invocation) -> Result<Reply, CallError> {
    let is_complete = |bytes: &[u8]| is_whole(&plan, plan.params, bytes);
    let params = invocation.params_until(is_complete).await?;
    let broken = |error: &dyn std::error::Error| {
        CallError::new(ErrorClass::Trap, trellis_core::with_causes(error))
    };
    let values = plan.decode_params(&params, Dialect::A, &Limits::default());
    let values = values.map_err(|error| broken(&error))?;
    let mut result = plan
        .encode_params(&values, Dialect::A)
        .map_err(|error| broken(&error))?;
    if plan.param_channels.is_empty() {
        return Ok(Reply::value(result));
    }
    if plan.result_channels.is_empty() {
        return gather(&invocation).await;
    }
    if plan.signature.params.len() == 2 {
        result.remove(0); // `bytes` has a number before its stream
    }
    if plan.param_channels.len() == 2 {
        result.insert(0, 0); // `exchange` wraps it in `ok`
    }
    let readers = plan
        .param_channels
        .iter()
        .map(|at| invocation.param_reader(path(at)));
    let writers = plan
        .result_channels
        .iter()
        .map(|at| invocation.result_writer(path(at)));
    let writers = writers.collect::<Result<Vec<_>, _>>()?;
    let pumps: Vec<_> = readers
        .zip(writers)
        .map(|(from, to)| pump(from, to))
        .collect();
    let rest = async { try_join_all(pumps).await.map(drop) };
    Ok(Reply::with_rest(result, rest))
}

/// Joins the texts of each stream in a stream.
async fn gather(invocation: &Invocation) -> Result<Reply, CallError> {
    let outer = read_all(invocation.param_reader(IndexPath::new(&[0]))).await?;
    let pending = elements(&outer, |reader| vec![u8::from(reader.bool().unwrap())]);
    assert!(pending.iter().all(|it| *it == 0));
    let readers = (0..pending.len() as u32).map(|number| {
        let reader = invocation.param_reader(IndexPath::new(&[0, number]));
        read_all(reader)
    });
    let all = try_join_all(readers).await?;
    let mut result = BytesMut::new();
    put_leb(&mut result, all.len() as u32);
    for channel in all {
        let text = |reader: &mut Reader<'_>| reader.string().unwrap().as_bytes().to_vec();
        let joined = elements(&channel, text);
        put_leb(&mut result, joined.len() as u32);
        result.extend_from_slice(&joined);
    }
    Ok(Reply::value(result))
}

async fn pump(mut from: ChannelReader, mut to: ChannelWriter) -> Result<(), CallError> {
    while let Some(bytes) = from.next().await? {
        to.write(bytes).await?;
    }
    to.finish().await
}

async fn in_time(work: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(90), work)
        .await
        .expect("it takes too long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_calls_the_last_published_release() {
    let nats = NatsServer::start();
    let _peer = peer_31::serve(&nats.url()).await.unwrap();
    let host = host(&nats).await;
    in_time(call_peer(&host)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_calls_what_wasmcloud_1_9_has() {
    let nats = NatsServer::start();
    let _peer = peer_29::serve(&nats.url()).await.unwrap();
    let host = host(&nats).await;
    in_time(call_peer(&host)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_published_release_calls_ours() {
    let nats = NatsServer::start();
    let host = host(&nats).await;
    let _served = serve_peer(&host).await;
    peer_31::call_all(&nats.url()).await.unwrap();
    peer_31::call_gather(&nats.url()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wasmcloud_1_9_has_calls_ours() {
    let nats = NatsServer::start();
    let host = host(&nats).await;
    let _served = serve_peer(&host).await;
    peer_29::call_all(&nats.url()).await.unwrap();
    peer_29::call_gather(&nats.url()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_told_that_nobody_serves() {
    let nats = NatsServer::start();
    assert!(peer_31::call_all(&nats.url()).await.is_err());
    assert!(peer_29::call_all(&nats.url()).await.is_err());
}
