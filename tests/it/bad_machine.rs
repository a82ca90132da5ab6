//! A machine that does not give what is asked for: ports, folders, room on the disk.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use trellis_tests::{Trellis, get, guest};

/// A user who owns nothing.
pub(crate) const NOBODY: u32 = 65_534;

fn folder(trellis: &Trellis, name: &str, mode: u32) -> PathBuf {
    let folder = trellis.home().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    folder
}

fn refuse_cache(trellis: Trellis, cache: &Path) -> String {
    let ended = trellis
        .cache(cache)
        .arg(guest("http_hello"))
        .try_up()
        .unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn a_port_in_use_names_the_process_that_has_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let trellis = Trellis::new()
        .arg(guest("http_hello"))
        .args(["--http", &address.to_string()]);
    let ended = trellis.try_up().unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let taken = format!(
        "port {} is in use on 127.0.0.1, by process {}",
        address.port(),
        std::process::id()
    );
    for part in [
        taken.as_str(),
        "hint: stop that process, or choose another port with `--http",
    ] {
        assert!(
            ended.stderr.contains(part),
            "does not say {part:?}: {}",
            ended.stderr
        );
    }
    assert!(
        !ended.stderr.contains("compil"),
        "it compiled before it found out: {}",
        ended.stderr
    );
}

#[test]
fn an_address_that_is_not_of_this_machine_has_a_hint_of_its_own() {
    // An address for documentation, which no machine has.
    let trellis = Trellis::new()
        .arg(guest("http_hello"))
        .args(["--http", "192.0.2.1:8000"]);
    let said = trellis.try_up().unwrap_err().stderr;
    assert!(
        said.contains("192.0.2.1 is no address of this machine\nhint: use 127.0.0.1"),
        "{said}"
    );
    assert!(!said.contains("stop that process"), "{said}");
}

#[test]
fn a_home_that_cannot_be_written_costs_a_note() {
    let trellis = Trellis::new();
    let settings = trellis.home().join("file");
    std::fs::write(&settings, "").unwrap();
    let host = trellis
        .env("TRELLIS_CONFIG", settings.to_str().unwrap())
        .arg(guest("http_hello"))
        .up();
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
    let note = "note: other terminals do not find this host by themselves: cannot use";
    assert!(host.log().wait_for(note).is_some());
    assert!(!host.log().so_far().contains("error: "));
}

#[test]
fn a_full_disk_under_the_state_names_the_folder() {
    let trellis = Trellis::new();
    // Where the tests have it.
    let small = folder(&trellis, "data", 0o700);
    let ended = trellis.behind(on_small_disk(&small)).try_up().unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in [
        "is full",
        "hint: the state of the lattice is in",
        "--data FOLDER",
    ] {
        assert!(ended.stderr.contains(part), "no {part:?}: {}", ended.stderr);
    }
}

/// Runs what follows with 64 KiB of disk at `folder`, in a name space of its own.
fn on_small_disk(folder: &Path) -> [String; 6] {
    let mount = format!(
        "mount -t tmpfs -o size=64k,mode=700 none {} && exec \"$@\"",
        folder.display()
    );
    // Root may mount in such a name space; others need one for users, too.
    let user = if rustix::process::getuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    ["unshare", user, "sh", "-c", &mount, "sh"].map(str::to_owned)
}

#[test]
fn a_cache_that_is_a_file() {
    let trellis = Trellis::new();
    let file = trellis.home().join("cache");
    std::fs::write(&file, "").unwrap();
    let said = refuse_cache(trellis, &file);
    assert!(
        said.contains("as the folder for compiled code") && said.contains("--cache"),
        "{said}"
    );
}

#[test]
fn a_cache_that_cannot_be_written() {
    let trellis = Trellis::new();
    let locked = folder(&trellis, "locked", 0o555);
    folder(&trellis, "data", 0o777);
    std::fs::set_permissions(trellis.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let trellis = if rustix::process::getuid().is_root() {
        trellis.as_user(NOBODY)
    } else {
        trellis
    };
    let said = refuse_cache(trellis, &locked.join("cache"));
    assert!(
        said.contains("as the folder for compiled code") && said.contains("--cache"),
        "{said}"
    );
}

#[test]
fn code_is_not_loaded_from_a_cache_that_others_can_write() {
    let trellis = Trellis::new();
    let open = folder(&trellis, "open", 0o777);
    let said = refuse_cache(trellis, &open);
    assert!(
        said.contains("could be written by others") && said.contains("chmod go-w"),
        "{said}"
    );
}

#[test]
fn a_full_disk_under_the_cache_costs_a_warning_and_nothing_else() {
    let trellis = Trellis::new();
    let small = folder(&trellis, "small", 0o700);
    let trellis = trellis.cache(&small).behind(on_small_disk(&small));
    let host = trellis.arg(guest("http_hello")).up();
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
    let warning = host
        .log()
        .wait_for("compiled code is not kept for the next start")
        .unwrap();
    assert!(
        warning.contains("WARN") && warning.contains("No space left on device"),
        "{warning}"
    );
}

#[test]
fn a_tampered_cache_entry_is_compiled_anew() {
    let trellis = Trellis::new();
    let cache = folder(&trellis, "cache", 0o700);
    let trellis = trellis.cache(&cache).arg(guest("http_hello"));
    let from_cache = || {
        let host = trellis.up();
        assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
        host.report["applications"][0]["components"][0]["from_cache"]
            .as_bool()
            .unwrap()
    };
    assert_eq!([from_cache(), from_cache()], [false, true]);
    let mut entries = std::fs::read_dir(&cache)
        .unwrap()
        .map(|it| it.unwrap().path());
    let entry = entries
        .find(|it| it.extension().is_some_and(|it| it == "cwasm"))
        .unwrap();
    let length = entry.metadata().unwrap().len();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&entry)
        .unwrap();
    file.set_len(length / 2).unwrap();
    drop(file);
    assert_eq!([from_cache(), from_cache()], [false, true]);
    // Anyone may write it now, so anyone may have written it.
    std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!from_cache());
}
