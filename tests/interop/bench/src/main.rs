//! Both ends of calls by published wRPC, for `cargo xtask bench`: `interop-bench serve URL`, `interop-bench call URL`.

// One code measures every way of calling.
#[path = "../../../../crates/trellis-bench-lattice/src/caller.rs"]
mod caller;

use std::env;

use anyhow::{Result, bail};
use bytes::Bytes;
use peer_31::Calls;

/// As in every process of the benchmark.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone)]
struct Upstream(Calls);

impl caller::Caller for Upstream {
    async fn call(&self, payload: Bytes) -> Result<Bytes> {
        if payload.is_empty() {
            self.0.nop().await?;
            return Ok(payload);
        }
        self.0.blob(&payload).await
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [end, url] = arguments.as_slice() else {
        bail!("usage: interop-bench serve|call URL");
    };
    match end.as_str() {
        "serve" => {
            let _serving = runtime.block_on(peer_31::serve(url))?;
            caller::stand_by()
        }
        "call" => {
            let calls = runtime.block_on(Calls::connect(url))?;
            runtime.block_on(answered(&calls))?;
            caller::obey(&runtime, &Upstream(calls))
        }
        _ => bail!("{end} is no end of a call"),
    }
}

/// Waits until somebody serves: this release does not tell when its subscriptions are in force.
async fn answered(calls: &Calls) -> Result<()> {
    const ATTEMPTS_MAX: u32 = 1_000;
    for _ in 0..ATTEMPTS_MAX {
        if calls.nop().await.is_ok() && calls.blob(&Bytes::from_static(b"x")).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    bail!("nobody serves")
}
