//! The machine probe: one POSIX shell script, sent over SSH or run here, and the reader of its answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::install::facts::{CommandFacts, DiskFacts, Iscsi, Listener, MachineFacts, ModuleState, Multipath, PackageLock, Protocol};
use crate::install::inquiry::MachineWants;
use crate::install::planner::shell_quote;

const PROBE: &str = include_str!("../../assets/probe.sh");

/// What the probe looks at on every machine.
const STANDARD_PATHS: [&str; 2] = ["/", "/var/lib"];

/// How much of an answer is read, bytes. A machine that prints more is reported, not believed.
pub const ANSWER_LIMIT: usize = 1024 * 1024;

/// A random word that marks the lines of one answer, so that banners and messages of the login shell are told apart.
#[must_use]
pub fn marker() -> String {
    let mut bytes = [0_u8; 12];
    // Without random numbers the marker is merely guessable; nothing secret hangs on it.
    let _ = openssl::rand::rand_bytes(&mut bytes);
    bytes.iter().fold(String::from("MS"), |text, byte| format!("{text}{byte:02x}"))
}

/// The whole script for a machine's `sh -s`: parameters, quoted, then the probe.
#[must_use]
pub fn script(marker: &str, wants: &MachineWants, use_sudo: bool) -> String {
    text("all", marker, wants, use_sudo)
}

/// The same for nothing but processors, memory and disks, without sudo.
#[must_use]
pub fn size_script(marker: &str, paths: Vec<String>) -> String {
    text("size", marker, &MachineWants { paths, ..MachineWants::default() }, false)
}

fn text(part: &str, marker: &str, wants: &MachineWants, use_sudo: bool) -> String {
    // Paths and modules are lists of words to the script: what is not a plain word is left out rather than quoted wrongly.
    let words = |list: &mut dyn Iterator<Item = &str>| {
        let plain = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@:".contains(c));
        list.filter(plain).collect::<Vec<_>>().join(" ")
    };
    let paths = words(&mut STANDARD_PATHS.into_iter().chain(wants.paths.iter().map(String::as_str)));
    let modules = words(&mut wants.modules.iter().map(String::as_str));
    let settings = words(&mut wants.settings.iter().map(String::as_str));
    let names = words(&mut wants.names.iter().map(String::as_str));
    let urls = words(&mut wants.urls.iter().map(String::as_str));
    let mut text = format!(
        "marker={marker}; part={part}; use_sudo={}; paths='{paths}'; modules='{modules}'; settings='{settings}'\n",
        u8::from(use_sudo)
    );
    text.push_str(&format!("names='{names}'; urls='{urls}'\ncommands() {{\n:\n"));
    for command in &wants.commands {
        let line = format!("remote {} {} {}\n", command.check, u8::from(command.sudo), shell_quote(&command.command));
        text.push_str(&line);
    }
    text.push_str("}\n");
    text.push_str(PROBE);
    text
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No line of ours: the login shell ran something else.
    #[error(
        "the login shell did not run the probe; it printed: {0}. Likely the account's shell is not a POSIX shell, or a forced command is set"
    )]
    NoAnswer(String),
    /// The script began and did not come to its end.
    #[error("the probe script stopped early, after {0} lines: the connection broke, or the machine is very slow")]
    Truncated(usize),
}

/// What an answer tells, with the machine's clock at its start, seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The facts; the clock difference is for the caller to fill in.
    pub facts: MachineFacts,
    /// The machine's clock when the script began.
    pub clock: Option<f64>,
}

