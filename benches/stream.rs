//! A log through parser, redactor and catalogue together, on one core, beside `grep -c` for one fixed pattern on the same log: what a
//! playbook prints with the results of its tasks, and what `terraform apply -json` prints.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::process::{own_nanoseconds, time_of_children};
use common::site::secrets;
use common::{Sample, give_up, machine, scratch, setting, verdict};
use mosip_setup::adapters::ansible::Playbook;
use mosip_setup::adapters::terraform::Root;
use mosip_setup::run::diagnose::{Catalogue, SHIPPED};
use mosip_setup::run::lines::Lines;
use mosip_setup::run::redact::{Redactor, Stream};
use mosip_setup::run::spot::Spotter;

/// What both look for, once, at the very end.
const WORD: &str = "toomanyrequests";
/// One line in so many carries a secret.
const SECRET_EVERY: u64 = 1000;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ansible,
    Terraform,
}

/// What a talkative playbook prints: banners, results of tasks, items of loops, waits, failures that are ignored.
fn ansible(number: u64, secret: &str) -> String {
    let host = number % 11;
    match number % 16 {
        _ if number.is_multiple_of(97) => {
            format!("\nTASK [rke2_deploy : install packages, part {number:07}] **************************************")
        }
        _ if number.is_multiple_of(4001) => format!(
            "fatal: [vm{host}]: FAILED! => {{\"changed\": false, \"cmd\": \"test -e /run/{number}\", \"msg\": \"non-zero return code\", \"rc\": 1}}\n...ignoring"
        ),
        _ if number.is_multiple_of(211) => {
            format!("FAILED - RETRYING: [vm{host}]: Wait for the API, part {number} ({} retries left).", number % 30)
        }
        0 | 5 => format!(
            "ok: [vm{host}] => {{\"changed\": false, \"stat\": {{\"atime\": 17953229{:02}.0678225, \"attr_flags\": \"e\", \"attributes\": [\"extents\"], \"block_size\": 4096, \"blocks\": 8, \"charset\": \"unknown\", \"checksum\": \"3bebe8a6c9d153bdfe475a82d0a37c17{number:08x}\", \"ctime\": 1795322599.0758374, \"dev\": 65024, \"executable\": false, \"exists\": true, \"gid\": 1000, \"gr_name\": \"ubuntu\", \"inode\": {}, \"isblk\": false, \"isdir\": false, \"mimetype\": \"unknown\", \"mode\": \"0600\", \"mtime\": 1795322598.9998374, \"nlink\": 1, \"path\": \"/home/ubuntu/.ssh/id_ed25519\", \"readable\": true, \"roth\": false, \"size\": 399, \"uid\": 1000, \"writeable\": true, \"xusr\": false}}}}",
            number % 100,
            10_469_617 + number
        ),
        1 | 9 => format!("changed: [vm{host}] => (item=package-{number:07})"),
        2 => format!("ok: [vm{host}] => (item={{'name': 'module.service[\"{number:07}\"]', 'state': 'present', 'key': '{secret}'}})"),
        3 => format!(
            "skipping: [vm{host}] => {{\"changed\": false, \"false_condition\": \"not ssh_key_file.stat.exists\", \"skip_reason\": \"Conditional result was False\"}}"
        ),
        4 => "    \"stdout_lines\": [".to_owned(),
        6 | 7 => format!("        \"Get:{number} http://archive.ubuntu.com/ubuntu jammy-updates/main amd64 Packages [1,395 kB]\","),
        8 => format!("        \"Setting up libnginx-mod-stream (1.18.0-{number}ubuntu14.4) ...\","),
        10 => format!("        \"update-alternatives: command not found in /etc/alternatives/{number:07}, skipped\","),
        11 => format!("        \"helm upgrade --install: release still pending, waiting for pods, {number}s\","),
        12 => "    ]".to_owned(),
        13 => format!(
            "included: /srv/kit/ansible/infra_deployment/playbooks/roles/rke2_deploy/tasks/kubeconfig.yml for vm{host}, part {number}"
        ),
        14 => format!(
            "changed: [vm{host}] => {{\"changed\": true, \"dest\": \"/etc/nginx/nginx.conf\", \"gid\": 33, \"group\": \"www-data\", \"md5sum\": \"9d2eab29244994b6709ea5b0{number:08x}\", \"mode\": \"0644\", \"state\": \"file\"}}"
        ),
        _ => String::new(),
    }
}

