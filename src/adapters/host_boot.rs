//! The boot of this machine.

use std::fs;

use jiff::Timestamp;

/// The identity of the boot; empty where the system does not say.
#[must_use]
pub fn id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When the machine was started; none where the system does not say.
#[must_use]
pub fn time() -> Option<Timestamp> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(seconds).ok()
}
