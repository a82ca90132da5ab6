//! What a host pays for components that nobody calls.

use std::time::Instant;

use anyhow::Result;

use super::applications::{Application, IDLE_COMPONENTS};
use super::child::{Program, Programs};
use super::rows::Idle;

/// A host with one component, beside one with a thousand.
pub(crate) struct Measured {
    start_milliseconds: f64,
    many_mebibytes: f64,
    many_anonymous: f64,
    each_mebibytes: f64,
}

impl Measured {
    pub(crate) fn get(&self, measure: Idle) -> f64 {
        match measure {
            Idle::StartEach => self.start_milliseconds,
            Idle::Memory => self.many_mebibytes,
            Idle::MemoryAnonymous => self.many_anonymous,
            Idle::MemoryEach => self.each_mebibytes * 1_024.0,
        }
    }
}

/// Starts both, with compiled code in the cache, and reads their memory after one answer.
pub(crate) fn measure(programs: &Programs) -> Result<Measured> {
    let start = |application, key: &str| -> Result<_> {
        drop(programs.start(Program::Trellis(application), key)?); // fills the cache
        let started = Instant::now();
        let server = programs.start(Program::Trellis(application), key)?;
        let elapsed = started.elapsed();
        server.get()?;
        Ok((server, elapsed))
    };
    let (one, one_elapsed) = start(Application::Hello, "idle-one")?;
    let one_mebibytes = one.mebibytes("VmRSS:")?;
    let (many, many_elapsed) = start(Application::Idle, "idle-many")?;
    let many_mebibytes = many.mebibytes("VmRSS:")?;
    let others = f64::from(IDLE_COMPONENTS - 1);
    let elapsed = many_elapsed.saturating_sub(one_elapsed).as_secs_f64();
    Ok(Measured {
        start_milliseconds: elapsed * 1e3 / others,
        many_mebibytes,
        many_anonymous: many.mebibytes("RssAnon:")?,
        each_mebibytes: (many_mebibytes - one_mebibytes) / others,
    })
}
