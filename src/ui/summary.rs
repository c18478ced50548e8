//! The summary: what was reached, what deserves a look, what was skipped, what to do next. Also the text left in the scrollback.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::{Model, Screen};
use super::desk::Command;
use super::keymap::Action;
use super::{review, text, theme, widgets};
use crate::run::state::{PhaseState, State};

/// One word for the run, as `status --json` has it.
#[must_use]
pub fn word(state: &State) -> &'static str {
    state.summary()
}

/// Does what a key on the summary screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = usize::from(model.size.1 / 2);
    match action {
        Action::Up => model.summary_top = model.summary_top.saturating_sub(1),
        Action::Down => model.summary_top += 1,
        Action::PageUp => model.summary_top = model.summary_top.saturating_sub(page),
        Action::PageDown => model.summary_top += page,
        Action::Home => model.summary_top = 0,
        Action::Back => model.screen = Screen::Run,
        Action::NewRun => review::ask_for_new_run(model),
        _ => {}
    }
    Vec::new()
}

/// One line of the summary: style and text, and how far it is indented.
struct Said(Style, String, usize);

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

fn lines(state: &State) -> Vec<Said> {
    let mut said = Vec::new();
    let plan = &state.plan;
    let total: u64 = plan.phases.iter().map(|phase| state.phase_times(phase).1).sum();
    let of = |wanted: PhaseState| plan.phases.iter().filter(|phase| state.phase_state(phase) == wanted).count();
    let (head, style) = match word(state) {
        "done" if of(PhaseState::Skipped) > 0 => {
            (format!("Done, but for {} skipped", count(of(PhaseState::Skipped), "phase")), theme::warn())
        }
        "done" if of(PhaseState::Warned) > 0 => ("Done, with warnings".to_owned(), theme::warn()),
        "done" => ("Done".to_owned(), theme::good()),
        "failed" => ("Not done: a phase failed".to_owned(), theme::bad()),
        "stopped" => ("Not done: stopped by the operator".to_owned(), theme::warn()),
        "waiting" => ("Not done: it waits for an answer".to_owned(), theme::warn()),
        "running" => ("It is running".to_owned(), theme::busy()),
        _ => ("Not done".to_owned(), theme::text()),
    };
    let settled = plan.phases.iter().filter(|phase| state.phase_state(phase).satisfies()).count();
    said.push(Said(style.patch(theme::heading()), head, 0));
    said.push(Said(theme::faint(), format!("{settled} of {} phases done; steps took {}", plan.phases.len(), text::duration(total)), 0));
    said.push(Said(theme::text(), String::new(), 0));
    let reached = |line: &&crate::install::profile::OutcomeLine| {
        line.phase.as_ref().is_none_or(|phase| state.phase_state_of(phase).is_some_and(PhaseState::satisfies))
    };
    let outcome: Vec<_> = plan.outcome.iter().filter(reached).collect();
    if !outcome.is_empty() {
        said.push(Said(theme::heading(), "What is where".into(), 0));
        let wide = outcome.iter().map(|line| text::width(&line.label)).max().unwrap_or(0).min(28);
        said.extend(outcome.iter().map(|line| Said(theme::text(), format!("{}  {}", text::fit(&line.label, wide), line.value), wide + 4)));
        said.push(Said(theme::text(), String::new(), 0));
    }
    for (wanted, title) in [(PhaseState::Skipped, "Skipped"), (PhaseState::Warned, "Deserves a look"), (PhaseState::Failed, "Failed")] {
        let such: Vec<_> = plan.phases.iter().filter(|phase| state.phase_state(phase) == wanted).collect();
        if such.is_empty() {
            continue;
        }
        said.push(Said(theme::heading(), title.into(), 0));
        for phase in such {
            let (glyph, _, style) = theme::phase(wanted);
            said.push(Said(style, format!("{glyph} {}", phase.title), 4));
            said.push(Said(theme::text(), format!("  {}", state.phase_reason(phase)), 2));
        }
        said.push(Said(theme::text(), String::new(), 0));
    }
    said.push(Said(theme::heading(), "What next".into(), 0));
    let next: String = match word(state) {
        "done" => {
            let terraform = plan.phases.iter().flat_map(|phase| &phase.steps).any(|step| step.action.kind() == "terraform");
            let keep = if terraform { "checkout: Terraform's states live in it" } else { "checkouts: the clusters' states live in them" };
            format!(
                "Log in at the addresses above. Keep the working {keep}. Skipped phases can be run later: retry, from the run. n opens a new run."
            )
        }
        "failed" => {
            "Back to the run: retry, skip, edit answers or open a shell. From any shell: mosip-setup retry, mosip-setup status.".into()
        }
        _ => "The run goes on where it stopped: mosip-setup run, or continue from the run screen.".into(),
    };
    said.push(Said(theme::text(), next, 2));
    said.push(Said(theme::text(), String::new(), 0));
    said.push(Said(theme::heading(), "Phases".into(), 0));
    for phase in &plan.phases {
        let phase_state = state.phase_state(phase);
        let (glyph, word, style) = theme::phase(phase_state);
        let took = state.phase_times(phase).1;
        let time = if took == 0 { String::new() } else { text::duration(took) };
        let line = format!("{glyph} {:<11} {:>12}  {}", word, time, phase.title);
        said.push(Said(style, line, 28));
    }
    said
}

