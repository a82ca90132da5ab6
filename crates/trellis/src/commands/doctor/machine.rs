//! The checks of this machine: disk, port, clock, and what it takes to build components.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use trellis_control::{DoctorCheck, DoctorOutcome};
use trellis_host::{PortHolder, port_holder};

use super::{Group, check};
use crate::folders;

/// Less than this is used up by a few downloads and compiled components.
const DISK_BYTES_WARNING: u64 = 1 << 30;
/// With less, state cannot be kept.
const DISK_BYTES_MIN: u64 = 64 << 20;
/// Where `trellis up` listens when nobody says otherwise.
const HTTP_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8_000);
/// Seconds since 1970 at the beginning of 2026: before this program was made.
const CLOCK_MIN: u64 = 1_767_225_600;
/// How long a tool has to tell its version.
const TOOL_WAIT_MAX: Duration = Duration::from_secs(10);
/// The target of components.
const TARGET: &str = "wasm32-wasip2";

/// Examines this machine.
pub(super) fn examine() -> Group {
    let mut checks = vec![disk(), port(), clock()];
    checks.extend(toolchain());
    Group {
        name: "this machine".to_owned(),
        host_id: None,
        checks,
    }
}

fn disk() -> DoctorCheck {
    let name = "disk";
    let Ok(folder) = folders::data(std::env::var_os("TRELLIS_DATA").map(Into::into)) else {
        let remedy = "set HOME, or name a folder with `--data FOLDER`";
        return check(
            name,
            DoctorOutcome::Warning,
            "there is no home folder",
            Some(remedy),
        );
    };
    let Some(free) = free_bytes(&folder) else {
        let message = format!("cannot tell how much room is at {}", folder.display());
        return check(name, DoctorOutcome::Skipped, message, None);
    };
    let message = format!("{} MiB are free at {}", free >> 20, folder.display());
    let remedy = "make room, or keep state elsewhere with `--data FOLDER`";
    match free {
        0..DISK_BYTES_MIN => check(name, DoctorOutcome::Failed, message, Some(remedy)),
        DISK_BYTES_MIN..DISK_BYTES_WARNING => {
            check(name, DoctorOutcome::Warning, message, Some(remedy))
        }
        _ => check(name, DoctorOutcome::Passed, message, None),
    }
}

/// Returns the room where `folder` is or will be.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|it| it.exists())?;
    let room = rustix::fs::statvfs(existing).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

fn port() -> DoctorCheck {
    match TcpListener::bind(HTTP_DEFAULT) {
        Ok(_) => {
            let message = format!("{HTTP_DEFAULT}, where `trellis up` listens, is free");
            check("port", DoctorOutcome::Passed, message, None)
        }
        Err(error) => taken(port_holder(HTTP_DEFAULT), &error),
    }
}

/// Says who has the port of `trellis up`: mostly a host that runs here, which is as it should be.
fn taken(holder: Option<PortHolder>, error: &std::io::Error) -> DoctorCheck {
    let who = match &holder {
        Some(holder) => format!("is taken by process {} ({})", holder.pid, holder.command),
        None => format!("is taken: {error}"),
    };
    let message = format!("{HTTP_DEFAULT}, where `trellis up` listens, {who}");
    if holder.is_some_and(|holder| holder.command == env!("CARGO_PKG_NAME")) {
        return check("port", DoctorOutcome::Passed, message, None);
    }
    let remedy = "to start a host all the same: `trellis up --http 127.0.0.1:PORT`";
    check("port", DoctorOutcome::Warning, message, Some(remedy))
}

fn clock() -> DoctorCheck {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |it| it.as_secs());
    if seconds >= CLOCK_MIN {
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        return check("clock", DoctorOutcome::Passed, now, None);
    }
    let message =
        "the clock of this machine is years behind, so that credentials seem not valid yet";
    let remedy = "set the clock, such as by `timedatectl set-ntp true`";
    check("clock", DoctorOutcome::Failed, message, Some(remedy))
}

/// Looks for what it takes to build components in Rust. Nobody needs it to run them.
fn toolchain() -> Vec<DoctorCheck> {
    let missing = "to build components in Rust, install it from https://rustup.rs";
    let Some(version) = told(Command::new("rustc").arg("--version")) else {
        let message = "rustc is not on the PATH";
        return vec![check(
            "rust",
            DoctorOutcome::Skipped,
            message,
            Some(missing),
        )];
    };
    let rust = check("rust", DoctorOutcome::Passed, version, None);
    let mut ask = Command::new("rustc");
    ask.args(["--print", "target-libdir", "--target", TARGET]);
    let library = told(&mut ask).map(PathBuf::from);
    let target = if library.is_some_and(|it| it.is_dir()) {
        check(
            "guest target",
            DoctorOutcome::Passed,
            format!("{TARGET} is installed"),
            None,
        )
    } else {
        let message = format!("rustc has no library for {TARGET}");
        let remedy = format!("to build components in Rust: `rustup target add {TARGET}`");
        check(
            "guest target",
            DoctorOutcome::Warning,
            message,
            Some(&remedy),
        )
    };
    vec![rust, target]
}

/// Returns the first line of what a tool says; none where it is missing, fails or hangs.
fn told(command: &mut Command) -> Option<String> {
    command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped());
    let child = command.spawn().ok()?;
    let (sender, receiver) = mpsc::channel();
    // A tool that hangs is left to itself; the process ends without it.
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(TOOL_WAIT_MAX).ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim().to_owned();
    output.status.success().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_or_fails_tells_nothing() {
        assert_eq!(told(&mut Command::new("no-such-tool-of-trellis")), None);
        assert_eq!(told(&mut Command::new("false")), None);
        assert_eq!(
            told(Command::new("echo").arg("1.2")).as_deref(),
            Some("1.2")
        );
    }
}
