//! The documents stay true: every `trellis` and `curl` command in them is run here, and answers what they show.
//! (The `cargo` commands are run by continuous integration itself.)

use std::collections::BTreeSet;
use std::path::PathBuf;

use trellis_tests::{Host, Trellis, example, get, guest, project_root};

/// The commands that the documents show, as they stand there.
const COMMANDS: [&str; 9] = [
    "curl http://127.0.0.1:8000/apples",
    "curl -i http://127.0.0.1:8000/figs",
    "target/debug/trellis up examples/http-hello",
    "target/debug/trellis up target/guests/http_hello_p3.wasm --http 127.0.0.1:9000",
    "target/debug/trellis inspect target/guests/http_kvcounter.wasm",
    "curl -i http://127.0.0.1:8010/loop",
    "curl http://127.0.0.1:8010/grow",
    "curl http://127.0.0.1:8010/wait",
    "curl http://127.0.0.1:8010/",
];

/// The page with all of them.
fn getting_started() -> String {
    std::fs::read_to_string(project_root().join("docs/getting-started.md")).unwrap()
}

fn documents() -> Vec<PathBuf> {
    let mut documents = vec![
        project_root().join("README.md"),
        project_root().join("ARCHITECTURE.md"),
    ];
    for folder in ["docs", "examples"] {
        let mut folders = vec![project_root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false if entry.path().extension().is_some_and(|it| it == "md") => {
                        documents.push(entry.path())
                    }
                    false => {}
                }
            }
        }
    }
    documents
}

/// What the page shows below `command`, up to the next command or the end of the block.
fn shown(page: &str, command: &str) -> Vec<String> {
    let start = format!("$ {command}");
    let below = page.lines().skip_while(|line| **line != *start).skip(1);
    below
        .take_while(|line| !line.starts_with("$ ") && !line.starts_with("```"))
        .map(str::to_owned)
        .collect()
}

/// Runs `curl` as the page shows it, at the address of `host`, and compares status and body.
fn assert_curl(page: &str, host: &Host, command: &str) {
    assert!(COMMANDS.contains(&command));
    let url = command.rsplit(' ').next().unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let answer = get(host.address(), &format!("/{path}"));
    let shown = shown(page, command);
    assert_eq!(
        shown.last().map(String::as_str),
        Some(answer.text().trim_end()),
        "{command}"
    );
    if command.contains(" -i ") {
        let status = format!("HTTP/1.1 {} ", answer.status);
        assert!(
            shown[0].starts_with(&status),
            "{command}: {status} is not {:?}",
            shown[0]
        );
        for name in shown
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|it| it.0)
        {
            let is_header = !name.contains([' ', '/']) && name != "trap";
            // An answer that a busy machine makes in two parts goes out in chunks.
            let is_chunked =
                name == "content-length" && answer.header("transfer-encoding").is_some();
            assert!(
                !is_header || is_chunked || answer.header(name).is_some(),
                "{command}: no {name}"
            );
        }
    }
}

/// Starts `manifest` with the images of the project, on a port of its own.
fn start(manifest: &str, port: &str) -> Host {
    let trellis = Trellis::new();
    let guests = guest("misbehaver").parent().unwrap().display().to_string();
    let manifest = manifest.replace(port, "127.0.0.1:0");
    let manifest = manifest.replace("image: ./build/", &format!("image: {guests}/"));
    let manifest = manifest.replace("image: target/guests/", &format!("image: {guests}/"));
    let path = trellis.home().join("trellis.yaml");
    std::fs::write(&path, manifest).unwrap();
    trellis.arg(path).up()
}

#[test]
fn every_command_of_the_documents_is_run_by_these_tests() {
    let mut found = BTreeSet::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let commands = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("$ "));
        let ours = commands.filter(|it| it.contains("trellis") || it.starts_with("curl"));
        found.extend(ours.map(str::to_owned));
    }
    assert_eq!(found, COMMANDS.iter().map(|it| (*it).to_owned()).collect());
}

#[test]
fn the_counter_answers_as_the_page_shows() {
    let page = getting_started();
    let manifest = std::fs::read_to_string(example("http-kvcounter").join("trellis.yaml")).unwrap();
    let host = start(&manifest, "127.0.0.1:8000");
    // What the demo itself has called before.
    for path in ["/apples", "/apples", "/pears"] {
        get(host.address(), path);
    }
    assert_curl(&page, &host, "curl http://127.0.0.1:8000/apples");
    assert_curl(&page, &host, "curl -i http://127.0.0.1:8000/figs");
}

#[test]
fn limits_answer_as_the_page_shows() {
    let page = getting_started();
    let manifests = page
        .split("```yaml\n")
        .skip(1)
        .map(|it| it.split("```").next().unwrap());
    let manifest = manifests
        .filter(|it| it.contains("name: misbehaver"))
        .last()
        .unwrap();
    let host = start(manifest, "127.0.0.1:8010");
    for path in [
        "-i http://127.0.0.1:8010/loop",
        "http://127.0.0.1:8010/grow",
        "http://127.0.0.1:8010/wait",
        "http://127.0.0.1:8010/",
    ] {
        assert_curl(&page, &host, &format!("curl {path}"));
    }
    for limit in ["limits.cpuTime", "limits.memory", "limits.deadline"] {
        assert!(
            page.contains(limit) && host.log().wait_for(limit).is_some(),
            "{limit}"
        );
    }
}

#[test]
fn the_other_commands_run_as_they_stand() {
    let inspect = Trellis::new().in_folder(&project_root());
    let ended = inspect.args(COMMANDS[4].split(' ').skip(1)).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in shown(&getting_started(), COMMANDS[4]) {
        // Digests, sizes and versions are those of the day.
        if line.starts_with(' ') || line.ends_with(':') {
            assert!(
                ended.stdout.contains(line.trim_end()),
                "not shown: {line:?}\n{}",
                ended.stdout
            );
        }
    }
    let hello = std::fs::read_to_string(example("http-hello").join("trellis.yaml")).unwrap();
    assert!(COMMANDS[2].ends_with("up examples/http-hello"));
    let host = start(&hello, "127.0.0.1:8001");
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
    // As it stands, but for the port, which is any that is free.
    let host = Trellis::new().in_folder(&project_root());
    let host = host
        .arg(COMMANDS[3].split(' ').nth(2).unwrap())
        .args(["--http", "127.0.0.1:0"])
        .up();
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
}
