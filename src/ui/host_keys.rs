//! First contact: the host keys that machines present, compared by the operator and recorded where they are new.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{Model, Screen};
use super::desk::{Command, HostKeySeen, Trouble};
use super::keymap::Action;
use super::popup::Popup;
use super::{popup_view, preflight, text, theme, widgets};
use crate::install::facts::{HostKey, HostKeyAnswer};
use crate::install::ids::MachineName;
use crate::install::planner::shell_quote;

/// The host keys of the machines, and what the operator makes of them.
#[derive(Debug, Clone)]
pub struct HostKeys {
    /// What each machine presents, what needs a look first.
    pub seen: Vec<HostKeySeen>,
    /// How far the list is scrolled.
    pub top: usize,
    /// Which button has the focus; the first is the safe one.
    pub button: usize,
}

impl HostKeys {
    /// How many are met for the first time.
    #[must_use]
    pub fn new_ones(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen.answer, HostKeyAnswer::Unknown(_))).count()
    }

    fn buttons(&self) -> &'static [&'static str] {
        if self.new_ones() > 0 { &["Not now", "Record the new keys"] } else { &["Close"] }
    }
}

fn rank(answer: &HostKeyAnswer) -> u8 {
    match answer {
        HostKeyAnswer::Changed { .. } => 0,
        HostKeyAnswer::Revoked(_) => 1,
        HostKeyAnswer::Unknown(_) => 2,
        HostKeyAnswer::Failed(_) => 3,
        HostKeyAnswer::Known(_) => 4,
    }
}

/// Asks all machines for their keys.
pub fn ask(model: &mut Model) -> Vec<Command> {
    model.busy = Some("Asking the machines for their host keys".into());
    vec![Command::ScanHostKeys { site: model.site_path() }]
}

/// The machines have answered.
pub fn seen(model: &mut Model, result: Result<Vec<HostKeySeen>, Trouble>) {
    model.busy = None;
    if model.screen != Screen::Preflight {
        return;
    }
    match result {
        Ok(mut seen) => {
            seen.sort_by_key(|seen| rank(&seen.answer));
            model.popups.retain(|popup| !matches!(popup, Popup::HostKeys(_)));
            model.popups.push(Popup::HostKeys(Box::new(HostKeys { seen, top: 0, button: 0 })));
        }
        Err(trouble) => model.popups.push(Popup::trouble("The machines cannot be asked for their host keys", &trouble)),
    }
}

/// The keys were recorded, or not; then all is checked again.
pub fn recorded(model: &mut Model, result: Result<Vec<MachineName>, Trouble>) -> Vec<Command> {
    model.busy = None;
    match result {
        Ok(names) => {
            model.say(match names.len() {
                1 => format!("The host key of {} is recorded", names[0]),
                count => format!("The host keys of {count} machines are recorded"),
            });
            if model.screen == Screen::Preflight { preflight::again(model) } else { Vec::new() }
        }
        Err(trouble) => {
            model.popups.push(Popup::trouble("The host keys cannot be recorded", &trouble));
            Vec::new()
        }
    }
}

/// Does what a key in the popup means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = usize::from(model.size.1 / 3).max(1);
    let Some(Popup::HostKeys(keys)) = model.popups.last_mut() else { return Vec::new() };
    match action {
        Action::Up => keys.top = keys.top.saturating_sub(1),
        Action::Down => keys.top = (keys.top + 1).min(keys.seen.len() * 3),
        Action::PageUp => keys.top = keys.top.saturating_sub(page),
        Action::PageDown => keys.top = (keys.top + page).min(keys.seen.len() * 3),
        Action::Home => keys.top = 0,
        Action::Left => keys.button = keys.button.saturating_sub(1),
        Action::Right => keys.button = (keys.button + 1).min(keys.buttons().len() - 1),
        Action::Yes if keys.new_ones() > 0 => return accept(model),
        Action::Enter | Action::Toggle if keys.button == 1 => return accept(model),
        Action::Enter | Action::Toggle | Action::Back => drop(model.popups.pop()),
        _ => {}
    }
    Vec::new()
}

fn accept(model: &mut Model) -> Vec<Command> {
    let Some(Popup::HostKeys(keys)) = model.popups.pop() else { return Vec::new() };
    model.busy = Some("Recording the host keys".into());
    vec![Command::AcceptHostKeys { site: model.site_path(), keys: keys.seen }]
}

