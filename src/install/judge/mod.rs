//! Judging: facts and checks in, findings out. Pure, so that every verdict can be tested on recorded facts.

mod judgement;
mod local;
mod machine;
mod network;
mod reach;
mod state;
mod versions;

pub use judgement::{applicable, apply_ignores, skipped, targets, unknown};
pub use local::{certificate, cidr_overlap, command, covers, helm_repository, layout, local_size, local_user, ssh_key, tool};
pub use machine::{Seen, machine, needs_login};
pub use network::{dns, dns_outage, http};
pub use reach::{Tried, is_path, reach, sampling};
