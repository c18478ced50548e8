//! `mosip-setup render`: writes the site's files and stops.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use color_eyre::Report;
use serde_json::json;

use super::asking::ask_secret;
use super::common::{Common, Failure, note, print};
use super::plan::{file_json, word};
use crate::adapters::files::render::{self, Change, Rendered, Scope, Written};
use crate::adapters::sources;
use crate::exit::Exit;

/// Writes the site's files into the working checkout, and stops.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Write this file although it was changed by hand; a copy of it is kept beside it.
    #[arg(long, value_name = "PATH")]
    pub overwrite: Vec<PathBuf>,
}

/// Runs the verb. Ends with 1 when a file was kept because of a change by hand.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &RenderArgs, common: &Common) -> Result<Exit, Report> {
    let (files, written) = match render(args, common) {
        Ok(done) => done,
        Err(failure) => return failure.report(common),
    };
    if common.json {
        let list: Vec<_> = files.iter().map(file_json).collect();
        common.print_json(&json!({ "files": list, "conflicts": written.conflicts, "backups": written.backups }))?;
    } else {
        for file in &files {
            let remark = if file.note.is_empty() { String::new() } else { format!("  ({})", file.note) };
            print(&format!("{:<9} {}{remark}\n", word(file.change), file.path.display()))?;
        }
    }
    for copy in &written.backups {
        note(&format!("what stood there is kept as {}", copy.display()));
    }
    if written.conflicts.is_empty() {
        return Ok(Exit::Done);
    }
    note(
        "Files in conflict are kept. See mosip-setup plan --diff; bring your changes into the site file, or name a file with --overwrite PATH.",
    );
    Ok(Exit::PhaseFailed)
}

fn render(args: &RenderArgs, common: &Common) -> Result<(Vec<Rendered>, Written), Failure> {
    let project = common.project()?;
    let plan = project.plan()?;
    let cannot = |message: String| Failure { exit: Exit::CannotWrite, message, problems: Vec::new() };
    for (name, source) in &plan.sources {
        let fetched = project.fetched.get(name.as_str()).cloned().unwrap_or_default();
        sources::check_out(name.as_str(), &fetched, source.source.checkout.as_ref(), &mut |line| note(line))
            .map_err(|error| Failure::usage(error.to_string()))?;
        let inspection = sources::inspect(source.source.checkout.as_ref(), &source.source);
        if let Some(message) = inspection.error() {
            return Err(Failure::usage(format!("{}: {message}", source.source.checkout)));
        }
        if let Some(warning) = inspection.warning() {
            note(&format!("warning: {} {warning}", source.source.checkout));
        }
    }
    let secrets = project
        .secrets(&plan, &ask_secret)?
        .map_err(|errors| Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let mut state = project.render_state()?;
    let files = render::render(&plan, Scope { only: None, preview: true }, &secrets, &state)
        .map_err(|errors| Failure::usage(errors.to_string()))?;
    let overwrite: BTreeSet<PathBuf> = args.overwrite.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
    if let Some(path) = overwrite.iter().find(|path| !files.iter().any(|file| file.path == **path && file.change == Change::Conflict)) {
        return Err(Failure::usage(format!("--overwrite {}: this file is not in conflict", path.display())));
    }
    let written = render::write(&files, &overwrite, &mut state).map_err(|error| cannot(error.to_string()))?;
    render::exclude(&plan).map_err(|error| cannot(error.to_string()))?;
    Ok((files, written))
}
