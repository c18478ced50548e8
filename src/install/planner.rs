//! Makes a plan of a profile and a site.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::command_words::{absolute, ansible_environment, host_line, machine_values};
use super::field::FieldKind;
use super::helm::HelmSpec;
use super::hints::Hints;
use super::ids::FieldId;
use super::interpolate::Values;
use super::jump::Jump;
use super::named;
use super::plan::{Action, Edit, FileContent, Plan, PlanFile, PlanMachine, PlanPhase, PlanSource, PlanStep};
use super::profile::{AnsibleSpec, Phase, Profile, Prompt, SshSpec, Step, StepKind, Terminal, WriteSpec};
use super::site::{KeyProblem, Machine, Site};

pub use super::command_words::{shell_quote, ssh_options};

/// What a plan needs to know about the place it is made for.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The operator's home folder.
    pub home: String,
    /// The operator's user name.
    pub user: String,
    /// The folder of the site file.
    pub site_dir: String,
    /// The site's own known_hosts file.
    pub known_hosts: String,
    /// Where the fetched sources lie: source → folder.
    pub fetched: BTreeMap<String, String>,
    /// The path of this program.
    pub program: String,
    /// The key for digests: they say whether something changed and give nothing away.
    pub digest_key: Vec<u8>,
}

/// Makes the plan.
///
/// # Errors
/// What cannot be filled in, by key of the profile.
pub fn plan(profile: &Profile, site: &Site, place: &Place) -> Result<Plan, Vec<KeyProblem>> {
    let mut planner = Planner { profile, site, place, values: Values::default(), problems: Vec::new() };
    planner.collect_values();
    let plan = planner.plan();
    if planner.problems.is_empty() { Ok(plan) } else { Err(planner.problems) }
}

mod contents;

struct Planner<'a> {
    profile: &'a Profile,
    site: &'a Site,
    place: &'a Place,
    values: Values,
    problems: Vec<KeyProblem>,
}

