//! Reads an existing checkout's inventories and variables back into a draft: the profile's edits, the other way round.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::Value;

use crate::install::interpolate::secrets;
use crate::install::plan::FileFormat;
use crate::install::profile::{EditSpec, FileOrigin, Profile};
use crate::install::site::{Draft, DraftMachine};

use super::files::{EditError, hcl, ini, yaml};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The answers found, right or wrong: validation says which.
    pub draft: Draft,
    /// Files read, and what could not be taken over.
    pub notes: Vec<String>,
}

/// Reads the files that the profile edits, where they exist below `folder`.
///
/// # Errors
/// No such file exists, or one cannot be read.
pub fn import(profile: &Profile, folder: &Path) -> Result<Imported, String> {
    let mut import = Import { profile, result: Imported::default(), addresses: BTreeMap::new() };
    import.result.draft.profile = profile.id.to_string();
    let mut read = 0;
    for file in &profile.files {
        let FileOrigin::Edit(edit) = &file.origin else { continue };
        let Some((_, relative)) = file.target.split_once(':') else { continue };
        let path = folder.join(relative);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        read += 1;
        let template = edit.template.split_once(':').and_then(|(_, relative)| fs::read_to_string(folder.join(relative)).ok());
        import
            .file(edit, FileFormat::of(&file.target), &text, template.as_deref())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        import.result.notes.push(format!("read {}", path.display()));
    }
    if read == 0 {
        let wanted: Vec<&str> = profile.files.iter().filter_map(|file| Some(file.target.split_once(':')?.1)).take(2).collect();
        return Err(format!(
            "{} has none of the files of this profile, as {}: is it a working checkout?",
            folder.display(),
            wanted.join(", ")
        ));
    }
    import.finish();
    Ok(import.result)
}

struct Import<'a> {
    profile: &'a Profile,
    result: Imported,
    /// Host → address, over all inventories.
    addresses: BTreeMap<String, String>,
}

