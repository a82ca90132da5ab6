//! Opening and closing a file, and what is said when that cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use trellis_storage::OpenError;
use trellis_tests::{TestProcess, damaged_copies};

use crate::notes::Notebook;

#[test]
fn a_disk_without_room_for_a_new_file_is_named() {
    if let Some(file) = TestProcess::file() {
        return TestProcess::say(&Notebook::open(&file).err().unwrap().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.redb");
    let this = "file::a_disk_without_room_for_a_new_file_is_named";
    let said = TestProcess::start_on_full_disk(this, &file, 0).finish();
    assert_eq!(
        said,
        [format!(
            "the disk is full: cannot make or extend the store {file:?}"
        )]
    );
}

#[test]
fn a_file_open_in_another_process_is_in_use() {
    if let Some(file) = TestProcess::file() {
        return TestProcess::say(&Notebook::open(&file).err().unwrap().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.redb");
    let notebook = Notebook::open(&file).unwrap();
    let this = "file::a_file_open_in_another_process_is_in_use";
    let said = TestProcess::start(this, &file).finish();
    let error = "is in use by another process; stop it or choose another file";
    assert_eq!(said, [format!("the store {file:?} {error}")]);
    assert!(
        matches!(Notebook::open(&file), Err(OpenError::InUse { .. })),
        "and twice in one process"
    );
    drop(notebook);
    Notebook::open(&file).expect("closed when dropped");
}

#[test]
fn a_file_without_permission_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let file = folder.path().join("notes.redb");
    // Root may write everywhere; a thread of its own becomes somebody else.
    let error = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            become_nobody();
        }
        Notebook::open(&file).err()
    });
    let error = error.join().unwrap();
    assert!(
        matches!(error, Some(OpenError::Permission { .. })),
        "{error:?}"
    );
}

#[cfg(target_os = "linux")]
fn become_nobody() {
    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn become_nobody() {
    panic!("run the tests as an ordinary user");
}

#[test]
fn a_file_that_is_no_store_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    for content in ["notes\n".to_owned(), "x".repeat(100_000)] {
        fs::write(&file, &content).unwrap();
        let error = Notebook::open(&file).err();
        assert!(
            matches!(error, Some(OpenError::Damaged { .. })),
            "{error:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    let error = Notebook::open(folder.path()).err();
    assert!(
        matches!(error, Some(OpenError::Io { .. })),
        "a folder is no store: {error:?}"
    );
}

#[test]
fn missing_folders_are_made_and_the_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/notes.redb");
    drop(Notebook::open(&file).unwrap());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file_fails_to_open_or_can_be_used_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.redb");
    let notebook = Notebook::open(&file).unwrap();
    for at in 0..200 {
        notebook
            .note(at, &"a note".repeat(20))
            .await
            .unwrap()
            .unwrap();
    }
    drop(notebook);
    let mut refused = 0;
    for damaged in damaged_copies(&fs::read(&file).unwrap(), 120) {
        fs::write(&file, &damaged).unwrap();
        let Ok(notebook) = Notebook::open(&file) else {
            refused += 1;
            continue;
        };
        // Each may fail; none may take the process down, closing the file included.
        drop(notebook.get(7));
        drop(notebook.note(1_000, "after the damage").await);
        drop(notebook);
    }
    assert!(refused > 0, "most damage is found while opening");
}
