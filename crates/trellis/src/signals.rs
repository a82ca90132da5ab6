//! The signals that end a host: the first drains it, the second ends it at once.

use trellis_host::ShutdownTrigger;

/// The exit code after a second signal: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Watches for SIGINT and SIGTERM for as long as the process lives.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn watch(trigger: ShutdownTrigger) -> std::io::Result<()> {
    let mut signals = Signals::install()?;
    tokio::spawn(async move {
        signals.next().await;
        eprintln!("stopping: finishing requests in flight; once more to stop at once");
        trigger.drain();
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler the system ends the process, which is what is left to do.
        let _ = tokio::signal::ctrl_c().await;
    }
}
