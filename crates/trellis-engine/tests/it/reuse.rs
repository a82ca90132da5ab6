//! Fresh and reused instances.

use trellis_core::{Limits, Reuse};

use crate::support::{deploy, engine, get};

#[tokio::test(flavor = "multi_thread")]
async fn hello_answers_on_both_levels_of_wasi() {
    let engine = engine();
    for name in ["http_hello", "http_hello_p3"] {
        let hello = deploy(&engine, name, Limits::default(), None).await;
        for _ in 0..100 {
            let (status, body) = get(&hello, "/").await.unwrap();
            assert_eq!((status, body.contains("Hello")), (200, true), "{name}: {body}");
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
    let reuse = Reuse { calls_max: 1_000, concurrency_max: 1 };
    let reused = deploy(&engine, "misbehaver", Limits::default(), Some(reuse)).await;
    get(&reused, "/state").await.unwrap();
    assert_ne!(get(&reused, "/state").await.unwrap(), first);
}
