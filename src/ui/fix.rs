//! Fix-ups: the script of a finding's check, shown with the machines it is for, run on consent, and how it ended on each.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{Model, Screen};
use super::desk::{Again, Command, Trouble};
use super::keymap::Action;
use super::popup::Popup;
use super::{host_keys, popup_view, preflight, theme, widgets};
use crate::install::check::Target;
use crate::install::fix::{Mended, PlannedFix, for_finding};

/// How many lines of output are kept for the eye; all of it is in the site's `preflight.jsonl`.
const KEPT: usize = 500;

/// A fix, from the question to its end.
#[derive(Debug, Clone)]
pub struct FixUp {
    /// The fix of the finding under the cursor first, then those of the same check elsewhere.
    pub fixes: Vec<PlannedFix>,
    /// What was observed on each, in the same order.
    pub observed: Vec<String>,
    /// What the scripts have printed, with where; none: nobody has agreed yet.
    pub said: Option<Vec<(Target, String)>>,
    /// How it ended on each.
    pub ended: Vec<Mended>,
    /// How far the text is scrolled.
    pub top: usize,
    /// Which button has the focus; the first is the safe one.
    pub button: usize,
}

impl FixUp {
    fn is_asking(&self) -> bool {
        self.said.is_none()
    }

    fn is_running(&self) -> bool {
        self.said.is_some() && self.ended.is_empty()
    }

    fn buttons(&self) -> Vec<String> {
        if !self.is_asking() {
            return vec![if self.is_running() { "Running" } else { "Close" }.to_owned()];
        }
        let name = |target: &Target| target.to_string().trim_start_matches("machine:").replace("local", "this machine");
        let mut buttons = vec!["Not now".to_owned()];
        buttons.extend(self.fixes.first().map(|fix| format!("Run on {}", name(&fix.target))));
        if self.fixes.len() > 1 {
            buttons.push(format!("Run on all {}", self.fixes.len()));
        }
        buttons
    }
}

/// Shows the script for the finding under the cursor.
pub fn ask(model: &mut Model) -> Vec<Command> {
    let Some(plan) = model.review.plan.clone() else { return Vec::new() };
    let Some(finding) = model.preflight.finding().cloned() else { return Vec::new() };
    // A new key is recorded after it has been compared; a changed one never is from here.
    if preflight::is_about_host_key(&finding) {
        return host_keys::ask(model);
    }
    let Some(first) = for_finding(&plan, &finding) else {
        model.say(if finding.verdict == crate::install::check::Verdict::Pass {
            "This finding is green"
        } else {
            "There is no script for this finding: see its remedy"
        });
        return Vec::new();
    };
    let others = model.preflight.findings().filter(|other| other.check == finding.check && other.target != finding.target);
    let others: Vec<_> = others.filter_map(|other| Some((for_finding(&plan, other)?, other.observed.clone()))).collect();
    let (mut fixes, mut observed) = (vec![first], vec![finding.observed]);
    for (fix, seen) in others {
        fixes.push(fix);
        observed.push(seen);
    }
    let fix_up = FixUp { fixes, observed, said: None, ended: Vec::new(), top: 0, button: 0 };
    model.popups.push(Popup::Fix(Box::new(fix_up)));
    Vec::new()
}

/// Does what a key in the popup means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = usize::from(model.size.1 / 3).max(1);
    let Some(Popup::Fix(fix)) = model.popups.last_mut() else { return Vec::new() };
    let last = fix.buttons().len() - 1;
    match action {
        Action::Up => fix.top = fix.top.saturating_sub(1),
        Action::Down => fix.top += 1,
        Action::PageUp => fix.top = fix.top.saturating_sub(page),
        Action::PageDown => fix.top += page,
        Action::Home => fix.top = 0,
        Action::Left => fix.button = fix.button.saturating_sub(1),
        Action::Right => fix.button = (fix.button + 1).min(last),
        Action::Yes if fix.is_asking() => return agreed(model, 1),
        Action::Enter | Action::Toggle if fix.is_asking() && fix.button > 0 => {
            let count = if fix.button == 1 { 1 } else { fix.fixes.len() };
            return agreed(model, count);
        }
        Action::Enter | Action::Toggle | Action::Back if !fix.is_running() => drop(model.popups.pop()),
        _ => {}
    }
    Vec::new()
}

fn agreed(model: &mut Model, count: usize) -> Vec<Command> {
    let site = model.site_path();
    let Some(Popup::Fix(fix)) = model.popups.last_mut() else { return Vec::new() };
    fix.fixes.truncate(count);
    fix.observed.truncate(count);
    (fix.said, fix.top, fix.button) = (Some(Vec::new()), 0, 0);
    vec![Command::Mend { site, fixes: fix.fixes.clone() }]
}

