//! The start screen: runs and sites known from before, new sites, fetching.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::app::{Model, Screen};
use super::desk::{Command, FetchProgress, LoadedSite, Overview, RunEntry, Trouble};
use super::keymap::Action;
use super::popup::{EntryFor, Popup, Then};
use super::review;
use super::site::SiteForm;
use super::{text, theme, widgets};
use crate::install::profile::Profile;
use crate::install::site::Draft;

/// The start screen.
#[derive(Debug, Default)]
pub struct Start {
    /// What there is.
    pub overview: Overview,
    /// Whether that is known yet.
    pub known: bool,
    /// Which entry has the focus.
    pub selected: usize,
    /// How far a fetch is.
    pub fetching: Option<FetchProgress>,
    /// A profile for which a new site is being made.
    pub profile: Option<Arc<Profile>>,
    /// The run is to be opened as soon as the site is read.
    pub resume: bool,
}

/// An entry of the start screen.
#[derive(Debug, Clone)]
pub enum Offer {
    /// Take up the open run of a site.
    Resume(usize, RunEntry),
    /// Open a site.
    Site(usize),
    /// A new site for a profile.
    New(usize),
    /// Open a site file by its path.
    Path,
}

impl Start {
    /// The entries, in order.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let sites = &self.overview.sites;
        let runs = sites.iter().enumerate().filter_map(|(number, site)| site.run.clone().map(|run| Offer::Resume(number, run)));
        let known = (0..sites.len()).map(Offer::Site);
        let new = (0..self.overview.profiles.len()).map(Offer::New);
        // Who has no site yet begins with a new one.
        if sites.is_empty() { new.chain([Offer::Path]).collect() } else { runs.chain(known).chain([Offer::Path]).chain(new).collect() }
    }

    /// The profile that the selected entry is about.
    #[must_use]
    pub fn chosen(&self) -> Option<Arc<Profile>> {
        match self.offers().get(self.selected) {
            Some(Offer::New(number)) => self.overview.profiles.get(*number).map(|entry| Arc::clone(&entry.profile)),
            _ => None,
        }
    }

    fn is_fetched(&self, profile: &Profile) -> bool {
        self.overview.profiles.iter().any(|entry| entry.profile.id == profile.id && entry.fetched)
    }
}

/// What there is was found out.
pub fn overview(model: &mut Model, result: Result<Overview, Trouble>) -> Vec<Command> {
    model.start.known = true;
    match result {
        Ok(overview) => {
            model.start.overview = overview;
            model.start.selected = model.start.selected.min(model.start.offers().len() - 1);
        }
        Err(trouble) => model.popups.push(Popup::trouble("Profiles and sites cannot be read", &trouble)),
    }
    Vec::new()
}

/// A site file was read, or not.
pub fn loaded(model: &mut Model, result: Result<Box<LoadedSite>, Trouble>) -> Vec<Command> {
    model.busy = None;
    let resume = std::mem::take(&mut model.start.resume);
    match result {
        Ok(loaded) => {
            let LoadedSite { path, draft, profile, fetched, run } = *loaded;
            model.site = Some(SiteForm::new(path, profile, draft, true, fetched));
            model.screen = Screen::Site;
            model.run = None;
            model.review.living = run.as_ref().is_some_and(|run| run.engine);
            if resume {
                return review::open_run(model, false);
            }
            if let Some(run) = run {
                model.popups.push(Popup::confirm(
                    "This site has a run",
                    format!("{}.\nIt is opened as it stands; nothing starts before you say so. A step that still runs is shown.", run.note),
                    &[("Open the run", Some('y'), Then::OpenRun), ("Look at the answers", None, Then::Close)],
                ));
            }
            Vec::new()
        }
        Err(trouble) => {
            model.popups.push(Popup::trouble("The site file cannot be opened", &trouble));
            Vec::new()
        }
    }
}

/// Opens a site file.
pub fn open(model: &mut Model, path: PathBuf) -> Vec<Command> {
    model.busy = Some(format!("Reading {}", path.display()));
    vec![Command::LoadSite { path }]
}

