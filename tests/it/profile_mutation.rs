//! The promises of the shipped profile: each guard against a pitfall of the kit. A profile without one of them breaks a promise, and
//! every promise is broken by some change: so none of these functions only looks as if it looked.

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::check::{CheckKind, Level};
use mosip_setup::install::profile::{EditSpec, FileOrigin, FileSpec, Profile, Step, StepKind, WriteSpec};

pub type Promise = (&'static str, fn(&Profile) -> bool);

const INVENTORIES: [&str; 2] = ["kit:ansible/wireguard/inventory/hosts.ini", "kit:ansible/infra_deployment/inventory/rancher.ini"];
const MOSIP: &str = "kit:terraform/mosip_deployment/terraform.tfvars";

pub fn steps(profile: &Profile) -> impl Iterator<Item = &Step> {
    profile.phases.iter().flat_map(|phase| &phase.steps)
}

pub fn file<'a>(profile: &'a Profile, target: &str) -> Option<&'a FileSpec> {
    profile.files.iter().find(|file| file.target == target)
}

fn edit<'a>(profile: &'a Profile, target: &str) -> Option<&'a EditSpec> {
    match &file(profile, target)?.origin {
        FileOrigin::Edit(edit) => Some(edit),
        _ => None,
    }
}

fn text<'a>(profile: &'a Profile, target: &str) -> &'a str {
    match file(profile, target).map(|file| &file.origin) {
        Some(FileOrigin::Create { text, .. }) => text,
        _ => "",
    }
}

pub fn words(step: &Step) -> Vec<&str> {
    match &step.action {
        StepKind::Command(argv) => argv.iter().map(String::as_str).collect(),
        StepKind::Ansible(spec) => spec.arguments.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn runs_here(step: &Step) -> bool {
    matches!(step.action, StepKind::Command(_) | StepKind::Ansible(_) | StepKind::Terraform(_))
}

fn seconds(profile: &Profile, field: &str) -> i64 {
    profile.field(field).and_then(|field| field.default.as_ref()?.as_integer()).unwrap_or(0)
}

pub fn step_of<'a>(profile: &'a Profile, name: &str) -> Option<&'a Step> {
    let (phase, step) = name.split_once('/')?;
    profile.phase(phase)?.steps.iter().find(|candidate| candidate.id == *step)
}

/// Everything that writes files names them, and together they name all files of the profile.
pub fn all_files_are_written(profile: &Profile) -> bool {
    let written: Vec<&str> = steps(profile)
        .filter_map(|step| match &step.action {
            StepKind::Write(WriteSpec::Targets(targets)) => Some(targets.iter().map(String::as_str)),
            _ => None,
        })
        .flatten()
        .collect();
    let all = steps(profile).any(|step| matches!(&step.action, StepKind::Write(WriteSpec::All(true))));
    all || profile.files.iter().all(|file| written.contains(&file.target.as_str()))
}

fn restarts(profile: &Profile, name: &str, after: &str) -> bool {
    let Some((phase, _)) = name.split_once('/') else { return false };
    let Some(phase) = profile.phase(phase) else { return false };
    let place = |wanted: &str| phase.steps.iter().position(|step| step.id == *wanted);
    let Some(step) = step_of(profile, name) else { return false };
    step.on_retry && words(step).contains(&"name=nginx state=restarted") && place(after) < place(step.id.as_str())
}

fn token(profile: &Profile, target: &str, kubeconfig: &str) -> bool {
    file(profile, target).is_some_and(|file| {
        file.secret && matches!(&file.origin, FileOrigin::Once { random_hex, unless } if *random_hex >= 64 && unless == kubeconfig)
    })
}

pub fn guarded(profile: &Profile, check: &str, phases: &[&str], level: Level) -> bool {
    profile
        .check(check)
        .is_some_and(|check| check.level >= level && phases.iter().all(|phase| check.guards.iter().any(|guard| guard == phase)))
}

