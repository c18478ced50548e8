//! `mosip-setup fetch`: brings a profile's sources at their pinned commits into the state folder.

use std::collections::BTreeMap;

use clap::Args;
use color_eyre::Report;
use serde_json::json;

use super::common::{Common, Failure, absolute, note, print};
use crate::adapters::sources::SourceError;
use crate::adapters::{profiles, sites, sources};
use crate::exit::Exit;
use crate::install::profile::Profile;
use crate::install::site::SourceOverride;

/// Brings a profile's sources at their pinned commits into the state folder.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The profile, where no site is named.
    #[arg(long, value_name = "ID")]
    pub profile: Option<String>,
    /// Another place for a source: a clone, a bundle, a plain folder or an address. With a site it is kept in the site file; without one the
    /// pinned commit is taken from there.
    #[arg(long = "source", value_name = "NAME=PATH|URL")]
    pub sources: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn run(args: &FetchArgs, common: &Common) -> Result<Exit, Report> {
    match fetch(args, common) {
        Ok(fetched) if common.json => common.print_json(&json!({ "sources": fetched })).map(|()| Exit::Done),
        Ok(fetched) => {
            for source in fetched {
                print(&format!("{} {} {}\n", text(&source, "name"), text(&source, "commit"), text(&source, "path")))?;
            }
            Ok(Exit::Done)
        }
        Err(failure) => failure.report(common),
    }
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default()
}

fn places(args: &FetchArgs, profile: &Profile) -> Result<BTreeMap<String, SourceOverride>, Failure> {
    let mut places = BTreeMap::new();
    for place in &args.sources {
        let Some((name, from)) = place.split_once('=') else {
            return Err(Failure::usage(format!("--source {place}: write NAME=PATH or NAME=URL")));
        };
        if !profile.sources.keys().any(|known| known == name) {
            let known: Vec<&str> = profile.sources.keys().map(|known| known.as_str()).collect();
            return Err(Failure::usage(format!("--source {place}: the profile has no source '{name}', only {}", known.join(", "))));
        }
        let is_address = from.contains("://") || (from.contains('@') && from.contains(':'));
        let over = match is_address {
            true => SourceOverride { git: Some(from.to_owned()), ..SourceOverride::default() },
            false => SourceOverride { path: Some(absolute(from.as_ref())), ..SourceOverride::default() },
        };
        places.insert(name.to_owned(), over);
    }
    Ok(places)
}

fn fetch(args: &FetchArgs, common: &Common) -> Result<Vec<serde_json::Value>, Failure> {
    let mut progress = |line: &str| note(line);
    let paths = common.paths().map_err(|error| Failure { exit: Exit::CannotWrite, message: error.to_string(), problems: vec![] })?;
    let mut site = match (&common.site, &args.profile) {
        (None, Some(_)) => None,
        _ => Some(common.project()?),
    };
    let profile = match (&site, &args.profile) {
        (Some(project), _) => project.profile.clone(),
        (None, id) => profiles::load(id.as_deref().unwrap_or_default()).map_err(|error| Failure::usage(error.to_string()))?,
    };
    let places = places(args, &profile)?;
    let mut overrides = BTreeMap::new();
    if let Some(project) = &site {
        let mut draft = project.open.file.draft.clone();
        for (name, over) in &places {
            let entry = draft.sources.entry(name.clone()).or_default();
            // A commit that the site names stays.
            *entry = SourceOverride { commit: entry.commit.take(), ..over.clone() };
        }
        overrides = draft.sources;
    }
    let none = SourceOverride::default();
    let mut result = Vec::new();
    for (id, source) in &profile.sources {
        let name = id.as_str();
        let fetched = match places.get(name).filter(|_| site.is_none()) {
            Some(from) => sources::fetch_pinned(name, source, from, &paths, &mut progress),
            None => sources::fetch(name, source, overrides.get(name).unwrap_or(&none), &paths, &mut progress),
        };
        let fetched = fetched.map_err(|error| {
            let exit = match &error {
                SourceError::NoCommit { .. } | SourceError::NoPath { .. } | SourceError::Layout { .. } => Exit::Usage,
                SourceError::Io { .. } | SourceError::Path(_) => Exit::CannotWrite,
                SourceError::NoGit(_) | SourceError::Unreachable { .. } => Exit::PhaseFailed,
            };
            Failure { exit, message: error.to_string(), problems: vec![] }
        })?;
        if let Some(warning) = &fetched.warning {
            note(&format!("warning: {name} {warning}"));
        }
        result.push(json!({ "name": name, "path": fetched.path, "commit": fetched.commit, "warning": fetched.warning }));
    }
    // Kept only now: a place that does not fit must not stay in the site file.
    if let Some(project) = site.as_mut().filter(|_| !places.is_empty()) {
        let mut draft = project.open.file.draft.clone();
        draft.sources = overrides;
        sites::save(&mut project.open, &draft, &profile).map_err(crate::adapters::project::ProjectError::from)?;
    }
    Ok(result)
}
