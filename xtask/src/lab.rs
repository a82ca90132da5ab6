//! Faults against real processes: hosts and a NATS server that are killed, frozen and cut off under load, and a host
//! that is misused.
//!
//! It knows a lattice as a user does: by the `trellis` binary, by HTTP, and where a command for each of a
//! thousand components would measure the commands, by the text protocol of NATS.

mod applications;
mod cluster;
mod command_line;
mod http_client;
mod load;
mod namespaces;
mod nats_client;
mod nats_server;
mod process;
mod report;
mod waiting;

mod isolation;

mod calls_into_the_lost;
mod drain;
mod kill_host;
mod many_components;
mod nats_restart;
mod partition;
mod restart;
mod start_without_nats;
mod writes_through_kills;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use self::report::Report;
pub(crate) use self::waiting::interrupt;
use crate::shell;

/// What a run of the lab works with.
pub(crate) struct Lab {
    /// The binary under test.
    pub(crate) trellis: PathBuf,
    /// The real `nats-server`, for scenarios of several hosts.
    pub(crate) nats_server: Option<PathBuf>,
    /// The folder with the components.
    pub(crate) guests: PathBuf,
    /// The counts of the reference instead of those of every commit.
    pub(crate) is_full: bool,
    /// What everything left to chance follows from.
    pub(crate) seed: u64,
    /// How often a scenario may miss a bar: on a machine that does other things, times are chance.
    pub(crate) tries: u32,
    /// Where logs and the report are left.
    pub(crate) folder: PathBuf,
}

impl Lab {
    /// Returns what fits the class of the run.
    fn of<T>(&self, commit: T, full: T) -> T {
        if self.is_full { full } else { commit }
    }

    /// Requests each second: what two cores bear beside a build, or what the reference asks for.
    fn rate(&self) -> u32 {
        self.of(100, 500)
    }

    fn guest(&self, name: &str) -> String {
        let file = self.guests.join(format!("{name}.wasm"));
        format!("file://{}", file.display())
    }
}

/// Scenarios that belong together.
#[derive(Clone, Copy)]
pub(crate) enum Suite {
    /// Hosts of a lattice that are killed and cut off.
    Lattice,
    /// One host that is misused.
    Isolation,
}

impl Suite {
    fn scenarios(self) -> &'static [Scenario] {
        match self {
            Self::Lattice => &SCENARIOS,
            Self::Isolation => &isolation::SCENARIOS,
        }
    }

    /// Returns the names of its scenarios.
    pub(crate) fn names(self) -> Vec<&'static str> {
        self.scenarios().iter().map(|it| it.name).collect()
    }
}

/// One kind of fault.
struct Scenario {
    name: &'static str,
    run: fn(&Lab, &mut Report) -> Result<()>,
}

/// Those of a lattice, those first that need the least to work.
const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "restart",
        run: restart::run,
    },
    Scenario {
        name: "kill_host",
        run: kill_host::run,
    },
    Scenario {
        name: "calls_into_the_lost",
        run: calls_into_the_lost::run,
    },
    Scenario {
        name: "drain",
        run: drain::run,
    },
    Scenario {
        name: "nats_restart",
        run: nats_restart::run,
    },
    Scenario {
        name: "start_without_nats",
        run: start_without_nats::run,
    },
    Scenario {
        name: "writes_through_kills",
        run: writes_through_kills::run,
    },
    Scenario {
        name: "partition",
        run: partition::run,
    },
    Scenario {
        name: "many_components",
        run: many_components::run,
    },
];

fn attempt(lab: &Lab, scenario: &Scenario, report: &mut Report) -> Result<()> {
    let start = Instant::now();
    report.begin(scenario.name);
    if let Err(error) = (scenario.run)(lab, report) {
        report.failed(&error);
    }
    report.end(start.elapsed());
    waiting::go_on()
}

/// Runs the named scenarios of `suite`, or all when none is named.
///
/// # Errors
/// A name that no scenario has, or a folder that cannot be written. A scenario that cannot be carried out is
/// a missed bar of the report.
pub(crate) fn run(lab: &Lab, suite: Suite, named: &[String]) -> Result<Report> {
    let chosen = choose(suite, named)?;
    let mut report = Report::new(lab);
    for scenario in chosen {
        shell::step(format!("lab: {}", scenario.name));
        for tries_left in (0..lab.tries.max(1)).rev() {
            attempt(lab, scenario, &mut report)?;
            if tries_left == 0 || !report.retract_if_missed() {
                break;
            }
            shell::step(format!("lab: {} missed a bar, once more", scenario.name));
        }
    }
    Ok(report)
}

fn choose(suite: Suite, named: &[String]) -> Result<Vec<&'static Scenario>> {
    let known = || suite.scenarios().iter();
    if let Some(unknown) = named
        .iter()
        .find(|name| !known().any(|it| it.name == simple(name)))
    {
        bail!(
            "there is no scenario {unknown}; there are {}",
            suite.names().join(", ")
        );
    }
    let is_chosen =
        |it: &&Scenario| named.is_empty() || named.iter().any(|name| simple(name) == it.name);
    Ok(known().filter(is_chosen).collect())
}

/// A name may be written with hyphens.
fn simple(name: &str) -> String {
    name.replace('-', "_")
}

/// Makes the folder of a scenario, empty.
fn fresh_folder(lab: &Lab, scenario: &str) -> Result<PathBuf> {
    let folder = lab.folder.join(scenario);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    make_folder(&folder)?;
    Ok(folder)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name_with_either_dash() {
        let chosen = choose(
            Suite::Lattice,
            &["kill-host".to_owned(), "drain".to_owned()],
        )
        .expect("both exist");
        let names: Vec<&str> = chosen.iter().map(|it| it.name).collect();
        assert_eq!(names, ["kill_host", "drain"]);
        let all = choose(Suite::Lattice, &[]).expect("all");
        assert_eq!(all.len(), SCENARIOS.len());
        let Err(error) = choose(Suite::Isolation, &["kill".to_owned()]) else {
            panic!("there is no such scenario");
        };
        assert!(
            error
                .to_string()
                .starts_with("there is no scenario kill; there are endless_loops,")
        );
    }
}