const PROMISES: &[Promise] = &[
    // -v prints keys, tokens and the cluster administrator's credentials.
    ("no playbook is verbose", |profile| {
        let verbose = |word: &&str| word.starts_with("--verbose") || word.starts_with("-v");
        steps(profile)
            .filter(|step| runs_here(step) && words(step).first() != Some(&"certbot"))
            .all(|step| !words(step).iter().any(verbose))
            && steps(profile).all(|step| !step.env.contains_key("ANSIBLE_VERBOSITY"))
    }),
    // The kit overwrites ~/.kube/config twice; one of its modules calls kubectl without saying where.
    ("every command has its kubeconfig", |profile| steps(profile).filter(|step| runs_here(step)).all(|step| step.kubeconfig.is_some())),
    ("each cluster has its own kubeconfig", |profile| {
        let of = |name: &str| step_of(profile, name).and_then(|step| step.kubeconfig.clone());
        of("obs-terraform/apply").as_deref() == Some("${observation_kubeconfig}")
            && ["mosip-infra/apply", "mosip-services/apply", "istio/playbook"]
                .iter()
                .all(|name| of(name).as_deref() == Some("${main_kubeconfig}"))
    }),
    ("checks that ask a cluster name it", |profile| {
        let kubectl = |argv: &[String]| argv.iter().any(|word| word.contains("kubectl ") || word == "kubectl");
        profile.checks.iter().all(|check| match &check.kind {
            CheckKind::Command { argv, kubeconfig, .. } => !kubectl(argv) || kubeconfig.is_some(),
            _ => true,
        })
    }),
    // The kit's inventories switch it off in a way that beats the environment.
    ("host keys are checked", |profile| {
        INVENTORIES.iter().all(|target| {
            let vars = edit(profile, target).and_then(|edit| edit.set.get("all:vars"));
            vars.and_then(|vars| vars.get("ansible_host_key_checking")).and_then(toml::Value::as_str) == Some("True")
        })
    }),
    ("ad-hoc commands check host keys too", |profile| {
        steps(profile).filter(|step| words(step).first() == Some(&"ansible")).all(|step| {
            step.env.get("ANSIBLE_HOST_KEY_CHECKING").is_some_and(|value| value == "True")
                && step
                    .env
                    .get("ANSIBLE_SSH_ARGS")
                    .is_some_and(|value| value.contains("UserKnownHostsFile=${known_hosts}") && value.contains("StrictHostKeyChecking=yes"))
        })
    }),
    ("nginx gets its stream module", |profile| {
        text(profile, "kit:ansible/infra_deployment/inventory/group_vars/nginx.yml").contains("libnginx-mod-stream")
    }),
    ("both clusters get open-iscsi", |profile| {
        ["physical_vms", "mosip_obs"].iter().all(|group| {
            text(profile, &format!("kit:ansible/infra_deployment/inventory/group_vars/{group}.yml"))
                .contains("apt_upgrade_additional_packages: [\"open-iscsi\"]")
        })
    }),
    ("no group gets the packages of another", |profile| {
        let all = edit(profile, "kit:ansible/infra_deployment/inventory/group_vars/all.yml");
        all.is_some_and(|edit| {
            edit.hide.contains_key("apt_upgrade_additional_packages") && !edit.set.contains_key("apt_upgrade_additional_packages")
        })
    }),
    // Else they are the MD5 of the cluster's name.
    ("join tokens are random and written once", |profile| {
        token(profile, "${main_base}/rke2_token", "${main_kubeconfig}")
            && token(profile, "${observation_base}/rke2_token", "${observation_kubeconfig}")
    }),
    ("every file is written by some step", all_files_are_written),
    ("nginx is restarted on a retry", |profile| {
        restarts(profile, "nginx/restart", "playbook") && restarts(profile, "obs-cluster/restart-nginx", "playbook")
    }),
    ("an earlier backup of ~/.kube/config is kept", |profile| {
        let Some(step) = step_of(profile, "prepare/kubeconfig-backup") else { return false };
        let script = words(step).join(" ");
        script.contains("[ ! -e '${home}/.kube/config.before-mosip-setup' ]")
            && script.contains("cp -p")
            && profile.phase("prepare").is_some_and(|phase| phase.skip.is_none())
    }),
    ("success is more than an exit code", |profile| {
        // What their next step or phase checks instead is named here.
        let otherwise = ["update-nodes/playbook", "obs-cluster/playbook", "nginx/playbook", "mosip-services/apply"];
        let unchecked =
            profile.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (format!("{}/{}", phase.id, step.id), step)));
        unchecked
            .filter(|(name, step)| {
                matches!(step.action, StepKind::Ansible(_) | StepKind::Terraform(_)) && !otherwise.contains(&name.as_str())
            })
            .all(|(_, step)| !step.verify.is_empty())
            && step_of(profile, "obs-cluster/ready")
                .is_some_and(|step| matches!(&step.action, StepKind::Check(checks) if checks.len() == 2))
            && step_of(profile, "nginx/ready").is_some_and(|step| matches!(&step.action, StepKind::Check(checks) if checks.len() == 2))
            && profile.phase("verification").is_some_and(|phase| {
                phase.steps.iter().any(|step| matches!(&step.action, StepKind::Wait(wait) if wait.check == "mosip.pods"))
            })
    }),
    ("what must not be changed is not offered", |profile| {
        edit(profile, MOSIP).is_some_and(|edit| {
            [
                "docker_secrets_enabled",
                "proxy_protocol_enabled",
                "longhorn_enable",
                "iam_enable",
                "create_s3_namespace",
                "istio_version",
                "iam_admin_password",
            ]
            .iter()
            .all(|key| edit.hide.contains_key(*key) && !edit.set.contains_key(*key) && !edit.add.contains_key(*key))
        })
    }),
    ("firewall rules that drop everything stay off", |profile| {
        edit(profile, "kit:ansible/infra_deployment/inventory/group_vars/all.yml")
            .is_some_and(|edit| edit.hide.contains_key("rke2_enable_firewall") && edit.hide.contains_key("nginx_obs_enable_firewall_rules"))
    }),
    // The registration client alone may take 4200 seconds.
    ("Helm gets the time it needs", |profile| {
        seconds(profile, "global_helm_timeout_seconds") > 4200
            && edit(profile, MOSIP).and_then(|edit| edit.set.get("global_helm_timeout_seconds")).and_then(toml::Value::as_str)
                == Some("${global_helm_timeout_seconds}")
    }),
    ("Rancher's first password is not the kit's", |profile| {
        let set =
            edit(profile, "kit:terraform/obs_deployment/terraform.tfvars").and_then(|edit| edit.add.get("rancher_bootstrap_password"));
        set.and_then(toml::Value::as_str) == Some("${secret.rancher_bootstrap_password}")
            && profile.field("rancher_bootstrap_password").is_some_and(|field| field.required && field.min >= Some(12))
    }),
    ("files with secrets are for their owner alone", |profile| {
        profile.files.iter().all(|file| {
            let has = match &file.origin {
                FileOrigin::Edit(edit) => {
                    edit.set.to_string().contains("${secret.") || edit.add.to_string().contains("${secret.") || !edit.secret_keys.is_empty()
                }
                FileOrigin::Create { text, .. } => text.contains("${secret."),
                FileOrigin::Copy { from } => from.contains("_key}"),
                FileOrigin::Once { .. } => true,
            };
            !has || file.secret
        })
    }),
    ("rendered files are not committed by accident", |profile| {
        let exclude = &profile.sources["kit"].exclude;
        [
            "*.tfvars",
            "*.tfstate",
            "*.tfplan",
            ".terraform/",
            "/ansible/wireguard/inventory/hosts.ini",
            "/ansible/infra_deployment/inventory/rancher.ini",
        ]
        .iter()
        .all(|pattern| exclude.iter().any(|known| known == pattern))
            && exclude.iter().filter(|pattern| pattern.ends_with("privkey.pem")).count() == 2
    }),
    ("the older layout is refused", |profile| {
        profile.sources["kit"].refuse.iter().any(|refusal| refusal.path.ends_with("rancher_deploy") && refusal.message.contains("RKE1"))
    }),
    ("the source is pinned", |profile| profile.sources["kit"].commit == "44d1186362f1b1a2c2c2ca0774307d3ff6db438a"),
    ("istioctl is the one version that fits", |profile| {
        let exact = |check: &str| matches!(profile.check(check).map(|check| &check.kind), Some(CheckKind::Tool { exact: Some(version), .. }) if version == "1.22.0");
        exact("local.tool.istioctl") && exact("tools.istioctl") && guarded(profile, "local.tool.istioctl", &["istio"], Level::Strict)
    }),
    ("clusters wait for swap, clocks and free ports", |profile| {
        guarded(profile, "machine.swap", &["obs-cluster", "cluster"], Level::Fail)
            && guarded(profile, "machine.time", &["obs-cluster", "cluster", "nginx"], Level::Fail)
            && guarded(profile, "ports.free.cluster", &["cluster"], Level::Fail)
            && guarded(profile, "ports.free.observation", &["obs-cluster"], Level::Fail)
    }),
    ("services wait for their names", |profile| {
        guarded(profile, "dns.roots", &["mosip-infra", "mosip-services"], Level::Fail)
            && guarded(profile, "dns.internal", &["mosip-services"], Level::Fail)
    }),
    ("Helm's repositories belong to this user", |profile| {
        guarded(profile, "local.helm-repository.mosip", &["mosip-services"], Level::Fail)
            && guarded(profile, "local.helm-repository.bitnami", &["mosip-services"], Level::Fail)
    }),
    ("the bastion is upgraded too", |profile| {
        let step = step_of(profile, "wireguard/upgrade");
        step.is_some_and(
            |step| matches!(&step.action, StepKind::Ssh(spec) if spec.role == "bastion" && spec.sudo && spec.command.contains("upgrade")),
        )
    }),
    ("the peer's file is fetched, not printed", |profile| {
        step_of(profile, "wireguard/peer-file").is_some_and(|step| matches!(&step.action, StepKind::Ssh(spec) if spec.save.is_some()))
    }),
    ("the import address is a secret and may wait", |profile| {
        step_of(profile, "rancher-import/address").is_some_and(|step| {
            matches!(&step.action, StepKind::Ask(ask) if ask.optional.is_some() && ask.field.as_ref().is_some_and(|field| field == "rancher_import_url"))
        }) && profile.field("rancher_import_url").is_some_and(|field| field.kind == mosip_setup::install::field::FieldKind::Secret && field.pattern.is_some())
    }),
    ("nothing is installed from a pipe", |profile| {
        steps(profile).all(|step| !words(step).iter().any(|word| word.contains("| sh") || word.contains("| bash")))
    }),
];

