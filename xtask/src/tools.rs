//! Tools that come from the package registry: used where the machine has them, installed below `target/` where not.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{project, shell};

/// A program that `cargo install` can build.
pub(crate) struct Tool {
    /// The name of the crate, and of its binary.
    name: &'static str,
    /// The version that is installed where none is found; one that a person installed is taken as it is.
    version: &'static str,
}

/// Runs tests: a process for each, with a time limit.
pub(crate) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.151",
};

/// Checks licences and advisories.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Links components; part of the toolchains of rustup, but not of Debian's.
pub(crate) const COMPONENT_LD: Tool = Tool {
    name: "wasm-component-ld",
    version: "0.5.31",
};

impl Tool {
    /// The path of the program, where the machine has it.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let own = project::tools().join("bin").join(self.name);
        if own.exists() {
            Some(own)
        } else {
            shell::find(self.name)
        }
    }

    /// The path of the program, which is installed when missing.
    ///
    /// # Errors
    /// When it is missing and cannot be built.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        if let Some(path) = self.find() {
            return Ok(path);
        }
        let Self { name, version } = self;
        shell::step(format!(
            "installing {name} {version} into target/tools (once, a few minutes)"
        ));
        let mut install = Command::new(project::cargo());
        install
            .args([
                "install",
                "--locked",
                "--quiet",
                "--version",
                version,
                name,
                "--root",
            ])
            .arg(project::tools());
        // A target given for the project is not meant for the tools.
        shell::run(
            install
                .env_remove("CARGO_BUILD_TARGET")
                .env_remove("RUSTFLAGS"),
        )?;
        self.find()
            .with_context(|| format!("{name} was installed, but there is no such program"))
    }
}
