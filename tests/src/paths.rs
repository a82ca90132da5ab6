//! Where the project keeps what the tests use.

use std::path::{Path, PathBuf};

/// What builds the binary and the components.
const BUILD_HINT: &str = "`cargo xtask guests && cargo build --workspace`";

/// Returns the root of the project.
pub fn project_root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the package is in the project")
        .to_owned()
}

/// Returns the folder `examples/NAME`.
pub fn example(name: &str) -> PathBuf {
    project_root().join("examples").join(name)
}

/// Returns the component called `name`, built from `examples/` or `tests/guests/`.
///
/// # Panics
/// When it has not been built.
pub fn guest(name: &str) -> PathBuf {
    let built = std::env::var_os("TRELLIS_GUESTS").map(PathBuf::from);
    let built = built.unwrap_or_else(|| project_root().join("target/guests"));
    let path = built.join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing; build it with {BUILD_HINT}",
        path.display()
    );
    path
}

/// Returns the binary under test: the one that was built beside this test.
///
/// # Panics
/// When it has not been built.
pub(crate) fn binary() -> PathBuf {
    let path = build_folder().join("trellis");
    assert!(
        path.exists(),
        "{} is missing; build it with {BUILD_HINT}",
        path.display()
    );
    path
}

/// Returns the folder of compiled code that the tests share, as the hosts of one user do.
pub(crate) fn shared_cache() -> PathBuf {
    build_folder().join("trellis-tests-cache")
}

/// The folder that Cargo puts binaries into; tests are in `deps/` below it.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    let deps = test.parent().expect("a file is in a folder");
    deps.parent()
        .expect("Cargo puts tests into deps/")
        .to_owned()
}