#[test]
fn the_shipped_profile_keeps_its_promises() {
    kept(&load("turing-rke2").unwrap(), PROMISES);
}

#[track_caller]
pub fn kept(profile: &Profile, promises: &[Promise]) {
    let broken: Vec<&str> = promises.iter().filter(|(_, holds)| !holds(profile)).map(|(name, _)| *name).collect();
    assert_eq!(broken, [""; 0], "{}", profile.id);
}

pub fn step_mut<'a>(profile: &'a mut Profile, name: &str) -> &'a mut Step {
    let (phase, step) = name.split_once('/').unwrap();
    let phase = profile.phases.iter_mut().find(|candidate| candidate.id == *phase).unwrap();
    phase.steps.iter_mut().find(|candidate| candidate.id == *step).unwrap()
}

pub fn file_mut<'a>(profile: &'a mut Profile, target: &str) -> &'a mut FileSpec {
    profile.files.iter_mut().find(|file| file.target.ends_with(target)).unwrap()
}

fn edit_mut<'a>(profile: &'a mut Profile, target: &str) -> &'a mut EditSpec {
    match &mut file_mut(profile, target).origin {
        FileOrigin::Edit(edit) => edit,
        other => panic!("{target}: {other:?}"),
    }
}

pub fn remove_step(profile: &mut Profile, name: &str) {
    let (phase, step) = name.split_once('/').unwrap();
    let phase = profile.phases.iter_mut().find(|candidate| candidate.id == *phase).unwrap();
    phase.steps.retain(|candidate| candidate.id != *step);
}

