//! `mosip-setup plan`: phases, commands and file differences; touches nothing.

use clap::Args;
use color_eyre::Report;
use serde_json::{Value, json};

use super::common::{Common, Failure, print};
use crate::adapters::files::render::{Change, Rendered, Scope, render};
use crate::exit::Exit;
use crate::install::plan::{Action, Plan, PlanStep};
use crate::install::planner::shell_quote;

/// Shows phases and commands; touches nothing.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Show the differences of the files that would be written, too.
    #[arg(long)]
    pub diff: bool,
}

/// Runs the verb.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &PlanArgs, common: &Common) -> Result<Exit, Report> {
    match plan(args, common) {
        Ok((plan, files)) if common.json => common.print_json(&to_json(&plan, &files)).map(|()| Exit::Done),
        Ok((plan, files)) => print(&to_text(&plan, &files, args.diff)).map(|()| Exit::Done),
        Err(failure) => failure.report(common),
    }
}

fn plan(args: &PlanArgs, common: &Common) -> Result<(Plan, Vec<Rendered>), Failure> {
    let project = common.project()?;
    let plan = project.plan()?;
    let unfetched: Vec<&str> = plan.sources.keys().map(|id| id.as_str()).filter(|id| !project.fetched.contains_key(*id)).collect();
    if !unfetched.is_empty() {
        // Commands can be shown without the templates; differences cannot.
        if args.diff {
            return Err(Failure::usage(format!("{} is not fetched yet, so no file can be shown: mosip-setup fetch", unfetched.join(", "))));
        }
        return Ok((plan, Vec::new()));
    }
    let secrets = project.preview_secrets(&plan)?;
    let scope = Scope { only: None, preview: true };
    let files = render(&plan, scope, &secrets, &project.render_state()?).map_err(|errors| Failure::usage(errors.to_string()))?;
    Ok((plan, files))
}

/// The plan as `plan --json` prints it.
#[must_use]
pub fn to_json(plan: &Plan, files: &[Rendered]) -> Value {
    let step = |step: &PlanStep| {
        let commands: Vec<Value> =
            step.commands().iter().map(|line| json!({ "argv": line.argv, "dir": line.dir, "env": line.env })).collect();
        json!({ "id": step.id, "title": step.title, "kind": step.action.kind(), "repeat": step.repeat, "commands": commands, "remarks": step.remarks() })
    };
    let phases: Vec<Value> = plan
        .phases
        .iter()
        .map(|phase| {
            let steps: Vec<Value> = phase.steps.iter().map(step).collect();
            json!({ "id": phase.id, "title": phase.title, "needs": phase.needs, "expect_minutes": phase.expect_minutes, "steps": steps })
        })
        .collect();
    json!({ "profile": plan.profile, "site": plan.site, "phases": phases, "files": files.iter().map(file_json).collect::<Vec<_>>() })
}

/// One file as JSON.
#[must_use]
pub fn file_json(file: &Rendered) -> Value {
    json!({ "path": file.path, "change": file.change, "diff": file.diff, "note": file.note })
}

/// The word for a change.
#[must_use]
pub fn word(change: Change) -> &'static str {
    match change {
        Change::Create => "create",
        Change::Edit => "edit",
        Change::Same => "same",
        Change::Conflict => "conflict",
        Change::Keep => "keep",
    }
}

fn to_text(plan: &Plan, files: &[Rendered], with_diff: bool) -> String {
    let mut text = format!("{}\nNothing has been touched.\n", plan.title);
    for (number, phase) in plan.phases.iter().enumerate() {
        let minutes = match phase.expect_minutes {
            Some((from, to)) if from == to => format!("  ({to} min)"),
            Some((from, to)) => format!("  ({from} to {to} min)"),
            None => String::new(),
        };
        text.push_str(&format!("\n{:>2}. {}  {}{minutes}\n", number + 1, phase.id, phase.title));
        for step in &phase.steps {
            let retry = if step.on_retry { ", only on a retry" } else { "" };
            text.push_str(&format!("    {} [{}{retry}] {}\n", step.id, step.action.kind(), step.title));
            for line in step.commands() {
                let words: Vec<String> = line.argv.iter().map(|word| shell_quote(word)).collect();
                let folder = line.dir.map(|folder| format!("cd {} && ", shell_quote(&folder))).unwrap_or_default();
                text.push_str(&format!("        {folder}{}\n", words.join(" ")));
            }
            for line in step.remarks() {
                text.push_str(&format!("        {line}\n"));
            }
            if let Action::Write { paths } = &step.action {
                paths.iter().for_each(|path| text.push_str(&format!("        {path}\n")));
            }
        }
    }
    if !files.is_empty() {
        text.push_str("\nFiles\n");
    }
    for file in files {
        let note = if file.note.is_empty() { String::new() } else { format!("  ({})", file.note) };
        text.push_str(&format!("    {:<9} {}{note}\n", word(file.change), file.path.display()));
    }
    if with_diff {
        for file in files.iter().filter(|file| !file.diff.is_empty()) {
            text.push_str(&format!("\n{}: {}\n{}", word(file.change), file.path.display(), file.diff));
        }
    }
    text
}
