//! Streams and futures between components, on this host and to elsewhere.

mod elsewhere;
#[path = "../../../../tests/guests/stream-callee/src/pattern.rs"]
#[expect(dead_code, reason = "the guests use all of it")]
mod pattern;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use trellis_core::{ComponentId, ErrorClass, Limits};
use trellis_engine::{
    CallError, ComponentHandle, ComponentSpec, Engine, Generation, Import, Link, LinkSlot,
    LinkTarget, LocalTarget, Outbound, UnsupportedType,
};

use self::elsewhere::{Elsewhere, Line, Lines};
use crate::support::{digest, engine, get, guest, spec};

const INTERFACE: &str = "trellis-test:streams/api@0.1.0";
const MIB: u64 = 1 << 20;
/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the callee is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tier {
    Process,
    Remote,
}

const TIERS: [Tier; 2] = [Tier::Process, Tier::Remote];

/// A caller linked to a callee.
struct Pair {
    caller: Arc<ComponentHandle>,
    callee: Arc<Generation>,
}

impl Pair {
    async fn deploy(engine: &Engine, tier: Tier, limits: Limits) -> Self {
        let callee = deploy_callee(engine, limits).await;
        let target = match tier {
            Tier::Process => {
                let handle = ComponentHandle::new(ComponentId::new("stream-callee").unwrap());
                handle.publish(callee.clone());
                LinkTarget {
                    local: Some(LocalTarget {
                        handle,
                        interface: INTERFACE.into(),
                    }),
                    remote: None,
                }
            }
            Tier::Remote => LinkTarget {
                local: None,
                remote: Some(Elsewhere::of(callee.clone())),
            },
        };
        let caller = deploy_caller(engine, target).await;
        Self { caller, callee }
    }

    async fn get(&self, path: &str) -> Result<String, CallError> {
        let answer = tokio::time::timeout(PATIENCE, get(&self.caller, path)).await;
        let (status, body) = answer.expect("the call hangs")?;
        assert_eq!(status, 200, "{body}");
        Ok(body)
    }

    /// Waits until the callee has nothing left to do.
    async fn callee_is_at_rest(&self) {
        let rest = async {
            while self.callee.calls_running() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, rest).await;
        in_time.expect("the callee does not end");
    }
}

async fn deploy_callee(engine: &Engine, limits: Limits) -> Arc<Generation> {
    let bytes = guest("stream_callee");
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let spec = ComponentSpec {
        limits,
        ..spec("stream-callee")
    };
    engine.deploy(compiled, spec).await.unwrap()
}

async fn deploy_caller(engine: &Engine, target: LinkTarget) -> Arc<ComponentHandle> {
    let bytes = guest("stream_caller");
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let slot = LinkSlot::new("the link leads nowhere");
    slot.set(target);
    let link = Link::new(&compiled, INTERFACE, slot).unwrap();
    let spec = ComponentSpec {
        imports: vec![Import {
            name: INTERFACE.to_owned(),
            capability: Arc::new(link),
        }],
        ..spec("stream-caller")
    };
    let handle = ComponentHandle::new(spec.id.clone());
    handle.publish(engine.deploy(compiled, spec).await.unwrap());
    handle
}

