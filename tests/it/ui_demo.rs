//! Models for the tests of the screens: a site, findings, a plan and runs, always the same.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use mosip_setup::adapters::logs::scan::{Matches, find_backward, find_forward};
use mosip_setup::adapters::logs::times::Times;
use mosip_setup::engine::client::Update;
use mosip_setup::install::change::{Change, FileChange};
use mosip_setup::install::check::{Cause, Finding, Target, Verdict};
use mosip_setup::install::ids::{CheckId, StepRef};
use mosip_setup::install::plan::Plan;
use mosip_setup::install::planner::{self, Place};
use mosip_setup::install::profile::Profile;
use mosip_setup::install::profile_reader;
use mosip_setup::install::site::{Draft, Knobs};
use mosip_setup::run::event::{Decision, Event, Failure, Outcome, Progress, Recorded, StopReason};
use mosip_setup::run::question::{Question, Wanted};
use mosip_setup::ui::app::{self, Model, Msg};
use mosip_setup::ui::desk::{Command, LoadedSite, Overview, ProfileEntry, RunEntry, SiteEntry, Told};
use mosip_setup::ui::log_source::{self, LogFrom};
use mosip_setup::ui::theme::Look;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const FOLDER: &str = "/var/lib/mosip-setup/runs/r1";

pub fn profile() -> Arc<Profile> {
    static READ: OnceLock<Arc<Profile>> = OnceLock::new();
    Arc::clone(READ.get_or_init(read_profile))
}

