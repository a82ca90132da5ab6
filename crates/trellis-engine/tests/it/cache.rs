//! Compiled code on disk: loaded when sound, refused when anybody touched it.

use std::fs;
use std::path::{Path, PathBuf};

use trellis_engine::{Engine, EngineConfig, EngineError};

use crate::support::{digest, guest};

fn engine(folder: &Path) -> Result<Engine, EngineError> {
    Engine::new(EngineConfig {
        cache_folder: Some(folder.to_owned()),
        ..Default::default()
    })
}

fn entry(folder: &Path, extension: &str) -> PathBuf {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    entries.sort();
    entries.remove(0)
}

async fn compile(engine: &Engine, name: &str) -> bool {
    let bytes = guest(name);
    let hash = digest(&bytes);
    engine.compile(bytes, hash).await.unwrap().from_cache
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_start_loads_what_the_first_compiled() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!compile(&engine(folder.path()).unwrap(), "http_hello").await);
    assert!(compile(&engine(folder.path()).unwrap(), "http_hello").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_changed_byte_cut_or_swapped_file_is_ever_loaded() {
    const CHANGES: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path()).unwrap();
    // A small component: what is tried a thousand times must be quick to compile again.
    let small = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
    let other = wat::parse_str("(component (core module (func (export \"g\"))))").unwrap();
    let compile = async |bytes: &[u8]| {
        let hash = digest(bytes);
        engine
            .compile(bytes.to_vec().into(), hash)
            .await
            .unwrap()
            .from_cache
    };
    assert!(!compile(&small).await);
    let (code, sum) = (entry(folder.path(), "cwasm"), entry(folder.path(), "sum"));
    let sound = fs::read(&code).unwrap();
    let mut random = fastrand::Rng::with_seed(13);
    let mut loaded = 0;
    for change in 0..CHANGES {
        let mut bytes = sound.clone();
        if change % 4 == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        } else {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
        fs::write(&code, &bytes).unwrap();
        loaded += usize::from(compile(&small).await);
        assert!(
            compile(&small).await,
            "the entry is sound again after change {change}"
        );
    }
    assert_eq!(loaded, 0, "of {CHANGES} changed files");

    let keep = (fs::read(&code).unwrap(), fs::read(&sum).unwrap());
    fs::remove_file(&code).unwrap();
    fs::remove_file(&sum).unwrap();
    assert!(!compile(&other).await);
    fs::write(entry(folder.path(), "cwasm"), keep.0).unwrap();
    fs::write(entry(folder.path(), "sum"), keep.1).unwrap();
    assert!(
        !compile(&other).await,
        "a sound entry under another name was loaded"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = engine(folder.path()).err().expect("the folder is refused");
    assert!(error.to_string().contains("chmod go-w"), "{error}");
}
