//! Fresh and reused instances.

use trellis_core::{Limits, Reuse};

use crate::support::{deploy, digest, engine, get, guest, spec};

#[tokio::test(flavor = "multi_thread")]
async fn hello_answers_on_both_levels_of_wasi() {
    let engine = engine();
    for name in ["http_hello", "http_hello_p3"] {
        let hello = deploy(&engine, name, Limits::default(), None).await;
        for _ in 0..100 {
            let (status, body) = get(&hello, "/").await.unwrap();
            assert_eq!(
                (status, body.contains("Hello")),
                (200, true),
                "{name}: {body}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_instance_remembers_nothing_and_a_reused_one_does() {
    let engine = engine();
    let fresh = deploy(&engine, "misbehaver", Limits::default(), None).await;
    let first = get(&fresh, "/state").await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(&fresh, "/state").await.unwrap(), first);
    }
    let reuse = Reuse {
        calls_max: 1_000,
        concurrency_max: 1,
    };
    let reused = deploy(&engine, "misbehaver", Limits::default(), Some(reuse)).await;
    get(&reused, "/state").await.unwrap();
    assert_ne!(get(&reused, "/state").await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_takes_over_without_a_lost_call() {
    const GENERATIONS: usize = 10;
    let engine = engine();
    let handle = deploy(&engine, "http_hello", Limits::default(), None).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let callers = futures_util::future::join_all((0..8).map(|_| async {
        let mut calls = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(get(&handle, "/").await.unwrap().0, 200);
            calls += 1;
            tokio::task::yield_now().await;
        }
        calls
    }));
    let publisher = async {
        for _ in 0..GENERATIONS {
            let bytes = guest("http_hello");
            let hash = digest(&bytes);
            let compiled = engine.compile(bytes, hash).await.unwrap();
            handle.publish(engine.deploy(compiled, spec("http-hello")).await.unwrap());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (calls, ()) = tokio::join!(callers, publisher);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_trap_cuts_off_ends_with_an_error() {
    use http_body_util::BodyExt;
    let engine = engine();
    let handle = deploy(&engine, "misbehaver", Limits::default(), None).await;
    let body = trellis_engine::WasiBody::default();
    let request = http::Request::get("http://test/halt").body(body).unwrap();
    // Depending on how far the guest got the call itself fails, or the body does; never neither.
    if let Ok(response) = handle.handle_http(request).await {
        assert!(
            response.into_body().collect().await.is_err(),
            "a cut body looks whole"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_make_room_for_those_of_another_component() {
    const REUSE: Reuse = Reuse {
        calls_max: 1_000,
        concurrency_max: 1,
    };
    let probe = engine();
    let only = deploy(&probe, "misbehaver", Limits::default(), Some(REUSE)).await;
    let bytes = probe.guest_memory_bytes();
    drop(only);
    // Room for one instance, and for what it grows by, but not for two.
    let engine = trellis_engine::Engine::new(trellis_engine::EngineConfig {
        memory_bytes_max: Some(bytes * 9 / 5),
        ..Default::default()
    });
    let engine = engine.unwrap();
    let first = deploy(&engine, "misbehaver", Limits::default(), Some(REUSE)).await;
    let second = deploy(&engine, "misbehaver", Limits::default(), Some(REUSE)).await;
    for handle in [&first, &second, &first, &second] {
        assert_eq!(get(handle, "/").await.unwrap().0, 200);
    }
    // Where none is idle the refusal stays.
    let busy = get(&first, "/sleep?ms=600");
    let late = async {
        while first.generation().unwrap().calls_running() == 0 {
            tokio::task::yield_now().await;
        }
        get(&second, "/").await
    };
    let (busy, late) = tokio::join!(busy, late);
    assert_eq!(busy.unwrap().0, 200);
    assert_eq!(
        late.unwrap_err().class,
        trellis_core::ErrorClass::Overloaded
    );
}
