//! Relations between answers.

use super::field::Cidr;
use super::ids::{FieldId, RoleId};
use super::profile::{Profile, Relation};
use super::site::{Machine, Site};
use super::validate::Problems;

/// Adds a problem for each answer that breaks a relation.
pub(super) fn check_relation(relation: &Relation, profile: &Profile, site: &Site, problems: &mut Problems) {
    let text = |field: &FieldId| site.answers.get(field).map(ToString::to_string).unwrap_or_default();
    let cidrs = |field: &FieldId| -> Vec<Cidr> { text(field).split(',').filter_map(|part| Cidr::parse(part.trim()).ok()).collect() };
    match relation {
        Relation::OneOf { role, of, reason } => {
            for machine in &site.machines {
                let parts: Vec<&str> = of.iter().filter(|part| machine.has_role(part.as_str())).map(RoleId::as_str).collect();
                let names: Vec<&str> = of.iter().map(RoleId::as_str).collect();
                let key = format!("machine.{}.roles", machine.name);
                match (machine.has_role(role.as_str()), parts.len()) {
                    (true, 1) | (false, 0) => {}
                    (true, 0) => {
                        problems.add(key, format!("a machine with role '{role}' also needs one of {}: {reason}", names.join(", ")))
                    }
                    (true, _) => problems.add(key, format!("only one of {} fits: {reason}", parts.join(", "))),
                    (false, _) => problems.add(key, format!("'{}' goes with role '{role}': {reason}", parts.join(", "))),
                }
            }
        }
        Relation::Within { role, within, reason } => {
            for machine in site.with_role(role.as_str()).filter(|machine| !machine.has_role(within.as_str())) {
                problems.add(format!("machine.{}.roles", machine.name), format!("role '{role}' goes with role '{within}': {reason}"));
            }
        }
        Relation::Apart { roles, reason } => {
            for machine in &site.machines {
                let together: Vec<&str> = roles.iter().filter(|role| machine.has_role(role.as_str())).map(RoleId::as_str).collect();
                if together.len() > 1 {
                    problems.add(
                        format!("machine.{}.roles", machine.name),
                        format!("{} cannot be one machine: {reason}", together.join(" and ")),
                    );
                }
            }
        }
        Relation::Below { field, domain, reason } => {
            let (name, parent) = (text(field), text(domain));
            let label = name.strip_suffix(&parent).and_then(|rest| rest.strip_suffix('.'));
            if !name.is_empty() && !parent.is_empty() && label.is_none_or(|label| label.is_empty() || label.contains('.')) {
                problems.add(field.as_str(), format!("{name} does not lie directly below {parent}: {reason}"));
            }
        }
        Relation::NoOverlap { fields, machines, with, reason } => {
            let used: Vec<Cidr> = with.iter().filter_map(|text| Cidr::parse(text).ok()).collect();
            for field in fields {
                for own in cidrs(field) {
                    for other in used.iter().filter(|other| own.overlaps(other)) {
                        problems.add(field.as_str(), format!("{own} overlaps {other}: {reason}"));
                    }
                }
            }
            for machine in site.machines.iter().filter(|_| *machines) {
                if let Some(other) = used.iter().find(|other| other.contains(machine.address)) {
                    problems.add(format!("machine.{}.address", machine.name), format!("{} lies in {other}: {reason}", machine.address));
                }
            }
        }
        Relation::Inside { roles, field, reason } => {
            let networks = cidrs(field);
            let concerned = |machine: &&Machine| roles.is_empty() || roles.iter().any(|role| machine.has_role(role.as_str()));
            for machine in site.machines.iter().filter(concerned) {
                if !networks.is_empty() && !networks.iter().any(|network| network.contains(machine.address)) {
                    let label = profile.field(field.as_str()).map_or(field.as_str(), |field| field.label.as_str());
                    problems.add(
                        field.as_str(),
                        format!("{} ({}) is not in {} ({label}): {reason}", machine.address, machine.name, text(field)),
                    );
                }
            }
        }
    }
}
