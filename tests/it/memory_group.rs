//! Memory bombs in a host that has 512 MiB: each ends at a limit, the kernel never has to end the host, and the
//! neighbour does not notice.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trellis_tests::{Report, Trellis, at_once};

use crate::isolation::{assert_recovered, neighbour_load, neighbours};

const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// A group of processes with a bound on their memory. Removed when dropped.
struct MemoryGroup {
    folder: PathBuf,
    /// The group is one of version 2.
    unified: bool,
}

impl MemoryGroup {
    fn new() -> Self {
        let name = format!("trellis-tests-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/memory").join(&name);
        let new = Path::new("/sys/fs/cgroup").join(&name);
        let (folder, unified, made) = match std::fs::create_dir(&old) {
            Ok(()) => (old, false, Ok(())),
            Err(_) => (new.clone(), true, std::fs::create_dir(&new)),
        };
        let group = Self { folder, unified };
        let limit = if unified {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let limited = made.and_then(|()| group.write(limit, &MEMORY_BYTES_MAX.to_string()));
        if let Err(error) = limited {
            panic!(
                "this test needs a memory control group, and {} cannot be had: {error}",
                group.folder.display()
            );
        }
        // Swap would hide what the host takes. Where it is not accounted there is no such file.
        let _ = group.write("memory.swap.max", "0");
        group
    }

    fn write(&self, file: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.folder.join(file), text)
    }

    /// Returns how many processes of the group the kernel has ended for want of memory.
    fn killed(&self) -> u64 {
        let file = if self.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.unwrap().parse().unwrap()
    }

    fn peak(&self) -> String {
        let file = if self.unified {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        std::fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    /// A command line that runs what follows it in the group.
    fn command(&self) -> Vec<String> {
        let enter = format!(
            "echo $$ > {}/cgroup.procs && exec \"$@\"",
            self.folder.display()
        );
        vec!["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()]
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Sends 96 bombs, 32 at once, beside a neighbour; returns what became of both.
fn bomb(limits: Value) -> (Report, Report) {
    let group = MemoryGroup::new();
    let mut host = neighbours(Trellis::new().behind(group.command()), limits);
    let neighbour = neighbour_load(&host).start();
    let bombs = at_once(host.address(), "bad.test", 32, 96, |_| "/grow".to_owned());
    let neighbour = neighbour.stop();
    assert!(
        host.is_running(),
        "the host ended:\n{}",
        host.log().so_far()
    );
    assert_eq!(
        group.killed(),
        0,
        "peak {} of {MEMORY_BYTES_MAX} bytes",
        group.peak()
    );
    assert_recovered(&host);
    let outcomes = bombs.count(500) + bombs.count(503);
    assert!(outcomes == 96 && bombs.count(500) > 0, "{bombs}");
    assert!(
        bombs
            .answers
            .iter()
            .all(|it| it.0.header("x-trellis-error").is_some())
    );
    (bombs, neighbour)
}

#[test]
fn memory_bombs_end_at_the_limit_of_their_component_and_the_neighbour_does_not_notice() {
    // Three instances of 64 MiB fit into the half of the group that guests may have.
    let (bombs, neighbour) = bomb(json!({ "memory": "64MiB", "instances": 3 }));
    assert_eq!(bombs.count(500), 96, "{bombs}");
    neighbour.assert_all_ok(10);
}

#[test]
fn memory_bombs_that_together_want_more_than_the_host_has_never_take_it_with_them() {
    let (_, neighbour) = bomb(json!({}));
    // With limits that promise more than there is, a neighbour may be refused for the moment, and is told so.
    for (answer, _) in &neighbour.answers {
        let refused =
            answer.status == 503 && answer.header("x-trellis-error") == Some("overloaded");
        assert!(
            answer.status == 200 || refused && answer.header("retry-after").is_some(),
            "{neighbour}"
        );
    }
    assert!(
        neighbour.failures.is_empty() && neighbour.count(200) > 0,
        "{neighbour}"
    );
}
