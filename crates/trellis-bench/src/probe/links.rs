//! Calls from component to component through a link of the process tier, beside the same calls by way of
//! dynamic values, and beside a native function that copies the same bytes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use trellis_core::{Limits, Reuse};
use trellis_engine::{Capability, ComponentHandle, Engine, ExportedFunction, Import, Link, State};
use wasmtime::component::Linker;

use super::{Measures, Span};
use crate::guest::Guests;
use crate::in_process::{self, Grant, REUSED};

/// The interface that `callee` exports and `caller` calls.
const INTERFACE: &str = "trellis-test:types/bench@0.1.0";
/// Its functions.
const FUNCTIONS: [&str; 2] = ["nop", "echo-bytes"];

/// What is measured: a name, the request to the caller that makes 1 to `calls` calls, their number and
/// the bytes that go there and back.
struct Case {
    name: &'static str,
    path: &'static str,
    bytes: usize,
    native_calls: u32,
}

/// How a caller reaches its callee.
#[derive(Clone, Copy)]
enum Way {
    /// As Trellis does.
    Link,
    /// Through wasmtime's dynamic values.
    Values,
}

/// Numbers of calls for which one request takes milliseconds: long against what the request costs, short
/// against the limits of the caller.
const CASES: [Case; 4] = [
    Case {
        name: "nop",
        path: "/nop?n=5000",
        bytes: 0,
        native_calls: 5_000,
    },
    Case {
        name: "1KiB",
        path: "/bytes?n=2000&size=1024",
        bytes: 1 << 10,
        native_calls: 5_000,
    },
    Case {
        name: "64KiB",
        path: "/bytes?n=100&size=65536",
        bytes: 64 << 10,
        native_calls: 500,
    },
    Case {
        name: "1MiB",
        path: "/bytes?n=10&size=1048576",
        bytes: 1 << 20,
        native_calls: 50,
    },
];

/// Calls `callee` from `caller`.
#[derive(Args)]
pub(crate) struct Links {
    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    guests: Guests,
}

impl Links {
    /// Measures every case.
    pub(crate) async fn measure(self) -> Result<()> {
        let engine = in_process::engine()?;
        let mut measures = Measures::default();
        let reused = self.link(&engine, "reused", REUSED, Way::Link).await?;
        let values = self.link(&engine, "values", REUSED, Way::Values).await?;
        for case in &CASES {
            measures.put(
                &format!("link-{}", case.name),
                self.repeat(async || calls(&reused, case).await).await?,
            );
            measures.put(
                &format!("values-{}", case.name),
                self.repeat(async || calls(&values, case).await).await?,
            );
            let native = self.repeat(async || Ok(native(case)));
            measures.put(&format!("native-{}", case.name), native.await?);
        }
        let fresh = self.link(&engine, "fresh", Reuse::NEVER, Way::Link).await?;
        let nop = &CASES[0];
        measures.put(
            "link-nop-fresh",
            self.repeat(async || calls(&fresh, nop).await).await?,
        );
        measures.print()
    }

    /// Deploys a callee that is reused as `reuse` says, and a caller linked to it.
    async fn link(
        &self,
        engine: &Engine,
        name: &str,
        reuse: Reuse,
        way: Way,
    ) -> Result<Arc<ComponentHandle>> {
        let limits = Limits {
            // The guests compute for as long as is measured.
            cpu_time_max: Duration::from_secs(60),
            deadline: Duration::from_secs(60),
            // As dynamic values a list of 1 MiB counts as many times its size.
            hostcall_bytes_max: 1 << 30,
            ..Limits::default()
        };
        let callee = in_process::compile(engine, &self.guests, "callee").await?;
        let grant = Grant {
            reuse: Some(reuse),
            limits: limits.clone(),
            imports: Vec::new(),
        };
        let callee = in_process::deploy(engine, callee, &format!("callee-{name}"), grant).await?;
        let caller = in_process::compile(engine, &self.guests, "caller").await?;
        let capability: Arc<dyn Capability> = match way {
            Way::Link => Arc::new(Link::to_component(&caller, INTERFACE, callee, INTERFACE)?),
            Way::Values => Arc::new(ValueLink { callee }),
        };
        let import = Import {
            name: INTERFACE.to_owned(),
            capability,
        };
        let grant = Grant {
            reuse: Some(REUSED),
            limits,
            imports: vec![import],
        };
        in_process::deploy(engine, caller, &format!("caller-{name}"), grant).await
    }

    /// Measures again and again until the time is up, and returns the median of the microseconds: the
    /// guest's clock covers the calls alone, and one that was interrupted does not count.
    async fn repeat(&self, mut deed: impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
        deed().await?; // warms up
        let start = Instant::now();
        let mut seen = Vec::new();
        while seen.is_empty() || start.elapsed() < self.span.duration() {
            seen.push(deed().await?);
        }
        seen.sort_by(f64::total_cmp);
        Ok(seen[seen.len() / 2])
    }
}

/// A link that passes wasmtime's dynamic values on.
struct ValueLink {
    callee: Arc<ComponentHandle>,
}

impl Capability for ValueLink {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let mut instance = linker.instance(import)?;
        let generation = self.callee.generation();
        let generation = generation.ok_or_else(|| wasmtime::format_err!("nothing is deployed"))?;
        for name in FUNCTIONS {
            let function: ExportedFunction = generation.function(INTERFACE, name)?;
            let generation = generation.clone();
            instance.func_new_async(name, move |_, _, params, results| {
                let (generation, function) = (generation.clone(), function.clone());
                Box::new(async move {
                    let called = generation.call_values(&function, params, results);
                    Ok(called.await?)
                })
            })?;
        }
        Ok(())
    }
}

/// Has `caller` make the calls, and returns the microseconds of one.
async fn calls(caller: &ComponentHandle, case: &Case) -> Result<f64> {
    let answer = in_process::get(caller, case.path).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    nanoseconds(&answer)
        .map(|it| it / 1e3)
        .with_context(|| format!("caller answered {answer:?}"))
}

/// Reads `5000 calls, 1234 ns each`.
fn nanoseconds(answer: &str) -> Option<f64> {
    let (_, rest) = answer.split_once("calls, ")?;
    let (number, _) = rest.split_once(" ns")?;
    number.parse().ok()
}

/// What the guests do, by a native function: a copy there, a copy back, a comparison.
fn native(case: &Case) -> f64 {
    let sent = vec![7_u8; case.bytes];
    let start = Instant::now();
    for _ in 0..case.native_calls {
        let there = black_box(black_box(&sent[..]).to_vec());
        let back = black_box(there.as_slice().to_vec());
        black_box(back == sent);
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(case.native_calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_read_from_the_answer() {
        assert_eq!(nanoseconds("5000 calls, 1234 ns each\n"), Some(1234.0));
        assert_eq!(nanoseconds("changed on the way\n"), None);
        assert_eq!(nanoseconds("2 calls, many ns each"), None);
    }
}