/// What an apply says: what is planned, begins, goes on and ends, what local commands print, and here and there a line of another program.
fn terraform(number: u64, secret: &str) -> String {
    let (module, release) = (number % 34, number % 81);
    let resource = format!(
        "{{\"addr\":\"module.m{module}[0].helm_release.r{release}\",\"module\":\"module.m{module}[0]\",\"resource\":\"helm_release.r{release}\",\"implied_provider\":\"helm\",\"resource_type\":\"helm_release\",\"resource_name\":\"r{release}\",\"resource_key\":null}}"
    );
    let line = |message: &str, rest: &str, kind: &str| {
        format!(
            "{{\"@level\":\"info\",\"@message\":\"module.m{module}[0].helm_release.r{release}: {message}\",\"@module\":\"terraform.ui\",\"@timestamp\":\"2026-11-22T04:38:{:02}.{number:06}Z\",{rest},\"type\":\"{kind}\"}}",
            number % 60
        )
    };
    let hook = |more: &str| format!("\"hook\":{{\"resource\":{resource}{more}}}");
    match number % 16 {
        _ if number.is_multiple_of(977) => format!("Warning: a local command says: not found in cache, part {number}"),
        0 => line("Plan to create", &format!("\"change\":{{\"resource\":{resource},\"action\":\"create\"}}"), "planned_change"),
        1 => line("Creating...", &hook(",\"action\":\"create\""), "apply_start"),
        2 => line(
            "Creation complete after 12s [id=x]",
            &hook(",\"action\":\"create\",\"id_key\":\"id\",\"id_value\":\"x\",\"elapsed_seconds\":12"),
            "apply_complete",
        ),
        3 => line("Refresh complete [id=x]", &hook(",\"id_key\":\"id\",\"id_value\":\"x\""), "refresh_complete"),
        4..9 => line(
            &format!("Still creating... [{}s elapsed]", number % 3600),
            &hook(&format!(",\"action\":\"create\",\"elapsed_seconds\":{}", number % 3600)),
            "apply_progress",
        ),
        _ => {
            let said = serde_json::to_string(&format!("part {number}: pod kernel-{number} is not ready, {secret}")).expect("a text");
            let said = said.trim_matches('"');
            line(
                &format!("(local-exec): {said}"),
                &hook(&format!(",\"provisioner\":\"local-exec\",\"output\":\"{said}\"")),
                "provision_progress",
            )
        }
    }
}

/// Writes the log; the number of its secrets.
fn write_log(kind: Kind, path: &Path, bytes: usize, secrets: &[String]) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a log"));
    let (mut written, mut number, mut hidden) = (0, 0_u64, 0);
    while written < bytes {
        let known = number % SECRET_EVERY / 16 == 0;
        let secret = if known { secrets[usize::try_from(number).unwrap_or(0) % secrets.len()].as_str() } else { "a value that is none" };
        let line = if kind == Kind::Ansible { ansible(number, secret) } else { terraform(number, secret) };
        hidden += u64::from(known && line.contains("correct/horse-"));
        out.write_all(line.as_bytes()).expect("a line");
        out.write_all(b"\n").expect("a line");
        written += line.len() + 1;
        number += 1;
    }
    let last = match kind {
        Kind::Ansible => {
            format!("fatal: [vm1]: FAILED! => {{\"msg\": \"Failed to pull image: {WORD}: You have reached your pull rate limit.\"}}")
        }
        Kind::Terraform => format!(
            "{{\"@level\":\"error\",\"@message\":\"Error: installation failed\",\"@module\":\"terraform.ui\",\"diagnostic\":{{\"severity\":\"error\",\"summary\":\"installation failed\",\"detail\":\"{WORD}: You have reached your pull rate limit\"}},\"type\":\"diagnostic\"}}"
        ),
    };
    writeln!(out, "{last}").expect("the last line");
    out.flush().expect("the log");
    println!("  {:?}: {number} lines, {hidden} with a secret", if kind == Kind::Ansible { "Ansible" } else { "Terraform" });
    hidden
}

