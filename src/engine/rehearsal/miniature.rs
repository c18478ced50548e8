//! The miniatures of the two repositories of the V3 profiles: made from a table, with stand-ins for what the scripts call.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../../assets/rehearsal/v3/sources.txt");
const HEAD: &str = include_str!("../../../assets/rehearsal/v3/miniature.sh");
const STAND_IN: &str = include_str!("../../../assets/rehearsal/v3/stand-in.sh");

/// The sources that the table has files for.
pub const SOURCES: &[&str] = &["k8s-infra", "mosip-infra"];

/// The programs that are stood in for.
const PROGRAMS: &[&str] = &["helm", "kubectl", "ansible-playbook", "ssh"];

/// Whether a program that a step calls itself is stood in for. Playbooks are told from their files instead, and only what asks on a machine is
/// run here.
#[must_use]
pub fn is_stood_in_for(program: &str) -> bool {
    PROGRAMS.contains(&program) && !["ansible-playbook", "ssh"].contains(&program)
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its path below the folder it is made for.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
}

/// The script that asks what nobody expects of it, and what it asks.
const SURPRISING: &str = "deployment/v3/external/activemq/install.sh";
const SURPRISE: &str = "ask \"Shall the broker keep its messages on disk? (y/n) \"";

impl Made {
    /// Lets one of the scripts ask something that no profile declares.
    pub fn ask_unexpectedly(&mut self) {
        if self.path == Path::new(SURPRISING) {
            self.text = self.text.replace("release activemq activemq", &format!("{SURPRISE}\nrelease activemq activemq"));
        }
    }
}

/// The files of a source.
#[must_use]
pub fn files(source: &str) -> Vec<Made> {
    let paragraphs = TABLE.split("\n== ").skip(1);
    let named = paragraphs.filter_map(|paragraph| {
        let (head, body) = paragraph.split_once('\n')?;
        let (owner, path) = head.split_once(' ')?;
        (owner == source).then(|| Made { path: path.into(), text: contents(path, body.trim_end()) })
    });
    named.collect()
}

/// The script in which a question stands, below the folder that all sources are in.
#[must_use]
pub fn script_that_asks(text: &str) -> Option<PathBuf> {
    SOURCES.iter().find_map(|source| {
        let script = files(source).into_iter().find(|file| file.text.contains(text.trim_end()))?;
        Some(Path::new(source).join(script.path))
    })
}

/// The stand-ins, for a folder that comes first on PATH.
pub fn stand_ins() -> impl Iterator<Item = Made> {
    PROGRAMS.iter().map(|program| Made { path: program.into(), text: STAND_IN.to_owned() })
}

fn contents(path: &str, body: &str) -> String {
    if let Some(play) = body.strip_prefix("play ") {
        return playbook(play);
    }
    if Path::new(path).extension().is_some_and(|ending| ending == "sh") { format!("{HEAD}\n{body}\n") } else { format!("{body}\n") }
}

/// `GROUPS: TASK; TASK` as a playbook.
fn playbook(play: &str) -> String {
    let (groups, tasks) = play.split_once(": ").unwrap_or((play, ""));
    let mut text = format!("- hosts: {groups}\n  become: true\n  tasks:\n");
    for task in tasks.split("; ") {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "    - name: {task}\n      command: \"true\"");
    }
    text
}