/// Begins a new site.
pub fn create(model: &mut Model, path: PathBuf) -> Vec<Command> {
    let Some(profile) = model.start.profile.take() else { return Vec::new() };
    let fetched = model.start.is_fetched(&profile);
    let draft = Draft::new(&profile);
    if !fetched {
        model.popups.push(Popup::fetch_consent(&profile));
    }
    model.site = Some(SiteForm::new(path, profile, draft, false, fetched));
    model.screen = Screen::Site;
    model.run = None;
    Vec::new()
}

/// A fetch ended.
pub fn fetched(model: &mut Model, result: Result<(), Trouble>) -> Vec<Command> {
    model.start.fetching = None;
    model.popups.retain(|popup| !matches!(popup, Popup::Fetching));
    match result {
        Ok(()) => {
            model.say("The sources are here");
            if let Some(site) = &mut model.site {
                site.fetched = true;
            }
            vec![Command::LoadOverview]
        }
        Err(trouble) => {
            model.popups.push(Popup::trouble("The sources cannot be fetched", &trouble));
            Vec::new()
        }
    }
}

/// Does what a key on the start screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let offers = model.start.offers();
    let last = offers.len() - 1;
    let start = &mut model.start;
    match action {
        Action::Up | Action::Previous => start.selected = start.selected.saturating_sub(1),
        Action::Down | Action::Next => start.selected = (start.selected + 1).min(last),
        Action::Home | Action::PageUp => start.selected = 0,
        Action::End | Action::PageDown => start.selected = last,
        Action::Open => return ask_path(model),
        Action::Fetch => {
            if let Some(profile) = start.chosen() {
                model.popups.push(Popup::fetch_consent(&profile));
            }
        }
        Action::Enter | Action::Toggle | Action::Right => match offers.get(start.selected) {
            Some(Offer::Resume(site, _)) => {
                let path = start.overview.sites[*site].path.clone();
                start.resume = true;
                return open(model, path);
            }
            Some(Offer::Site(site)) => {
                let path = start.overview.sites[*site].path.clone();
                return open(model, path);
            }
            Some(Offer::New(number)) => {
                let entry = start.overview.profiles[*number].clone();
                start.profile = Some(entry.profile);
                let proposed = start.overview.suggested.display().to_string();
                model.popups.push(Popup::entry(
                    "New site",
                    "All answers are kept in one file, which a person can read and write too. Where shall it be?",
                    &proposed,
                    EntryFor::NewPath,
                ));
            }
            Some(Offer::Path) => return ask_path(model),
            None => {}
        },
        _ => {}
    }
    Vec::new()
}

fn ask_path(model: &mut Model) -> Vec<Command> {
    model.popups.push(Popup::entry("Open a site", "The path of its file.", "~/", EntryFor::OpenPath));
    Vec::new()
}