/// As the attempt runner does it, but for the writing of what comes out: seconds of processor time, masks, hits in order.
fn ours(kind: Kind, path: &Path, redactor: &Redactor, fresh: &Spotter, count: bool) -> (f64, u64, Vec<String>) {
    let begun = own_nanoseconds();
    let mut log = File::open(path).expect("the log");
    let (mut spotter, mut stream, mut lines) = (fresh.clone(), Stream::new(redactor), Lines::default());
    let (mut playbook, mut root) = (Playbook::new(0), Root::default());
    let (mut buffer, mut clean, mut transformed) = (vec![0; 64 * 1024], Vec::new(), Vec::new());
    let (mut hits, mut masks) = (Vec::new(), 0);
    loop {
        let length = log.read(&mut buffer).expect("a piece of the log");
        if length == 0 {
            break;
        }
        let bytes = &buffer[..length];
        if kind == Kind::Ansible {
            lines.feed(bytes, |piece| playbook.piece(piece));
            drop((playbook.take_seen(), playbook.take_printed()));
            stream.feed(bytes, &mut clean);
        } else {
            lines.feed(bytes, |piece| root.piece(piece, &mut transformed));
            drop(root.take_seen());
            stream.feed(&transformed, &mut clean);
            transformed.clear();
        }
        spotter.feed(&clean, |hit| hits.push(hit.id));
        if count {
            masks += memchr::memmem::find_iter(&clean, "(secret)").count() as u64;
        }
        clean.clear();
    }
    stream.finish(&mut clean);
    spotter.feed(&clean, |hit| hits.push(hit.id));
    spotter.finish(|hit| hits.push(hit.id));
    (std::time::Duration::from_nanos(own_nanoseconds() - begun).as_secs_f64(), masks, hits)
}

/// Seconds of processor time.
fn grep(path: &Path) -> f64 {
    let begun = time_of_children();
    let found = Command::new("grep").args(["-c", WORD]).arg(path).stderr(Stdio::null()).output().expect("grep");
    if String::from_utf8_lossy(&found.stdout).trim() != "1" {
        give_up("grep did not find the one line");
    }
    (time_of_children() - begun).as_secs_f64()
}

fn main() {
    machine("stream");
    let (megabytes, rounds) = (setting("BENCH_MEGABYTES", 1024), setting("BENCH_ROUNDS", 7));
    let folder = scratch();
    let secrets = secrets(20);
    let redactor = Redactor::new(secrets.iter().map(String::as_str)).expect("a redactor");
    let begun = own_nanoseconds();
    let fresh = Spotter::new(Arc::new(Catalogue::read(SHIPPED).expect("the catalogue")));
    println!("  the catalogue is ready after {:.1} ms", (own_nanoseconds() - begun) as f64 / 1e6);
    for (kind, name) in [(Kind::Ansible, "ansible"), (Kind::Terraform, "terraform")] {
        let path: PathBuf = folder.path().join(name);
        let hidden = write_log(kind, &path, megabytes << 20, &secrets);
        // Once each, so that both find the log in memory; and what is measured does what it should.
        let (_, masks, hits) = ours(kind, &path, &redactor, &fresh, true);
        if masks != hidden {
            give_up(&format!("{masks} secrets were removed instead of {hidden}"));
        }
        if hits.last().is_none_or(|hit| hit != "img-rate") {
            give_up(&format!("the known failure in the last line was not recognised: {hits:?}"));
        }
        grep(&path);
        let (mut greps, mut all, mut ratios) = (Sample::default(), Sample::default(), Sample::default());
        for round in 0..rounds {
            let (bare, whole) = if round % 2 == 0 {
                let bare = grep(&path);
                (bare, ours(kind, &path, &redactor, &fresh, false).0)
            } else {
                let whole = ours(kind, &path, &redactor, &fresh, false).0;
                (grep(&path), whole)
            };
            greps.0.push(bare);
            all.0.push(whole);
            ratios.0.push(whole / bare);
        }
        println!("{name}: grep -c                       {}", greps.words(1.0, "s"));
        println!("{name}: parser, redactor, catalogue   {}", all.words(1.0, "s"));
        println!("{name}: ratio of each pair            {}", ratios.words(1.0, ""));
        verdict(name, ratios.median() <= 3.0, "median ratio at most 3");
        std::fs::remove_file(&path).expect("the log goes");
    }
}
