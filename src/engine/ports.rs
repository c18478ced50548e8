//! The engine's ports: everything it does outside goes through these traits, so that a rehearsal can take their place.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::attempt::{AttemptSpec, Ended};
use crate::run::event::Progress;

/// Starts attempts and ends them.
pub trait Spawn: Send + Sync {
    /// Runs an attempt to its end, in a process of its own that outlives this one. `progress` hears where it stands.
    fn run(&self, spec: AttemptSpec, progress: Box<dyn Fn(Progress) + Send>) -> BoxFuture<'static, Ended>;
    /// Waits for an attempt that another process started; none: neither its runner nor its exit record is there.
    fn adopt(&self, dir: PathBuf, progress: Box<dyn Fn(Progress) + Send>) -> BoxFuture<'static, Option<Ended>>;
    /// Ends the attempt that is running in `dir`: asks it to end, or kills it.
    fn cancel(&self, dir: PathBuf, now: bool) -> BoxFuture<'static, ()>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
