//! A site of the bench's own: a profile with one playbook step and secrets, answers, and an environment kept apart from the machine's.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{give_up, program, write};

pub struct Site {
    root: PathBuf,
}

/// The secrets of the site.
pub fn secrets(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("correct/horse-{number:02}&battery\"staple{}", number * 7919)).collect()
}

impl Site {
    /// Writes a profile whose only step runs `lines.yml`, a site for it with so many secrets, and an inventory of this machine alone.
    pub fn new(root: &Path, secrets_count: usize, tasks: usize) -> Self {
        let mut profile = String::from(
            "schema = 1\nid = \"bench\"\ntitle = \"Bench\"\nsummary = \"One step.\"\n\n\
             [[field]]\nid = \"name\"\nsection = \"Bench\"\nkind = \"text\"\nlabel = \"Name\"\nrequired = true\ndefault = \"bench\"\n",
        );
        let mut answers = String::from("schema = 1\nid = \"be0c\"\nprofile = \"bench\"\nname = \"bench\"\n\n[secret]\n");
        let mut env = Vec::new();
        for (number, secret) in (1..).zip(secrets(secrets_count)) {
            let id = format!("secret_{number:02}");
            let _ =
                write!(profile, "\n[[field]]\nid = \"{id}\"\nsection = \"Bench\"\nkind = \"secret\"\nlabel = \"{id}\"\nrequired = true\n");
            let file = root.join("secrets").join(&id);
            write(&file, &secret);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a secret of the bench");
            let _ = writeln!(answers, "{id} = \"file:{}\"", file.display());
            env.push(format!("{} = \"${{secret.{id}}}\"", id.to_uppercase()));
        }
        let _ = write!(
            profile,
            "\n[[check]]\nid = \"tool.sh\"\ntitle = \"sh\"\nkind = \"tool\"\ncommand = \"sh\"\nlevel = \"fail\"\nremedy = \"install sh\"\n\
             \n[[phase]]\nid = \"print\"\ntitle = \"Print\"\n[[phase.step]]\nid = \"lines\"\ndir = \"${{site.dir}}\"\nenv = {{ {} }}\n\
             ansible = {{ inventory = \"hosts.ini\", playbook = \"lines.yml\", tasks = {tasks} }}\n",
            env.join(", ")
        );
        write(&root.join("bench.toml"), &profile);
        write(&root.join("site.toml"), &answers);
        write(&root.join("hosts.ini"), "localhost ansible_connection=local ansible_python_interpreter=auto_silent\n");
        for folder in ["bin", "home", "tmp"] {
            fs::create_dir_all(root.join(folder)).expect("a folder of the bench");
        }
        Self { root: root.to_owned() }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn site(&self) -> String {
        self.path("site.toml").display().to_string()
    }

    pub fn state(&self) -> String {
        self.path("state").display().to_string()
    }

    /// Puts a script on the PATH, before the machine's own programs.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        write(&path, script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program of the bench");
    }

    /// The environment of everything started here.
    pub fn variables(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [
            ("PATH", format!("{}:{path}", self.path("bin").display())),
            ("HOME", self.path("home").display().to_string()),
            ("TMPDIR", self.path("tmp").display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("USER", "bench".to_owned()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// mosip-setup at this site.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(program());
        command.env_clear().envs(self.variables()).args(["--state-dir", &self.state(), "--site", &self.site()]).args(arguments);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// The folder of the newest attempt of the step.
    pub fn attempt(&self) -> PathBuf {
        let newest = |folder: &Path| -> PathBuf {
            let mut entries: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            entries.sort();
            entries.pop().unwrap_or_else(|| give_up(&format!("{} is empty", folder.display())))
        };
        let run = newest(&self.path("state/sites/be0c/runs"));
        newest(&run.join("steps/print.lines"))
    }
}
