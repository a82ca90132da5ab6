//! Requests from component to component of one host: the one that answers is polled by the one that asks.

use std::sync::Arc;

use trellis_core::Limits;
use trellis_engine::{
    Capability, ComponentHandle, ComponentSpec, Engine, Import, Link, LinkSlot, LinkTarget,
    LocalTarget, OutgoingError, OutgoingHttp, OutgoingResponse, RequestOptions, WasiBody,
};

use crate::support::{deploy, digest, engine, get, guest, spec};

const DEEDS: &str = "trellis-test:types/deeds@0.1.0";

/// A component whose store has an event loop, because it could wait for several things; it does not.
const COUNTER: &str = r#"
(component
  (core func $unused (canon waitable-set.new))
  (core module $counter (func (export "count") (result i64) (i64.const 42)))
  (core instance $counter (instantiate $counter))
  (func $count (result u64) (canon lift (core func $counter "count")))
  (instance $deeds (export "count" (func $count)))
  (export "trellis-test:types/deeds@0.1.0" (instance $deeds)))
"#;

/// Has every request answered by one component.
struct Inside(Arc<ComponentHandle>);

impl OutgoingHttp for Inside {
    fn send(&self, request: http::Request<WasiBody>, _: RequestOptions) -> OutgoingResponse {
        let component = self.0.clone();
        Box::pin(async move {
            let answered = component.handle_http(request).await;
            let failed = |error: trellis_engine::CallError| {
                OutgoingError::InternalError(Some(error.to_string()))
            };
            Ok(answered.map_err(failed)?.map(WasiBody::new))
        })
    }
}

/// Deploys a component of WASI 0.3 that sends its requests to `target`.
async fn deploy_sender(engine: &Engine, target: Arc<ComponentHandle>) -> Arc<ComponentHandle> {
    let bytes = guest("misbehaver_p3");
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let spec = ComponentSpec {
        outgoing: Some(Arc::new(Inside(target))),
        ..spec("sender")
    };
    let handle = ComponentHandle::new(spec.id.clone());
    handle.publish(engine.deploy(compiled, spec).await.unwrap());
    handle
}

#[tokio::test(flavor = "multi_thread")]
async fn components_with_event_loops_send_each_other_requests() {
    let engine = engine();
    let last = deploy(&engine, "misbehaver_p3", Limits::default(), None).await;
    let middle = deploy_sender(&engine, last).await;
    let first = deploy_sender(&engine, middle).await;
    for (path, bytes) in [("", 3), ("big?mib=2", 2 << 20), ("drip?n=3&ms=1", 21)] {
        for level in ["", "outgoing?url=http://next/"] {
            let url = format!("/outgoing?url=http://next/{level}{path}");
            let (status, body) = get(&first, &url).await.unwrap();
            assert_eq!((status, body.len()), (200, bytes), "{url}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_an_event_loop_does_not_hide_the_one_that_polls_it() {
    let engine = engine();
    let counter = wat::parse_str(COUNTER).unwrap();
    let hash = digest(&counter);
    let compiled = engine.compile(counter.into(), hash).await.unwrap();
    let counter = ComponentHandle::new(spec("counter").id);
    counter.publish(engine.deploy(compiled, spec("counter")).await.unwrap());

    let bytes = guest("caller");
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let slot = LinkSlot::new("the counter is not there");
    slot.set(LinkTarget {
        local: Some(LocalTarget {
            handle: counter,
            interface: DEEDS.into(),
        }),
        remote: None,
    });
    let link: Arc<dyn Capability> = Arc::new(Link::new(&compiled, DEEDS, slot).unwrap());
    let spec = ComponentSpec {
        imports: vec![Import {
            name: DEEDS.to_owned(),
            capability: link,
        }],
        ..spec("caller")
    };
    let caller = ComponentHandle::new(spec.id.clone());
    caller.publish(engine.deploy(compiled, spec).await.unwrap());

    let sender = deploy_sender(&engine, caller).await;
    let answer = get(&sender, "/outgoing?url=http://next/count").await;
    assert_eq!(answer.unwrap(), (200, "42\n".to_owned()));
}
