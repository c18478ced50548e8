//! Further settings: every key of the templates that no field sets, behind a search.

use crossterm::event::{KeyCode, KeyEvent};

use super::app::Model;
use super::desk::Command;
use super::form;
use super::input::Line;
use super::keymap::{Action, Context};
use super::popup::{EntryFor, Popup};
use super::site::{Part, SiteForm};

/// The search and its list.
#[derive(Debug, Clone, Default)]
pub struct Advanced {
    /// What is searched.
    pub search: Line,
    /// Whether the list has the focus.
    pub in_list: bool,
    /// Which line of the list.
    pub selected: usize,
    /// Why there is no list.
    pub trouble: Option<String>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Knob {
    /// The template's name.
    pub template: String,
    /// The key.
    pub key: String,
    /// The template's value.
    pub value: toml::Value,
    /// The site's own, where it has one.
    pub own: Option<toml::Value>,
}

impl Advanced {
    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        if self.in_list { Context::AdvancedList } else { Context::AdvancedSearch }
    }

    /// Comes into the section.
    pub fn enter(&mut self) {
        self.in_list = false;
    }
}

/// The settings that the search leaves: changed ones first.
#[must_use]
pub fn matches(site: &SiteForm) -> Vec<Knob> {
    let Some(knobs) = &site.knobs else { return Vec::new() };
    let words: Vec<String> = site.advanced.search.text().split_whitespace().map(str::to_lowercase).collect();
    let mut found: Vec<Knob> = knobs
        .iter()
        .flat_map(|(template, keys)| keys.iter().map(move |(key, value)| (template, key, value)))
        .filter(|(template, key, _)| {
            let text = format!("{template} {key}").to_lowercase();
            words.iter().all(|word| text.contains(word))
        })
        .map(|(template, key, value)| Knob {
            template: template.clone(),
            key: key.clone(),
            value: value.clone(),
            own: site.draft.advanced.get(template).and_then(|table| table.get(key)).cloned(),
        })
        .collect();
    found.sort_by_key(|knob| knob.own.is_none());
    found
}

/// Does what a key among the settings means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    let found = matches(site);
    let last = found.len().saturating_sub(1);
    let page = usize::from(model.size.1 / 3);
    let advanced = &mut site.advanced;
    if !advanced.in_list {
        match action {
            Action::Down | Action::Enter | Action::Next if !found.is_empty() => advanced.in_list = true,
            Action::Enter if !site.fetched => {
                let popup = Popup::fetch_consent(&site.profile);
                model.popups.push(popup);
            }
            Action::Down | Action::Next => form::after_content(site),
            Action::Previous | Action::Up => site.part = Part::Sections,
            _ => {}
        }
        return Vec::new();
    }
    match action {
        Action::Up if advanced.selected == 0 => advanced.in_list = false,
        Action::Up => advanced.selected -= 1,
        Action::Down => advanced.selected = (advanced.selected + 1).min(last),
        Action::PageUp => advanced.selected = advanced.selected.saturating_sub(page),
        Action::PageDown => advanced.selected = (advanced.selected + page).min(last),
        Action::Home => advanced.selected = 0,
        Action::End => advanced.selected = last,
        Action::Previous | Action::Search | Action::Left => advanced.in_list = false,
        Action::Next => form::after_content(site),
        Action::Enter | Action::Toggle => {
            if let Some(knob) = found.get(advanced.selected) {
                let text = knob.own.as_ref().unwrap_or(&knob.value).to_string();
                model.popups.push(Popup::entry(
                    &knob.key,
                    format!("{} has {} here, of type {}.", knob.template, knob.value, knob.value.type_str()),
                    &text,
                    EntryFor::Knob { template: knob.template.clone(), key: knob.key.clone(), value: Box::new(knob.value.clone()) },
                ));
            }
        }
        Action::No => {
            if let Some(knob) = found.get(advanced.selected) {
                drop(set(site, &knob.template, &knob.key, None));
            }
        }
        _ => {}
    }
    Vec::new()
}

/// Sets a key of a template, or takes it back; the template's own value is not kept as a change.
///
/// # Errors
/// The text is not a value, or of another type than the template's.
pub fn set(site: &mut SiteForm, template: &str, key: &str, change: Option<(&str, &toml::Value)>) -> Result<(), String> {
    let table = site.draft.advanced.entry(template.to_owned()).or_default();
    match change {
        None => drop(table.remove(key)),
        Some((text, old)) => {
            let value = parse(text, old)?;
            if value == *old {
                table.remove(key);
            } else {
                table.insert(key.to_owned(), value);
            }
        }
    }
    if table.is_empty() {
        site.draft.advanced.remove(template);
    }
    site.check();
    Ok(())
}

/// Reads a value as TOML; a text may be written without quotes where the template has a text.
///
/// # Errors
/// Says what would be right.
pub fn parse(text: &str, old: &toml::Value) -> Result<toml::Value, String> {
    let text = text.trim();
    let value =
        toml::from_str::<toml::Table>(&format!("v = {text}")).ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("v"));
    match value {
        Some(value) if value.same_type(old) => Ok(value),
        Some(toml::Value::Integer(whole)) if old.is_float() =>
        {
            #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
            Ok(toml::Value::Float(whole as f64))
        }
        _ if old.is_str() && !text.starts_with('"') && !text.chars().any(char::is_control) => Ok(toml::Value::String(text.to_owned())),
        Some(value) => Err(format!("the template has a value of type {} here, not {}", old.type_str(), value.type_str())),
        None => Err(format!("write a value of type {}, as {old}", old.type_str())),
    }
}

/// Types into the search.
pub fn type_key(model: &mut Model, key: KeyEvent) {
    let Some(site) = &mut model.site else { return };
    if key.code == KeyCode::Left && site.advanced.search.at_start() {
        site.part = Part::Sections;
    } else if site.advanced.search.key(key) {
        site.advanced.selected = 0;
    }
}

/// Pastes into the search.
pub fn paste(model: &mut Model, text: &str) {
    let Some(site) = &mut model.site else { return };
    site.advanced.search.paste(text);
    site.advanced.selected = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Value;

    #[test]
    fn a_value_keeps_the_template_s_type() {
        assert_eq!(parse("5400", &Value::Integer(1)), Ok(Value::Integer(5400)));
        assert_eq!(parse("8Gi", &Value::String("4Gi".into())), Ok(Value::String("8Gi".into())));
        assert_eq!(parse("\"8Gi\"", &Value::String("4Gi".into())), Ok(Value::String("8Gi".into())));
        assert_eq!(parse("5", &Value::String("4".into())), Ok(Value::String("5".into())));
        assert_eq!(parse("true", &Value::Boolean(false)), Ok(Value::Boolean(true)));
        assert!(parse("yes", &Value::Boolean(false)).is_err());
        assert!(parse("\"5\"", &Value::Integer(1)).is_err());
        assert!(parse("", &Value::Integer(1)).is_err());
    }
}