impl Planner<'_> {
    fn collect_values(&mut self) {
        let values = &mut self.values;
        values.set("home", &self.place.home);
        values.set("user", &self.place.user);
        values.set("site.dir", &self.place.site_dir);
        values.set("known_hosts", &self.place.known_hosts);
        values.set("program", &self.place.program);
        for (name, folder) in &self.place.fetched {
            values.set(format!("source.{name}"), folder);
        }
        for machine in &self.site.machines {
            for (item, value) in machine_values(self.profile, self.site, machine) {
                values.set(format!("machine.{}.{item}", machine.name), value);
            }
        }
        for role in &self.profile.roles {
            let machines: Vec<&Machine> = self.site.with_role(role.id.as_str()).collect();
            let join = |item: &dyn Fn(&Machine) -> String| machines.iter().map(|machine| item(machine)).collect::<Vec<_>>().join(",");
            values.set(format!("role.{}.names", role.id), join(&|machine| machine.name.to_string()));
            values.set(format!("role.{}.addresses", role.id), join(&|machine| machine.address.to_string()));
            values.set(format!("role.{}.count", role.id), machines.len().to_string());
            let first = machines.first();
            values.set(format!("role.{}.first", role.id), first.map(|machine| machine.address.to_string()).unwrap_or_default());
            values.set(format!("role.{}.first_name", role.id), first.map(|machine| machine.name.to_string()).unwrap_or_default());
            let public = first.map(|machine| machine.public_address.clone().unwrap_or_else(|| machine.address.to_string()));
            values.set(format!("role.{}.first_public", role.id), public.unwrap_or_default());
        }
        for field in &self.profile.fields {
            // An answer's own text is never expanded; only a default may hold `${…}`.
            let text = self.site.answers.get(&field.id).map(ToString::to_string).unwrap_or_default();
            let text = if text.contains("${") { self.values.expand(&text).unwrap_or(text) } else { text };
            let text = if field.kind == FieldKind::Path { absolute(&text, &self.place.home) } else { text };
            self.values.set(field.id.as_str(), text);
        }
        for (id, source) in &self.profile.sources {
            let checkout = self.expand(&format!("source.{id}.checkout"), &source.checkout);
            self.values.set(format!("checkout.{id}"), absolute(&checkout, &self.place.home));
        }
        for (name, text) in &self.profile.derive {
            let text = self.expand(&format!("derive.{name}"), text);
            self.values.set(name, absolute(&text, &self.place.home));
        }
    }

    fn expand(&mut self, key: &str, text: &str) -> String {
        match self.values.expand(text) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(KeyProblem { key: key.to_owned(), message: error.to_string() });
                String::new()
            }
        }
    }

    /// Resolves `kit:path`, `~/path` and `${…}` to an absolute path.
    fn path(&mut self, key: &str, text: &str) -> String {
        if let Some((source, rest)) = self.source_path(text) {
            let rest = self.expand(key, &rest);
            return format!("{}/{rest}", self.values.get(&format!("checkout.{source}")).unwrap_or_default());
        }
        let text = self.expand(key, text);
        absolute(&text, &self.place.home)
    }

    fn source_path(&self, text: &str) -> Option<(String, String)> {
        let (source, rest) = text.split_once(':')?;
        self.profile.sources.contains_key(source).then(|| (source.to_owned(), rest.to_owned()))
    }

    fn plan(&mut self) -> Plan {
        let profile = self.profile;
        let site_jump = self.values.get("ssh_jump").filter(|jump| !jump.is_empty()).map(str::to_owned);
        if let Some(message) = site_jump.and_then(|jump| Jump::among(&jump, &self.site.machines).err()) {
            self.problems.push(KeyProblem { key: "ssh_jump".to_owned(), message });
        }
        let machines: Vec<PlanMachine> = self.site.machines.iter().map(|machine| self.machine(machine)).collect();
        let mut files: Vec<PlanFile> =
            profile.files.iter().filter(|file| self.site.holds(file.when.as_ref())).map(|file| self.file(file)).collect();
        files.extend(super::jump::config(&machines, &self.place.known_hosts));
        let checks = profile.checks.iter().filter(|check| self.site.holds(check.when.as_ref())).map(|check| self.check(check)).collect();
        let phases: Vec<PlanPhase> =
            profile.phases.iter().filter(|phase| self.site.holds(phase.when.as_ref())).map(|phase| self.phase(phase, &files)).collect();
        let sources = profile.sources.iter().map(|(id, source)| {
            let mut source = source.clone();
            source.checkout = self.values.get(&format!("checkout.{id}")).unwrap_or_default().to_owned();
            let fetched = self.place.fetched.get(id.as_str()).cloned().unwrap_or_default();
            (id.clone(), PlanSource { source, fetched, over: self.site.sources.get(id).cloned().unwrap_or_default() })
        });
        let of_kind = |wanted: &[FieldKind]| -> Vec<FieldId> {
            profile.fields.iter().filter(|field| wanted.contains(&field.kind)).map(|field| field.id.clone()).collect()
        };
        let text = |id: &FieldId| self.values.get(id.as_str()).unwrap_or_default().to_owned();
        let paths = of_kind(&[FieldKind::Path]).into_iter().map(|id| (id.clone(), text(&id))).collect();
        let split = |list: String| list.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        let networks = of_kind(&[FieldKind::Cidr, FieldKind::CidrList]).into_iter().map(|id| (id.clone(), split(text(&id)))).collect();
        let sources = sources.collect();
        let present = |phase: &super::ids::PhaseId| phases.iter().any(|known| known.id == *phase);
        let mut outcome = Vec::new();
        for (number, line) in profile.outcome.iter().enumerate() {
            if line.phase.as_ref().is_none_or(present) {
                let value = self.expand(&format!("outcome[{number}].value"), &line.value);
                outcome.push(super::profile::OutcomeLine { value, ..line.clone() });
            }
        }
        Plan {
            profile: profile.id.clone(),
            title: profile.title.clone(),
            site: self.site.id.clone(),
            phases,
            files,
            checks,
            machines,
            roles: profile.roles.clone(),
            sources,
            paths,
            networks,
            secrets: self.site.secrets.clone(),
            known_hosts: self.place.known_hosts.clone(),
            outcome,
            settled: named::settled(profile),
        }
    }

    fn machine(&self, machine: &Machine) -> PlanMachine {
        let values: BTreeMap<&str, String> = machine_values(self.profile, self.site, machine).into_iter().collect();
        let key_field = machine.roles.iter().find_map(|role| self.profile.role(role.as_str())?.key_field.clone());
        let key = key_field
            .and_then(|field| self.values.get(field.as_str()))
            .filter(|key| !key.is_empty())
            .or_else(|| self.values.get("ssh_key"));
        let key = absolute(key.unwrap_or_default(), &self.place.home);
        let user = values.get("user").cloned().unwrap_or_default();
        // The site's own jump host leads to all machines but itself.
        let site_jump = self.values.get("ssh_jump").filter(|jump| !jump.is_empty());
        let jump = machine.jump.as_deref().or(site_jump).and_then(|text| Jump::among(text, &self.site.machines).ok());
        let jump = jump.filter(|jump| jump.address != machine.address);
        PlanMachine {
            name: machine.name.clone(),
            roles: machine.roles.clone(),
            address: machine.address,
            public_address: machine.public_address.clone(),
            jump: jump.map(|jump| Jump { user: jump.user.or_else(|| Some(user.clone())), key: key.clone(), ..jump }),
            user,
            key,
        }
    }

    // --- phases and steps ---

    fn phase(&mut self, phase: &Phase, files: &[PlanFile]) -> PlanPhase {
        let present: Vec<_> =
            self.profile.phases.iter().filter(|other| self.site.holds(other.when.as_ref())).map(|other| other.id.clone()).collect();
        let known = |list: &[super::ids::PhaseId]| list.iter().filter(|id| present.contains(id)).cloned().collect();
        let mut reads: BTreeMap<FieldId, String> =
            phase.reads.iter().map(|field| (field.clone(), self.digest(&self.read(field)))).collect();
        for name in &phase.reads_advanced {
            // An empty table says as much as none, and leaves the digests of a site without such settings as they were.
            let knobs = self.site.advanced.get(name).filter(|knobs| !knobs.is_empty());
            if let (Some(knobs), Ok(id)) = (knobs, format!("advanced.{name}").parse::<FieldId>()) {
                reads.insert(id, self.digest(knobs));
            }
        }
        let steps: Vec<PlanStep> = phase
            .steps
            .iter()
            .filter(|step| self.site.holds(step.when.as_ref()))
            .map(|step| self.step(phase, step, files, &reads))
            .collect();
        PlanPhase {
            id: phase.id.clone(),
            title: phase.title.clone(),
            help: phase.help.clone(),
            needs: known(&phase.needs),
            after: known(&phase.after),
            reads,
            names: named::fields(self.profile, self.site, phase)
                .into_iter()
                .map(|field| (field.clone(), self.digest(&self.read(field))))
                .collect(),
            expect_minutes: phase.expect_minutes,
            document: phase.document.clone(),
            skip: phase.skip.clone(),
            steps,
        }
    }

    /// What a phase reads of a field: its value, or the reference to the secret.
    fn read(&self, field: &FieldId) -> String {
        let secret = self.site.secrets.get(field).map(ToString::to_string);
        secret.unwrap_or_else(|| self.values.get(field.as_str()).unwrap_or_default().to_owned())
    }

    fn step(&mut self, phase: &Phase, step: &Step, files: &[PlanFile], reads: &BTreeMap<FieldId, String>) -> PlanStep {
        let key = format!("phase.{}.step.{}", phase.id, step.id);
        let dir = step.dir.as_ref().map(|dir| self.path(&key, dir));
        let mut env: BTreeMap<String, String> = step.env.iter().map(|(name, text)| (name.clone(), self.expand(&key, text))).collect();
        if let Some(kubeconfig) = &step.kubeconfig {
            env.insert("KUBECONFIG".into(), self.path(&key, kubeconfig));
        }
        let (action, title) = self.action(&key, step, dir.as_deref(), files, &mut env);
        let prompts = step.prompts.iter().filter(|prompt| self.site.holds(prompt.when.as_ref())).cloned().collect::<Vec<_>>();
        let prompts = prompts.into_iter().map(|prompt| self.prompt(&key, prompt)).collect();
        let mut planned = PlanStep {
            id: step.id.clone(),
            title: step.title.clone().unwrap_or(title),
            dir,
            env,
            repeat: step.repeat,
            verify: step.verify.clone(),
            unless: step.unless.clone(),
            on_retry: step.on_retry,
            terminal: step.terminal,
            prompts,
            helm: step.helm.as_ref().map(|helm| self.helm(&key, helm)),
            slow_after_minutes: step.slow_after_minutes.unwrap_or(10),
            action,
            hints: Hints::default(),
            digest: String::new(),
        };
        let written: Vec<&PlanFile> = match &planned.action {
            Action::Write { paths } => files.iter().filter(|file| paths.contains(&file.path)).collect(),
            _ => Vec::new(),
        };
        // How it may be repeated does not change what it does.
        let mut what = planned.clone();
        if let Action::Ansible { limit_retry, .. } = &mut what.action {
            *limit_retry = false;
        }
        // A file says which secrets it holds, not where they come from.
        let secrets = named::secrets_of(self.profile, self.site, step);
        planned.digest =
            if secrets.is_empty() { self.digest(&(&what, written, reads)) } else { self.digest(&(&what, written, reads, secrets)) };
        // To know a course better is no reason to run it again.
        planned.hints = step.hints.clone();
        planned
    }

    fn helm(&mut self, key: &str, helm: &HelmSpec) -> HelmSpec {
        let mut helm = helm.clone();
        for word in helm.release.iter_mut().flat_map(|rule| &mut rule.add) {
            *word = self.expand(key, word);
        }
        helm
    }

    fn prompt(&mut self, key: &str, prompt: Prompt) -> Prompt {
        let script = prompt.script.as_ref().map(|script| self.path(key, script));
        // As written in the script it is looked for as it stands there, before anything is filled in.
        let written = prompt.script.is_some().then(|| prompt.written().to_owned());
        Prompt { text: self.expand(key, &prompt.text), answer: self.expand(key, &prompt.answer), when: None, script, written, ..prompt }
    }

    fn action(
        &mut self,
        key: &str,
        step: &Step,
        dir: Option<&str>,
        files: &[PlanFile],
        env: &mut BTreeMap<String, String>,
    ) -> (Action, String) {
        match &step.action {
            StepKind::Command(argv) => {
                let argv: Vec<String> = argv.iter().map(|word| self.expand(key, word)).collect();
                let title = argv.first().cloned().unwrap_or_default();
                (Action::Command { argv }, title)
            }
            StepKind::Ansible(spec) => {
                env.extend(ansible_environment(&self.place.known_hosts));
                (self.ansible(key, spec, dir, files), format!("Playbook {}", spec.playbook))
            }
            StepKind::Terraform(spec) => {
                for (name, value) in [("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")] {
                    env.insert(name.into(), value.into());
                }
                let action = Action::Terraform { var_files: spec.var_files.clone(), resources: spec.resources };
                (action, format!("Terraform in {}", dir.unwrap_or_default()))
            }
            StepKind::Ssh(spec) => (self.ssh(key, spec, step.terminal), format!("Command on machines with role {}", spec.role)),
            StepKind::Write(WriteSpec::All(_)) => {
                (Action::Write { paths: files.iter().map(|file| file.path.clone()).collect() }, "Write the site's files".into())
            }
            StepKind::Write(WriteSpec::Targets(targets)) => {
                let paths: Vec<String> = targets.iter().map(|target| self.path(key, target)).collect();
                // A file whose condition does not hold is not in the plan, and so not written.
                let mut paths: Vec<String> = paths.into_iter().filter(|path| files.iter().any(|file| file.path == *path)).collect();
                // What the inventories' lines name goes with them.
                let lists_machines = |file: &PlanFile| match &file.content {
                    FileContent::Edit { edits, .. } => edits.iter().any(|edit| matches!(edit, Edit::Hosts { .. })),
                    _ => false,
                };
                if files.iter().any(|file| paths.contains(&file.path) && lists_machines(file)) {
                    let ways = super::jump::config_path(&self.place.known_hosts);
                    paths.extend(files.iter().filter(|file| file.path == ways).map(|file| file.path.clone()));
                }
                (Action::Write { paths }, "Write files".into())
            }
            StepKind::Wait(spec) => {
                let title = self.profile.check(spec.check.as_str()).map_or_else(String::new, |check| format!("Wait: {}", check.title));
                let action =
                    Action::Wait { check: spec.check.clone(), every_seconds: spec.every_seconds, timeout_minutes: spec.timeout_minutes };
                (action, title)
            }
            StepKind::Ask(spec) => {
                let (text, detail) = (self.expand(key, &spec.text), self.expand(key, &spec.detail));
                let field = spec.field.as_ref().and_then(|field| self.profile.field(field.as_str())).cloned().map(Box::new);
                (Action::Ask { text: text.clone(), detail, field, optional: spec.optional.clone() }, text)
            }
            StepKind::Check(checks) => (Action::Check { checks: checks.clone() }, "Check".into()),
        }
    }

    fn ansible(&mut self, key: &str, spec: &AnsibleSpec, dir: Option<&str>, files: &[PlanFile]) -> Action {
        let mut argv = vec!["ansible-playbook".to_owned()];
        if let Some(forks) = spec.forks {
            argv.extend(["-f".to_owned(), forks.to_string()]);
        }
        argv.extend(["-i".to_owned(), spec.inventory.clone()]);
        if let Some(limit) = &spec.limit {
            argv.extend(["--limit".to_owned(), self.expand(key, limit)]);
        }
        for argument in &spec.arguments {
            argv.push(self.expand(key, argument));
        }
        argv.push(spec.playbook.clone());
        let inventory = dir.map_or_else(|| spec.inventory.clone(), |dir| format!("{dir}/{}", spec.inventory));
        let mut model: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
        for file in files.iter().filter(|file| file.path == inventory) {
            let FileContent::Edit { edits, .. } = &file.content else { continue };
            for edit in edits {
                let Edit::Hosts { group, lines } = edit else { continue };
                model.insert(group.clone(), lines.iter().filter_map(|line| host_line(line)).collect());
            }
        }
        let each = spec.tasks_each.as_ref().map_or(0, |each| {
            let concerned = |machine: &&Machine| each.roles.iter().any(|role| machine.has_role(role.as_str()));
            each.tasks * u32::try_from(self.site.machines.iter().filter(concerned).count()).unwrap_or(0)
        });
        Action::Ansible { argv, inventory, tasks: spec.tasks.map(|tasks| tasks + each), model, limit_retry: spec.limit_retry }
    }

    fn ssh(&mut self, key: &str, spec: &SshSpec, terminal: Terminal) -> Action {
        let machines: Vec<Machine> = self.site.with_role(spec.role.as_str()).cloned().collect();
        let mut commands = Vec::new();
        for machine in &machines {
            let planned = self.machine(machine);
            let command = self.machine_text(key, &spec.command, machine);
            let command = if spec.sudo { format!("sudo -n sh -c {}", shell_quote(&command)) } else { command };
            let mut argv = vec!["ssh".to_owned()];
            argv.extend(ssh_options(&self.place.known_hosts));
            if terminal == Terminal::Pty {
                // A terminal on the machine too, or a script there would not show what it asks.
                argv.push("-tt".to_owned());
            }
            if let Some(jump) = &planned.jump {
                argv.extend(["-o".to_owned(), format!("ProxyCommand={}", jump.proxy_command(&self.place.known_hosts))]);
            }
            argv.extend(["-i".to_owned(), planned.key, format!("{}@{}", planned.user, machine.address), command]);
            commands.push(argv);
        }
        let save = spec.save.as_ref().map(|path| self.path(key, path));
        Action::Ssh { commands, machines: machines.into_iter().map(|machine| machine.name).collect(), save }
    }

    fn digest<T: Serialize>(&self, value: &T) -> String {
        // The MAC takes keys of any length, and these types always serialise.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.place.digest_key) else { return String::new() };
        mac.update(&serde_json::to_vec(value).unwrap_or_default());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
