//! Parts of the rules between the parts of a profile.

use super::profile::{FileOrigin, Profile};

/// What is wrong with what the profile says about changed answers: key and message.
pub(super) fn changes(profile: &Profile) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for field in &profile.fields {
        let key = format!("field.{}.settled_by", field.id);
        if !field.settled_by.is_empty() && field.hard_to_change.is_empty() {
            problems.push((key.clone(), "say in hard_to_change what a change costs then".to_owned()));
        }
        for id in &field.settled_by {
            match profile.phase(id.as_str()) {
                None => problems.push((key.clone(), format!("there is no phase '{id}'"))),
                Some(phase) if !phase.reads.contains(&field.id) => {
                    problems.push((key.clone(), format!("phase '{id}' must have '{}' under reads: a change is told from that", field.id)));
                }
                Some(_) => {}
            }
        }
    }
    for phase in &profile.phases {
        for name in &phase.reads_advanced {
            let known =
                profile.files.iter().any(|file| matches!(&file.origin, FileOrigin::Edit(edit) if edit.advanced.as_ref() == Some(name)));
            if !known {
                problems.push((format!("phase.{}.reads_advanced", phase.id), format!("no file has the name '{name}' under advanced")));
            }
        }
    }
    problems
}
