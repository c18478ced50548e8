//! Whether the system ends what a user runs when that user logs out, and what can be done about it.
//!
//! systemd's logind does so where `KillUserProcesses=yes`: it ends the scope of the session, and everything in it. What is started in a scope
//! of the user's own manager lives on, where the user may linger.

use std::fs;
use std::process::{Command, Stdio};

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logout {
    /// What runs goes on after a logout.
    Harmless,
    /// It would be ended, and the user may not linger.
    Ends,
    /// It would be ended, unless it is started in a scope of the user's own manager.
    EndsSession,
}

/// What logind says, as far as it can be asked.
#[derive(Debug, Clone, Default)]
struct Logind {
    /// `KillUserProcesses`.
    kill: bool,
    /// `KillOnlyUsers`; empty: all.
    only: Vec<String>,
    /// `KillExcludeUsers`.
    except: Vec<String>,
    /// Whether the user lingers.
    lingers: bool,
}

/// Looks at the session this program is in.
#[must_use]
pub fn look() -> Logout {
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if !in_session(&cgroup) {
        return Logout::Harmless;
    }
    let property = |name: &str| {
        let place = ["get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", name];
        said("busctl", &[&["--system", "--timeout=2"], &place[..]].concat())
    };
    let uid = rustix::process::getuid().as_raw().to_string();
    let logind = Logind {
        kill: property("KillUserProcesses").trim() == "b true",
        only: names(&property("KillOnlyUsers")),
        except: names(&property("KillExcludeUsers")),
        lingers: said("loginctl", &["show-user", &uid, "--property=Linger"]).trim() == "Linger=yes",
    };
    judge(&logind, &super::user::name())
}

/// What to say beforehand; none: there is nothing to say.
#[must_use]
pub fn warning() -> Option<String> {
    let user = super::user::name();
    (look() == Logout::Ends).then(|| {
        format!(
            "this system ends everything that {user} runs at logout (KillUserProcesses=yes): the engine would end when you leave, and only the \
             next 'mosip-setup run' would go on. Better first: loginctl enable-linger {user}"
        )
    })
}

/// What to put before a command so that it outlives the session; empty: nothing is needed, or nothing helps.
#[must_use]
pub fn escape() -> &'static [&'static str] {
    match look() {
        Logout::EndsSession => &["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"],
        Logout::Harmless | Logout::Ends => &[],
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn in_session(cgroup: &str) -> bool {
    cgroup.lines().any(|line| line.split('/').any(|part| part.starts_with("session-") && part.ends_with(".scope")))
}

/// The texts of a value of type `as`, as busctl prints it: `as 2 "a" "b"`.
fn names(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn judge(logind: &Logind, user: &str) -> Logout {
    let named = |list: &[String]| list.iter().any(|name| name == user);
    if !logind.kill || named(&logind.except) || !(logind.only.is_empty() || named(&logind.only)) {
        Logout::Harmless
    } else if logind.lingers {
        Logout::EndsSession
    } else {
        Logout::Ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logind_says_is_understood() {
        assert_eq!(names("as 2 \"root\" \"a b\"\n"), ["root", "a b"]);
        assert_eq!(names("as 0\n"), [""; 0]);
        assert!(in_session("0::/user.slice/user-1000.slice/session-4.scope\n"));
        assert!(!in_session("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope\n"));
        assert!(!in_session("0::/system.slice/cron.service\n"));
    }

    #[test]
    fn only_who_would_be_ended_is_warned() {
        let all = Logind { kill: true, except: vec!["root".into()], ..Logind::default() };
        assert_eq!(judge(&Logind::default(), "ubuntu"), Logout::Harmless);
        assert_eq!(judge(&all, "ubuntu"), Logout::Ends);
        assert_eq!(judge(&all, "root"), Logout::Harmless);
        assert_eq!(judge(&Logind { lingers: true, ..all.clone() }, "ubuntu"), Logout::EndsSession);
        let some = Logind { only: vec!["guest".into()], ..all };
        assert_eq!(judge(&some, "ubuntu"), Logout::Harmless);
        assert_eq!(judge(&some, "guest"), Logout::Ends);
    }
}
