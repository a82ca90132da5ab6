//! Links between components: on this host, elsewhere, and changed while they are in use.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::{ErrorClass, Limits};
use trellis_engine::{
    CallError, ComponentHandle, Engine, FunctionRef, Generation, Import, Link, LinkSlot,
    LinkTarget, LocalTarget, Opened, Outbound, RemoteTarget,
};
use trellis_wire::{Type, Value};
use wit_component::StringEncoding;

use crate::support::{engine, get, guest, spec};
use crate::wire::echo::{self, INTERFACE, Lowering};
use crate::wire::fixture::{Mirror, compile, deploy_linked, encode, remote, slot};

/// The component that passes on strings.
async fn deploy_text(engine: &Engine, slot: &Arc<LinkSlot>, limits: Limits) -> Arc<Generation> {
    let bytes = echo::component(&Type::String, StringEncoding::UTF8);
    deploy_linked(engine, compile(engine, bytes).await, slot, limits).await
}

fn local(generation: Arc<Generation>) -> LinkTarget {
    let handle = ComponentHandle::new(spec("callee").id);
    handle.publish(generation);
    LinkTarget {
        local: Some(LocalTarget {
            handle,
            interface: INTERFACE.into(),
        }),
        remote: None,
    }
}

fn text(text: &str) -> Bytes {
    encode(&Type::String, &Value::String(text.to_owned()))
}

