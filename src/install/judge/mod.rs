//! Judging: facts and checks in, findings out. Pure, so that every verdict can be tested on recorded facts.

mod across;
mod charts;
mod judgement;
mod local;
mod machine;
mod network;
mod reach;
mod state;
mod system;
mod versions;

pub use across::{Told, across, host_of, one_way_out, ways_out};
pub use charts::{charts, pull_limit};
pub use judgement::{applicable, apply_ignores, looks_at, skipped, targets, unknown};
pub use local::{certificates, cidr_overlap, command, covers, helm_repository, layout, local_size, local_user, ssh_key, tool};
pub use machine::{Seen, machine, needs_login};
pub use network::{dns, dns_causes, dns_outage, http};
pub use reach::{Tried, reach, sampling};