impl Import<'_> {
    fn file(&mut self, edit: &EditSpec, format: Option<FileFormat>, text: &str, template: Option<&str>) -> Result<(), EditError> {
        match format {
            Some(FileFormat::Ini) => self.inventory(edit, text),
            Some(FileFormat::Yaml) => {
                let old = template.map(yaml::read).transpose()?;
                self.variables(edit, &yaml::read(text)?, old.as_ref());
                Ok(())
            }
            Some(FileFormat::Hcl) => {
                let old = template.map(hcl::read).transpose()?;
                self.variables(edit, &hcl::read(text)?, old.as_ref());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `spec` is what the profile writes, `found` what stands there.
    fn answer(&mut self, key: &str, spec: &str, found: &Value) {
        let name = spec.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let Some(field) = name.and_then(|name| self.profile.field(name)) else {
            if let Some(secret) = secrets(spec).first()
                && found.as_str() != Some("")
            {
                self.result.notes.push(format!("{key}: a secret is not taken over; give a reference to it as secret.{secret}"));
            }
            return;
        };
        // What is the default anyway need not be said.
        let shown = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        let default = field.default.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        if default.as_deref() == Some(&shown) || shown.is_empty() {
            return;
        }
        // A wrong value is kept for the operator to see; validation names it.
        drop(self.result.draft.set(self.profile, field.id.as_str(), &shown));
    }

    fn variables(&mut self, edit: &EditSpec, found: &BTreeMap<String, Value>, template: Option<&BTreeMap<String, Value>>) {
        for (key, spec) in edit.set.iter().chain(&edit.add) {
            if let (Some(spec), Some(value)) = (spec.as_str(), found.get(key)) {
                self.answer(key, spec, value);
            }
        }
        let (Some(name), Some(template)) = (&edit.advanced, template) else { return };
        for (key, value) in found {
            let own = edit.set.contains_key(key) || edit.add.contains_key(key) || edit.secret_keys.contains(key);
            if own || template.get(key) == Some(value) {
                continue;
            }
            if let Some(reason) = edit.hide.get(key) {
                self.result.notes.push(format!("{key}: differs from the template and is not taken over: {reason}"));
            } else if template.contains_key(key) {
                self.result.draft.advanced.entry(name.clone()).or_default().insert(key.clone(), value.clone());
            } else {
                self.result.notes.push(format!("{key}: is not in the template and is not taken over"));
            }
        }
    }

    fn inventory(&mut self, edit: &EditSpec, text: &str) -> Result<(), EditError> {
        let sections = ini::read(text)?;
        for (section, entries) in edit.set.iter().chain(&edit.add) {
            for (key, spec) in entries.as_table().into_iter().flatten() {
                if let (Some(spec), Some(value)) = (spec.as_str(), ini::variable(&sections, section, key)) {
                    self.answer(key, spec, &Value::String(value));
                }
            }
        }
        for (group, section) in &edit.section {
            for line in sections.get(group).into_iter().flatten() {
                let mut words = line.split_whitespace();
                let Some(name) = words.next() else { continue };
                let mut machine = DraftMachine { name: name.to_owned(), roles: vec![section.each.to_string()], ..DraftMachine::default() };
                for (key, value) in words.filter_map(|word| word.split_once('=')) {
                    // An address counts wherever it stands, also in groups that this profile lists by name alone.
                    if key == "ansible_host" {
                        self.addresses.insert(name.to_owned(), value.to_owned());
                    }
                    let spec = section.line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
                    match spec {
                        Some("${machine.user}") => machine.user = Some(value.to_owned()),
                        Some("${machine.public_address}") => machine.public_address = Some(value.to_owned()),
                        Some("${machine.address}") | None => {}
                        Some(spec) => self.answer(key, spec, &Value::String(value.to_owned())),
                    }
                }
                self.machine(machine);
            }
        }
        Ok(())
    }

    fn machine(&mut self, machine: DraftMachine) {
        let machines = &mut self.result.draft.machines;
        match machines.iter_mut().find(|known| known.name == machine.name) {
            Some(known) => {
                known.roles.extend(machine.roles);
                known.user = machine.user.or(known.user.take());
                known.public_address = machine.public_address.or(known.public_address.take());
            }
            None => machines.push(machine),
        }
    }

    fn finish(&mut self) {
        let site_user = self.result.draft.answers.get("ssh_user").and_then(Value::as_str).map(str::to_owned);
        let default_user = self.profile.field("ssh_user").map(|field| self.result.draft.text(field));
        let site_user = site_user.or(default_user);
        let mut machines: Vec<DraftMachine> = Vec::new();
        for mut machine in std::mem::take(&mut self.result.draft.machines) {
            machine.address = self.addresses.get(&machine.name).cloned().unwrap_or_default();
            machine.user = machine.user.filter(|user| Some(user) != site_user.as_ref());
            // Two names of one machine would be two package managers at once; in a site it is one machine with several roles.
            match machines.iter_mut().find(|known| !machine.address.is_empty() && known.address == machine.address) {
                Some(known) => {
                    self.result.notes.push(format!("{} and {} have one address: taken over as {}", known.name, machine.name, known.name));
                    known.roles.extend(machine.roles);
                }
                None => machines.push(machine),
            }
        }
        let order = |machine: &DraftMachine| {
            machine.roles.iter().filter_map(|role| self.profile.roles.iter().position(|known| known.id == *role.as_str())).min()
        };
        machines.sort_by_key(order);
        for machine in &mut machines {
            machine.roles.dedup();
        }
        self.result.draft.machines = machines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::profiles;

    #[test]
    fn what_a_person_filled_in_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "ansible/infra_deployment/inventory/rancher.ini",
            "[physical_vms]\nvm1 ansible_host=10.1.0.1\nvm2 ansible_host=10.1.0.2 ansible_user=admin\n[control_plane_primary]\nvm1\n[rke2_agents]\nvm2\n[worker_nodes]\nvm1\n[mosip_obs]\nobs ansible_host=10.1.0.3\n[nginx]\nn ansible_host=10.1. nginx_listen_ip=10.1.0.9\n[nginx_obs]\nobs-nginx ansible_host=10.1.0.3\n[all:vars]\nansible_user=ops\nansible_ssh_private_key_file=~/.ssh/id_ed25519\n",
        );
        let terraform = "terraform/mosip_deployment/terraform.tfvars";
        write(
            &format!("{terraform}.tmp"),
            "installation_name = \"dev1\"\nsmtp_port = \"8025\"\nadmin_startup_probe_enabled = true\nistio_version = \"1\"\n",
        );
        write(
            terraform,
            "installation_name = \"prod\"\nsmtp_port = \"8025\"\nsmtp_secret = \"hidden-value\"\nadmin_startup_probe_enabled = false\nistio_version = \"2\"\n",
        );
        let profile = profiles::load("turing-rke2").unwrap();
        let imported = import(&profile, folder.path()).unwrap();
        let draft = &imported.draft;
        let machines: Vec<(&str, &str, String)> =
            draft.machines.iter().map(|machine| (machine.name.as_str(), machine.address.as_str(), machine.roles.join(" "))).collect();
        assert_eq!(
            machines,
            [
                ("vm1", "10.1.0.1", "control-plane-primary cluster worker".into()),
                ("vm2", "10.1.0.2", "cluster rke2-agent".into()),
                ("obs", "10.1.0.3", "observation nginx-observation".into()),
                ("n", "10.1.", "nginx".into()),
            ]
        );
        assert_eq!(draft.machines[1].user.as_deref(), Some("admin"));
        let answers: BTreeMap<&str, String> = draft.answers.iter().map(|(key, value)| (key.as_str(), value.to_string())).collect();
        let wanted = [("installation_name", "\"prod\""), ("nginx_listen_ip", "\"10.1.0.9\""), ("ssh_user", "\"ops\"")];
        assert_eq!(answers, wanted.map(|(key, value)| (key, value.to_owned())).into());
        assert_eq!(draft.advanced["mosip.tfvars"]["admin_startup_probe_enabled"], Value::Boolean(false));
        let notes = imported.notes.join("\n");
        assert!(notes.contains("secret.smtp_secret") && notes.contains("istio_version") && !notes.contains("hidden-value"), "{notes}");
    }

    #[test]
    fn a_folder_without_such_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = import(&profiles::load("turing-rke2").unwrap(), folder.path()).unwrap_err();
        assert!(error.contains("hosts.ini"), "{error}");
    }
}