/// Reads the output of the probe script.
///
/// # Errors
/// When it holds no answer, or only the beginning of one.
pub fn parse(marker: &str, output: &[u8]) -> Result<Answer, AnswerError> {
    let text = String::from_utf8_lossy(output);
    let raw = Raw::of(marker, &text);
    if raw.count == 0 {
        let shown: String = text.trim().chars().take(120).collect();
        return Err(AnswerError::NoAnswer(if shown.is_empty() { "nothing".to_owned() } else { shown }));
    }
    // The commands come last, and may be slow: the facts before them stand without them.
    if raw.value("end").is_none() && raw.value("facts").is_none() {
        return Err(AnswerError::Truncated(raw.count));
    }
    let os = |key: &str| {
        let prefix = format!("{key}=");
        let line = raw.lines("os").iter().find_map(|line| line.strip_prefix(&prefix))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    let yes_no = |key: &str| match raw.value(key) {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    };
    let facts = MachineFacts {
        user: raw.text("user"),
        sudo: raw.value("sudo").map(|text| match text.strip_prefix("no:") {
            Some(reason) => Err(reason.trim().to_owned()),
            None => Ok(()),
        }),
        os_id: os("ID"),
        os_version: os("VERSION_ID"),
        os_name: os("PRETTY_NAME"),
        architecture: raw.text("arch"),
        kernel: raw.text("kernel"),
        processors: raw.number("cpus"),
        memory_kib: raw.number("memory"),
        disks: raw.values("disk").iter().filter_map(|line| disk(line)).collect(),
        unused_lvm_kib: raw.lines("lvm").iter().filter_map(|line| volume_group(line)).collect(),
        swap_active: raw.value("swaps").map(|_| raw.lines("swap").iter().filter_map(|line| swap(line)).collect()),
        swap_configured: raw.value("swapconf").map(|_| raw.lines("swapconf").iter().map(|line| (*line).to_owned()).collect()),
        listeners: listeners(&raw),
        clock_synchronised: yes_no("ntp"),
        clock_skew_seconds: None,
        clock_uncertainty_seconds: 0.0,
        python: raw.value("python").map(str::to_owned),
        systemd: yes_no("systemd"),
        modules: raw.values("module").iter().filter_map(|line| module(line)).collect(),
        package_lock: raw.value("locks").map(|_| raw.value("lock").map_or(PackageLock::Free, |held| PackageLock::Held(held.to_owned()))),
        // The modules of the running kernel are gone: an upgrade has removed them.
        reboot_pending: if raw.value("reboot") == Some("modules") { Some(true) } else { yes_no("reboot") },
        default_interface: raw.text("route"),
        mtu: raw.number("mtu"),
        interfaces: raw.value("interfaces").map(|_| raw.lines("interface").iter().filter_map(|line| interface(line)).collect()),
        virtualization: raw.text("virtualization"),
        leftovers: raw.value("leftovers").map(|_| raw.lines("leftover").iter().map(|line| (*line).to_owned()).collect()),
        hostname: raw.text("hostname"),
        machine_id: raw.text("machine-id"),
        sudo_version: raw.text("sudo-version"),
        settings: raw.values("setting").iter().filter_map(|line| setting(line)).collect(),
        multipath: raw.value("multipath").and_then(two).map(|(runs, spares_disks)| Multipath { runs, spares_disks }),
        iscsi: raw.value("iscsi").and_then(two).map(|(installed, service)| Iscsi { installed, service }),
        firewalls: raw.value("firewalls").map(|_| owned(raw.lines("firewall"))),
        hosts_file: raw.value("hosts").map(|_| owned(raw.lines("host"))),
        resolver: raw.value("resolver").map(|_| owned(raw.lines("resolv"))),
        resolver_behind: raw.value("behind").map(|_| owned(raw.lines("resolvbehind"))),
        driver: raw.text("driver"),
        routes: raw.value("routes").map(|_| owned(raw.lines("route4"))),
        cgroup: raw.number("cgroup"),
        package_trouble: raw.text("package-trouble"),
        unattended_upgrades: yes_no("unattended"),
        names: raw.values("name").iter().filter_map(|line| super::outside::name(line)).collect(),
        ways_out: raw.values("way").iter().filter_map(|line| super::outside::way(line)).collect(),
        commands: commands(&raw),
    };
    Ok(Answer { facts, clock: raw.number("now") })
}

/// Where in an output the machine's clock stands, bytes; to tell when it was read.
#[must_use]
pub fn clock_offset(marker: &str, output: &[u8]) -> Option<usize> {
    memchr::memmem::find(output, format!("{marker} now=").as_bytes())
}

/// The lines of one answer: `KEY=VALUE` by key, `KEY|LINE` by key.
struct Raw<'a> {
    values: BTreeMap<&'a str, Vec<&'a str>>,
    blocks: BTreeMap<&'a str, Vec<&'a str>>,
    count: usize,
}

impl<'a> Raw<'a> {
    fn of(marker: &str, text: &'a str) -> Self {
        let mut raw = Self { values: BTreeMap::new(), blocks: BTreeMap::new(), count: 0 };
        for line in text.lines() {
            // A banner without a line end may stand in front.
            let Some(rest) = line.split_once(marker).and_then(|(_, rest)| rest.strip_prefix(' ')) else { continue };
            let Some(at) = rest.find(['=', '|']) else { continue };
            let (key, value) = (&rest[..at], rest[at + 1..].trim_end());
            raw.count += 1;
            let store = if rest.as_bytes()[at] == b'=' { &mut raw.values } else { &mut raw.blocks };
            store.entry(key).or_default().push(value);
        }
        raw
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.values.get(key)?.first().copied()
    }

