//! What a host finds when it examines itself, each finding with its remedy.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use trellis_control::{DoctorCheck, DoctorOutcome, DoctorReport, HostId, HostMode};
use trellis_core::{ComponentId, with_causes};
use trellis_lattice::Lattice;

/// Free room below which a host is about to be in trouble: the cache of one large component, many times.
const DISK_BYTES_MIN: u64 = 1 << 30;
/// A round trip that calls would notice.
const ROUND_TRIP_SLOW: Duration = Duration::from_millis(50);
/// A clock before this was never set: tokens and certificates would not be valid.
const CLOCK_EARLIEST: Duration = Duration::from_secs(1_735_689_600); // 2025-01-01

/// What the host knows of itself.
pub(super) struct Facts {
    pub(super) host_id: HostId,
    pub(super) mode: HostMode,
    pub(super) lattice: Lattice,
    pub(super) data_folder: PathBuf,
    pub(super) cache_folder: Option<PathBuf>,
    pub(super) providers: Vec<(ComponentId, Option<String>)>,
}

/// Examines the host.
pub(super) async fn examine(facts: Facts) -> DoctorReport {
    let mut checks = vec![mode(facts.mode), connection(&facts.lattice).await, clock()];
    checks.push(disk("data folder", &facts.data_folder));
    match &facts.cache_folder {
        Some(folder) => checks.push(disk("code cache", folder)),
        None => checks.push(check(
            "code cache",
            DoctorOutcome::Warning,
            "components are compiled anew at each start".to_owned(),
            Some("name a folder with `trellis up --cache FOLDER`"),
        )),
    }
    for (id, failing) in facts.providers {
        let name = format!("provider {id}");
        checks.push(match failing {
            None => check(&name, DoctorOutcome::Passed, "serves".to_owned(), None),
            Some(why) => check(
                &name,
                DoctorOutcome::Failed,
                why,
                Some("free that port, or change the address in the config of its link"),
            ),
        });
    }
    DoctorReport {
        host_id: facts.host_id.to_string(),
        checks,
    }
}

fn check(name: &str, outcome: DoctorOutcome, message: String, remedy: Option<&str>) -> DoctorCheck {
    DoctorCheck {
        name: name.to_owned(),
        outcome,
        message,
        remedy: remedy.map(str::to_owned),
    }
}

fn mode(mode: HostMode) -> DoctorCheck {
    let (outcome, remedy) = match mode {
        HostMode::Joined => (DoctorOutcome::Passed, None),
        HostMode::Draining => (
            DoctorOutcome::Warning,
            Some("it is leaving, as it was told to"),
        ),
        HostMode::StoreRewound => (
            DoctorOutcome::Failed,
            Some("restore the lattice's state, or take it as it is now: `trellis resume HOST`"),
        ),
        _ => (
            DoctorOutcome::Failed,
            Some("look at the connection: `trellis ping`"),
        ),
    };
    check("mode", outcome, mode.name().to_owned(), remedy)
}

async fn connection(lattice: &Lattice) -> DoctorCheck {
    let server = lattice.servers();
    match lattice.round_trip().await {
        Ok(time) if time < ROUND_TRIP_SLOW => check(
            "connection",
            DoctorOutcome::Passed,
            format!("{server} answers in {time:.1?}"),
            None,
        ),
        Ok(time) => check(
            "connection",
            DoctorOutcome::Warning,
            format!("{server} answers in {time:.1?}, which calls between hosts will feel"),
            Some("run a leaf node near this host"),
        ),
        Err(error) => check(
            "connection",
            DoctorOutcome::Failed,
            with_causes(&error),
            Some("see that the server runs and that this host reaches it"),
        ),
    }
}

fn clock() -> DoctorCheck {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let is_set = since.is_ok_and(|since| since > CLOCK_EARLIEST);
    if is_set {
        return check(
            "clock",
            DoctorOutcome::Passed,
            format!(
                "{} UTC",
                jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S")
            ),
            None,
        );
    }
    check(
        "clock",
        DoctorOutcome::Failed,
        "it was never set: credentials and certificates are not valid yet".to_owned(),
        Some("set it, or run an NTP client"),
    )
}

fn disk(name: &str, folder: &Path) -> DoctorCheck {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} MiB free under {}", free >> 20, folder.display());
            if free >= DISK_BYTES_MIN {
                check(name, DoctorOutcome::Passed, text, None)
            } else {
                check(
                    name,
                    DoctorOutcome::Warning,
                    text,
                    Some("make room: a full disk refuses every change"),
                )
            }
        }
        Err(error) => check(
            name,
            DoctorOutcome::Failed,
            format!("{} cannot be looked at: {error}", folder.display()),
            Some("see that the folder exists and belongs to this user"),
        ),
    }
}
