//! Every way in which a file is not a component, and what is said about it.

use std::error::Error;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use trellis_artifact::{Bounds, Digest, LoadError, load};

use crate::{COUNTER, assemble};

/// Returns the error of loading `name` in `folder` as one text: message, cause, hint.
fn explain(folder: &Path, name: &str) -> String {
    let error = load(&folder.join(name), Bounds::default()).expect_err(name);
    explain_error(folder, &error)
}

fn explain_error(folder: &Path, error: &LoadError) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(&format!(": {source}"));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text.replace(&folder.display().to_string(), "DIR")
}

/// Saves `bytes` and checks what is said about them.
fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("x.wasm"), bytes).unwrap();
    assert_eq!(explain(folder.path(), "x.wasm"), expected);
}

#[test]
fn a_component_is_loaded_with_its_digest() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("counter.wasm");
    let bytes = assemble(COUNTER);
    fs::write(&path, &bytes).unwrap();
    let artifact = load(&path, Bounds::default()).unwrap();
    assert_eq!(artifact.path, path);
    assert_eq!(artifact.size, bytes.len() as u64);
    assert_eq!(artifact.digest, Digest::of(&bytes));
    assert_eq!(artifact.bytes, bytes);
}

#[test]
fn a_missing_file_gets_a_suggestion() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("http_hello.wasm"), "").unwrap();
    assert_eq!(
        explain(folder.path(), "http-hello.wasm"),
        "there is no file DIR/http-hello.wasm\nhint: did you mean DIR/http_hello.wasm?"
    );
    assert_eq!(
        explain(folder.path(), "zebra"),
        "there is no file DIR/zebra\nhint: build the component first, or check the path"
    );
    assert_eq!(
        explain(folder.path(), "target/release/zebra.wasm"),
        "there is no file DIR/target/release/zebra.wasm\nhint: the folder DIR/target does not exist"
    );
    assert_eq!(
        explain(folder.path(), "http_hello.wasm/x"),
        "there is no file DIR/http_hello.wasm/x\nhint: the folder DIR/http_hello.wasm does not exist"
    );
}

#[test]
fn a_suggestion_is_another_name_that_is_alike_without_its_extension() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("prober.wasm"), "").unwrap();
    assert_eq!(
        explain(folder.path(), "nope.wasm"),
        "there is no file DIR/nope.wasm\nhint: build the component first, or check the path"
    );
    assert_eq!(
        explain(folder.path(), "prober"),
        "there is no file DIR/prober\nhint: did you mean DIR/prober.wasm?"
    );
}

#[test]
#[cfg(unix)]
fn a_link_that_leads_nowhere_is_not_its_own_suggestion() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("target/web.wasm");
    std::os::unix::fs::symlink(&target, folder.path().join("web.wasm")).unwrap();
    assert_eq!(
        explain(folder.path(), "web.wasm"),
        "DIR/web.wasm is a broken symbolic link: there is no DIR/target/web.wasm\n\
         hint: build the component that it leads to, or correct the link"
    );
}

#[test]
fn a_folder_is_not_a_component() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("release");
    fs::create_dir(&inner).unwrap();
    assert_eq!(
        explain(folder.path(), "release"),
        "DIR/release is a folder, not a component\nhint: name a `.wasm` file"
    );
    fs::write(inner.join("hello.wasm"), "").unwrap();
    assert_eq!(
        explain(folder.path(), "release"),
        "DIR/release is a folder, not a component\n\
         hint: name a file in it, such as DIR/release/hello.wasm"
    );
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_says_how_to_get_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.wasm");
    fs::write(&path, assemble(COUNTER)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        // The administrator may read everything; the variant is then checked by its text alone.
        let error = LoadError::Permission {
            path,
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert!(explain_error(folder.path(), &error).contains("chmod a+r DIR/x.wasm"));
        return;
    }
    assert!(explain(folder.path(), "x.wasm").starts_with("no permission to read DIR/x.wasm"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_instead_of_waited_for() {
    use std::os::unix::net::UnixListener;

    let folder = TempDir::new().unwrap();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    assert!(explain(folder.path(), "socket").starts_with("DIR/socket is not a regular file"));
    assert!(explain(Path::new("/dev"), "zero").starts_with("DIR/zero is not a regular file"));
}

#[test]
fn a_file_over_the_bound_is_not_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.wasm");
    let bytes = assemble(COUNTER);
    fs::write(&path, &bytes).unwrap();
    let size = bytes.len() as u64;
    assert!(
        load(
            &path,
            Bounds {
                artifact_bytes_max: size
            }
        )
        .is_ok()
    );
    let error = load(
        &path,
        Bounds {
            artifact_bytes_max: size - 1,
        },
    )
    .unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { size: seen, .. } if seen == size));

    // A sparse file: a terabyte that takes no room.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(explain(folder.path(), "x.wasm").contains("more than the 536870912"));
}