/// Draws the summary.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(state) = model.run.as_ref().and_then(|run| run.state.as_ref()) else { return };
    let area = widgets::inset(area, 2, 1);
    let columns = usize::from(area.width);
    let mut shown: Vec<Line<'_>> = Vec::new();
    for Said(style, line, hang) in lines(state) {
        if line.is_empty() {
            shown.push(Line::default());
            continue;
        }
        // Lines after the first hang below the text.
        let indent = line.len() - line.trim_start().len();
        let mut pieces = text::wrap(line.trim_start(), columns.saturating_sub(2 + indent)).into_iter();
        shown.extend(pieces.next().map(|piece| Line::from(Span::styled(format!("{}{piece}", " ".repeat(indent)), style))));
        let rest = pieces.collect::<Vec<_>>().join(" ");
        if !rest.is_empty() {
            let narrow = columns.saturating_sub(hang + 2).max(20);
            shown.extend(
                text::wrap(&rest, narrow).into_iter().map(|piece| Line::from(Span::styled(format!("{}{piece}", " ".repeat(hang)), style))),
            );
        }
    }
    widgets::paged(frame, area, shown, model.summary_top);
}

/// The text left in the scrollback.
#[must_use]
pub fn farewell(model: &Model) -> String {
    let mut farewell = String::new();
    let rehearsal = if model.rehearsal { "REHEARSAL: " } else { "" };
    if let Some(run) = &model.run
        && let Some(state) = &run.state
    {
        let settled = state.plan.phases.iter().filter(|phase| state.phase_state(phase).satisfies()).count();
        farewell.push_str(&format!("{rehearsal}{}: {}, {settled} of {} phases done\n", state.run, word(state), state.plan.phases.len()));
        for phase in &state.plan.phases {
            let phase_state = state.phase_state(phase);
            let (_, word, _) = theme::phase(phase_state);
            if !matches!(phase_state, PhaseState::Done | PhaseState::Pending) {
                farewell.push_str(&format!("  {word}: {} {}\n", phase.title, state.phase_reason(phase)).replace(" \n", "\n"));
            }
        }
        let site = if model.rehearsal { String::new() } else { format!(" --site {}", state.site_file) };
        let lives = run.ended.is_none();
        match word(state) {
            "running" if lives => farewell.push_str(&format!(
                "  It goes on in the background. Watch it again: mosip-setup attach{site}; stop it: mosip-setup stop{site}\n"
            )),
            "waiting" if lives => {
                farewell.push_str(&format!("  It waits for an answer: mosip-setup attach{site}, or mosip-setup answer{site}\n"))
            }
            "done" => {}
            _ if model.rehearsal => {}
            _ => farewell.push_str(&format!("  go on:  mosip-setup run{site}\n")),
        }
        farewell.push_str(&format!("  logs:   {}\n", run.folder.display()));
    } else if let Some(site) = &model.site
        && site.saved.is_some()
    {
        farewell.push_str(&format!("{rehearsal}site file: {}\n", site.path.display()));
        if !model.rehearsal {
            farewell.push_str(&format!("  go on:  mosip-setup --site {}\n", site.path.display()));
        }
    }
    farewell
}