pub fn remove_file(profile: &mut Profile, target: &str) {
    profile.files.retain(|file| !file.target.ends_with(target));
}

fn all_vars<'a>(profile: &'a mut Profile, target: &str) -> &'a mut toml::Table {
    edit_mut(profile, target).set.get_mut("all:vars").unwrap().as_table_mut().unwrap()
}

pub fn check_mut<'a>(profile: &'a mut Profile, name: &str) -> &'a mut mosip_setup::install::check::CheckSpec {
    profile.checks.iter_mut().find(|check| check.id == *name).unwrap()
}

pub fn ansible_mut<'a>(profile: &'a mut Profile, name: &str) -> &'a mut mosip_setup::install::profile::AnsibleSpec {
    match &mut step_mut(profile, name).action {
        StepKind::Ansible(spec) => spec,
        other => panic!("{name}: {other:?}"),
    }
}

fn kit(profile: &mut Profile) -> &mut mosip_setup::install::profile::Source {
    profile.sources.get_mut("kit").unwrap()
}

fn set_field_default(profile: &mut Profile, field: &str, value: i64) {
    profile.fields.iter_mut().find(|candidate| candidate.id == *field).unwrap().default = Some(toml::Value::Integer(value));
}

pub type Mutation = (&'static str, fn(&mut Profile));

/// What an inattentive hand may do to the profile, and the promise that it breaks.
const MUTATIONS: &[Mutation] = &[
    ("no playbook is verbose", |profile| ansible_mut(profile, "cluster/playbook").arguments.push("-v".into())),
    ("no playbook is verbose", |profile| ansible_mut(profile, "istio/playbook").arguments.push("-vvv".into())),
    ("no playbook is verbose", |profile| drop(step_mut(profile, "wireguard/playbook").env.insert("ANSIBLE_VERBOSITY".into(), "1".into()))),
    ("every command has its kubeconfig", |profile| step_mut(profile, "verification/endpoints").kubeconfig = None),
    ("every command has its kubeconfig", |profile| step_mut(profile, "mosip-services/apply").kubeconfig = None),
    ("each cluster has its own kubeconfig", |profile| {
        step_mut(profile, "obs-terraform/apply").kubeconfig = Some("${main_kubeconfig}".into())
    }),
    ("checks that ask a cluster name it", |profile| match &mut check_mut(profile, "cluster.count").kind {
        CheckKind::Command { kubeconfig, .. } => *kubeconfig = None,
        other => panic!("{other:?}"),
    }),
    ("host keys are checked", |profile| drop(all_vars(profile, "hosts.ini").remove("ansible_host_key_checking"))),
    ("host keys are checked", |profile| drop(all_vars(profile, "rancher.ini").insert("ansible_host_key_checking".into(), "False".into()))),
    ("ad-hoc commands check host keys too", |profile| drop(step_mut(profile, "nginx/restart").env.remove("ANSIBLE_SSH_ARGS"))),
    ("ad-hoc commands check host keys too", |profile| step_mut(profile, "obs-cluster/restart-nginx").env.clear()),
    ("nginx gets its stream module", |profile| remove_file(profile, "group_vars/nginx.yml")),
    ("both clusters get open-iscsi", |profile| remove_file(profile, "group_vars/mosip_obs.yml")),
    ("both clusters get open-iscsi", |profile| {
        file_mut(profile, "group_vars/physical_vms.yml").origin = FileOrigin::Create { text: "# none\n".into(), lists: Default::default() }
    }),
    ("no group gets the packages of another", |profile| {
        drop(edit_mut(profile, "group_vars/all.yml").hide.remove("apt_upgrade_additional_packages"))
    }),
    ("join tokens are random and written once", |profile| remove_file(profile, "{observation_base}/rke2_token")),
    ("join tokens are random and written once", |profile| {
        file_mut(profile, "{main_base}/rke2_token").origin = FileOrigin::Create { text: "md5".into(), lists: Default::default() }
    }),
    ("every file is written by some step", |profile| match &mut step_mut(profile, "prepare/files").action {
        StepKind::Write(WriteSpec::Targets(targets)) => targets.retain(|target| !target.ends_with("group_vars/nginx.yml")),
        other => panic!("{other:?}"),
    }),
    ("nginx is restarted on a retry", |profile| remove_step(profile, "nginx/restart")),
    ("nginx is restarted on a retry", |profile| step_mut(profile, "obs-cluster/restart-nginx").on_retry = false),
    ("nginx is restarted on a retry", |profile| profile.phases.iter_mut().find(|phase| phase.id == "nginx").unwrap().steps.swap(0, 1)),
    ("an earlier backup of ~/.kube/config is kept", |profile| remove_step(profile, "prepare/kubeconfig-backup")),
    ("an earlier backup of ~/.kube/config is kept", |profile| {
        step_mut(profile, "prepare/kubeconfig-backup").action =
            StepKind::Command(vec!["cp".into(), "${home}/.kube/config".into(), "${home}/.kube/config.before-mosip-setup".into()]);
    }),
    ("success is more than an exit code", |profile| step_mut(profile, "cluster/playbook").verify.clear()),
    ("success is more than an exit code", |profile| step_mut(profile, "mosip-infra/apply").verify.clear()),
    ("success is more than an exit code", |profile| remove_step(profile, "nginx/ready")),
    ("success is more than an exit code", |profile| remove_step(profile, "verification/pods")),
    ("what must not be changed is not offered", |profile| {
        drop(edit_mut(profile, "mosip_deployment/terraform.tfvars").hide.remove("docker_secrets_enabled"))
    }),
    ("firewall rules that drop everything stay off", |profile| {
        drop(edit_mut(profile, "group_vars/all.yml").hide.remove("rke2_enable_firewall"))
    }),
    ("Helm gets the time it needs", |profile| set_field_default(profile, "global_helm_timeout_seconds", 1800)),
    ("Helm gets the time it needs", |profile| {
        drop(edit_mut(profile, "mosip_deployment/terraform.tfvars").set.remove("global_helm_timeout_seconds"))
    }),
    ("Rancher's first password is not the kit's", |profile| {
        drop(edit_mut(profile, "obs_deployment/terraform.tfvars").add.remove("rancher_bootstrap_password"))
    }),
    ("files with secrets are for their owner alone", |profile| file_mut(profile, "obs_deployment/terraform.tfvars").secret = false),
    ("files with secrets are for their owner alone", |profile| file_mut(profile, "nginx_obs/files/privkey.pem").secret = false),
    ("rendered files are not committed by accident", |profile| kit(profile).exclude.retain(|pattern| pattern != "*.tfstate")),
    ("the older layout is refused", |profile| kit(profile).refuse.clear()),
    ("the source is pinned", |profile| kit(profile).commit = "0".repeat(40)),
    ("istioctl is the one version that fits", |profile| check_mut(profile, "local.tool.istioctl").level = Level::Warn),
    ("clusters wait for swap, clocks and free ports", |profile| check_mut(profile, "machine.swap").guards.clear()),
    ("clusters wait for swap, clocks and free ports", |profile| profile.checks.retain(|check| check.id != "machine.time")),
    ("services wait for their names", |profile| check_mut(profile, "dns.internal").level = Level::Warn),
    ("Helm's repositories belong to this user", |profile| profile.checks.retain(|check| check.id != "local.helm-repository.bitnami")),
    ("the bastion is upgraded too", |profile| remove_step(profile, "wireguard/upgrade")),
    ("the peer's file is fetched, not printed", |profile| match &mut step_mut(profile, "wireguard/peer-file").action {
        StepKind::Ssh(spec) => spec.save = None,
        other => panic!("{other:?}"),
    }),
    ("the import address is a secret and may wait", |profile| match &mut step_mut(profile, "rancher-import/address").action {
        StepKind::Ask(ask) => ask.field = None,
        other => panic!("{other:?}"),
    }),
    ("nothing is installed from a pipe", |profile| {
        step_mut(profile, "tools/istioctl").action =
            StepKind::Command(vec!["sh".into(), "-c".into(), "curl -L https://istio.io/downloadIstio | sh -".into()]);
    }),
];

#[test]
fn a_profile_without_a_guard_breaks_a_promise() {
    broken_by(&load("turing-rke2").unwrap(), PROMISES, MUTATIONS);
}

/// Each change breaks the promise that it names, and each promise is broken by some change.
#[track_caller]
pub fn broken_by(shipped: &Profile, promises: &[Promise], mutations: &[Mutation]) {
    for (number, (name, change)) in mutations.iter().enumerate() {
        let (_, holds) = promises.iter().find(|(promise, _)| promise == name).unwrap_or_else(|| panic!("no promise is called {name}"));
        let mut profile = shipped.clone();
        change(&mut profile);
        assert!(!holds(&profile), "{}: change {number} goes unnoticed by: {name}", shipped.id);
    }
    for (name, _) in promises {
        assert!(mutations.iter().any(|(promise, _)| promise == name), "nothing breaks: {name}");
    }
}
