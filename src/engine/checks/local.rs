//! The checks of the deployment node itself: what each asks here, and how its answer is judged.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::{COMMAND_SECONDS, Job, NAMES_AT_ONCE, not_answered};
use crate::engine::ports::{BoxFuture, Probe, ProbeAnswer, ProbeQuestion};
use crate::install::check::{CheckKind, CheckSpec, Finding, Target};
use crate::install::facts::{WayOut, WayOutcome};
use crate::install::inquiry::{HttpRequest, LayoutRequest, TemplateRequest};
use crate::install::judge;
use crate::install::outside::{ChartsFile, ChartsRequest};
use crate::install::plan::{Edit, FileContent, Plan, PlanSource};

/// What a check of the deployment node waits for. Each kind has a queue of its own: who hangs outside holds up no program, and neither
/// holds up what is merely read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Nothing,
    Program,
    Outside,
}

pub(super) fn waits_for(kind: &CheckKind) -> Wait {
    match kind {
        CheckKind::CidrOverlap { .. } | CheckKind::LocalUser { .. } | CheckKind::SshKey { .. } | CheckKind::Certificate { .. } => {
            Wait::Nothing
        }
        CheckKind::Egress { .. } | CheckKind::Charts { .. } | CheckKind::PullLimit { .. } | CheckKind::Http { .. } => Wait::Outside,
        _ => Wait::Program,
    }
}

pub(super) fn jobs<'a>(plan: &'a Plan, active: &[&'a CheckSpec], probe: &'a dyn Probe) -> Vec<Job<'a>> {
    let elsewhere = |kind: &CheckKind| {
        kind.is_per_machine() || kind.is_across_machines() || kind.is_about_paths() || matches!(kind, CheckKind::Dns { .. })
    };
    let local = active.iter().copied().filter(|check| !elsewhere(&check.kind));
    let (out, single): (Vec<&'a CheckSpec>, Vec<&'a CheckSpec>) = local.partition(|check| matches!(check.kind, CheckKind::Egress { .. }));
    let mut jobs: Vec<Job<'a>> = Vec::new();
    if !out.is_empty() {
        jobs.push(Box::pin(egress(out, probe)));
    }
    let mut files: BTreeMap<(&str, &str), Vec<&'a CheckSpec>> = BTreeMap::new();
    for check in single {
        if let CheckKind::Certificate { chain, key, .. } = &check.kind {
            files.entry((chain, key)).or_default().push(check);
        } else {
            jobs.push(Box::pin(async move { vec![local_finding(plan, check, probe).await] }));
        }
    }
    jobs.extend(files.into_iter().map(|((chain, key), checks)| certificates(chain, key, checks, probe)));
    jobs
}

/// A certificate chain and its key: read once for all checks that look at them.
fn certificates<'a>(chain: &'a str, key: &'a str, checks: Vec<&'a CheckSpec>, probe: &'a dyn Probe) -> Job<'a> {
    Box::pin(async move {
        match probe.ask(ProbeQuestion::Certificate { chain: chain.to_owned(), key: key.to_owned() }).await {
            ProbeAnswer::Certificate(facts) => judge::certificates(&checks, &facts),
            other => {
                let reason = not_answered(other);
                checks.iter().map(|check| judge::unknown(check, Target::Local, &reason)).collect()
            }
        }
    })
}

fn way_out<'a>(url: &'a str, probe: &'a dyn Probe) -> BoxFuture<'a, (&'a str, WayOut)> {
    Box::pin(async move {
        let way = match probe.ask(ProbeQuestion::WayOut { url: url.to_owned() }).await {
            ProbeAnswer::WayOut(way) => way,
            other => WayOut { outcome: WayOutcome::Failed(not_answered(other)), proxy: None },
        };
        (url, way)
    })
}

