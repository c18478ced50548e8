//! The `helm` that scripts of a guarded step find first on PATH: looks at the release, then decides with [`crate::install::helm`].

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::attempt::{ATTEMPT_VARIABLE, make_dir};
use crate::install::helm::{Call, Deed, HelmSpec, Release, read, shown};
use crate::install::planner::shell_quote;

/// The hidden verb that the stand-in calls.
pub const VERB: &str = "__helm";

fn folder(attempt: &Path) -> PathBuf {
    attempt.join("bin")
}

fn rules(attempt: &Path) -> PathBuf {
    attempt.join("helm.json")
}

/// Puts the stand-in into an attempt's folder; gives the PATH on which it comes first, before `path` or else the inherited one.
///
/// # Errors
/// The folder cannot be written.
pub fn install(attempt: &Path, spec: &HelmSpec, program: &Path, path: Option<&String>) -> io::Result<String> {
    let bin = folder(attempt);
    make_dir(&bin)?;
    fs::write(rules(attempt), serde_json::to_vec(spec)?)?;
    let script = format!("#!/bin/sh\nexec {} {VERB} \"$@\"\n", shell_quote(&program.display().to_string()));
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(bin.join("helm"))?.write_all(script.as_bytes())?;
    let rest = path.cloned().unwrap_or_else(|| std::env::var("PATH").unwrap_or_default());
    Ok(format!("{}:{rest}", bin.display()))
}

/// The body of [`VERB`]; gives the exit code.
///
/// # Errors
/// It was not called below an attempt of this program.
pub fn run(arguments: &[String]) -> io::Result<i32> {
    let attempt = std::env::var_os(ATTEMPT_VARIABLE).map(PathBuf::from);
    let attempt =
        attempt.ok_or_else(|| io::Error::other(format!("{ATTEMPT_VARIABLE} is not set: this is for scripts of a step to call")))?;
    let spec: HelmSpec = serde_json::from_slice(&fs::read(rules(&attempt))?)?;
    let bin = folder(&attempt);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = path.split(':').filter(|part| Path::new(part) != bin).collect::<Vec<_>>().join(":");
    let guard = Guard { path };
    let call = read(arguments);
    let found = match &call {
        Call::Other => Release::default(),
        Call::Install { id, .. } | Call::Uninstall { id } => match guard.look(id, &spec, global(arguments)) {
            Ok(found) => found,
            Err(message) => {
                say(&format!("helm: nothing was done with {id}: {message}"));
                return Ok(1);
            }
        },
    };
    match (spec.decide(&call, &found), &call) {
        (Deed::Leave(why), _) => {
            say(&format!("helm: {why}"));
            Ok(0)
        }
        (Deed::Refuse(why), _) => {
            say(&format!("helm: {why}"));
            Ok(1)
        }
        (Deed::Install { add, remove, claims }, Call::Install { id, .. }) => {
            if let Some(why) = remove {
                say(&format!("helm: {id} is removed first: {why}"));
                let code = guard.remove(id, claims)?;
                if code != 0 {
                    return Ok(code);
                }
            }
            if !add.is_empty() {
                let reason = spec.rule(id).map(|rule| format!(" ({})", rule.reason)).unwrap_or_default();
                say(&format!("helm: {id}: added {}{reason}", shown(&add)));
            }
            guard.call(&[arguments, &add].concat())
        }
        _ => guard.call(arguments),
    }
}

/// Flags that say which cluster is meant; the questions about a release are asked of the same.
fn global(arguments: &[String]) -> Vec<String> {
    let mut flags = Vec::new();
    for (number, word) in arguments.iter().enumerate() {
        if ["--kubeconfig", "--kube-context"].contains(&word.as_str()) {
            flags.extend(arguments.get(number..=number + 1).unwrap_or_default().iter().cloned());
        } else if word.starts_with("--kubeconfig=") || word.starts_with("--kube-context=") {
            flags.push(word.clone());
        }
    }
    flags
}

/// Between the script's own lines, which come on both streams.
fn say(line: &str) {
    // A line that cannot be shown is only not seen.
    drop(writeln!(io::stderr(), "{line}"));
}

struct Guard {
    path: String,
}

impl Guard {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/env");
        // Found on the PATH without the stand-in.
        command.arg(program).env("PATH", &self.path);
        command
    }

    /// The real call, shown as it is made.
    fn call(&self, arguments: &[String]) -> io::Result<i32> {
        say(&format!("+ helm {}", shown(arguments)));
        Ok(self.command("helm").args(arguments).status()?.code().unwrap_or(1))
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<Output, String> {
        self.command(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))
    }

    fn look(&self, id: &str, spec: &HelmSpec, flags: Vec<String>) -> Result<Release, String> {
        let (namespace, release) = id.split_once('/').unwrap_or(("default", id));
        let mut arguments = vec!["-n", namespace, "status", release, "-o", "json"];
        arguments.extend(flags.iter().map(String::as_str));
        let output = self.output("helm", &arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // Only this is an answer; an unreachable cluster is not "no release".
            return if said.contains("release: not found") { Ok(Release::default()) } else { Err(said) };
        }
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("helm status cannot be read: {error}"))?;
        let text = |name: &str| value["info"][name].as_str().unwrap_or_default().to_owned();
        let mut found = Release {
            status: text("status"),
            description: text("description"),
            revision: value["version"].as_u64().unwrap_or_default(),
            ..Release::default()
        };
        if found.status.is_empty() {
            return Err("helm status does not say how it stands".to_owned());
        }
        match spec.rule(id).and_then(|rule| rule.job.as_deref()) {
            Some(job) if found.status == "deployed" => found.job_failed = self.job_failed(namespace, job)?,
            _ => {}
        }
        if found.status == "failed" {
            found.ready = self.ready(namespace, release)?;
        }
        Ok(found)
    }

    fn objects(&self, namespace: &str, what: &[&str]) -> Result<Value, String> {
        let output = self.output("kubectl", &[&["-n", namespace, "get"], what, &["--ignore-not-found", "-o", "json"]].concat())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        if output.stdout.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("kubectl's answer cannot be read: {error}"))
    }

    fn job_failed(&self, namespace: &str, job: &str) -> Result<bool, String> {
        let job = self.objects(namespace, &["job", job])?;
        let count = |name: &str| job["status"][name].as_u64().unwrap_or_default();
        Ok(count("failed") > 0 && count("succeeded") == 0)
    }

    fn ready(&self, namespace: &str, release: &str) -> Result<bool, String> {
        let label = format!("app.kubernetes.io/instance={release}");
        let list = self.objects(namespace, &["deployments,statefulsets", "-l", &label])?;
        let workloads = list["items"].as_array().cloned().unwrap_or_default();
        let ready =
            |one: &Value| one["status"]["readyReplicas"].as_u64().unwrap_or_default() >= one["spec"]["replicas"].as_u64().unwrap_or(1);
        Ok(!workloads.is_empty() && workloads.iter().all(ready))
    }

    fn remove(&self, id: &str, claims: bool) -> io::Result<i32> {
        let (namespace, release) = id.split_once('/').unwrap_or(("default", id));
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let code = self.call(&words(&["-n", namespace, "uninstall", release, "--wait"]))?;
        if code != 0 || !claims {
            return Ok(code);
        }
        let arguments = ["-n", namespace, "delete", "pvc", "-l", &format!("app.kubernetes.io/instance={release}")];
        say(&format!("+ kubectl {}", arguments.join(" ")));
        Ok(self.command("kubectl").args(arguments).status()?.code().unwrap_or(1))
    }
}