#[test]
fn other_files_are_recognised() {
    const WASM: &str =
        "name a WebAssembly component, such as `target/wasm32-wasip2/release/NAME.wasm`";
    const PROGRAM: &str = "this is a program for one machine; build for the target `wasm32-wasip2` \
                           and name the `.wasm` file";
    let cases: &[(&[u8], &str, &str)] = &[
        (
            b"",
            "an empty file",
            "the build or download that made it failed, run it again",
        ),
        (
            b"\x7fELF\x02\x01",
            "a Linux program or library (ELF)",
            PROGRAM,
        ),
        (
            b"\xcf\xfa\xed\xfe\x07",
            "a macOS program or library (Mach-O)",
            PROGRAM,
        ),
        (b"MZ\x90\0", "a Windows program or library (PE)", PROGRAM),
        (
            b"\x1f\x8b\x08\0",
            "a gzip archive",
            "unpack it first: `gunzip` or `tar -xzf`",
        ),
        (
            b"\x28\xb5\x2f\xfd\0",
            "a Zstandard archive",
            "unpack it first: `unzstd`",
        ),
        (b"PK\x03\x04\0", "a zip archive", "unpack it first: `unzip`"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "a Git LFS pointer",
            "fetch the real file: `git lfs pull`",
        ),
        (
            b"\n  (component)",
            "WebAssembly text (WAT)",
            "turn the text into a binary: `wasm-tools parse file.wat -o file.wasm`",
        ),
        (
            b"package wasi:http;\n",
            "WIT source",
            "WIT only describes interfaces; name the `.wasm` file that was built",
        ),
        (b"apiVersion: core.oam.dev/v1beta1\n", "text", WASM),
        (b"\xff\x00\x13\x37", "an unknown kind of file", WASM),
    ];
    for (bytes, kind, hint) in cases {
        let first = bytes[..bytes.len().min(16)].escape_ascii();
        check(
            bytes,
            &format!(
                "DIR/x.wasm is not a usable component: it is {kind}, not WebAssembly \
                 (it begins with \"{first}\")\nhint: {hint}"
            ),
        );
    }
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    check(
        assemble("(module (func (export \"f\")))"),
        "DIR/x.wasm is not a usable component: it is a core WebAssembly module, not a component\n\
         hint: build for the target `wasm32-wasip2`, or make a component of it: \
         `wasm-tools component new module.wasm -o component.wasm` \
         (with `--adapt` for a wasip1 module)",
    );
}

#[test]
fn an_encoding_from_before_the_release_is_named() {
    check(
        b"\0asm\x0c\0\x01\0",
        "DIR/x.wasm is not a usable component: it is WebAssembly of an unknown encoding \
         (layer 1, version 12)\nhint: build it again with a current toolchain; encodings from \
         before the component model was released are not read",
    );
}

#[test]
fn a_truncated_file_says_how_much_is_missing() {
    let bytes = assemble("(component (core module (func)))");
    check(
        &bytes[..bytes.len() - 3],
        &format!(
            "DIR/x.wasm is not a usable component: it is truncated: it ends at byte {}, at least 1 \
             more must follow\nhint: the download or the build was cut short, fetch or build it again",
            bytes.len() - 3
        ),
    );
}

#[test]
fn a_corrupt_file_says_where() {
    // Section 63 does not exist.
    check(
        b"\0asm\x0d\0\x01\0\x3f\x00",
        "DIR/x.wasm is not a usable component: it is corrupt at byte 10: malformed section id: 63\n\
         hint: fetch or build it again; `wasm-tools validate --features all` shows the details",
    );
}
