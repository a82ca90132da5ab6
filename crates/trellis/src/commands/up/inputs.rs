//! What `trellis up` is told to start: components, folders with a manifest, manifests.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use trellis_artifact::{Bounds, LoadError};
use trellis_host::Deployable;
use trellis_manifest::{MANIFEST_BYTES_MAX, Source, parse_all, render_all};

use crate::failure::Failure;

/// The names under which a folder's manifest is found, in this order.
const MANIFEST_NAMES: [&str; 4] = ["trellis.yaml", "trellis.yml", "wadm.yaml", "wadm.yml"];
/// The first bytes of every WebAssembly file.
const WASM_MAGIC: &[u8] = b"\0asm";

/// What was read from the paths.
pub(super) struct Inputs {
    pub(super) deployables: Vec<Deployable>,
    pub(super) sources: Vec<Source>,
}

/// Reads what is at `paths`; a component without a manifest answers at `http`.
///
/// # Errors
/// A path that leads nowhere, or everything that is wrong with the manifests.
pub(super) fn read(paths: &[PathBuf], http: SocketAddr) -> Result<Inputs, Failure> {
    let mut deployables = Vec::new();
    let mut sources = Vec::new();
    let mut folders = Vec::new();
    for path in paths {
        match classify(path)? {
            Input::Component => deployables.push(Deployable::component(path, http)),
            Input::Manifest { path, text } => {
                let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                sources.push(Source::from_bytes(path.display().to_string(), &text));
                folders.push(folder);
            }
        }
    }
    let applications = parse_all(&sources)
        .map_err(|findings| Failure::rendered(render_all(&findings, &sources)))?;
    for application in applications {
        if !application.warnings.is_empty() {
            eprintln!("{}", render_all(&application.warnings, &sources).trim_end());
        }
        let source = sources
            .iter()
            .position(|it| *it.name() == *application.source_name);
        let folder = source
            .map(|index| folders[index].clone())
            .unwrap_or_default();
        deployables.push(Deployable {
            application,
            folder,
            has_manifest: true,
        });
    }
    Ok(Inputs {
        deployables,
        sources,
    })
}

enum Input {
    Component,
    Manifest { path: PathBuf, text: Vec<u8> },
}

/// Finds out what a path is by looking at it; its name only helps where the file is missing.
fn classify(path: &Path) -> Result<Input, Failure> {
    if path.is_dir() {
        let found = MANIFEST_NAMES
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.is_file());
        return match found {
            Some(file) => classify_file(&file),
            None => Err(Failure::message(
                &format!("{} has no manifest", path.display()),
                Some(&format!(
                    "name a file, or add one of {}",
                    MANIFEST_NAMES.join(", ")
                )),
            )),
        };
    }
    classify_file(path)
}

fn classify_file(path: &Path) -> Result<Input, Failure> {
    let has_extension = |names: &[&str]| {
        path.extension()
            .is_some_and(|extension| names.iter().any(|name| extension == *name))
    };
    if !path.exists()
        && let Err(error) = trellis_artifact::load(path, Bounds::default())
    {
        let is_manifest = has_extension(&["yaml", "yml", "json"]);
        return Err(absent(&error, is_manifest));
    }
    if has_extension(&["wasm"]) {
        // Loading it reports what is wrong with it, better than could be done here.
        return Ok(Input::Component);
    }
    let error = |error: std::io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        let hint = format!("let this user read it: `chmod a+r {}`", path.display());
        let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        Failure::message(&message, is_denied.then_some(hint.as_str()))
    };
    let file = std::fs::File::open(path).map_err(error)?;
    let mut text = Vec::new();
    // One byte more than allowed, so that the parser sees that it is too long.
    file.take(MANIFEST_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(error)?;
    if text.starts_with(WASM_MAGIC) {
        return Ok(Input::Component);
    }
    Ok(Input::Manifest {
        path: path.to_owned(),
        text,
    })
}

/// Says that a path leads nowhere, before anything is started.
fn absent(error: &LoadError, is_manifest: bool) -> Failure {
    match error {
        LoadError::NotFound {
            similar: None,
            missing_folder: None,
            ..
        } if is_manifest => Failure::new(error, Some("check the path")),
        _ => Failure::new(error, error.hint().as_deref()),
    }
}
