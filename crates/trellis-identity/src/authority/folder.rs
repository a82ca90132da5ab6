//! The folder of an authority on the disk: which files it has, and how it comes into being whole.
//!
//! It is filled under another name and then renamed, so it is never half there. A lock beside it
//! lets one process at a time do so, and lets that process clear away what a killed one left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::private_file::{self, parent, sync_folder};
use crate::{PrivateFileError, Role, Secret};

/// The operator's token about itself.
pub(super) const OPERATOR_TOKEN: &str = "operator.jwt";
/// The operator's seed: needed only to change the accounts.
const OPERATOR_SEED: &str = "operator.seed";
/// The token of the account in which the lattice lives.
pub(super) const ACCOUNT_TOKEN: &str = "account.jwt";
/// The seed of that account: makes users.
pub(super) const ACCOUNT_SEED: &str = "account.seed";
/// The token of the account in which a nats-server reports on itself.
pub(super) const SYSTEM_TOKEN: &str = "system.jwt";
/// The seed of that account.
const SYSTEM_SEED: &str = "system.seed";
/// The users, a `.creds` file for each role.
const USERS: &str = "users";

/// What is made once.
pub(super) struct Parts {
    pub(super) operator_token: String,
    pub(super) operator_seed: Secret<String>,
    pub(super) account_token: String,
    pub(super) account_seed: Secret<String>,
    pub(super) system_token: String,
    pub(super) system_seed: Secret<String>,
}

/// Returns the `.creds` file of a standing role.
pub(super) fn user_path(folder: &Path, role: &Role) -> PathBuf {
    folder.join(USERS).join(format!("{role}.creds"))
}

/// Waits until no other process makes or mends `folder`, until the file is dropped. The system lets
/// go of it when the process dies.
pub(super) fn lock(folder: &Path) -> Result<File, PrivateFileError> {
    let path = beside(folder, "lock");
    let file = private_file::open_lock(&path)?;
    file.lock()
        .map_err(|source| PrivateFileError::Write { path, source })?;
    Ok(file)
}

/// Returns whether there is nothing at `folder`, or an empty folder.
pub(super) fn is_absent(folder: &Path) -> Result<bool, PrivateFileError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(PrivateFileError::Read {
            path: folder.to_owned(),
            source,
        }),
    }
}

/// Makes `folder` with `parts`. The caller holds the lock, and the folder is absent.
pub(super) fn publish(folder: &Path, parts: &Parts) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Write {
        path: folder.to_owned(),
        source,
    };
    let staged = beside(folder, "new");
    match fs::remove_dir_all(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    private_file::create_folder(&staged)?;
    for (name, text) in parts.files() {
        private_file::write(&staged.join(name), &format!("{text}\n"))?;
    }
    fs::rename(&staged, folder).map_err(failed)?;
    sync_folder(parent(folder)).map_err(failed)
}

impl Parts {
    fn files(&self) -> [(&'static str, &str); 6] {
        [
            (OPERATOR_TOKEN, &self.operator_token),
            (OPERATOR_SEED, self.operator_seed.expose()),
            (ACCOUNT_TOKEN, &self.account_token),
            (ACCOUNT_SEED, self.account_seed.expose()),
            (SYSTEM_TOKEN, &self.system_token),
            (SYSTEM_SEED, self.system_seed.expose()),
        ]
    }
}

fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    parent(folder).join(format!(".{name}.{what}"))
}
