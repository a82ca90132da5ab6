//! The Python client, on both servers.

use std::process::Stdio;

use tokio::process::Command;

use crate::lattice::Lattice;
use crate::servers::{Server, Settings};

const ROUND: &str = include_str!("python/round.py");

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works() {
    let lattice = Lattice::new();
    let folder = tempfile::tempdir().unwrap();
    let creds = folder.path().join("user.creds");
    lattice.anybody().write(&creds).unwrap();
    for server in Server::both(&Settings::trusting(&lattice)).await {
        let output = Command::new("python3")
            .args(["-c", ROUND, &server.url()])
            .arg(&creds)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("python3 is not on the PATH");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", server.name);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "done\n",
            "{}",
            server.name
        );
    }
}
