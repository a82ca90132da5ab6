//! `cargo xtask deny`: what may come in through dependencies.
//!
//! Advisories come from their public repository. Where only a snapshot of it is at hand, as plain files, it is put
//! into a repository of its own, and git is told to read that one in place of the public one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{project, shell, tools};

/// The repository that cargo-deny reads by default.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Checks licences, sources, bans and advisories.
#[derive(Args, Default)]
pub(crate) struct Deny {
    /// Snapshot of the advisory database to use instead of its repository
    #[arg(long, env = "TRELLIS_ADVISORY_DB", value_name = "FOLDER")]
    advisory_db: Option<PathBuf>,
}

impl Deny {
    /// Runs cargo-deny over the root workspace and both workspaces of components.
    pub(crate) fn run(self) -> Result<()> {
        let deny = tools::DENY.ensure()?;
        let snapshot = self
            .snapshot()
            .map(|folder| Snapshot::of(&folder))
            .transpose()?;
        for workspace in [project::root()]
            .into_iter()
            .chain(project::guest_workspaces())
        {
            shell::step(format!(
                "checking the dependencies of {}",
                workspace.display()
            ));
            let mut check = Command::new(&deny);
            check
                .arg("--manifest-path")
                .arg(workspace.join("Cargo.toml"));
            check.arg("--config").arg(project::root().join("deny.toml"));
            check
                .args(["--all-features", "check"])
                .current_dir(project::root());
            if let Some(snapshot) = &snapshot {
                snapshot.redirect(&mut check);
            }
            shell::run(&mut check)?;
        }
        Ok(())
    }

    /// The snapshot to use: the one asked for, or one that lies beside the checkout.
    fn snapshot(&self) -> Option<PathBuf> {
        let beside = project::root().join("../shared/advisory-db");
        self.advisory_db
            .clone()
            .or_else(|| beside.join("crates").is_dir().then_some(beside))
    }
}

/// A snapshot of the advisory database as a git repository.
struct Snapshot {
    repository: PathBuf,
    /// Where cargo-deny keeps its clones while it reads this snapshot.
    clones: PathBuf,
}

impl Snapshot {
    /// Copies `folder` and commits the copy.
    fn of(folder: &Path) -> Result<Self> {
        shell::step(format!("using the advisories of {}", folder.display()));
        let base = project::root().join("target/advisories");
        if base.exists() {
            fs::remove_dir_all(&base)
                .with_context(|| format!("cannot remove {}", base.display()))?;
        }
        let repository = base.join("advisory-db");
        copy(&folder.join("crates"), &repository.join("crates"))?;
        git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
        git(&repository, &["add", "--all"])?;
        git(
            &repository,
            &["commit", "--quiet", "--no-gpg-sign", "--message=snapshot"],
        )?;
        Ok(Self {
            repository,
            clones: base.join("clones"),
        })
    }

    /// Makes `check` read this snapshot.
    fn redirect(&self, check: &mut Command) {
        check
            .env("TRELLIS_ADVISORY_CLONES", &self.clones)
            .env("GIT_CONFIG_COUNT", "1")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("url.file://{}.insteadOf", self.repository.display()),
            )
            .env("GIT_CONFIG_VALUE_0", ADVISORIES);
    }
}

/// Runs git in `folder`, independent of who the user is to git.
fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(folder).args(arguments);
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "snapshot")
            .env(format!("GIT_{role}_EMAIL"), "snapshot@localhost");
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    shell::output(&mut git).map(drop)
}

/// Copies the files below `from`; the copy is writable even where the original is not.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in project::source_files(from)? {
        let destination = to.join(file.strip_prefix(from).unwrap_or(&file));
        let folder = destination.parent().unwrap_or(to);
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        fs::write(&destination, bytes)
            .with_context(|| format!("cannot write {}", destination.display()))?;
    }
    Ok(())
}