    fn values(&self, key: &str) -> &[&'a str] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    fn lines(&self, key: &str) -> &[&'a str] {
        self.blocks.get(key).map_or(&[], Vec::as_slice)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        // Where `date` knows no %N it prints the letter itself.
        self.value(key)?.trim_end_matches(".N").trim_end_matches(".%N").parse().ok()
    }
}

/// `PATH DEVICE SIZE USED FREE USE% MOUNT` of `df -Pk`.
fn disk(line: &str) -> Option<(String, DiskFacts)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // A device may hold spaces, the numbers do not: count from the percentage on.
    let percent = words.iter().rposition(|word| word.ends_with('%') || *word == "-").filter(|at| *at >= 5)?;
    let size_kib = words.get(percent - 3)?.parse().ok()?;
    let free_kib = words.get(percent - 1)?.parse().ok()?;
    let facts = DiskFacts { device: words[1..percent - 3].join(" "), mount: words[percent + 1..].join(" "), size_kib, free_kib };
    Some((words.first()?.to_string(), facts))
}

fn volume_group(line: &str) -> Option<(String, u64)> {
    let (name, free) = line.trim().split_once(char::is_whitespace)?;
    let whole = free.trim().split(['.', ',']).next()?;
    Some((name.to_owned(), whole.parse().ok()?))
}

/// `FILE TYPE SIZE USED PRIORITY` of `/proc/swaps`.
fn swap(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let size: u64 = words.get(2)?.parse().ok()?;
    Some(format!("{} ({} MiB)", words.first()?, size / 1024))
}

fn module(line: &str) -> Option<(String, ModuleState)> {
    let (name, state) = line.split_once(' ')?;
    let state = match state {
        "loaded" => ModuleState::Loaded,
        "loadable" => ModuleState::Loadable,
        "missing" => ModuleState::Missing,
        _ => ModuleState::Unknown,
    };
    Some((name.to_owned(), state))
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// `yes no`.
fn two(text: &str) -> Option<(bool, bool)> {
    let (one, other) = text.split_once(' ')?;
    Some((one == "yes", other == "yes"))
}

fn setting(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.split_once(' ')?;
    Some((name.to_owned(), value.split_whitespace().next()?.parse().ok()?))
}

/// An interface with an address of its own: no loopback, no bridge of a container runtime.
fn interface(line: &str) -> Option<String> {
    let name = line.split_whitespace().next()?;
    let internal = ["lo", "docker", "cni", "flannel", "cali", "veth", "br-", "virbr", "nodelocaldns"];
    (!internal.iter().any(|prefix| name.starts_with(prefix))).then(|| line.to_owned())
}

fn commands(raw: &Raw<'_>) -> BTreeMap<crate::install::ids::CheckId, CommandFacts> {
    let mut found = BTreeMap::new();
    for (key, values) in &raw.values {
        let Some(check) = key.strip_prefix("command.").and_then(|rest| rest.strip_suffix(".exit")) else { continue };
        let Ok(id) = check.parse() else { continue };
        let output = raw.lines(&format!("command.{check}.output")).join("\n");
        let code = values.first().copied().unwrap_or_default();
        let exit: Option<i32> = code.parse().ok();
        let problem = (code == "no-sudo").then(|| "needs sudo, which does not work here".to_owned());
        // 124 is how `timeout` says that time was up.
        found.insert(id, CommandFacts { exit, stdout: output, stderr: String::new(), problem, timed_out: exit == Some(124) });
    }
    found
}

fn listeners(raw: &Raw<'_>) -> Option<Vec<Listener>> {
    let mut found: Vec<Listener> = match raw.value("listeners")? {
        "ss" => raw.lines("ss").iter().filter_map(|line| socket_line(line)).collect(),
        _ => [("net.tcp", Protocol::Tcp), ("net.tcp6", Protocol::Tcp), ("net.udp", Protocol::Udp), ("net.udp6", Protocol::Udp)]
            .into_iter()
            .flat_map(|(key, protocol)| raw.lines(key).iter().filter_map(move |line| kernel_socket(line, protocol)))
            .collect(),
    };
    // What the preflight itself listens with, at the same time, is gone when anybody else comes.
    found.retain(|one| one.process.as_deref() != Some(super::reach::AGENT));
    found.sort();
    found.dedup();
    Some(found)
}

/// `tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3))` of `ss -Hlntup`.
fn socket_line(line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let protocol = match *words.first()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (address, port) = words.get(4)?.rsplit_once(':')?;
    let process = line.split_once("users:((\"").and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned);
    Some(Listener { protocol, address: address.to_owned(), port: port.parse().ok()?, process })
}