async fn call(generation: &Arc<Generation>, params: Bytes) -> Result<Bytes, CallError> {
    let function = generation.function(INTERFACE, "echo").unwrap();
    generation.call_wire(&function, params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_can_be_changed_between_two_calls() {
    let engine = engine();
    let (first, second) = (Arc::new(Mirror::default()), Arc::new(Mirror::default()));
    let slot = slot(LinkTarget::default());
    let caller = deploy_text(&engine, &slot, Limits::default()).await;
    let error = call(&caller, text("nobody")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert_eq!(error.message(), "echo leads nowhere");

    slot.set(remote(&first));
    assert_eq!(call(&caller, text("first")).await.unwrap(), text("first"));
    let inner = crate::wire::fixture::slot(remote(&second));
    let callee = deploy_text(&engine, &inner, Limits::default()).await;
    slot.set(local(callee));
    assert_eq!(call(&caller, text("second")).await.unwrap(), text("second"));
    assert_eq!((first.count(), second.last()), (1, text("second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_parameters_never_reach_the_guest() {
    let engine = engine();
    let mirror = Arc::new(Mirror::default());
    let caller = deploy_text(&engine, &slot(remote(&mirror)), Limits::default()).await;
    for bytes in [
        &b""[..],
        b"\x05abcd",                 // cut short
        b"\x03abcd",                 // too long
        b"\x02\xff\xff",             // not UTF-8
        b"\xff\xff\xff\xff\x0f",     // a bomb
        b"\xff\xff\xff\xff\xff\x7f", // no number
    ] {
        let error = call(&caller, Bytes::from_static(bytes)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{bytes:x?}: {error}");
        assert!(error.did_not_run(), "{bytes:x?}: {error}");
    }
    assert_eq!(mirror.count(), 0);

    // The same from the other side: a result from elsewhere is checked before the guest gets it.
    mirror.answer_with(|| Ok(Bytes::from_static(b"\x02\xff\xff")));
    let error = call(&caller, text("asks")).await.unwrap_err();
    assert!(error.message().contains("UTF-8"), "{error}");
    assert!(!error.did_not_run(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_of_other_types_is_not_called() {
    let engine = engine();
    let mirror = Arc::new(Mirror::default());
    let numbers = echo::component(&Type::list(Type::U64), StringEncoding::UTF8);
    let numbers = compile(&engine, numbers).await;
    let inner = slot(remote(&mirror));
    let callee = deploy_linked(&engine, numbers, &inner, Limits::default()).await;
    let caller = deploy_text(&engine, &slot(local(callee)), Limits::default()).await;
    let error = call(&caller, text("numbers?")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    let message = error.message();
    assert!(message.contains("(value: string) -> string"), "{message}");
    assert!(message.contains("(value: list<u64>)"), "{message}");
    assert_eq!(mirror.count(), 0);
}

/// A caller whose callee on this host has room for one call, and answers none before it is let.
struct Full {
    caller: Arc<Generation>,
    inner: Arc<Mirror>,
    elsewhere: Arc<Mirror>,
}

impl Full {
    async fn new(engine: &Engine) -> Self {
        let inner = Arc::new(Mirror {
            gate: tokio::sync::Semaphore::new(0),
            ..Mirror::default()
        });
        let elsewhere = Arc::new(Mirror::default());
        let limits = Limits {
            instances_max: 1,
            ..Limits::default()
        };
        let callee = deploy_text(engine, &slot(remote(&inner)), limits).await;
        let target = LinkTarget {
            remote: Some(elsewhere.clone()),
            ..local(callee)
        };
        Self {
            caller: deploy_text(engine, &slot(target), Limits::default()).await,
            inner,
            elsewhere,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_elsewhere_when_this_host_has_no_room() {
    let engine = engine();
    let full = Full::new(&engine).await;
    let (first, ()) = tokio::join!(call(&full.caller, text("here")), async {
        full.inner.wait_for(1).await;
        let second = call(&full.caller, text("elsewhere")).await.unwrap();
        assert_eq!(second, text("elsewhere"));
        assert_eq!((full.inner.count(), full.elsewhere.count()), (1, 1));
        full.inner.gate.add_permits(1);
    });
    assert_eq!(first.unwrap(), text("here"));
    full.inner.gate.add_permits(1);
    call(&full.caller, text("here again")).await.unwrap();
    assert_eq!((full.inner.count(), full.elsewhere.count()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_elsewhere_takes_waits_for_its_turn_here() {
    let engine = engine();
    let full = Full::new(&engine).await;
    full.elsewhere
        .answer_with(|| Err(CallError::new(ErrorClass::Unavailable, "nobody is there")));
    let (first, second, ()) = tokio::join!(
        call(&full.caller, text("first")),
        async {
            full.inner.wait_for(1).await;
            call(&full.caller, text("second")).await
        },
        async {
            full.elsewhere.wait_for(1).await;
            full.inner.gate.add_permits(2);
        }
    );
    assert_eq!(first.unwrap(), text("first"));
    assert_eq!(second.unwrap(), text("second"));
    assert_eq!(full.inner.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_have_run_elsewhere_is_not_made_again() {
    let engine = engine();
    let full = Full::new(&engine).await;
    full.elsewhere.answer_with(|| {
        Err(CallError::new(ErrorClass::Unavailable, "its own link is broken").having_run())
    });
    let (first, ()) = tokio::join!(call(&full.caller, text("first")), async {
        full.inner.wait_for(1).await;
        let error = call(&full.caller, text("second")).await.unwrap_err();
        assert_eq!(error.message(), "its own link is broken");
        full.inner.gate.add_permits(1);
    });
    assert_eq!(first.unwrap(), text("first"));
    assert_eq!(full.inner.count(), 1);
}

/// Somebody elsewhere who has no room, so that nothing of a call begins there.
struct NoRoom;

impl NoRoom {
    fn refusal() -> CallError {
        CallError::new(ErrorClass::Overloaded, "full elsewhere")
    }
}

#[async_trait]
impl RemoteTarget for NoRoom {
    async fn call(&self, _: &FunctionRef, _: Bytes, _: Instant) -> Result<Bytes, CallError> {
        Err(Self::refusal())
    }

    async fn open(
        &self,
        _: &FunctionRef,
        _: Bytes,
        _: Vec<Outbound>,
        _: Instant,
    ) -> Result<Opened, CallError> {
        Err(Self::refusal())
    }
}

/// A component that answers HTTP, with its import led to [`NoRoom`].
async fn deploy_refused(engine: &Engine, name: &str, import: &str) -> Arc<ComponentHandle> {
    let compiled = compile(engine, guest(name)).await;
    let slot = slot(LinkTarget {
        local: None,
        remote: Some(Arc::new(NoRoom)),
    });
    let link = Link::new(&compiled, import, slot).unwrap();
    let mut spec = spec("refused");
    spec.imports.push(Import {
        name: import.to_owned(),
        capability: Arc::new(link),
    });
    let handle = ComponentHandle::new(spec.id.clone());
    handle.publish(engine.deploy(compiled, spec).await.unwrap());
    handle
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_has_run_although_what_it_called_never_began() {
    let engine = engine();
    for (name, import, path) in [
        ("caller", "trellis-test:types/bench@0.1.0", "/nop"),
        (
            "stream_caller",
            "trellis-test:streams/api@0.1.0",
            "/download?bytes=1",
        ),
    ] {
        let handle = deploy_refused(&engine, name, import).await;
        let error = get(&handle, path).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Overloaded, "{name}: {error}");
        assert_eq!(error.message(), "full elsewhere", "{name}");
        assert!(!error.did_not_run(), "{name}: its handler had begun");
        handle.withdraw();
        let error = get(&handle, path).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{name}: {error}");
        assert!(error.did_not_run(), "{name}: nothing runs any more");
    }
}

/// An asynchronous function, by the types of its value and how the core values of the result are
/// loaded.
fn asynchronous() -> [(Type, Value, &'static str); 4] {
    const PAIR: &str = "(i32.load (i32.const 1024)) (i32.load (i32.const 1028))";
    [
        (Type::U32, Value::U32(300), "(i32.load (i32.const 1024))"),
        (Type::String, Value::String("asks".to_owned()), PAIR),
        (Type::list(Type::U8), Value::Bytes(vec![7; 100_000]), PAIR),
        (
            Type::tuple((0..17).map(|_| Type::U64)),
            Value::Fields((0..17).map(Value::U64).collect()),
            "(i32.const 1024)",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_functions_are_lifted_and_lowered_too() {
    let engine = engine();
    for lowering in [Lowering::Blocking, Lowering::Subtask] {
        for at_once in [true, false] {
            for (ty, value, loads) in asynchronous() {
                let mirror = Arc::new(Mirror {
                    at_once,
                    ..Mirror::default()
                });
                let bytes = echo::component_async(&ty, lowering, loads);
                let compiled = compile(&engine, bytes).await;
                let slot = slot(remote(&mirror));
                let caller = deploy_linked(&engine, compiled, &slot, Limits::default()).await;
                let params = encode(&ty, &value);
                let result = call(&caller, params.clone()).await.unwrap();
                assert_eq!(result, params, "{ty}, {lowering:?}, at once: {at_once}");
                assert_eq!(mirror.last(), params);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_with_an_event_loop_call_each_other() {
    let engine = engine();
    let mirror = Arc::new(Mirror::default());
    let (ty, value, loads) = asynchronous()[1].clone();
    for lowering in [Lowering::Blocking, Lowering::Subtask] {
        let bytes = echo::component_async(&ty, lowering, loads);
        let compiled = compile(&engine, bytes).await;
        let mut target = remote(&mirror);
        for level in 0..4 {
            let slot = slot(target);
            // A store without a loop in between does not hide the one outside of it.
            let next = match level {
                1 => deploy_text(&engine, &slot, Limits::default()).await,
                _ => deploy_linked(&engine, compiled.clone(), &slot, Limits::default()).await,
            };
            target = local(next);
        }
        let slot = slot(target);
        let caller = deploy_linked(&engine, compiled, &slot, Limits::default()).await;
        let params = encode(&ty, &value);
        assert_eq!(call(&caller, params.clone()).await.unwrap(), params);
    }
}

/// Somebody elsewhere who has a free instance, or a queue, or neither, and notes how it was asked.
struct Choosy {
    is_free: bool,
    has_queue: bool,
    asked: Mutex<Vec<&'static str>>,
}

impl Choosy {
    fn answer(&self, how: &'static str, params: Bytes, takes: bool) -> Result<Bytes, CallError> {
        self.asked.lock().unwrap().push(how);
        match takes {
            true => Ok(params),
            false => Err(CallError::new(ErrorClass::Overloaded, "full elsewhere")),
        }
    }
}

#[async_trait]
impl RemoteTarget for Choosy {
    async fn call(&self, _: &FunctionRef, params: Bytes, _: Instant) -> Result<Bytes, CallError> {
        self.answer("waiting", params, self.has_queue)
    }

    async fn call_at_once(
        &self,
        _: &FunctionRef,
        params: Bytes,
        _: Instant,
    ) -> Result<Bytes, CallError> {
        self.answer("at once", params, self.is_free)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_elsewhere_only_when_it_cannot_wait_here() {
    let engine = engine();
    for (is_free, has_queue, asked, answered) in [
        (true, true, &["at once"][..], true),
        (false, true, &["at once", "waiting"], true),
        (false, false, &["at once", "waiting"], false),
    ] {
        let elsewhere = Arc::new(Choosy {
            is_free,
            has_queue,
            asked: Mutex::default(),
        });
        let inner = Arc::new(Mirror {
            gate: tokio::sync::Semaphore::new(0),
            ..Mirror::default()
        });
        let limits = Limits {
            instances_max: 1,
            calls_queued_max: 0,
            ..Limits::default()
        };
        let callee = deploy_text(&engine, &slot(remote(&inner)), limits).await;
        let target = LinkTarget {
            remote: Some(elsewhere.clone()),
            ..local(callee)
        };
        let caller = deploy_text(&engine, &slot(target), Limits::default()).await;
        let (first, second) = tokio::join!(call(&caller, text("first")), async {
            inner.wait_for(1).await;
            let second = call(&caller, text("second")).await;
            inner.gate.add_permits(1);
            second
        });
        assert_eq!(first.unwrap(), text("first"));
        assert_eq!(*elsewhere.asked.lock().unwrap(), asked);
        match second {
            Ok(result) => assert!(answered && result == text("second")),
            Err(error) => {
                // The refusal of this host, which says what to change.
                assert!(
                    !answered && error.message().contains("limits.queue"),
                    "{error}"
                );
                assert_eq!(error.class, ErrorClass::Overloaded);
            }
        }
    }
}
