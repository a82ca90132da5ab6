//! What a component may spend, and what happens when it wants more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trellis_core::{ErrorClass, Limits};
use trellis_engine::{ComponentHandle, Engine, EngineConfig};

use crate::support::{deploy, engine, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_at_its_cpu_budget_and_names_it() {
    let engine = engine();
    for name in ["misbehaver", "misbehaver_p3"] {
        let limits = Limits {
            cpu_time_max: Duration::from_millis(100),
            ..Limits::default()
        };
        let guest = deploy(&engine, name, limits, None).await;
        let started = Instant::now();
        let error = get(&guest, "/loop").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Trap, "{name}: {error}");
        assert!(
            error.message().contains("limits.cpuTime"),
            "{name}: {error}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            started.elapsed()
        );
        assert_eq!(
            get(&guest, "/").await.unwrap().0,
            200,
            "{name} answers after a loop"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_at_the_deadline_and_leaves_nothing_behind() {
    const CALLS: usize = 1_000;
    let engine = engine();
    for name in ["misbehaver", "misbehaver_p3"] {
        let limits = Limits {
            deadline: Duration::from_millis(200),
            instances_max: 64,
            calls_queued_max: CALLS as u32,
            ..Limits::default()
        };
        let guest = deploy(&engine, name, limits, None).await;
        let waits = (0..CALLS).map(|_| get(&guest, "/wait"));
        for result in futures_util::future::join_all(waits).await {
            assert_eq!(result.unwrap_err().class, ErrorClass::Deadline, "{name}");
        }
        let (status, _) = get(&guest, "/").await.unwrap();
        assert_eq!(
            status, 200,
            "{name} answers after {CALLS} calls that never end"
        );
        let generation = guest.generation().unwrap();
        let settled = async {
            while generation.calls_running() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), settled)
            .await
            .expect("places are given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_stops_at_its_limit_and_gives_everything_back() {
    let engine = engine();
    let limits = Limits {
        memory_bytes_max: 16 << 20,
        ..Limits::default()
    };
    let guest = deploy(&engine, "misbehaver", limits, None).await;
    let before = engine.guest_memory_bytes();
    for result in futures_util::future::join_all((0..32).map(|_| get(&guest, "/grow"))).await {
        let error = result.unwrap_err();
        assert_eq!(error.class, ErrorClass::Trap, "{error}");
        assert!(error.message().contains("limits.memory"), "{error}");
    }
    assert_eq!(engine.guest_memory_bytes(), before);
    assert_eq!(get(&guest, "/").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_instances_and_queue_are_refused_as_overloaded() {
    let engine = engine();
    let limits = Limits {
        instances_max: 2,
        calls_queued_max: 3,
        deadline: Duration::from_millis(500),
        ..Limits::default()
    };
    let guest = deploy(&engine, "misbehaver", limits, None).await;
    let results = futures_util::future::join_all((0..20).map(|_| get(&guest, "/wait"))).await;
    let count = |class| {
        results
            .iter()
            .filter(|result| result.as_ref().is_err_and(|e| e.class == class))
            .count()
    };
    assert_eq!(
        (count(ErrorClass::Overloaded), count(ErrorClass::Deadline)),
        (15, 5)
    );
}

/// Has `guest` wait with a request, and returns the memory of all guests then.
async fn with_one_waiting(engine: &Engine, guest: &Arc<ComponentHandle>) -> u64 {
    let (before, guest) = (engine.guest_memory_bytes(), guest.clone());
    tokio::spawn(async move { get(&guest, "/wait").await.map(drop) });
    loop {
        let used = engine.guest_memory_bytes();
        if used > before {
            return used;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_whose_instance_the_host_has_no_memory_did_not_run() {
    let roomy = engine();
    let guest = deploy(&roomy, "misbehaver", Limits::default(), None).await;
    let one = with_one_waiting(&roomy, &guest).await;
    let narrow = Engine::new(EngineConfig {
        memory_bytes_max: Some(one / 4 * 7),
        ..EngineConfig::default()
    });
    let narrow = narrow.unwrap();
    let guest = deploy(&narrow, "misbehaver", Limits::default(), None).await;
    with_one_waiting(&narrow, &guest).await;
    let error = get(&guest, "/").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Overloaded, "{error}");
    assert!(error.did_not_run(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_never_affects_another_call() {
    const CALLS: usize = 2_000;
    let engine = engine();
    for name in ["misbehaver", "misbehaver_p3"] {
        let limits = Limits {
            calls_queued_max: CALLS as u32,
            ..Limits::default()
        };
        let guest = deploy(&engine, name, limits, None).await;
        let paths = ["/", "/trap", "/", "/state"];
        let calls = (0..CALLS).map(|number| get(&guest, paths[number % paths.len()]));
        let results = futures_util::future::join_all(calls).await;
        for (number, result) in results.into_iter().enumerate() {
            match paths[number % paths.len()] {
                "/trap" => assert_eq!(result.unwrap_err().class, ErrorClass::Trap, "{name}"),
                path => assert_eq!(result.unwrap().0, 200, "{name}{path} beside traps"),
            }
        }
    }
}