/// `0100007F:0016` of `/proc/net/tcp`: the address as 32-bit words in the machine's own (little-endian) order.
fn kernel_socket(line: &str, protocol: Protocol) -> Option<Listener> {
    let (address, port) = line.trim().split_once(':')?;
    let words: Vec<u32> = (0..address.len() / 8).filter_map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()).collect();
    let address = match words.as_slice() {
        [word] => Ipv4Addr::from(word.to_le_bytes()).to_string(),
        [_, _, _, _] => {
            let mut bytes = [0_u8; 16];
            for (slot, word) in bytes.chunks_exact_mut(4).zip(&words) {
                slot.copy_from_slice(&word.to_le_bytes());
            }
            Ipv6Addr::from(bytes).to_string()
        }
        _ => return None,
    };
    Some(Listener { protocol, address, port: u16::from_str_radix(port, 16).ok()?, process: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::facts::{NameAnswer, WayOutcome};
    use crate::install::inquiry::RemoteCommand;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn run(shell: &[&str], wants: &MachineWants, path: Option<&str>) -> Answer {
        let marker = marker();
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).env("LC_ALL", "tlh_QO.utf8").env("no_proxy", "*");
        if let Some(path) = path {
            command.env_clear().env("PATH", path);
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script(&marker, wants, false).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let mut noisy = b"Welcome! MS is not a marker\nwarning: setlocale: LC_ALL: cannot change locale".to_vec();
        noisy.extend_from_slice(&output.stdout);
        parse(&marker, &noisy).unwrap()
    }

    fn wants() -> MachineWants {
        let command = |check: &str, command: &str| RemoteCommand { check: check.parse().unwrap(), command: command.into(), sudo: false };
        MachineWants {
            paths: vec!["/nowhere/at/all".into(), "$(touch /tmp/evil)".into()],
            modules: vec!["no_such_module_at_all".into(), "x; y".into()],
            settings: vec!["kernel.pid_max".into(), "no.such.setting".into(), "$(id)".into()],
            names: vec!["localhost".into(), "`id`".into()],
            // Nothing listens on port 1.
            urls: vec!["http://127.0.0.1:1/".into()],
            commands: vec![
                command("ok", "echo 'it'\\''s' fine; printf 'no newline'"),
                command("bad", "echo wrong >&2; exit 3"),
                command("flood", "while :; do echo flood; done"),
                command("stdin", "cat"),
            ],
        }
    }

    #[test]
    fn the_script_answers_on_every_shell_there_is() {
        let shells: [&[&str]; 3] = [&["sh"], &["dash"], &["busybox", "sh"]];
        for shell in shells.into_iter().filter(|shell| which::which(shell[0]).is_ok()) {
            let facts = run(shell, &wants(), None).facts;
            assert!(facts.processors.unwrap() >= 1, "{shell:?}");
            assert!(facts.memory_kib.unwrap() > 1000);
            assert!(facts.disks["/"].size_kib >= facts.disks["/"].free_kib);
            assert!(facts.disks.contains_key("/nowhere/at/all"), "{:?}", facts.disks);
            assert_eq!(facts.disks.len(), 3);
            assert_eq!(facts.modules.len(), 1);
            assert!(facts.listeners.is_some());
            assert_eq!(facts.commands["ok"], CommandFacts { exit: Some(0), stdout: "it's fine\nno newline".into(), ..Default::default() });
            assert_eq!(facts.commands["bad"].exit, Some(3));
            assert_eq!(facts.commands["bad"].stdout, "wrong");
            assert!(facts.commands["flood"].stdout.len() <= 8192);
            assert_ne!(facts.commands["flood"].exit, Some(0));
            assert_eq!(facts.commands["stdin"].exit, Some(0), "stdin is empty, never the script itself");
            assert!(facts.sudo.is_none());
            assert!(facts.settings["kernel.pid_max"] > 1000 && facts.settings.len() == 1);
            assert_eq!(facts.names.keys().collect::<Vec<_>>(), ["localhost"]);
            assert!(
                matches!(&facts.names["localhost"], NameAnswer::Addresses(found) if found == &["127.0.0.1".parse::<std::net::IpAddr>().unwrap()])
            );
            assert!(
                !matches!(facts.ways_out["http://127.0.0.1:1/"].outcome, WayOutcome::Answered(_) | WayOutcome::NoTool),
                "{:?}",
                facts.ways_out
            );
            assert!(facts.hostname.is_some() && facts.multipath.is_some() && facts.iscsi.is_some() && facts.firewalls.is_some());
            assert!(facts.hosts_file.unwrap().iter().any(|line| line.contains("localhost")));
        }
    }

    #[test]
    fn the_size_alone_is_told_by_a_part_of_the_script() {
        let mut child = Command::new("sh").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(size_script("MS", vec!["/nowhere/at/all".into()]).as_bytes()).unwrap();
        let facts = parse("MS", &child.wait_with_output().unwrap().stdout).unwrap().facts;
        assert!(facts.processors.unwrap() >= 1 && facts.memory_kib.unwrap() > 1000);
        assert!(facts.disks["/nowhere/at/all"].size_kib >= facts.disks["/"].free_kib);
        assert!(facts.listeners.is_none() && facts.resolver.is_none(), "the rest is not asked");
    }

    #[test]
    fn a_machine_with_next_to_nothing_still_answers() {
        let folder = tempfile::tempdir().unwrap();
        for tool in ["sed", "head", "awk", "cat", "date", "uname", "id", "df", "tail", "dirname", "sort", "grep"] {
            std::os::unix::fs::symlink(which::which(tool).unwrap(), folder.path().join(tool)).unwrap();
        }
        // The script appends the system's folders to PATH; an empty root is the lab's affair. What is checked is the reader.
        let answer = run(&[which::which("sh").unwrap().to_str().unwrap()], &MachineWants::default(), folder.path().to_str());
        assert!(answer.clock.unwrap() > 1e9);
        assert!(answer.facts.architecture.is_some());
    }

    #[test]
    fn an_answer_without_ss_is_read_from_the_kernel_tables() {
        let text = "MSx begin=1\nMSx listeners=proc\nMSx net.tcp|0100007F:0016\nMSx net.tcp6|00000000000000000000000000000000:1F90\n\
            MSx net.udp|00000000:CA6C\nMSx now=1700000000.%N\nMSx locks=read\nMSx end=1\n";
        let answer = parse("MSx", text.as_bytes()).unwrap();
        let shown: Vec<String> =
            answer.facts.listeners.unwrap().iter().map(|one| format!("{:?} {} {}", one.protocol, one.address, one.port)).collect();
        assert_eq!(shown, ["Tcp 127.0.0.1 22", "Tcp :: 8080", "Udp 0.0.0.0 51820"]);
        assert_eq!(answer.clock, Some(1.7e9));
        assert_eq!(answer.facts.package_lock, Some(PackageLock::Free));
        assert_eq!(answer.facts.python, None);
    }

    #[test]
    fn what_is_not_an_answer_is_said_so() {
        assert!(matches!(parse("MSx", b"This account is for SFTP only.\n"), Err(AnswerError::NoAnswer(text)) if text.contains("SFTP")));
        assert_eq!(parse("MSx", b"MSx begin=1\nMSx user=u\n"), Err(AnswerError::Truncated(2)));
        let cut = parse("MSx", b"MSx begin=1\nMSx user=u\nMSx facts=1\nMSx command.slow.output|half").unwrap();
        assert!(cut.facts.user.is_some() && cut.facts.commands.is_empty());
        assert!(parse("MSx", &[0xff; 4000]).is_err());
    }

    #[test]
    fn unusual_lines_are_read() {
        let (path, facts) = disk("/data //nas/my share 100 40 60 40% /mnt/my share").unwrap();
        assert_eq!((path.as_str(), facts.size_kib, facts.free_kib, facts.mount.as_str()), ("/data", 100, 60, "/mnt/my share"));
        assert_eq!(volume_group("  ubuntu-vg 104857600,00"), Some(("ubuntu-vg".into(), 104_857_600)));
        let line = "tcp   LISTEN 0      4096   127.0.0.53%lo:53   0.0.0.0:*  users:((\"systemd-resolve\",pid=1,fd=2))";
        assert_eq!(socket_line(line).unwrap().process.as_deref(), Some("systemd-resolve"));
        assert_eq!(socket_line("tcp LISTEN 0 128 [::]:22 [::]:*").unwrap().port, 22);
    }
}
