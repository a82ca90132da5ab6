//! Finds or installs a compiler for `wasm32-wasip2`.
//!
//! With rustup this is one target more. On a Debian machine where rustup cannot download, Debian's compiler and
//! library source do the same, with the flags that `debian` knows.

mod debian;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{project, shell};
use debian::Debian;

/// What components are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// How long `rustup target add` may take: about 20 MiB, or the discovery that there is no network.
const TARGET_ADD_TIMEOUT: Duration = Duration::from_secs(180);

/// How often a child with a time limit is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Which compiler a person wants.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Choice {
    /// The first of the others that works
    #[default]
    Auto,
    /// The toolchain that runs this task, with the target added
    Rustup,
    /// The compiler of Debian, with its library built from source
    Debian,
}

/// A compiler that builds components.
pub(crate) enum GuestToolchain {
    /// The toolchain that runs this task has the target.
    Rustup,
    /// Debian's compiler.
    Debian(Debian),
}

impl GuestToolchain {
    /// Finds a toolchain and installs what is missing of it.
    ///
    /// # Errors
    /// When there is none and none can be installed; the message says what to do by hand.
    pub(crate) fn ensure(choice: Choice) -> Result<Self> {
        match choice {
            Choice::Auto => Self::first_that_works(),
            Choice::Rustup if rustup_target_works() || add_rustup_target() => Ok(Self::Rustup),
            Choice::Rustup => {
                bail!("the target {TARGET} is missing\nhint: rustup target add {TARGET}")
            }
            Choice::Debian => Debian::install().map(Self::Debian),
        }
    }

    fn first_that_works() -> Result<Self> {
        if rustup_target_works() {
            return Ok(Self::Rustup);
        }
        // Before a download, which may be in vain each time.
        if let Some(debian) = Debian::find() {
            return Ok(Self::Debian(debian));
        }
        if add_rustup_target() {
            return Ok(Self::Rustup);
        }
        if shell::find("apt-get").is_some() {
            return Debian::install().map(Self::Debian);
        }
        bail!(
            "no compiler for {TARGET}, and `rustup target add` failed\nhint: rustup target add {TARGET}"
        )
    }

    /// The command that builds all components of `workspace` into `target_folder`.
    pub(crate) fn build(&self, workspace: &Path, target_folder: &Path) -> Command {
        let mut build = match self {
            Self::Rustup => Command::new(project::cargo()),
            Self::Debian(debian) => debian.cargo(),
        };
        // Flags meant for the host would break the link step of a component.
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
        ] {
            build.env_remove(name);
        }
        build.args(["build", "--locked", "--release", "--target", TARGET]);
        if let Self::Debian(debian) = self {
            build.args(debian.arguments());
        }
        build
            .env("CARGO_TARGET_DIR", target_folder)
            .current_dir(workspace);
        build
    }

    /// Identifies the compiler, so that a build by another is not taken for a build by this one.
    ///
    /// # Errors
    /// When the compiler does not tell its version.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        match self {
            Self::Rustup => shell::output(Command::new("rustc").arg("-vV")),
            Self::Debian(debian) => debian.fingerprint(),
        }
    }

    /// What to call it in a progress line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "the rustup toolchain",
            Self::Debian(_) => "Debian's toolchain",
        }
    }
}

/// Tells whether the toolchain that runs this task has the library of the target.
fn rustup_target_works() -> bool {
    let mut ask = Command::new("rustc");
    let folder = shell::output(ask.args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).exists())
}

/// Adds the target with rustup; false when there is no rustup, no network, or not enough time.
fn add_rustup_target() -> bool {
    if shell::find("rustup").is_none() {
        return false;
    }
    shell::step(format!("adding the target {TARGET} with rustup"));
    let child = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .spawn();
    let added = child
        .context("cannot start rustup")
        .and_then(|child| wait_within(child, TARGET_ADD_TIMEOUT));
    match added {
        Ok(true) => rustup_target_works(),
        Ok(false) => false,
        Err(error) => {
            shell::step(format!("{error:#}"));
            false
        }
    }
}

/// Waits for `child` and tells whether it ended with 0; ends it when the time is over.
fn wait_within(mut child: Child, timeout: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for rustup")? {
            return Ok(status.success());
        }
        if start.elapsed() > timeout {
            // It may have ended just now; either way it is reaped below.
            let _ = child.kill();
            child.wait().context("cannot wait for rustup")?;
            bail!("rustup took longer than {} s", timeout.as_secs());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_too_long_is_ended() {
        let child = Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep exists");
        let start = Instant::now();
        assert!(wait_within(child, Duration::ZERO).is_err());
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_end_of_a_child_is_passed_on() {
        for (program, success) in [("true", true), ("false", false)] {
            let child = Command::new(program).spawn().expect("a standard program");
            assert_eq!(
                wait_within(child, Duration::from_secs(30)).expect("it ends"),
                success
            );
        }
    }
}
