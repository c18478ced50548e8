//! `mosip-setup site`: the answers.

use clap::{Args, Subcommand};
use color_eyre::Report;
use serde_json::json;

use super::common::{Common, Failure, note, print};
use crate::adapters::project::ProjectError;
use crate::exit::Exit;
use crate::run::state::State;

/// Looks at a site's answers.
#[derive(Debug, Args)]
pub struct SiteArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: SiteVerb,
}

/// What to do with a site.
#[derive(Debug, Subcommand)]
pub enum SiteVerb {
    /// Check all answers: one line a problem, with file, line, key, what is wrong and what would be right.
    Check,
}

/// Runs the verb.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &SiteArgs, common: &Common) -> Result<Exit, Report> {
    let SiteVerb::Check = args.verb;
    let project = match common.project() {
        Ok(project) => project,
        Err(failure) => return report(&failure, common),
    };
    match project.plan() {
        Ok(_) if common.json => common.print_json(&json!({ "problems": [] })).map(|()| Exit::Done),
        Ok(plan) => {
            print(&format!("{}: all answers fit profile {}\n", project.open.path.display(), project.profile.id))?;
            if let Some(trouble) = common.setup().ok().and_then(|setup| setup.catalogue_trouble(&project)) {
                note(&trouble);
            }
            // What going on with a run would mean. A run that cannot be read is reported where it is gone on with.
            if let Ok(setup) = common.setup()
                && let Ok(folder) = project.state()
                && let Ok(Some(found)) = setup.last_run(&folder)
                && let Err(failure) = super::retry::announce(common, &State { plan, ..found.state })
            {
                return Ok(failure.exit);
            }
            Ok(Exit::Done)
        }
        // A site without id has nothing to be planned for yet; its answers may be fine all the same.
        Err(ProjectError::Path(crate::adapters::paths::PathError::NoSiteId)) => {
            let failure = Failure::usage(format!(
                "{}: id: is missing: write id = \"{}\" at the top; it stays with the site for good",
                project.open.path.display(),
                crate::adapters::paths::new_site_id()?
            ));
            report(&failure, common)
        }
        Err(error) => report(&Failure::from(error), common),
    }
}

/// Problems are this verb's output, so they go to stdout.
fn report(failure: &Failure, common: &Common) -> Result<Exit, Report> {
    if common.json {
        common.print_json(&json!({ "error": failure.message, "problems": failure.problems }))?;
    } else {
        print(&format!("{}\n", failure.message))?;
    }
    Ok(failure.exit)
}