/// The way out of the deployment node: all addresses together, because only so they show that there is none at all.
async fn egress<'a>(checks: Vec<&'a CheckSpec>, probe: &'a dyn Probe) -> Vec<Finding> {
    let urls = |check: &'a CheckSpec| match &check.kind {
        CheckKind::Egress { urls } => urls.as_slice(),
        _ => &[],
    };
    let wanted: BTreeSet<&'a str> = checks.iter().flat_map(|check| urls(check)).map(String::as_str).collect();
    let asked: Vec<BoxFuture<'_, (&str, WayOut)>> = wanted.into_iter().map(|url| way_out(url, probe)).collect();
    let ways: BTreeMap<&str, WayOut> = stream::iter(asked).buffer_unordered(NAMES_AT_ONCE).collect().await;
    let judged = |check: &&'a CheckSpec| judge::ways_out(check, urls(check), &|url| vec![("local", ways.get(url))]);
    let mut findings: Vec<Finding> = checks.iter().flat_map(judged).collect();
    judge::one_way_out(&checks, &mut findings);
    findings
}

/// The folder whose free space matters on the deployment node: that of the first checkout.
fn checkout_folder(plan: &Plan) -> String {
    plan.sources.values().next().map_or_else(|| "/".to_owned(), |source| source.source.checkout.clone())
}

async fn local_finding(plan: &Plan, check: &CheckSpec, probe: &dyn Probe) -> Finding {
    let question = match &check.kind {
        CheckKind::CidrOverlap { .. } => return judge::cidr_overlap(check, plan),
        CheckKind::Tool { command, arguments, pattern, min, exact, below, better } => {
            let asks_version = pattern.is_some() || min.is_some() || exact.is_some() || below.is_some() || better.is_some();
            let arguments = match (asks_version, arguments.is_empty()) {
                (true, true) => vec!["--version".to_owned()],
                _ => arguments.clone(),
            };
            ProbeQuestion::Tool { command: command.clone(), arguments }
        }
        CheckKind::LocalSize { .. } => ProbeQuestion::Local { paths: vec![checkout_folder(plan)] },
        CheckKind::LocalUser { writable } => ProbeQuestion::User { folders: writable.clone() },
        CheckKind::SshKey { field } => ProbeQuestion::SshKey { path: plan.paths.get(field).cloned().unwrap_or_default() },
        CheckKind::Layout { source } => match plan.sources.get(source) {
            Some(found) => ProbeQuestion::Layout(layout_request(plan, found)),
            None => return judge::unknown(check, Target::Local, &format!("the plan has no source {source}")),
        },
        CheckKind::HelmRepository { .. } => {
            let argv = ["helm", "repo", "list", "-o", "json"].map(str::to_owned).to_vec();
            ProbeQuestion::Command { argv, dir: None, env: Vec::new(), timeout_seconds: COMMAND_SECONDS }
        }
        CheckKind::Command { argv, dir, kubeconfig, timeout_seconds, .. } => ProbeQuestion::Command {
            argv: argv.clone(),
            dir: dir.clone(),
            env: kubeconfig.iter().map(|path| ("KUBECONFIG".to_owned(), path.clone())).collect(),
            timeout_seconds: timeout_seconds.unwrap_or(COMMAND_SECONDS),
        },
        CheckKind::Http { url, address, insecure, .. } => {
            ProbeQuestion::Http(HttpRequest { url: url.clone(), address: address.clone(), insecure: *insecure })
        }
        CheckKind::Charts { index, file, charts } => match charts_request(plan, index, file.as_deref(), charts) {
            Ok(request) => ProbeQuestion::Charts(request),
            Err(reason) => return judge::unknown(check, Target::Local, &reason),
        },
        CheckKind::PullLimit { .. } => ProbeQuestion::Pulls,
        _ => return judge::unknown(check, Target::Local, "a check of this kind does not look at the deployment node"),
    };
    match (&check.kind, probe.ask(question).await) {
        (CheckKind::Tool { .. }, ProbeAnswer::Tool(facts)) => judge::tool(check, &facts),
        (CheckKind::LocalSize { .. }, ProbeAnswer::Local(facts)) => judge::local_size(check, &checkout_folder(plan), &facts),
        (CheckKind::LocalUser { .. }, ProbeAnswer::User(facts)) => judge::local_user(check, &facts),
        (CheckKind::SshKey { .. }, ProbeAnswer::SshKey(facts)) => judge::ssh_key(check, &facts),
        (CheckKind::Layout { source }, ProbeAnswer::Layout(facts)) => match plan.sources.get(source) {
            Some(source) => judge::layout(check, source, &facts),
            None => judge::unknown(check, Target::Local, "the plan has no such source"),
        },
        (CheckKind::HelmRepository { .. }, ProbeAnswer::Command(facts)) => judge::helm_repository(check, &facts),
        (CheckKind::Command { .. }, ProbeAnswer::Command(facts)) => judge::command(check, &facts),
        (CheckKind::Http { .. }, ProbeAnswer::Http(answer)) => judge::http(check, &answer),
        (CheckKind::Charts { .. }, ProbeAnswer::Charts(facts)) => judge::charts(check, &facts),
        (CheckKind::PullLimit { .. }, ProbeAnswer::Pulls(facts)) => judge::pull_limit(check, &facts),
        (_, other) => judge::unknown(check, Target::Local, &not_answered(other)),
    }
}

