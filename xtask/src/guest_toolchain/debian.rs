//! Debian's compiler as a compiler for components.
//!
//! Debian ships no library for `wasm32-wasip2`, so it is built from Debian's own copy of the source, against
//! Debian's `wasi-libc`, and linked by `wasm-component-ld` around Debian's `wasm-ld`.

use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::TARGET;
use crate::{shell, tools};

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const BINARIES: &str = "/usr/bin";
const LIBC: &str = "/usr/lib/wasm32-wasi";

/// Packages with names that do not change; the linker's carries the version of LLVM.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];

/// Debian's compiler and the linkers that go with it.
pub(crate) struct Debian {
    component_ld: PathBuf,
    wasm_ld: PathBuf,
}

impl Debian {
    /// The toolchain, when it is complete.
    pub(super) fn find() -> Option<Self> {
        let component_ld = tools::COMPONENT_LD.find()?;
        Some(Self {
            component_ld,
            wasm_ld: Self::packages()?,
        })
    }

    /// The toolchain, whose missing parts are installed.
    ///
    /// # Errors
    /// When a part is missing and cannot be installed.
    pub(super) fn install() -> Result<Self> {
        if Self::packages().is_none() {
            install_packages()?;
        }
        let wasm_ld = Self::packages().with_context(|| {
            format!("Debian's packages are installed, but {RUSTC} cannot compile for {TARGET}: too old a release")
        })?;
        Ok(Self {
            component_ld: tools::COMPONENT_LD.ensure()?,
            wasm_ld,
        })
    }

    /// The path of `wasm-ld` when all packages are installed.
    fn packages() -> Option<PathBuf> {
        let startup = Path::new(LIBC).join("crt1-reactor.o").exists();
        let library = library_source().is_some_and(|folder| folder.exists());
        let targets = shell::output(Command::new(RUSTC).args(["--print", "target-list"])).ok()?;
        let known = targets.lines().any(|line| line == TARGET);
        let complete = startup && library && known && Path::new(CARGO).exists();
        complete
            .then(|| newest_wasm_ld(Path::new(BINARIES)))
            .flatten()
    }

    /// The cargo of this toolchain, with its compiler and linker.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = Command::new(CARGO);
        cargo
            .env("RUSTC", RUSTC)
            // Building the library from source is not stable; the compiler is, and pinned by Debian.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_WASIP2_LINKER", &self.component_ld)
            .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", self.rustc_flags())
            // Set by the cargo that runs this task, and meant for it.
            .env_remove("RUSTUP_TOOLCHAIN");
        cargo
    }

    /// What `cargo build` needs beside its usual arguments.
    pub(super) fn arguments(&self) -> [&'static str; 1] {
        ["-Zbuild-std=std,panic_abort"]
    }

    fn rustc_flags(&self) -> OsString {
        let mut flags = OsString::from("-Clink-self-contained=no -Clink-arg=--wasm-ld-path=");
        flags.push(&self.wasm_ld);
        flags.push(format!(" -Lnative={LIBC} -Clink-arg={LIBC}/crt1-reactor.o"));
        flags
    }

    /// Identifies compiler, linkers and C library.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let compiler = shell::output(Command::new(RUSTC).arg("-vV"))?;
        let linker = shell::output(Command::new(&self.component_ld).arg("--version"))?;
        let libc = fs::metadata(Path::new(LIBC).join("libc.a"))
            .context("cannot read wasi-libc")?
            .len();
        Ok(format!(
            "{compiler}{linker}{}\nlibc {libc}\n",
            self.wasm_ld.display()
        ))
    }
}

/// Where Debian keeps the source of the standard library.
fn library_source() -> Option<PathBuf> {
    let sysroot = shell::output(Command::new(RUSTC).args(["--print", "sysroot"])).ok()?;
    Some(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std"))
}

/// The `wasm-ld` in `folder` with the highest version; one without a version counts least.
fn newest_wasm_ld(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versions = names.filter_map(|name| Some((version_after("wasm-ld", &name)?, name)));
    versions.max().map(|(_, name)| folder.join(name))
}

/// The number after `stem-` in `name`, 0 for `stem` alone.
fn version_after(stem: &str, name: &str) -> Option<u32> {
    match name.strip_prefix(stem)? {
        "" => Some(0),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

fn install_packages() -> Result<()> {
    let linker = newest_lld_package()?;
    let packages: Vec<&str> = PACKAGES.into_iter().chain([linker.as_str()]).collect();
    shell::step(format!(
        "installing Debian packages: {}",
        packages.join(" ")
    ));
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&packages);
    if apt_get(&install)?
        .status()
        .is_ok_and(|status| status.success())
    {
        return Ok(());
    }
    shell::step("refreshing Debian's package lists, and trying again");
    shell::run(&mut apt_get(&["update"])?)?;
    shell::run(&mut apt_get(&install)?)
}

/// The newest package with a linker; its name carries the version of LLVM.
fn newest_lld_package() -> Result<String> {
    let mut search = Command::new("apt-cache");
    let found = shell::output(search.args(["search", "--names-only", "^lld-[0-9]+$"]))?;
    let names = found
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let newest = names
        .filter_map(|name| Some((version_after("lld", name)?, name)))
        .max();
    Ok(newest.map_or("lld", |(_, name)| name).to_owned())
}

/// `apt-get` with the rights to change the system.
fn apt_get(arguments: &[&str]) -> Result<Command> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else if shell::find("sudo").is_some() && (stdin().is_terminal() || sudo_asks_nothing()) {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    } else {
        bail!(
            "packages are missing, and only root can install them\nhint: su -c 'apt-get update && apt-get {}'",
            arguments.join(" ")
        );
    };
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

fn sudo_asks_nothing() -> bool {
    shell::succeeds(Command::new("sudo").args(["-n", "true"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_after("lld", "lld-22"), Some(22));
        assert_eq!(version_after("lld", "lld"), Some(0));
        assert_eq!(version_after("lld", "lld-22-dev"), None);
        assert_eq!(version_after("wasm-ld", "wasm-ldx-3"), None);
        assert!(version_after("lld", "lld-9") < version_after("lld", "lld-22"));
    }

    #[test]
    fn a_folder_without_a_linker_has_none() {
        assert_eq!(newest_wasm_ld(Path::new("/nonexistent")), None);
    }
}