/// What a guest says of so many bytes of the pattern.
fn said(bytes: u64) -> String {
    let hash = pattern::hash(pattern::HASH_START, &pattern::bytes(0, bytes));
    format!("{bytes} {hash:016x}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_any_length_arrive_whole_in_both_directions() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        for bytes in [0, 1, 65_537, 8 * MIB] {
            for deed in ["download", "upload", "echo"] {
                let answer = pair.get(&format!("/{deed}?bytes={bytes}")).await.unwrap();
                assert_eq!(answer, said(bytes), "{deed} of {bytes}, {tier:?}");
            }
        }
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_arrive_beside_streams_and_alone() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        let answer = pair.get("/ask?question=ready").await.unwrap();
        assert_eq!(answer, "ready - yes\n", "{tier:?}");
        let answer = pair.get("/measured?bytes=300000").await.unwrap();
        assert_eq!(answer, said(300_000), "{tier:?}");
        let answer = pair.get("/measured?bytes=0").await.unwrap();
        assert_eq!(answer, "nothing\n", "{tier:?}");
        let error = pair.get("/ask?question=trap").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Trap, "{tier:?}: {error}");
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_stop_early() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        let answer = pair.get("/download?bytes=8388608&take=1000").await;
        assert_eq!(answer.unwrap(), said(1_000), "{tier:?}");
        let answer = pair.get("/echo?bytes=8388608&take=1000").await;
        assert_eq!(answer.unwrap(), said(1_000), "{tier:?}");
        let answer = pair.get("/upload?bytes=8388608&most=1000").await;
        assert_eq!(answer.unwrap(), said(1_000), "{tier:?}");
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_of_the_writer_is_an_error_of_the_reader_and_no_short_stream() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        for bytes in [0, 100_000] {
            let path = format!("/download?bytes={bytes}&ending=trap");
            let error = pair.get(&path).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Trap, "{tier:?}: {error}");
            let path = format!("/upload?bytes={bytes}&ending=trap");
            let error = pair.get(&path).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Trap, "{tier:?}: {error}");
        }
        pair.callee_is_at_rest().await;
        // Nothing of it stays.
        let answer = pair.get("/echo?bytes=1000").await.unwrap();
        assert_eq!(answer, said(1_000), "{tier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_never_ends_is_ended_by_its_deadline() {
    let engine = engine();
    for tier in TIERS {
        let limits = Limits {
            deadline: Duration::from_millis(500),
            ..Limits::default()
        };
        let pair = Pair::deploy(&engine, tier, limits).await;
        let error = pair.get("/download?bytes=1&ending=wait").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Deadline, "{tier:?}: {error}");
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_the_call_on_this_host() {
    let engine = engine();
    let pair = Pair::deploy(&engine, Tier::Process, Limits::default()).await;
    let mut call = Box::pin(get(&pair.caller, "/download?bytes=1&ending=wait"));
    let started = async {
        while pair.callee.calls_running() == 0 {
            let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, started).await.unwrap();
    drop(call);
    pair.callee_is_at_rest().await;
}

/// Calls `download` of a callee as a transport does.
async fn download(callee: &Arc<Generation>, bytes: u8) -> (Outbound, trellis_engine::Rest) {
    let function = callee.function(INTERFACE, "download").unwrap();
    let params = Bytes::copy_from_slice(&[bytes, 0x80, 0x80, 0x04, 0]); // times 2^23, done
    let call = callee.call_streaming(&function, params, Lines::none());
    let mut streaming = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(streaming.result, Bytes::from_static(&[0]));
    let outbound = streaming.outbound.pop().unwrap();
    assert_eq!(outbound.path(), [0]);
    (outbound, streaming.rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_the_writer_and_holds_little() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let (outbound, rest) = download(&callee, 0x80).await;
    waits_for_its_reader(&callee, outbound, rest).await;
}

/// Checks that a guest whose stream nobody reads waits with little held, and ends when the stream is dropped.
async fn waits_for_its_reader(
    callee: &Generation,
    mut outbound: Outbound,
    mut rest: trellis_engine::Rest,
) {
    for _ in 0..100 {
        let polled = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "everything was written to nobody");
        tokio::task::yield_now().await;
    }
    // What waits, without the guest writing more.
    let mut held = 0;
    loop {
        let mut next = Box::pin(outbound.next());
        let polled = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(bytes) => held += bytes.unwrap().unwrap().len(),
            Poll::Pending => break,
        }
    }
    assert!((1..70_000).contains(&held), "{held} bytes waited");
    assert_eq!(callee.calls_running(), 1);
    drop(outbound);
    let ended = tokio::time::timeout(PATIENCE, rest).await.unwrap();
    ended.unwrap();
    assert_eq!(callee.calls_running(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_failed_is_an_error_of_the_writer() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let (outbound, rest) = download(&callee, 0x80).await;
    outbound.fail(CallError::new(ErrorClass::Unavailable, "the peer is lost"));
    let ended = tokio::time::timeout(PATIENCE, rest).await.unwrap();
    let error = ended.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert_eq!(error.message(), "the peer is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_on_the_way_ends_its_reader() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let function = callee.function(INTERFACE, "upload").unwrap();
    let params = Bytes::from_static(&[0, 0x80, 0x80, 0x04]); // a pending stream, at most 65,536
    let chunk = Bytes::from_static(b"\x05hello");
    let broken = [
        vec![Line::Bytes(chunk.clone()), Line::Lost],
        vec![Line::Bytes(chunk.clone()), Line::Done], // without the end mark
        vec![Line::Bytes(Bytes::from_static(b"\x05he")), Line::Done],
    ];
    for lines in broken {
        let call = callee.call_streaming(&function, params.clone(), Lines::of([0], lines));
        let called = tokio::time::timeout(PATIENCE, call).await.unwrap();
        let error = called
            .err()
            .expect("a short stream was taken for a whole one");
        assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
    }
    let whole = vec![
        Line::Bytes(chunk),
        Line::Bytes(Bytes::from_static(&[0])),
        Line::Done,
    ];
    let call = callee.call_streaming(&function, params.clone(), Lines::of([0], whole));
    let called = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(called.result[0], 5);
    called.rest.await.unwrap();

    // All of it with the value, as peers of 1.x may send it.
    let params = Bytes::from_static(b"\x05hello\x80\x80\x04");
    let call = callee.call_streaming(&function, params, Lines::none());
    let called = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(called.result[0], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_components_call_functions_with_streams() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let function = callee.function(INTERFACE, "download").unwrap();
    let error = callee.call_wire(&function, Bytes::from_static(&[1, 0]));
    let error = error.await.unwrap_err();
    assert!(error.did_not_run(), "{error}");
    assert!(error.message().contains("streams"), "{error}");
}

/// Links a component whose import passes the last of these types, `$it`.
async fn link(engine: &Engine, types: &str) -> Option<UnsupportedType> {
    let text = format!(
        r#"(component
             (import "a:b/c" (instance {types} (export "f" (func async (param "it" $it))))))"#
    );
    let bytes = Bytes::from(wat::parse_str(text).unwrap());
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    Link::new(&compiled, "a:b/c", LinkSlot::new("nowhere")).err()
}

#[tokio::test]
async fn what_no_stream_can_carry_is_refused_when_the_link_is_made() {
    let engine = engine();
    for types in [
        "(type $it (stream u8))",
        "(type $it (future string))",
        "(type $it (future))",
        "(type $it (stream))",
        "(type $it (stream string))",
        "(type $a (stream u8)) (type $b (future u32)) (type $c (option $b)) (type $it (tuple $a $c))",
        "(type $a (future u8)) (type $it (stream $a))",
        "(type $a (stream u8)) (type $it (future $a))",
        "(type $a (stream u8)) (type $it (list $a))",
    ] {
        assert_eq!(link(&engine, types).await, None, "{types}");
    }
    let many = "(type $a (stream u8)) (type $b (tuple $a $a $a $a $a $a $a $a)) \
                (type $c (tuple $b $b $b $b $b $b $b $b $a)) (type $it (list $c))";
    for (types, what) in [
        (
            r#"(export "r" (type $r (sub resource))) (type $o (own $r)) (type $it (stream $o))"#,
            "a resource",
        ),
        (many, "too many streams and futures"),
    ] {
        let error = link(&engine, types).await.unwrap();
        assert_eq!(error.what, what);
        assert!(error.to_string().contains("cannot cross a link"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_of_all_types_arrive_whole_in_both_directions() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        for count in [0, 1, 600] {
            for deed in ["texts", "readings", "tokens", "ticks", "pass"] {
                let answer = pair.get(&format!("/typed/{deed}?count={count}")).await;
                let answer = answer.map_err(|error| error.to_string());
                let expected = Ok(format!("{count}\n"));
                assert_eq!(answer, expected, "{deed} of {count}, {tier:?}");
            }
        }
        let answer = pair.get("/count?count=50000").await.unwrap();
        assert_eq!(answer, "50000\n", "{tier:?}");
        let answer = pair.get("/typed/sum?count=20000").await.unwrap();
        let sum = (19_999_u64 * 20_000 / 2) << 32;
        assert_eq!(answer, format!("20000 {sum}\n"), "{tier:?}");
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_futures_inside_of_others_arrive() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        let deeds = [
            ("groups?count=0", "0 0\n"),
            ("groups?count=60", "60 1770\n"),
            ("join?count=0", "0\n"),
            ("join?count=20", "20\n"),
            ("twice?count=0", "0\n"),
            ("twice?count=60", "60\n"),
            ("answers?count=0", "no questions\n"),
            ("answers?count=60", "60 40\n"),
            ("pass-groups?count=0", "0\n"),
            ("pass-groups?count=30", "30\n"),
        ];
        for (deed, expected) in deeds {
            let answer = pair.get(&format!("/typed/{deed}")).await.unwrap();
            assert_eq!(answer, expected, "{deed}, {tier:?}");
        }
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_elements_may_stop_early() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        let deeds = [
            ("/count?count=10000000&take=1000", "1000\n"),
            ("/typed/texts?count=100000&take=10", "10\n"),
            ("/typed/pass?count=100000&take=10", "10\n"),
            ("/typed/groups?count=1000&take=10", "10 45\n"),
            ("/typed/kept?count=20000", "20000\n"),
            ("/typed/pass-groups?count=1000&take=10", "10\n"),
        ];
        for (deed, expected) in deeds {
            assert_eq!(pair.get(deed).await.unwrap(), expected, "{deed}, {tier:?}");
        }
        let answer = pair.get("/typed/sum?count=100000&take=10").await.unwrap();
        assert_eq!(answer, format!("10 {}\n", 45_u64 << 32), "{tier:?}");
        pair.callee_is_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_of_a_writer_that_trapped_are_no_short_stream() {
    let engine = engine();
    for tier in TIERS {
        let pair = Pair::deploy(&engine, tier, Limits::default()).await;
        for deed in [
            "/count?count=0",
            "/count?count=5000",
            "/typed/texts?count=500",
            "/typed/sum?count=5000",
            "/typed/pass?count=500",
            "/typed/groups?count=30", // inside of the last one
        ] {
            let error = pair.get(&format!("{deed}&ending=trap")).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Trap, "{deed}, {tier:?}: {error}");
        }
        pair.callee_is_at_rest().await;
        // Nothing of it stays.
        let answer = pair.get("/typed/readings?count=100").await.unwrap();
        assert_eq!(answer, "100\n", "{tier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_that_break_on_the_way_end_their_reader() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let function = callee.function(INTERFACE, "sum").unwrap();
    let params = Bytes::from_static(&[0, 0x80, 0x80, 0x04]); // a pending stream, at most 65,536
    let bytes = |bytes: &'static [u8]| Line::Bytes(Bytes::from_static(bytes));
    let broken = [
        vec![bytes(b"\x02\x01\x02"), Line::Lost],
        vec![bytes(b"\x02\x01\x02"), Line::Done], // without the end mark
        vec![bytes(b"\x03\x01\x02\x00"), Line::Done], // of three, two and a half
        vec![bytes(b"\x01\x80"), bytes(b"\x80"), Line::Done],
        vec![
            bytes(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"),
            Line::Done,
        ],
    ];
    for lines in broken {
        let call = callee.call_streaming(&function, params.clone(), Lines::of([0], lines));
        let called = tokio::time::timeout(PATIENCE, call).await.unwrap();
        let error = called
            .err()
            .expect("a short stream was taken for a whole one");
        assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
    }
    let whole = vec![
        bytes(b"\x02\x01"),
        bytes(b"\x02\x01\x80"),
        bytes(b"\x01\x00"),
        Line::Done,
    ];
    let call = callee.call_streaming(&function, params.clone(), Lines::of([0], whole));
    let called = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(called.result, Bytes::from_static(&[3, 0x83, 1]));

    // All of it with the value, as peers of 1.x may send it.
    let params = Bytes::from_static(b"\x02\x01\x02\x80\x80\x04");
    let call = callee.call_streaming(&function, params, Lines::none());
    let called = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(called.result, Bytes::from_static(&[2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_elements_slows_the_writer_and_holds_little() {
    let engine = engine();
    let callee = deploy_callee(&engine, Limits::default()).await;
    let function = callee.function(INTERFACE, "count").unwrap();
    let params = Bytes::from_static(&[0x80, 0x80, 0x80, 0x08, 0]); // 2^24, done
    let call = callee.call_streaming(&function, params, Lines::none());
    let mut streaming = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    let outbound = streaming.outbound.pop().unwrap();
    waits_for_its_reader(&callee, outbound, streaming.rest).await;
}
