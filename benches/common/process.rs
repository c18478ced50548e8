//! Processor times and memory, read from `/proc`.

use std::fs;
use std::time::Duration;

/// One unit of the times in `/proc/PID/stat`: a hundredth of a second on every Linux that Rust's standard library runs on.
const TICK: Duration = Duration::from_millis(10);

/// The fields of `/proc/PID/stat` from the state on; none: the process is gone.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold blanks and brackets itself.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], number: usize) -> u32 {
    fields.get(number).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// User and system time of a process, all its threads, without its children.
pub fn time_of(pid: u32) -> Duration {
    let fields = stat(&pid.to_string()).unwrap_or_default();
    TICK * (ticks(&fields, 11) + ticks(&fields, 12))
}

/// The same with all processes that it, or one of its children, has waited for.
pub fn time_with_children(pid: u32) -> Duration {
    let fields = stat(&pid.to_string()).unwrap_or_default();
    TICK * (11..15).map(|number| ticks(&fields, number)).sum::<u32>()
}

/// User and system time of all processes that this one, or one of its children, has waited for.
pub fn time_of_children() -> Duration {
    let fields = stat("self").unwrap_or_default();
    TICK * (ticks(&fields, 13) + ticks(&fields, 14))
}

/// Nanoseconds this thread has run; for a program of one thread that reports its own time.
pub fn own_nanoseconds() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The most memory a process has had resident, KiB; 0: it is gone.
pub fn peak_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The memory a process has resident now, KiB; 0: it is gone.
pub fn rss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// (pid, its command line with blanks) of the children of a process.
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<u32> = lists.flat_map(|list| list.split_whitespace().filter_map(|text| text.parse().ok()).collect::<Vec<_>>()).collect();
    pids.into_iter().map(|pid| (pid, command_line(pid))).collect()
}

pub fn command_line(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ").trim().to_owned()
}

/// Names of processes that are running now, this one left out.
pub fn running() -> Vec<String> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())).filter(|pid| *pid != own);
    let busy = pids.filter(|pid| stat(&pid.to_string()).is_some_and(|fields| fields.first().is_some_and(|state| state == "R")));
    busy.map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}