fn shown(model: &mut Model) -> Option<&mut FixUp> {
    model.popups.iter_mut().find_map(|popup| match popup {
        Popup::Fix(fix) => Some(&mut **fix),
        _ => None,
    })
}

/// A script prints a line.
pub fn said(model: &mut Model, target: Target, line: String) {
    let Some(fix) = shown(model) else { return };
    let Some(said) = &mut fix.said else { return };
    said.push((target, line));
    if said.len() > KEPT {
        said.remove(0);
    }
    // The last line is what is looked at.
    fix.top = usize::MAX / 2;
}

/// The scripts have ended; what they were for is checked again.
pub fn mended(model: &mut Model, result: Result<Vec<Mended>, Trouble>) -> Vec<Command> {
    match result {
        Ok(ended) => {
            let pairs = ended.iter().map(|one| (one.fix.check.clone(), one.fix.target.clone())).collect();
            let failed = ended.iter().filter(|one| !one.is_good()).count();
            if failed > 0 {
                model.complain(format!("The script did not come to a good end in {failed} of {} places", ended.len()));
            }
            if let Some(fix) = shown(model) {
                fix.ended = ended;
                fix.top = usize::MAX / 2;
            }
            if model.screen == Screen::Preflight { preflight::again_with(model, Again::These(pairs)) } else { Vec::new() }
        }
        Err(trouble) => {
            model.popups.retain(|popup| !matches!(popup, Popup::Fix(_)));
            model.popups.push(Popup::trouble("The scripts were not run", &trouble));
            Vec::new()
        }
    }
}

fn text(fix: &FixUp, columns: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let Some(first) = fix.fixes.first() else { return lines };
    if let Some(said) = &fix.said {
        let several = fix.fixes.len() > 1;
        for (target, line) in said {
            let line = if several { format!("{target}  {line}") } else { line.clone() };
            lines.extend(popup_view::paragraph(&line, columns, theme::text()));
        }
        for one in &fix.ended {
            let style = if one.is_good() { theme::good() } else { theme::bad() };
            lines.extend(popup_view::paragraph(&format!("{}: {}", one.fix.target, one.end()), columns, style));
        }
        if lines.is_empty() {
            lines.push(Line::from(Span::styled("Nothing is printed yet.", theme::faint())));
        }
        return lines;
    }
    lines.extend(popup_view::paragraph(&first.fix.does, columns, theme::text()));
    lines.push(Line::default());
    for (fix, observed) in fix.fixes.iter().zip(&fix.observed) {
        lines.extend(popup_view::paragraph(&format!("{}: {observed}", fix.target), columns, theme::faint()));
    }
    lines.push(Line::default());
    let who = if first.fix.sudo { "as root, with sudo" } else { "as the SSH user" };
    let place = if first.target == Target::Local { "on this deployment node" } else { "on the machine" };
    lines.extend(popup_view::paragraph(&format!("The script, {place}, {who}:"), columns, theme::text()));
    for line in first.fix.script.trim_end().lines() {
        lines.extend(popup_view::paragraph(&format!("  {line}"), columns, theme::accent()));
    }
    lines
}

/// Draws the popup.
pub fn view(fix: &FixUp, frame: &mut Frame<'_>, area: Rect, top: bool) {
    let columns = if area.width >= 110 { 100 } else { area.width.saturating_sub(8).min(70) };
    let lines = text(fix, columns);
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
    let check = fix.fixes.first().map(|fix| fix.check.to_string()).unwrap_or_default();
    let title = match (fix.is_asking(), fix.is_running()) {
        (true, _) => format!("Put {check} right?"),
        (_, true) => format!("Putting {check} right"),
        _ => format!("{check}: checked again"),
    };
    let inner = widgets::popup(frame, area, &title, columns, rows.min(area.height), theme::accent());
    let below = inner.height.min(2);
    widgets::paged(frame, Rect { height: inner.height.saturating_sub(below + 1), ..inner }, lines, fix.top);
    let labels = fix.buttons();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let note = if fix.is_asking() { "y: run it there   arrows: scroll   it is recorded in preflight.jsonl" } else { "" };
    let last = vec![widgets::buttons(&labels, top.then_some(fix.button)), Line::from(Span::styled(note, theme::faint()))];
    frame.render_widget(Paragraph::new(last), Rect { y: inner.bottom() - below, height: below, ..inner });
}
