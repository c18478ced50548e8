//! `mosip-setup new`: writes a commented site file.

use std::path::PathBuf;

use clap::Args;
use color_eyre::Report;
use serde_json::json;

use super::common::{Common, Failure, note, print};
use crate::adapters::project::ProjectError;
use crate::adapters::sites::{self, OpenSite};
use crate::adapters::{import, profiles};
use crate::exit::Exit;
use crate::install::site::Draft;

/// Writes a commented site file.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The profile that it answers.
    #[arg(long, value_name = "ID")]
    pub profile: String,
    /// Read inventories and variables of an existing checkout.
    #[arg(long, value_name = "DIR")]
    pub import: Option<PathBuf>,
    /// Set a value: FIELD=…, machine.NAME.address=…, secret.FIELD=env:NAME, advanced.TEMPLATE.KEY=…
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &NewArgs, common: &Common) -> Result<Exit, Report> {
    match new(args, common) {
        Ok((site, open)) if common.json => {
            common.print_json(&json!({ "site": site.path, "id": site.file.draft.id, "problems": open }))?;
            Ok(Exit::Done)
        }
        Ok((site, open)) => {
            print(&format!("{}\n", site.path.display()))?;
            if !open.is_empty() {
                note(&format!("{} things are still missing or wrong; mosip-setup site check names them", open.len()));
            }
            Ok(Exit::Done)
        }
        Err(failure) => failure.report(common),
    }
}

fn new(args: &NewArgs, common: &Common) -> Result<(OpenSite, Vec<String>), Failure> {
    let Some(path) = &common.site else { return Err(Failure::usage("where to? Name the new file with --site FILE")) };
    if path.exists() {
        return Err(Failure::usage(format!("{} exists already; edit it, or name another file", path.display())));
    }
    let profile = profiles::load(&args.profile).map_err(|error| Failure::usage(error.to_string()))?;
    let mut draft = match &args.import {
        Some(folder) => {
            let imported = import::import(&profile, folder).map_err(Failure::usage)?;
            imported.notes.iter().for_each(|line| note(line));
            imported.draft
        }
        None => Draft::new(&profile),
    };
    let mut problems = Vec::new();
    for setting in &args.set {
        match setting.split_once('=') {
            Some((key, value)) => {
                if let Err(error) = draft.set(&profile, key, value) {
                    problems.push(format!("--set {}: {}", error.key, error.message));
                }
            }
            None => problems.push(format!("--set {setting}: write KEY=VALUE")),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::usage(problems.join("\n")));
    }
    let mut site = OpenSite::unsaved(path, Draft::default()).map_err(ProjectError::from)?;
    // A profile given by path is found again beside the site file or by that path.
    if args.profile.contains('/') || args.profile.ends_with(".toml") {
        draft.profile = profile.id.to_string();
    }
    sites::save(&mut site, &draft, &profile).map_err(ProjectError::from)?;
    if let Ok(paths) = common.paths() {
        drop(paths.remember_site(&site.path));
    }
    let open = site.file.validate(&profile, None).err().unwrap_or_default().iter().map(ToString::to_string).collect();
    Ok((site, open))
}
