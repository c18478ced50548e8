//! The ports: what the engine asks of the world. The real implementations use the adapters; the rehearsal has its own.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptSpec, Ended};
use crate::install::facts::{
    CertificateFacts, CommandFacts, DnsAnswer, HostKeyAnswer, HttpAnswer, KeyFacts, LayoutFacts, MachineAnswer, MachineFacts, MendFacts,
    TcpAnswer, ToolFacts, UserFacts, WayOut,
};
use crate::install::inquiry::{HttpRequest, LayoutRequest, MachineWants, MendOrder, SshLogin};
use crate::install::outside::{ChartsFacts, ChartsRequest, PullFacts};
use crate::install::reach::{ReachAnswer, ReachRequest};
use crate::run::event::Progress;

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Collects facts. Every question has its own deadline: an answer always comes, if only [`ProbeAnswer::Failed`].
/// Dropping the future stops the work behind it.
pub trait Probe: Send + Sync {
    /// Answers one question with the variant of the same name.
    fn ask(&self, question: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer>;
    /// Runs a script that the operator has agreed to, on the way that questions go: same login, same known hosts. What it prints is
    /// passed on as it comes. A world of facts alone has nothing to mend.
    fn mend(&self, order: MendOrder, heard: Heard) -> BoxFuture<'_, MendFacts> {
        drop((order, heard));
        Box::pin(std::future::ready(MendFacts { problem: Some("nothing can be changed here".to_owned()), ..MendFacts::default() }))
    }
}

/// A question to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeQuestion {
    /// Everything about a machine, in one SSH session.
    Machine {
        /// Where.
        login: SshLogin,
        /// What.
        wants: MachineWants,
    },
    /// The host key a machine presents, against the site's known hosts; no login.
    HostKey {
        /// Where; user and key are not used.
        login: SshLogin,
    },
    /// Processors, memory and disks of the deployment node.
    Local {
        /// Paths whose file systems matter.
        paths: Vec<String>,
    },
    /// The deployment node's user, and whether folders are writable.
    User {
        /// The folders; created when absent, then removed again.
        folders: Vec<String>,
    },
    /// A program on PATH.
    Tool {
        /// Its name.
        command: String,
        /// What makes it print its version; empty: do not run it.
        arguments: Vec<String>,
    },
    /// An SSH private key.
    SshKey {
        /// Its path.
        path: String,
    },
    /// A certificate chain and its key.
    Certificate {
        /// Path of the chain.
        chain: String,
        /// Path of the key.
        key: String,
    },
    /// A checkout.
    Layout(LayoutRequest),
    /// A command of the deployment node.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Working folder.
        dir: Option<String>,
        /// Additional environment.
        env: Vec<(String, String)>,
        /// Seconds until it is stopped.
        timeout_seconds: u32,
    },
    /// The addresses of a name.
    Dns {
        /// The name.
        name: String,
        /// The address it should lead to: where it does not, others are asked too.
        #[serde(default)]
        expected: Option<IpAddr>,
    },
    /// A TCP connection.
    Tcp {
        /// Where to.
        address: IpAddr,
        /// The port.
        port: u16,
        /// Whether to wait for the first line that the other side sends.
        banner: bool,
    },
    /// An HTTP request.
    Http(HttpRequest),
    /// Paths from machine to machine, through listeners that are gone afterwards.
    Reach(ReachRequest),
    /// Whether there is a way to a web address.
    WayOut {
        /// The address.
        url: String,
    },
    /// Charts in the index of a repository.
    Charts(ChartsRequest),
    /// The images that Docker Hub still gives.
    Pulls,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "facts", rename_all = "snake_case")]
pub enum ProbeAnswer {
    /// To `Machine`.
    Machine(MachineAnswer),
    /// To `HostKey`.
    HostKey(HostKeyAnswer),
    /// To `Local`.
    Local(Box<MachineFacts>),
    /// To `User`.
    User(UserFacts),
    /// To `Tool`.
    Tool(ToolFacts),
    /// To `SshKey`.
    SshKey(KeyFacts),
    /// To `Certificate`.
    Certificate(CertificateFacts),
    /// To `Layout`.
    Layout(LayoutFacts),
    /// To `Command`.
    Command(CommandFacts),
    /// To `Dns`.
    Dns(DnsAnswer),
    /// To `Tcp`.
    Tcp(TcpAnswer),
    /// To `Http`.
    Http(HttpAnswer),
    /// To `Reach`.
    Reach(ReachAnswer),
    /// To `WayOut`.
    WayOut(WayOut),
    /// To `Charts`.
    Charts(ChartsFacts),
    /// To `Pulls`.
    Pulls(PullFacts),
    /// The question could not be answered at all; why.
    Failed(String),
}

/// Hears what a script prints, piece by piece.
pub type Heard = Box<dyn FnMut(&[u8]) + Send>;

/// Hears where an attempt stands.
pub type Report = Box<dyn Fn(Progress) + Send + Sync>;

/// Starts attempts and ends them.
pub trait Spawn: Send + Sync {
    /// Runs an attempt to its end, in a process of its own that outlives this one.
    fn run(&self, spec: AttemptSpec, report: Report) -> BoxFuture<'static, Ended>;
    /// Waits for an attempt that another process started; none: neither its runner nor its exit record is there.
    fn adopt(&self, dir: PathBuf, lock: PathBuf, report: Report) -> BoxFuture<'static, Option<Ended>>;
    /// Ends the attempt that is running in `dir`: asks it to end, or kills it.
    fn cancel(&self, dir: PathBuf, lock: PathBuf, now: bool) -> BoxFuture<'static, ()>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
