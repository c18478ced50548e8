//! What the benches share: the machine in words, medians, a scratch folder with a site, processor times, a pseudo-terminal.
//!
//! A bench is no test: it prints figures, and its exit code says only whether it could measure.

#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench ends with a message")]

pub mod process;
pub mod screen;
pub mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program that is measured: the one just built, or another build of it for a comparison.
pub fn program() -> String {
    std::env::var("BENCH_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mosip-setup").to_owned())
}

/// Ends the bench with a message where it cannot measure.
pub fn give_up(message: &str) -> ! {
    eprintln!("not measured: {message}");
    std::process::exit(1);
}

/// The path of a program, or the end of the bench with a message.
pub fn need(program: &str, install: &str) -> PathBuf {
    which::which(program).unwrap_or_else(|_| give_up(&format!("{program} is not on PATH; {install}")))
}

/// A number given in the environment, else the default.
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Prints the machine, and what else it is doing: a figure without them says nothing.
pub fn machine(bench: &str) {
    let field = |path: &str, name: &str| -> String {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory: f64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("bench      {bench}");
    println!("machine    {cores} cores, {}, {:.0} GiB", field("/proc/cpuinfo", "model name"), memory / 1024.0 / 1024.0);
    println!("load       {}", load());
}

/// The load averages, and the processes that are running beside this one.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    let busy = process::running();
    let busy = if busy.is_empty() { "nothing else runs".to_owned() } else { format!("beside it run: {}", busy.join(", ")) };
    format!("{} (1, 5, 15 min); {busy}", averages.join(" "))
}

/// Measured values of one thing.
#[derive(Debug, Clone, Default)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    /// Adds a time.
    pub fn time(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    /// The value below which this share of the values lie.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (share * (sorted.len().max(1) - 1) as f64).ceil() as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    /// `median (least – most, n)`, multiplied by a factor and with a unit.
    pub fn words(&self, factor: f64, unit: &str) -> String {
        let digits = if self.median() * factor >= 100.0 { 0 } else { 2 };
        format!(
            "{:.digits$} {unit} ({:.digits$} – {:.digits$}, n = {})",
            self.median() * factor,
            self.quantile(0.0) * factor,
            self.quantile(1.0) * factor,
            self.0.len(),
        )
    }
}

/// Prints one figure and whether it holds.
pub fn verdict(what: &str, holds: bool, target: &str) {
    println!("{}  {what}: {target}", if holds { "holds     " } else { "MISSES IT " });
}

/// A folder that goes when the bench ends.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("mosip-setup-bench-").tempdir().unwrap_or_else(|error| give_up(&format!("no scratch folder: {error}")))
}

/// Writes a file and makes the folders above it.
pub fn write(path: &Path, text: &str) {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder of the bench");
    }
    fs::write(path, text).expect("a file of the bench");
}