/// Draws the start screen.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let start = &model.start;
    if !start.known {
        frame.render_widget(Line::from(Span::styled("Looking for profiles and sites", theme::faint())), widgets::inset(area, 2, 1));
        return;
    }
    let left_width = (area.width * 9 / 20).clamp(34, 60);
    let [left, gap, right] = Layout::horizontal([Constraint::Length(left_width), Constraint::Length(3), Constraint::Min(10)]).areas(area);
    widgets::divider(frame, gap);
    let columns = usize::from(left.width).saturating_sub(4);
    let mut lines: Vec<Line<'_>> = vec![Line::default()];
    let mut at = 0;
    let mut heading = "";
    for (number, offer) in start.offers().iter().enumerate() {
        let (group, title, note) = match offer {
            Offer::Resume(site, run) => ("Continue a run", start.overview.sites[*site].title.clone(), run.state.clone()),
            Offer::Site(site) => ("Open a site", start.overview.sites[*site].title.clone(), String::new()),
            Offer::New(profile) => ("New site", start.overview.profiles[*profile].profile.title.clone(), String::new()),
            Offer::Path if start.overview.sites.is_empty() => ("Open a site", "A site file, by its path".into(), String::new()),
            Offer::Path => ("Open a site", "Another site file, by its path".into(), String::new()),
        };
        if group != heading {
            if number > 0 {
                lines.push(Line::default());
            }
            lines.push(Line::from(Span::styled(format!(" {group}"), theme::heading())));
            heading = group;
        }
        if number == start.selected {
            at = lines.len();
        }
        let room = columns.saturating_sub(text::width(&note) + usize::from(!note.is_empty()) * 2);
        let style = if number == start.selected { theme::selected() } else { theme::text() };
        let mark = if number == start.selected { " ▸ " } else { "   " };
        let mut spans = vec![Span::styled(format!("{mark}{}", text::fit(&title, room)), style)];
        if !note.is_empty() {
            spans.push(Span::styled(format!("  {note}"), style.patch(theme::warn())));
        }
        spans.push(Span::styled(" ", style));
        lines.push(Line::from(spans));
    }
    widgets::scrolled(frame, left, lines, at);
    details(model, frame, widgets::inset(right, 0, 1));
}

fn details(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let start = &model.start;
    let columns = usize::from(area.width).saturating_sub(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let paragraph = |lines: &mut Vec<Line<'_>>, body: &str, style| {
        lines.extend(text::wrap(body, columns).into_iter().map(|line| Line::from(Span::styled(line, style))));
        lines.push(Line::default());
    };
    match start.offers().get(start.selected) {
        Some(Offer::Resume(site, run)) => {
            let site = &start.overview.sites[*site];
            paragraph(&mut lines, &site.title, theme::heading());
            paragraph(&mut lines, &run.note, theme::text());
            paragraph(&mut lines, "Opens the run as it stands. Nothing starts before you say so.", theme::text());
            paragraph(&mut lines, &format!("{}\nrun {}", site.path.display(), run.id), theme::faint());
        }
        Some(Offer::Site(site)) => {
            let site = &start.overview.sites[*site];
            paragraph(&mut lines, &site.title, theme::heading());
            paragraph(&mut lines, "Look at the answers, change them, check the machines, start.", theme::text());
            paragraph(&mut lines, &format!("{}\nprofile {}", site.path.display(), site.profile), theme::faint());
        }
        Some(Offer::New(number)) => {
            let entry = &start.overview.profiles[*number];
            paragraph(&mut lines, &entry.profile.title, theme::heading());
            paragraph(&mut lines, &entry.profile.summary.trim().replace('\n', " "), theme::text());
            let roles = entry.profile.roles.iter().filter(|role| role.count.default > 0 && role.cpu > 0).map(|role| {
                format!(
                    "{} x {}: {} CPU, {} GiB memory, {} GiB disk",
                    role.count.default, role.title, role.cpu, role.ram_gib, role.disk_gib
                )
            });
            let roles: Vec<String> = roles.collect();
            if !roles.is_empty() {
                paragraph(&mut lines, "Machines, by default", theme::heading());
                paragraph(&mut lines, &roles.join("\n"), theme::text());
            }
            let sources = if entry.fetched { "Its sources are here." } else { "Its sources are not here yet: f fetches them." };
            paragraph(&mut lines, sources, if entry.fetched { theme::faint() } else { theme::warn() });
        }
        _ => {
            paragraph(&mut lines, "Open a site file", theme::heading());
            paragraph(&mut lines, "A file written by this program or by hand: mosip-setup new writes a commented one.", theme::text());
        }
    }
    if model.rehearsal {
        paragraph(
            &mut lines,
            "This is a rehearsal: the same screens over recorded machines. Nothing outside a scratch folder is touched.",
            theme::accent(),
        );
    } else {
        paragraph(&mut lines, "To practise first: leave, and run mosip-setup rehearse.", theme::faint());
    }
    frame.render_widget(ratatui::widgets::Paragraph::new(lines), area);
}
