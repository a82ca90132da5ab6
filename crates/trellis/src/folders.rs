//! Where things are kept when nobody says otherwise: the folders of the XDG base directories.

use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};

use crate::failure::Failure;

const NAME: &str = "trellis";

/// Returns the folder of durable state.
pub(crate) fn data(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    choose(chosen, "--data", |base| base.data_dir().join(NAME))
}

/// Returns the folder of compiled code.
pub(crate) fn cache(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    choose(chosen, "--cache", |base| {
        base.cache_dir().join(NAME).join("compiled")
    })
}

/// Returns the folder of contexts; none without a home.
pub(crate) fn config() -> Option<PathBuf> {
    match chosen_config() {
        Some(folder) => Some(folder.into()),
        None => Some(choose_base_strategy().ok()?.config_dir().join(NAME)),
    }
}

/// Says where the folder of contexts was found.
pub(crate) fn config_origin() -> &'static str {
    match chosen_config() {
        Some(_) => "environment TRELLIS_CONFIG",
        None => "default",
    }
}

fn chosen_config() -> Option<std::ffi::OsString> {
    std::env::var_os("TRELLIS_CONFIG").filter(|it| !it.is_empty())
}

fn choose(
    chosen: Option<PathBuf>,
    option: &str,
    default: impl Fn(&dyn Base) -> PathBuf,
) -> Result<PathBuf, Failure> {
    if let Some(folder) = chosen {
        return Ok(folder);
    }
    let base = choose_base_strategy().map_err(|_| {
        let hint = format!("set HOME, or name a folder with `{option} FOLDER`");
        Failure::message("there is no home folder to keep things in", Some(&hint))
    })?;
    Ok(default(&base))
}

/// The part of the strategy that is used, as an object.
trait Base {
    fn data_dir(&self) -> PathBuf;
    fn cache_dir(&self) -> PathBuf;
}

impl<T: BaseStrategy> Base for T {
    fn data_dir(&self) -> PathBuf {
        BaseStrategy::data_dir(self)
    }

    fn cache_dir(&self) -> PathBuf {
        BaseStrategy::cache_dir(self)
    }
}
