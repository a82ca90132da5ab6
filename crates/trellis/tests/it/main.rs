//! The binary starts. That this test exists has Cargo build the binary with the tests of the workspace; what it does
//! for a person is tested in the package `trellis-tests`.

use std::process::Command;

#[test]
fn the_binary_tells_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_trellis"))
        .arg("--version")
        .output()
        .expect("the binary was built with this test");
    let expected = format!("trellis {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
