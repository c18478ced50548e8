//! What every test needs: a place of its own, the program, and a way to say that it cannot run here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mosip-setup");

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Ends the test as skipped. `tests/run` collects the line and fails unless `tests/allowed-skips` has it, so the name and
/// the reason are fixed texts.
macro_rules! skip {
    ($name:expr, $reason:expr) => {{
        $crate::support::note_skip($name, $reason);
        return;
    }};
}
pub(crate) use skip;

/// Appends `SKIP name: reason` to the file in `MOSIP_SETUP_SKIPS`, if there is one, and says it on stderr.
pub fn note_skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    if let Some(path) = std::env::var_os("MOSIP_SETUP_SKIPS") {
        // One write of one short line: tests in other processes append to the same file.
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).expect("the file for skips");
        file.write_all(line.as_bytes()).expect("a line for the skip");
    }
    eprint!("{line}");
}

/// Whether a program is on this machine's PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons and network tools are installed where a plain user's PATH does not look.
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(program).is_file())
}

/// A home, XDG folders and a folder for temporary files that belong to one test and go with it.
pub struct Place {
    root: TempDir,
    variables: BTreeMap<String, String>,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("mosip-setup-test-").tempdir().expect("a scratch folder");
        let mut variables = BTreeMap::new();
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "home/.config"),
            ("XDG_DATA_HOME", "home/.local/share"),
            ("XDG_STATE_HOME", "home/.local/state"),
            ("XDG_CACHE_HOME", "home/.cache"),
            ("XDG_RUNTIME_DIR", "runtime"),
            ("TMPDIR", "tmp"),
        ] {
            let path = root.path().join(folder);
            fs::create_dir_all(&path).expect("a folder of the place");
            variables.insert(name.to_owned(), path.to_str().expect("a path in UTF-8").to_owned());
        }
        fs::create_dir(root.path().join("bin")).expect("a folder for programs");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", root.path().join("bin").display());
        for (name, value) in [("PATH", path.as_str()), ("LANG", "C.UTF-8"), ("TERM", "xterm-256color"), ("TZ", "UTC"), ("USER", "tester")] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        Self { root, variables }
    }

    /// A path in this place.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Sets a variable for every command started here from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Its whole environment; nothing of the test's own is passed on.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Puts a script on the PATH, before the machine's own programs.
    pub fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("bin").join(name);
        fs::write(&path, script).expect("a program of the place");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program that runs");
    }

    /// A command that runs here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.variables()).current_dir(self.home());
        command
    }

    /// mosip-setup, run here to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(PROGRAM).args(arguments).stdin(std::process::Stdio::null()))
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Runs a command to its end. A signal shows as 128 + its number.
    pub fn of(command: &mut Command) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Insists on an exit code; shows everything otherwise.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}--- stderr\n{}", self.out, self.err);
        self
    }
}

/// Every file below a folder with a given ending, sorted.
pub fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Problems as one text, for a failing test.
pub fn listed(problems: &[String]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        let _ = write!(text, "\n  {problem}");
        text
    })
}
