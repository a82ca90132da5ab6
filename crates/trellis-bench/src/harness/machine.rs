//! What the figures were measured on: without it they say nothing.

use std::fs;

/// Load above which other work disturbs the figures.
const LOAD_AVERAGE_MAX: f64 = 0.5;

/// The machine of this run.
pub(crate) struct Machine {
    /// Cores that this process may use.
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// Running processes, averaged over the minute before the run.
    pub(crate) load_average: Option<f64>,
}

impl Machine {
    /// Looks at this machine; what cannot be read is left out.
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(&read("/proc/cpuinfo"))
                .unwrap_or("unknown processor")
                .to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load_average(&read("/proc/loadavg")),
        }
    }

    /// Returns a warning when the machine was busy.
    pub(crate) fn warning(&self) -> Option<String> {
        let load = self.load_average.filter(|load| *load > LOAD_AVERAGE_MAX)?;
        Some(format!(
            "other programs keep this machine busy (load {load}); the figures will spread"
        ))
    }
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

fn load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A Fine Processor\nflags\t: x\n";
        assert_eq!(processor(cpuinfo), Some("A Fine Processor"));
        assert_eq!(processor(""), None);
        assert_eq!(load_average("0.52 0.58 0.59 1/467 12345\n"), Some(0.52));
    }
}
