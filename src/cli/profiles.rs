//! `mosip-setup profiles`: the kinds of installation.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use color_eyre::Report;
use serde_json::json;

use super::common::{Common, Failure, print};
use crate::adapters::profiles::{self, ProfileError};
use crate::exit::Exit;
use crate::install::profile::Profile;

/// Lists, shows and checks profiles.
#[derive(Debug, Args)]
pub struct ProfilesArgs {
    /// What to do; without it, the list.
    #[command(subcommand)]
    pub verb: Option<ProfilesVerb>,
}

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfilesVerb {
    /// The shipped profiles.
    List,
    /// What a profile asks, needs and does.
    Show {
        /// Its name, or the path of its file.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Check a profile of your own: one line a problem, with file, line and key.
    Check {
        /// Its file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Runs the verb.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &ProfilesArgs, common: &Common) -> Result<Exit, Report> {
    match &args.verb {
        None | Some(ProfilesVerb::List) => list(common),
        Some(ProfilesVerb::Show { id }) => match profiles::load(id) {
            Ok(profile) => show(&profile, common),
            Err(error) => failure(error).report(common),
        },
        Some(ProfilesVerb::Check { file }) => {
            let path = file.display().to_string();
            // A bare name is a file here, never a shipped profile.
            let path = if path.contains('/') { path } else { format!("./{path}") };
            match profiles::load(&path) {
                Ok(profile) if common.json => {
                    common.print_json(&json!({ "profile": profile.id, "problems": [] }))?;
                    Ok(Exit::Done)
                }
                Ok(profile) => {
                    print(&format!(
                        "{}: profile {} is in order: {} fields, {} roles, {} checks, {} files, {} phases\n",
                        file.display(),
                        profile.id,
                        profile.fields.len(),
                        profile.roles.len(),
                        profile.checks.len(),
                        profile.files.len(),
                        profile.phases.len()
                    ))?;
                    Ok(Exit::Done)
                }
                Err(error) => {
                    let failure = failure(error);
                    if common.json {
                        common.print_json(&json!({ "error": failure.message, "problems": failure.problems }))?;
                    } else {
                        print(&format!("{}\n", failure.message))?;
                    }
                    Ok(failure.exit)
                }
            }
        }
    }
}

fn failure(error: ProfileError) -> Failure {
    let message = error.to_string();
    let problems = if let ProfileError::Invalid(problems) = error { problems } else { Vec::new() };
    Failure { exit: Exit::Usage, message, problems }
}

fn list(common: &Common) -> Result<Exit, Report> {
    let list = profiles::list();
    if common.json {
        let entries: Vec<_> = list.iter().map(|entry| json!({ "id": entry.id, "title": entry.title, "summary": entry.summary })).collect();
        common.print_json(&json!({ "profiles": entries }))?;
        return Ok(Exit::Done);
    }
    for entry in list {
        print(&format!("{}  {}\n    {}\n", entry.id, entry.title, entry.summary.replace('\n', "\n    ")))?;
    }
    Ok(Exit::Done)
}

fn show(profile: &Profile, common: &Common) -> Result<Exit, Report> {
    if common.json {
        let phases: Vec<_> = profile
            .phases
            .iter()
            .map(|phase| json!({ "id": phase.id, "title": phase.title, "needs": phase.needs, "expect_minutes": phase.expect_minutes }))
            .collect();
        common.print_json(&json!({
            "id": profile.id, "title": profile.title, "summary": profile.summary, "sources": profile.sources,
            "fields": profile.fields, "roles": profile.roles, "checks": profile.checks, "phases": phases,
        }))?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{}  {}\n\n{}\n\nMachines\n", profile.id, profile.title, profile.summary.trim());
    for role in &profile.roles {
        let size =
            if role.cpu > 0 { format!(", {} CPU, {} GiB, {} GiB disk", role.cpu, role.ram_gib, role.disk_gib) } else { String::new() };
        let most = role
            .count
            .max
            .map_or_else(|| " or more".to_owned(), |max| if max == role.count.min { String::new() } else { format!(" to {max}") });
        text.push_str(&format!("  {:<28} {} ({}{most}{size})\n", role.id, role.title, role.count.min));
    }
    text.push_str("\nQuestions\n");
    for section in profile.sections() {
        let fields: Vec<&str> = profile.fields.iter().filter(|field| field.section == section).map(|field| field.id.as_str()).collect();
        text.push_str(&format!("  {section}: {}\n", fields.join(", ")));
    }
    text.push_str("\nPhases\n");
    for phase in &profile.phases {
        let minutes = phase.expect_minutes.map(|(from, to)| format!("{from} to {to} min")).unwrap_or_default();
        text.push_str(&format!("  {:<16} {:<14} {}\n", phase.id, minutes, phase.title));
    }
    print(&text)?;
    Ok(Exit::Done)
}