/// The lines of one machine: one where there is room, else the fingerprint below.
fn machine(seen: &HostKeySeen, columns: usize, known_hosts: &str, lines: &mut Vec<Line<'static>>) {
    let (glyph, word, style) = match &seen.answer {
        HostKeyAnswer::Changed { .. } => ("✗", "changed", theme::bad()),
        HostKeyAnswer::Revoked(_) => ("✗", "revoked", theme::bad()),
        HostKeyAnswer::Unknown(_) => ("+", "new", theme::warn()),
        HostKeyAnswer::Failed(_) => ("?", "no key", theme::bad()),
        HostKeyAnswer::Known(_) => ("✓", "known", theme::good()),
    };
    let mut head = vec![
        Span::styled(format!("{glyph} {word:<8} "), style),
        Span::styled(format!("{} ", text::fit(seen.machine.as_str(), 10)), theme::heading()),
        Span::styled(format!("{:<15} ", seen.address.to_string()), theme::text()),
    ];
    let kind = |key: &HostKey| key.kind.trim_start_matches("ssh-").trim_start_matches("ecdsa-sha2-").to_owned();
    let mut below: Vec<(String, Style)> = Vec::new();
    match &seen.answer {
        HostKeyAnswer::Known(key) | HostKeyAnswer::Unknown(key) => {
            head.push(Span::styled(format!("{:<8} ", kind(key)), theme::faint()));
            if columns >= 98 {
                head.push(Span::styled(key.fingerprint.clone(), theme::text()));
            } else {
                below.push((key.fingerprint.clone(), theme::text()));
            }
        }
        HostKeyAnswer::Revoked(key) => {
            below.push((format!("{} {}", kind(key), key.fingerprint), theme::bad()));
            below.push(("This key is marked as revoked: give the machine new host keys.".into(), theme::text()));
        }
        HostKeyAnswer::Changed { recorded, presented } => {
            below.extend(recorded.iter().map(|fingerprint| (format!("was {fingerprint}"), theme::bad())));
            below.push((format!("now {} ({})", presented.fingerprint, kind(presented)), theme::bad()));
            let say = "Not recorded here. Find out why it changed: a machine set up anew has a new key, and so has somebody in between. \
                       Where you are sure, take the old key out, then press k again:";
            below.push((say.into(), theme::text()));
            below.push((format!("ssh-keygen -f {} -R {}", shell_quote(known_hosts), seen.address), theme::accent()));
        }
        HostKeyAnswer::Failed(failure) => below.push((failure.detail.clone(), theme::text())),
    }
    lines.push(Line::from(head));
    for (line, style) in below {
        let pieces = text::wrap(&line, columns.saturating_sub(4));
        lines.extend(pieces.into_iter().map(|piece| Line::from(Span::styled(format!("    {piece}"), style))));
    }
}

/// Draws the popup.
pub fn view(model: &Model, keys: &HostKeys, frame: &mut Frame<'_>, area: Rect, top: bool) {
    let columns = if area.width >= 110 { 100 } else { area.width.saturating_sub(12).min(66) };
    let known_hosts = model.review.plan.as_ref().map(|plan| plan.known_hosts.clone()).unwrap_or_default();
    let say = if keys.new_ones() > 0 {
        "Compare each fingerprint with what the machine itself says, as with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    } else {
        "There is no new key to record."
    };
    let mut lines = popup_view::paragraph(say, columns, theme::text());
    lines.push(Line::default());
    for seen in &keys.seen {
        machine(seen, usize::from(columns), &known_hosts, &mut lines);
    }
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
    let bad = keys.seen.iter().any(|seen| rank(&seen.answer) < 2);
    let style = if bad { theme::bad() } else { theme::accent() };
    let inner = widgets::popup(frame, area, "Host keys of the machines", columns, rows.min(area.height), style);
    let below = inner.height.min(2);
    widgets::paged(frame, Rect { height: inner.height.saturating_sub(below + 1), width: inner.width, ..inner }, lines, keys.top);
    let letters = if keys.new_ones() > 0 { format!("y: record the {} new", keys.new_ones()) } else { String::new() };
    let last = vec![widgets::buttons(keys.buttons(), top.then_some(keys.button)), Line::from(Span::styled(letters, theme::faint()))];
    frame.render_widget(Paragraph::new(last), Rect { y: inner.bottom() - below, height: below, ..inner });
}