/// Where the versions of charts stand, and what the site makes of them.
fn charts_request(plan: &Plan, index: &str, file: Option<&str>, charts: &[(String, String)]) -> Result<ChartsRequest, String> {
    let Some(file) = file else { return Ok(ChartsRequest { index: index.to_owned(), file: None, charts: charts.to_vec() }) };
    let content = plan.files.iter().find(|known| known.path == file).map(|known| &known.content);
    let Some(FileContent::Edit { template, fallback, edits, .. }) = content else {
        return Err(format!("the plan edits no file {file}"));
    };
    let text = |edit: &Edit| match edit {
        Edit::Set { key, value, .. } | Edit::Add { key, value, .. } => value.as_str().map(|text| (key.clone(), text.to_owned())),
        Edit::Hosts { .. } => None,
    };
    Ok(ChartsRequest {
        index: index.to_owned(),
        file: Some(ChartsFile {
            template: template.clone(),
            fallback: fallback.clone(),
            // Versions alone: a secret is asked for by its reference, and has no place here.
            set: edits.iter().filter_map(text).filter(|(key, _)| charts.iter().any(|(_, wanted)| wanted == key)).collect(),
        }),
        charts: charts.to_vec(),
    })
}

/// What the plan's edits need of a source's templates.
fn layout_request(plan: &Plan, source: &PlanSource) -> LayoutRequest {
    let mut templates: BTreeMap<String, TemplateRequest> = BTreeMap::new();
    for file in &plan.files {
        let FileContent::Edit { template, edits, .. } = &file.content else { continue };
        let inside = template.strip_prefix(&source.source.checkout).and_then(|rest| rest.strip_prefix('/'));
        let Some(path) = inside else { continue };
        let entry = templates.entry(path.to_owned());
        let entry = entry.or_insert_with(|| TemplateRequest { path: path.to_owned(), keys: Vec::new(), groups: Vec::new() });
        for edit in edits {
            match edit {
                Edit::Set { key, .. } => entry.keys.push(key.clone()),
                Edit::Hosts { group, .. } => entry.groups.push(group.clone()),
                Edit::Add { .. } => {}
            }
        }
    }
    LayoutRequest {
        checkout: source.source.checkout.clone(),
        fetched: source.fetched.clone(),
        markers: source.source.markers.clone(),
        refuse: source.source.refuse.iter().map(|refusal| (refusal.path.clone(), refusal.message.clone())).collect(),
        templates: templates.into_values().collect(),
    }
}