fn read_profile() -> Arc<Profile> {
    let text = include_str!("../fixtures/ui/profile.toml");
    Arc::new(profile_reader::read("profile.toml", text, &|_| None).unwrap_or_else(|problems| panic!("{problems:#?}")))
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

pub fn model(columns: u16, rows: u16) -> Model {
    Model::new((columns, rows), Look::default(), false, at(0))
}

/// A model that knows what there is, on the start screen.
pub fn started(columns: u16, rows: u16) -> Model {
    let mut model = model(columns, rows);
    let commands = model.begin(None, false);
    assert!(matches!(commands[..], [Command::LoadOverview]));
    let overview = Overview {
        profiles: vec![ProfileEntry { profile: profile(), fetched: true }],
        sites: vec![
            SiteEntry {
                path: "/home/ubuntu/mosip/sandbox.toml".into(),
                title: "sandbox.example.org".into(),
                profile: "demo".into(),
                run: Some(RunEntry {
                    id: "2026-05-29-1".into(),
                    state: "failed".into(),
                    note: "MOSIP cluster failed 3 hours ago; 3 of 7 phases are done.".into(),
                    engine: false,
                }),
            },
            SiteEntry {
                path: "/home/ubuntu/mosip/pilot.toml".into(),
                title: "pilot.example.org".into(),
                profile: "demo".into(),
                run: None,
            },
        ],
        suggested: "/home/ubuntu/mosip/site.toml".into(),
    };
    told(&mut model, Told::Overview(Ok(overview)));
    model
}

pub fn draft() -> Draft {
    let profile = profile();
    let mut draft = Draft::new(&profile);
    draft.id = "6d0c".into();
    for (key, value) in [
        ("domain", "sandbox.example.org"),
        ("installation_name", "sandbox"),
        ("wireguard_network", "10.77.0.0/24"),
        ("secret.rancher_bootstrap_password", "file:~/mosip/secrets/rancher"),
        ("machine.bastion.public_address", "203.0.113.7"),
        ("machine.nginx.public_address", "203.0.113.8"),
        ("machine.vm1.roles", "cluster control-plane"),
    ] {
        draft.set(&profile, key, value).unwrap();
    }
    for (number, machine) in draft.machines.iter_mut().enumerate() {
        machine.address = format!("10.77.0.{}", 10 + number);
    }
    draft
}

pub fn knobs() -> Arc<Knobs> {
    let mut knobs = Knobs::new();
    let table = knobs.entry("mosip.tfvars".into()).or_default();
    for number in 1..=300 {
        table.insert(format!("chart_{number}_version"), toml::Value::String(format!("1.{number}.0")));
    }
    table.insert("global_helm_timeout_seconds".into(), toml::Value::Integer(1800));
    table.insert("enable_clamav".into(), toml::Value::Boolean(true));
    Arc::new(knobs)
}

/// A model on the site screen.
pub fn site(columns: u16, rows: u16, draft: Draft) -> Model {
    let mut model = started(columns, rows);
    let loaded = LoadedSite { path: "/home/ubuntu/mosip/sandbox.toml".into(), draft, profile: profile(), fetched: true, run: None };
    told(&mut model, Told::Site(Ok(Box::new(loaded))));
    model
}

pub fn place() -> Place {
    Place {
        home: "/home/ubuntu".into(),
        user: "ubuntu".into(),
        site_dir: "/home/ubuntu/mosip".into(),
        known_hosts: "/var/lib/mosip-setup/known_hosts".into(),
        fetched: [("kit".to_owned(), "/var/lib/mosip-setup/sources/kit".to_owned())].into(),
        program: "/usr/local/bin/mosip-setup".into(),
        digest_key: vec![7; 32],
    }
}

pub fn plan() -> Plan {
    static MADE: OnceLock<Plan> = OnceLock::new();
    MADE.get_or_init(make_plan).clone()
}

fn make_plan() -> Plan {
    let profile = profile();
    let site = draft().validate(&profile, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    planner::plan(&profile, &site, &place()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub fn files() -> Vec<FileChange> {
    let diff = "--- inventory/hosts.ini.tmp\n+++ inventory/hosts.ini\n@@ -1,5 +1,5 @@\n [bastion]\n-wireguard ansible_host=10.100.3. # address\n+bastion ansible_host=10.77.0.10 ansible_user=ubuntu\n \n [all:vars]\n-ansible_ssh_private_key_file=~/.ssh/id_rsa\n+ansible_ssh_private_key_file=/home/ubuntu/.ssh/id_ed25519\n";
    let file = |path: &str, change, diff: &str| FileChange { path: path.into(), change, diff: diff.into() };
    vec![
        file("/home/ubuntu/mosip/kit/ansible/wireguard/inventory/hosts.ini", Change::Create, diff),
        file(
            "/home/ubuntu/mosip/kit/terraform/services/terraform.tfvars",
            Change::Edit,
            "@@ -12,3 +12,3 @@\n mosip_version = \"1.2.1.1\"\n-rancher_password = \"admin\"\n+rancher_password = (secret, changed)\n",
        ),
        file("/home/ubuntu/mosip/kit/ansible/infra/inventory/rancher.ini", Change::Conflict, "@@ -1 +1 @@\n-vm9\n+vm1\n"),
        file("/home/ubuntu/mosip/kit/ansible/infra/group_vars/all.yml", Change::Same, ""),
    ]
}

pub fn finding(check: &str, target: &str, verdict: Verdict, observed: &str) -> Finding {
    let plan = plan();
    let spec = plan.check(check).unwrap();
    let expected = match check {
        "swap.off" => "no active swap, and none in /etc/fstab",
        "size" => "12 CPU, 32 GiB memory, 128 GiB disk",
        "dns" => "203.0.113.8",
        _ => "as it should be",
    };
    Finding {
        check: spec.id.clone(),
        target: Target::try_from(target.to_owned()).unwrap(),
        level: spec.level,
        verdict,
        observed: observed.into(),
        expected: expected.into(),
        remedy: spec.remedy.clone(),
        guards: spec.guards.clone(),
        ignored: None,
        cause: observed.contains("host key").then_some(Cause::HostKeyUnknown),
    }
}

pub fn expected() -> Vec<(CheckId, Target)> {
    let mut expected: Vec<(CheckId, Target)> = vec![("tool.ansible".parse().unwrap(), Target::Local)];
    for machine in plan().machines {
        for check in ["ssh.login", "size", "time.sync"] {
            expected.push((check.parse().unwrap(), Target::Machine(machine.name.clone())));
        }
        if machine.name.as_str().starts_with("vm") {
            expected.push(("swap.off".parse().unwrap(), Target::Machine(machine.name.clone())));
        }
    }
    for name in ["api.sandbox.example.org", "rancher.sandbox.example.org"] {
        expected.push(("dns".parse().unwrap(), Target::Name(name.into())));
    }
    expected
}

/// A model on the preflight screen, with everything green but what is listed.
pub fn preflight(columns: u16, rows: u16, bad: &[(&str, &str, Verdict, &str)], end: bool) -> Model {
    let mut model = site(columns, rows, draft());
    press(&mut model, "c");
    told(&mut model, Told::Saved(Ok("6d0c".into())));
    let commands = told(&mut model, Told::Planned(Ok(Box::new((plan(), files())))));
    assert!(matches!(commands[..], [Command::Preflight { round: 1, .. }]));
    told(&mut model, Told::PreflightStarted { round: 1, expected: expected() });
    for (number, (check, target)) in expected().into_iter().enumerate() {
        let target = target.to_string();
        let known = bad.iter().find(|(bad, at, ..)| *bad == check.as_str() && *at == target);
        let finding = match known {
            Some((_, _, verdict, observed)) => finding(check.as_str(), &target, *verdict, observed),
            None if !end && number % 3 == 2 => continue,
            None => finding(check.as_str(), &target, Verdict::Pass, "as it should be"),
        };
        told(&mut model, Told::Finding { round: 1, finding: Box::new(finding) });
    }
    if end {
        told(&mut model, Told::PreflightEnded { round: 1, result: Ok(()) });
    }
    model
}

pub const BAD: &[(&str, &str, Verdict, &str)] = &[
    ("swap.off", "machine:vm2", Verdict::Fail, "/swap.img is active, 4 GiB"),
    ("swap.off", "machine:vm4", Verdict::Fail, "/swap.img is active, 4 GiB"),
    ("size", "machine:vm3", Verdict::Warn, "8 CPU, 32 GiB memory, 128 GiB disk"),
    ("time.sync", "machine:nginx", Verdict::Unknown, "timedatectl did not answer within 10 s"),
    ("dns", "name:api.sandbox.example.org", Verdict::Fail, "no such name (NXDOMAIN from 10.77.0.2)"),
];

/// A model on the review screen.
pub fn review(columns: u16, rows: u16) -> Model {
    let mut model = preflight(columns, rows, &[], true);
    press(&mut model, "c");
    model
}

/// A run being told: events with numbers and times.
pub struct Story {
    pub model: Model,
    /// What every log says.
    pub log: String,
    /// When its lines were written.
    pub times: Option<Times>,
    seq: u64,
    seconds: i64,
    plan: Plan,
}

impl Story {
    pub fn begin(columns: u16, rows: u16) -> Self {
        Self::continue_from(review(columns, rows))
    }

    pub fn continue_from(mut model: Model) -> Self {
        if model.popups.is_empty() {
            press(&mut model, "s");
        }
        let commands = press(&mut model, "y");
        assert!(matches!(commands[..], [Command::OpenRun { .. }]), "{commands:?}");
        app::update(&mut model, Msg::Joined(PathBuf::from(FOLDER)));
        let plan = plan();
        let mut story = Self { model, log: String::new(), times: None, seq: 0, seconds: 0, plan: plan.clone() };
        let opened = Event::RunOpened {
            format: 1,
            tool: "0.1.0".into(),
            run: "2026-05-29-1".into(),
            site_file: "/home/ubuntu/mosip/sandbox.toml".into(),
            rehearsal: story.model.rehearsal,
            plan: Box::new(plan),
        };
        story.event(opened);
        story.event(Event::EngineStarted { pid: 4711, boot: "b".into(), tool: "0.1.0".into(), by: "ubuntu".into() });
        let commands = story.update(Update::Live);
        assert!(matches!(commands[..], [Command::Engine(_)]), "{commands:?}");
        story
    }

    pub fn event(&mut self, event: Event) -> Vec<Command> {
        let recorded = Recorded { seq: self.seq, at: at(self.seconds), event };
        self.seq += 1;
        self.update(Update::Event(Arc::new(recorded)))
    }

    pub fn update(&mut self, update: Update) -> Vec<Command> {
        let commands = app::update(&mut self.model, Msg::Update(update));
        self.serve(commands)
    }

    pub fn wait(&mut self, seconds: i64) -> Vec<Command> {
        self.seconds += seconds;
        let commands = app::update(&mut self.model, Msg::Tick(at(self.seconds)));
        self.serve(commands)
    }

    pub fn start(&mut self, step: &str, attempt: u32) -> Vec<Command> {
        let step: StepRef = step.parse().unwrap();
        let digest = self.plan.step(&step).unwrap().digest.clone();
        self.event(Event::StepStarted { step, attempt, digest, hosts: Vec::new() })
    }

    pub fn end(&mut self, step: &str, attempt: u32, outcome: Outcome, seconds: i64) -> Vec<Command> {
        self.wait(seconds);
        let took_ms = u64::try_from(seconds * 1000).unwrap();
        self.event(Event::StepFinished { step: step.parse().unwrap(), attempt, outcome, took_ms, log_bytes: 4096 })
    }

    pub fn done(&mut self, step: &str, seconds: i64) {
        self.start(step, 1);
        self.end(step, 1, Outcome::Done, seconds);
    }

    pub fn skip(&mut self, phase: &str, reason: &str) {
        let decision = Decision::Skip { phase: phase.parse().unwrap(), reason: reason.into() };
        self.event(Event::OperatorDecided { decision, by: "asha".into() });
    }

    pub fn progress(&mut self, step: &str, progress: Progress) {
        self.update(Update::Progress { step: step.parse().unwrap(), attempt: 1, progress });
    }

    /// Presses keys; logs are read as they are asked for.
    pub fn press(&mut self, script: &str) -> Vec<Command> {
        let mut all = Vec::new();
        for word in script.split(' ') {
            let commands = press(&mut self.model, word);
            all.extend(self.serve(commands));
        }
        all
    }

    /// Answers requests for a log; what else was asked for is returned.
    fn serve(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let mut others = Vec::new();
        for command in commands {
            let mut log = std::io::Cursor::new(self.log.as_bytes());
            let answer = match command {
                Command::ReadLog(request) => {
                    let window = match &request.filter {
                        Some((wanted, known)) => log_source::read_wanted(&mut log, wanted, known, request.from, request.lines),
                        None => log_source::read_window(&mut log, request.from, request.lines),
                    };
                    let mut window = window.unwrap();
                    if request.times {
                        window.tell_times(self.times.as_ref());
                    }
                    Told::Log { ticket: request.ticket, window: Ok(window) }
                }
                Command::SearchLog(search) => {
                    let found = if search.forward {
                        let line =
                            log_source::read_window(&mut log, LogFrom::Line { offset: search.from, back: 0 }, usize::from(search.behind));
                        find_forward(&mut log, &search.wanted, line.unwrap().end_offset, &mut |_| true)
                    } else {
                        find_backward(&mut log, &search.wanted, search.from, &mut |_| true)
                    };
                    Told::LogFound { ticket: search.ticket, found: Ok(found.unwrap().unwrap()) }
                }
                Command::IndexLog(index) => {
                    let mut known = Matches::clone(&index.known);
                    known.extend(&mut log, &index.wanted, &mut |_| true).unwrap().unwrap();
                    Told::LogIndexed { ticket: index.ticket, purpose: index.purpose, known: Arc::new(known), ended: Some(Ok(())) }
                }
                other => {
                    others.push(other);
                    continue;
                }
            };
            let more = told(&mut self.model, answer);
            others.extend(self.serve(more));
        }
        others
    }

    /// Runs on until the MOSIP cluster is being built.
    pub fn go_to_cluster(&mut self) {
        self.done("prepare/files", 3);
        self.done("wireguard/playbook", 212);
        self.done("observation/playbook", 1260);
        self.done("observation/apply", 498);
        self.start("main-cluster/playbook", 1);
        self.wait(754);
        let progress = Progress {
            done: 131,
            total: 218,
            unit: "tasks".into(),
            doing: "TASK [rke2_deploy : Wait until the API server answers] on vm1".into(),
            since: Some(at(self.seconds - 48)),
            parts: [("vm1".to_owned(), "ok".to_owned()), ("vm4".to_owned(), "unreachable".to_owned())].into(),
            log_bytes: 9000,
            prompt: None,
            last_output: Some(at(self.seconds - 48)),
            now: None,
        };
        self.progress("main-cluster/playbook", progress);
        self.log = cluster_log();
        self.wait(1);
    }

    pub fn fail_cluster(&mut self) {
        let failure = Failure {
            message: "The playbook failed on vm4: it could not be reached over SSH.".into(),
            command: "ansible-playbook -i inventory/rancher.ini playbooks/cluster.yml".into(),
            exit: Some(4),
            lines: vec![
                "TASK [rke2_deploy : Wait until the API server answers] *****".into(),
                "\u{1b}[1;31mfatal: [vm4]: UNREACHABLE! => {\"changed\": false, \"msg\": \"Failed to connect to the host via ssh: Connection timed out\"}\u{1b}[0m".into(),
                "vm4 : ok=88 changed=41 unreachable=1 failed=0".into(),
            ],
            hint: "See whether vm4 is running and answers on port 22, then retry: finished tasks are quick the second time.".into(),
            hosts: vec!["vm4".into()],
            ..Failure::default()
        };
        self.end("main-cluster/playbook", 1, Outcome::Failed(failure), 61);
        self.event(Event::EngineStopped { reason: StopReason::Failed });
        self.update(Update::Halted(StopReason::Failed));
    }

    pub fn ask(&mut self) -> Vec<Command> {
        self.end("main-cluster/playbook", 1, Outcome::Done, 61);
        self.start("rancher-import/address", 1);
        let question = Question {
            id: "rancher-import/address@20".into(),
            step: "rancher-import/address".parse().unwrap(),
            text: "What is the import address of the MOSIP cluster?".into(),
            detail: "Open https://rancher.sandbox.example.org, log in as admin, Cluster Management, Import Existing, Generic, name it mosip, and copy the address in the first command: it ends in .yaml.".into(),
            wanted: Wanted::Secret { field: "rancher_import_url".into(), optional: Some("the cluster is not imported; everything else works".into()) },
        };
        let commands = self.event(Event::QuestionAsked { question });
        // Seen for long enough to be what keys are meant for.
        for later in [0, 400] {
            app::update(&mut self.model, Msg::Tick(at(self.seconds) + jiff::SignedDuration::from_millis(later)));
        }
        commands
    }

    pub fn finish(&mut self) {
        self.end("main-cluster/playbook", 1, Outcome::Done, 1800);
        self.skip("rancher-import", "no Rancher login at hand");
        self.start("services/apply", 1);
        self.end(
            "services/apply",
            1,
            Outcome::Warned { reason: "2 pods restarted more than 5 times: prereg-batchjob, kernel-sync".into() },
            9400,
        );
        self.done("verify/checks", 12);
        self.event(Event::RunClosed { complete: true });
        self.event(Event::EngineStopped { reason: StopReason::Idle });
        self.update(Update::Halted(StopReason::Idle));
    }
}

pub fn cluster_log() -> String {
    let mut log = String::from("\nPLAY [Cluster nodes] *******************************************\n");
    for task in ["Install packages", "Switch swap off", "Load kernel modules", "Write the RKE2 configuration", "Start the first server"] {
        log.push_str(&format!("\nTASK [rke2_deploy : {task}] {}\n", "*".repeat(30)));
        for machine in 1..=6 {
            let line = if machine % 3 == 0 {
                format!("\u{1b}[0;32mok: [vm{machine}]\u{1b}[0m\n")
            } else {
                format!("\u{1b}[0;33mchanged: [vm{machine}]\u{1b}[0m\n")
            };
            log.push_str(&line);
        }
    }
    log.push_str("\nTASK [rke2_deploy : Wait until the API server answers] ***********\n");
    log.push_str("\u{1b}[0;31mFAILED - RETRYING: [vm1]: Wait until the API server answers (22 retries left).\u{1b}[0m\n");
    log
}

pub fn told(model: &mut Model, told: Told) -> Vec<Command> {
    app::update(model, Msg::Told(told))
}

/// Presses keys, written as words: `Tab`, `Enter`, `^s`, single letters, or `"text"` to type.
pub fn press(model: &mut Model, script: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    for word in script.split(' ').filter(|word| !word.is_empty()) {
        let (code, modifiers) = match word {
            "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
            "BackTab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
            "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
            "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
            "Space" => (KeyCode::Char(' '), KeyModifiers::NONE),
            "Up" => (KeyCode::Up, KeyModifiers::NONE),
            "Down" => (KeyCode::Down, KeyModifiers::NONE),
            "Left" => (KeyCode::Left, KeyModifiers::NONE),
            "Right" => (KeyCode::Right, KeyModifiers::NONE),
            "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
            "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
            "Home" => (KeyCode::Home, KeyModifiers::NONE),
            "End" => (KeyCode::End, KeyModifiers::NONE),
            "F1" => (KeyCode::F(1), KeyModifiers::NONE),
            control if control.len() == 2 && control.starts_with('^') => {
                (KeyCode::Char(control.chars().nth(1).unwrap()), KeyModifiers::CONTROL)
            }
            text => {
                for letter in text.chars() {
                    let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
                    commands = app::update(model, Msg::Key(key));
                }
                continue;
            }
        };
        commands = app::update(model, Msg::Key(KeyEvent::new(code, modifiers)));
    }
    commands
}

pub fn draw(model: &Model) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| app::view(model, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as text.
pub fn text(model: &Model) -> String {
    let buffer = draw(model);
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let mut line = String::new();
        let mut column = 0;
        while column < buffer.area.width {
            let symbol = buffer[(column, row)].symbol();
            line.push_str(symbol);
            column += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
