//! R6: a host that was killed and started again answers within seconds, its code being compiled already.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::applications;
use super::cluster::{Cluster, Host, Layout};
use super::{Lab, Report, waiting};

/// From the start of the process to the first answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// After this it counts as never.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::prepare(lab, "restart", Layout::Loopback, 1)?;
    cluster.nats.start()?;
    let host = &mut cluster.hosts[0];
    let application = application(lab, host)?;
    let application = application.to_str().context("the folder is not text")?;
    host.start(&[application])?;
    let what = "the application answers, compiled for the first time";
    waiting::until(what, PATIENCE * 3, || Ok(answers(host)?.then_some(())))?;
    let mut times = Vec::new();
    for _ in 0..lab.of(3, 20) {
        host.kill()?;
        host.start(&[application])?;
        let answered = waiting::within(PATIENCE, || Ok(answers(host)?.then_some(())))?;
        times.push(answered.map(|(_, time)| time));
    }
    let what = "restart after kill -9 until its application answers";
    report.longest("R6", what, &times, ANSWER_LIMIT);
    Ok(())
}

fn answers(host: &Host) -> Result<bool> {
    applications::answers_at(&host.place, host.own_http, "/probe")
}

/// Writes a manifest of an application that the host starts by itself, and returns its file.
pub(super) fn application(lab: &Lab, host: &Host) -> Result<PathBuf> {
    let text = include_str!("application.yaml")
        .replace("WEB", &lab.guest("to_upper_http"))
        .replace("UPPER", &lab.guest("to_upper_upper"))
        .replace("ADDRESS", &host.own_http.to_string());
    let file = host.home().join("application.yaml");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
