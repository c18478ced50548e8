//! The promises of the V3 profiles, as `profile_mutation` has them for the kit: each guard against a pitfall of MOSIP's own scripts, and a change
//! that breaks each. `docs/v3-pitfalls.md` has the pitfalls by their numbers.

use std::collections::BTreeSet;

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::check::{CheckKind, Level};
use mosip_setup::install::profile::{FileOrigin, Profile, Prompt, Relation, Repeat, Step, StepKind};

use crate::profile_mutation::{
    Mutation, Promise, all_files_are_written, ansible_mut, broken_by, check_mut, file, file_mut, guarded, kept, remove_step, step_mut,
    step_of, steps, words,
};

const PROFILES: [&str; 2] = ["v3-onprem", "v3-onprem-nodns"];

/// Phases before there is a cluster, and those of a person's laptop.
const WITHOUT_CLUSTER: [&str; 3] = ["tools", "certificates", "prepare"];

fn derived<'a>(profile: &'a Profile, name: &str) -> &'a str {
    profile.derive.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Whether a step may change a cluster.
fn talks_to_a_cluster(step: &Step) -> bool {
    let words = words(step);
    let script = step.dir.as_deref().is_some_and(|dir| dir.contains(":deployment/v3/")) && !words.is_empty();
    script || step.helm.is_some() || words.iter().any(|word| word.contains("kubectl ") || *word == "kubectl")
}

fn in_phases(profile: &Profile) -> impl Iterator<Item = (&str, &Step)> {
    profile.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (phase.id.as_str(), step)))
}

/// Whether a step runs a published script.
fn is_script(step: &Step) -> bool {
    matches!(&step.action, StepKind::Command(argv) if argv.iter().any(|word| word.starts_with("./")))
}

fn rule<'a>(profile: &'a Profile, step: &str, release: &str) -> Option<&'a mosip_setup::install::helm::ReleaseRule> {
    step_of(profile, step)?.helm.as_ref()?.release.iter().find(|rule| rule.id == release)
}

fn rule_mut<'a>(profile: &'a mut Profile, step: &str, release: &str) -> &'a mut mosip_setup::install::helm::ReleaseRule {
    step_mut(profile, step).helm.as_mut().unwrap().release.iter_mut().find(|rule| rule.id == release).unwrap()
}

fn adds(profile: &Profile, step: &str, release: &str, text: &str) -> bool {
    rule(profile, step, release).is_some_and(|rule| rule.add.iter().any(|word| word == text) && !rule.reason.is_empty())
}

fn place(profile: &Profile, phase: &str) -> Option<usize> {
    profile.phases.iter().position(|known| known.id == *phase)
}

fn apart(profile: &Profile, one: &str, other: &str) -> bool {
    let has = |roles: &[mosip_setup::install::ids::RoleId], role: &str| roles.iter().any(|known| known == role);
    profile.relations.iter().any(|relation| matches!(relation, Relation::Apart { roles, .. } if has(roles, one) && has(roles, other)))
}

fn exact(profile: &Profile, check: &str, wanted: &str) -> bool {
    matches!(profile.check(check).map(|check| &check.kind), Some(CheckKind::Tool { exact: Some(version), .. }) if version == wanted)
}

/// Releases whose secrets are made once: installing them again would make others.
const KEPT: [(&str, &str); 4] = [
    ("postgres-init/install", "postgres/postgres-init"),
    ("keycloak-init/install", "keycloak/keycloak-init"),
    ("conf-secrets/install", "conf-secrets/conf-secrets"),
    ("masterdata-loader/install", "masterdata-loader/masterdata-loader"),
];

/// Steps that destroy, or make new what others use, where they are done again.
const ONCE: [&str; 5] =
    ["postgres-init/install", "keycloak-init/install", "masterdata-loader/install", "partner-onboarder/install", "resident/install"];

/// Images that are no longer where the charts look (pitfall 5).
const IMAGES: [(&str, &str, &str); 8] = [
    ("postgres/install", "postgres/postgres", "image.repository=bitnamilegacy/postgresql"),
    ("keycloak/install", "keycloak/keycloak", "postgresql.image.repository=mosipid/postgresql"),
    ("observation-keycloak/install", "keycloak/keycloak", "image.repository=mosipid/mosip-artemis-keycloak"),
    ("kafka/install", "kafka/kafka", "image.repository=mosipid/kafka"),
    ("kafka/install", "kafka/kafka", "zookeeper.image.repository=mosipid/zookeeper"),
    ("minio/install", "minio/minio", "image.repository=mosipint/minio"),
    ("logging/install", "cattle-logging-system/elasticsearch", "image.repository=mosipint/elasticsearch"),
    ("logging/install", "cattle-logging-system/elasticsearch", "kibana.image.repository=mosipint/kibana"),
];

const PROMISES: &[Promise] = &[
    ("every step that talks to a cluster names its kubeconfig (8)", |profile| {
        in_phases(profile).filter(|(phase, step)| !WITHOUT_CLUSTER.contains(phase) && talks_to_a_cluster(step)).all(|(phase, step)| {
            let own =
                if phase.starts_with("observation") || phase == "rancher" { "${observation_kubeconfig}" } else { "${mosip_kubeconfig}" };
            step.kubeconfig.as_deref() == Some(own)
        })
    }),
    ("nothing is applied before it is known whose cluster it is (8)", |profile| {
        let gate = |phase: &str| guarded(profile, "gate.kubeconfig.mosip", &[phase], Level::Strict);
        profile.phases.iter().filter(|phase| phase.steps.iter().any(|step| step.kubeconfig.is_some())).all(|phase| {
            let looks = phase.steps.first().is_some_and(
                |step| matches!(&step.action, StepKind::Check(checks) if checks.iter().any(|check| check.as_str().starts_with("cluster."))),
            );
            // Two phases put the kubeconfig there themselves, from the cluster that they have made.
            looks || gate(phase.id.as_str()) || phase.steps.iter().any(|step| step.id == *"kubeconfig")
        })
    }),
    ("a script that kills its caller kills a shell (6)", |profile| {
        ["config-server/install", "object-store/install"].iter().all(|name| step_of(profile, name).is_some_and(is_script))
            && steps(profile).filter(|step| is_script(step)).all(|step| {
                let words = words(step);
                words.len() > 2 && words[..2] == ["bash", "-c"] && words[2].ends_with("; exit $?")
            })
    }),
    ("what is installed is looked at afterwards (13)", |profile| {
        profile.phases.iter().all(|phase| {
            let last = phase.steps.iter().rposition(|step| step.helm.is_some());
            last.is_none_or(|last| {
                phase.steps[last..]
                    .iter()
                    .any(|step| matches!(step.action, StepKind::Wait(_) | StepKind::Check(_)) || !step.verify.is_empty())
            })
        })
    }),
    ("what is deployed is not installed again (19)", |profile| {
        let named = [
            "postgres",
            "keycloak-init",
            "conf-secrets",
            "config-server",
            "keymanager",
            "kernel",
            "regproc",
            "ida",
            "resident",
            "regclient",
        ];
        named.iter().all(|phase| {
            step_of(profile, &format!("{phase}/install"))
                .is_some_and(|step| step.unless.iter().any(|check| check == &*format!("ready.{phase}")))
        })
    }),
    ("what destroys is done again only where the operator agrees (10)", |profile| {
        ONCE.iter().all(|name| step_of(profile, name).is_some_and(|step| step.repeat != Repeat::Safe))
    }),
    ("releases that hold secrets stay", |profile| {
        KEPT.iter().all(|(step, release)| rule(profile, step, release).is_some_and(|rule| rule.keep))
    }),
    ("Helm gets the time it needs (4)", |profile| {
        steps(profile).filter_map(|step| step.helm.as_ref()).all(|helm| helm.timeout_minutes >= Some(20))
    }),
    ("images that were withdrawn are replaced (5)", |profile| {
        IMAGES.iter().all(|(step, release, image)| adds(profile, step, release, image))
    }),
    ("what was never published is left out (2)", |profile| {
        rule(profile, "regproc/install", "regproc/regproc-landingzone").is_some_and(|rule| rule.omit)
    }),
    ("registration processing gets the class of the site (7)", |profile| {
        adds(profile, "regproc/install", "regproc/regproc-group1", "persistence.storageClass=${storage_class}")
            && ["observation-storage/nfs-default", "mosip-storage/nfs-default"]
                .iter()
                .all(|name| step_of(profile, name).is_some_and(|step| words(step).iter().any(|word| word.contains("is-default-class"))))
            && guarded(profile, "gate.volume", &["postgres", "regproc"], Level::Fail)
    }),
    ("monitoring's definitions are there before the services (5)", |profile| {
        place(profile, "monitoring") < place(profile, "keymanager") && guarded(profile, "gate.monitoring", &["keymanager"], Level::Fail)
    }),
    ("every prompt stands in a script, and what must be asked must come", |profile| {
        let asked: Vec<&Prompt> = steps(profile).flat_map(|step| &step.prompts).collect();
        !asked.is_empty()
            && asked.iter().all(|prompt| prompt.script.is_some())
            && steps(profile).filter(|step| !step.prompts.is_empty()).all(|step| {
                step.terminal == mosip_setup::install::profile::Terminal::Pty
                    && step.prompts.iter().any(|prompt| prompt.required || prompt.when.is_some())
            })
    }),
    ("whether SSL is valid is answered as the profile has it (10)", |profile| {
        let valid = if profile.id == *"v3-onprem-nodns" { "n" } else { "Y" };
        let ssl: Vec<&Prompt> = steps(profile).flat_map(|step| &step.prompts).filter(|prompt| prompt.text.starts_with("n: ")).collect();
        ssl.len() == 9
            && ssl.iter().all(|prompt| prompt.answer == "${valid_ssl}" && prompt.whole_line && prompt.required)
            && derived(profile, "valid_ssl") == valid
    }),
    ("SSH is allowed before a firewall is on (11, 25)", |profile| {
        let first = |phase: &str| profile.phase(phase).and_then(|phase| phase.steps.first()).map(|step| step.id.to_string());
        let playbook = |name: &str| {
            step_of(profile, name).is_some_and(|step| matches!(&step.action, StepKind::Ansible(spec) if spec.playbook == "nfs-ports.yaml"))
        };
        first("nfs-server").as_deref() == Some("ports")
            && playbook("nfs-server/ports")
            && playbook("testrig-nfs/ports")
            && place(profile, "testrig-nfs") < place(profile, "packetcreator")
            && ["packetcreator", "authdemo", "dslrig"].iter().all(|rig| {
                profile.phase(rig).is_some_and(|phase| {
                    phase.needs.iter().any(|need| ["testrig-nfs", "packetcreator", "authdemo"].contains(&need.as_str()))
                })
            })
    }),
    ("the folder is exported to the network alone (12)", |profile| {
        let narrow = step_of(profile, "nfs-server/narrow");
        let at = |id: &str| profile.phase("nfs-server").and_then(|phase| phase.steps.iter().position(|step| step.id == *id));
        narrow.is_some_and(|step| {
            matches!(&step.action, StepKind::Ssh(spec) if spec.sudo && spec.role == "nfs" && spec.command.contains("${nfs_path} ${network}("))
                && step.verify.iter().any(|check| check == "nfs.narrow")
        }) && at("server") < at("narrow")
    }),
    ("the tunnel survives the nodes' Docker (23)", |profile| {
        let limited = |name: &str, to: &str| {
            step_of(profile, name).is_some_and(|step| matches!(&step.action, StepKind::Ansible(spec) if spec.limit.as_deref() == Some(to)))
        };
        limited("wireguard/docker", "wireguard") && limited("mosip-machines/docker", "cluster") && apart(profile, "mosip-node", "bastion")
    }),
    ("the two load balancers are two machines (30)", |profile| apart(profile, "nginx", "nginx-observation")),
    ("nodes belong to one cluster, in one part", |profile| {
        apart(profile, "mosip-node", "observation-node")
            && ["mosip-node", "observation-node"].iter().all(|node| {
                profile
                    .relations
                    .iter()
                    .any(|relation| matches!(relation, Relation::OneOf { role, of, .. } if role == *node && of.len() == 2))
            })
    }),
    ("etcd has an odd number of members (26)", |profile| {
        guarded(profile, "etcd.odd", &["observation-cluster", "mosip-cluster"], Level::Fail)
    }),
    ("tools are those that fit", |profile| {
        exact(profile, "local.tool.istioctl", "1.15.0")
            && exact(profile, "local.tool.rke", "1.3.10")
            && guarded(profile, "local.tool.istioctl", &["istio"], Level::Strict)
            && guarded(profile, "local.tool.rke", &["observation-cluster", "mosip-cluster"], Level::Strict)
    }),
    ("Rancher is the one that knows these charts (32)", |profile| {
        let version = if profile.id == *"v3-onprem-nodns" { "--version 2.6.3 " } else { "--version 2.6.9 " };
        step_of(profile, "rancher/install").is_some_and(|step| words(step).iter().any(|word| word.contains(version)))
    }),
    ("Docker is one that RKE accepts (22)", |profile| {
        guarded(profile, "docker.observation", &["observation-cluster"], Level::Fail)
            && guarded(profile, "docker.mosip", &["mosip-cluster"], Level::Fail)
    }),
    ("kubeconfigs are put there for their owner alone (34, 36)", |profile| {
        ["observation-cluster/kubeconfig", "mosip-cluster/kubeconfig"]
            .iter()
            .all(|name| step_of(profile, name).is_some_and(|step| words(step).iter().any(|word| word.contains("install -m 0600 "))))
    }),
    ("host keys are checked where a script calls Ansible (28)", |profile| {
        derived(profile, "ansible_ssh").contains("StrictHostKeyChecking=yes")
            && ["packetcreator/install", "authdemo/install", "dslrig/install"].iter().all(|name| {
                step_of(profile, name).is_some_and(|step| {
                    step.env.get("ANSIBLE_HOST_KEY_CHECKING").is_some_and(|value| value == "True")
                        && step.env.get("ANSIBLE_SSH_ARGS").is_some_and(|value| value == "${ansible_ssh}")
                })
            })
    }),
    ("Helm has a home of its own (14)", |profile| {
        steps(profile)
            .filter(|step| step.helm.is_some() && is_script(step))
            .all(|step| step.env.get("HELM_CONFIG_HOME").is_some_and(|home| home == "${helm_home}"))
            && derived(profile, "helm_home").starts_with("${site.dir}/")
    }),
    ("checkouts are on a branch of their own (3)", |profile| {
        ["tools/checkout-k8s-infra", "tools/checkout-mosip-infra"].iter().all(|name| {
            step_of(profile, name).is_some_and(|step| words(step).iter().any(|word| word.contains("switch -c ")) && !step.verify.is_empty())
        })
    }),
    ("sources are pinned, and other layouts refused (24, 37)", |profile| {
        profile.sources["k8s-infra"].commit == "ebd27b17c4a3ffdb6c533b7250f77144707985f1"
            && profile.sources["mosip-infra"].commit == "b5cb9e5a1beb588a7912c2f7c98ca039a304d56e"
            && profile.sources.values().all(|source| !source.refuse.is_empty())
    }),
    ("credentials are not committed by accident (34)", |profile| {
        ["cluster.yml", "*.rkestate", "kube_config_cluster.yml", "hosts.ini"]
            .iter()
            .all(|name| profile.sources["k8s-infra"].exclude.iter().any(|known| known == name))
    }),
    ("files with secrets are for their owner alone", |profile| {
        profile.files.iter().all(|file| {
            let has = match &file.origin {
                FileOrigin::Create { text, .. } => text.contains("${secret."),
                FileOrigin::Edit(edit) => edit.set.to_string().contains("${secret.") || edit.add.to_string().contains("${secret."),
                FileOrigin::Copy { .. } | FileOrigin::Once { .. } => false,
            };
            !has || file.secret
        }) && file(profile, "${rancher_values}").is_some_and(|file| file.secret)
    }),
    ("every file is written by some step", all_files_are_written),
    ("services wait for their names and certificates", |profile| {
        let names = if profile.id == *"v3-onprem-nodns" {
            guarded(profile, "names.machines", &["observation-cluster", "mosip-cluster"], Level::Fail)
        } else {
            guarded(profile, "dns.internal", &["mosip-nginx"], Level::Fail)
        };
        names
            && guarded(profile, "certificate.mosip", &["mosip-nginx"], Level::Fail)
            && guarded(profile, "gate.pod-dns", &["keycloak-init"], Level::Fail)
    }),
    ("secrets are typed only where nobody else looks on (20)", |profile| {
        guarded(profile, "local.alone", &["keycloak-init", "object-store", "msg-gateway", "docker-secrets", "captcha"], Level::Warn)
    }),
];

fn drop_relation(profile: &mut Profile, gone: impl Fn(&Relation) -> bool) {
    let before = profile.relations.len();
    profile.relations.retain(|relation| !gone(relation));
    assert!(profile.relations.len() < before, "there is no such relation");
}

fn exchange(text: &mut String, from: &str, to: &str) {
    assert!(text.contains(from), "{from}: {text}");
    *text = text.replace(from, to);
}

/// Exchanges a text in a step's command line.
fn reword(profile: &mut Profile, step: &str, from: &str, to: &str) {
    match &mut step_mut(profile, step).action {
        StepKind::Command(argv) => {
            let word = argv.iter_mut().find(|word| word.contains(from)).unwrap_or_else(|| panic!("{step}: no {from}"));
            exchange(word, from, to);
        }
        StepKind::Ssh(spec) => exchange(&mut spec.command, from, to),
        other => panic!("{step}: {other:?}"),
    }
}

fn source<'a>(profile: &'a mut Profile, name: &str) -> &'a mut mosip_setup::install::profile::Source {
    profile.sources.get_mut(name).unwrap()
}

/// What an inattentive hand may do to either profile, and the promise that it breaks.
const MUTATIONS: &[Mutation] = &[
    ("every step that talks to a cluster names its kubeconfig (8)", |profile| step_mut(profile, "kafka/install").kubeconfig = None),
    ("every step that talks to a cluster names its kubeconfig (8)", |profile| step_mut(profile, "mosip-gate/apply").kubeconfig = None),
    ("every step that talks to a cluster names its kubeconfig (8)", |profile| {
        step_mut(profile, "observation-keycloak/install").kubeconfig = Some("${mosip_kubeconfig}".into())
    }),
    ("nothing is applied before it is known whose cluster it is (8)", |profile| {
        check_mut(profile, "gate.kubeconfig.mosip").guards.retain(|phase| phase != "ida")
    }),
    ("nothing is applied before it is known whose cluster it is (8)", |profile| {
        check_mut(profile, "gate.kubeconfig.mosip").level = Level::Fail
    }),
    ("nothing is applied before it is known whose cluster it is (8)", |profile| remove_step(profile, "rancher/right-cluster")),
    ("a script that kills its caller kills a shell (6)", |profile| reword(profile, "config-server/install", "; exit $?", "")),
    ("a script that kills its caller kills a shell (6)", |profile| {
        step_mut(profile, "object-store/install").action = StepKind::Command(vec!["./cred.sh".into()])
    }),
    ("what is installed is looked at afterwards (13)", |profile| remove_step(profile, "regproc/ready")),
    ("what is installed is looked at afterwards (13)", |profile| remove_step(profile, "observation-storage/ready")),
    ("what is deployed is not installed again (19)", |profile| step_mut(profile, "resident/install").unless.clear()),
    ("what is deployed is not installed again (19)", |profile| {
        step_mut(profile, "kernel/install").unless = vec!["ready.ida".parse().unwrap()]
    }),
    ("what destroys is done again only where the operator agrees (10)", |profile| {
        step_mut(profile, "postgres-init/install").repeat = Repeat::Safe
    }),
    ("what destroys is done again only where the operator agrees (10)", |profile| {
        step_mut(profile, "masterdata-loader/install").repeat = Repeat::Safe
    }),
    ("releases that hold secrets stay", |profile| rule_mut(profile, "conf-secrets/install", "conf-secrets/conf-secrets").keep = false),
    ("releases that hold secrets stay", |profile| step_mut(profile, "keycloak-init/install").helm.as_mut().unwrap().release.clear()),
    ("Helm gets the time it needs (4)", |profile| step_mut(profile, "regclient/install").helm.as_mut().unwrap().timeout_minutes = None),
    ("Helm gets the time it needs (4)", |profile| step_mut(profile, "kafka/install").helm.as_mut().unwrap().timeout_minutes = Some(5)),
    ("images that were withdrawn are replaced (5)", |profile| rule_mut(profile, "minio/install", "minio/minio").add.clear()),
    ("images that were withdrawn are replaced (5)", |profile| {
        let rule = rule_mut(profile, "kafka/install", "kafka/kafka");
        rule.add.retain(|word| !word.contains("zookeeper.image.repository"));
    }),
    ("what was never published is left out (2)", |profile| {
        rule_mut(profile, "regproc/install", "regproc/regproc-landingzone").omit = false
    }),
    ("registration processing gets the class of the site (7)", |profile| {
        rule_mut(profile, "regproc/install", "regproc/regproc-group1").add.clear()
    }),
    ("registration processing gets the class of the site (7)", |profile| remove_step(profile, "mosip-storage/nfs-default")),
    ("monitoring's definitions are there before the services (5)", |profile| profile.checks.retain(|check| check.id != "gate.monitoring")),
    ("monitoring's definitions are there before the services (5)", |profile| {
        let at = place(profile, "monitoring").unwrap();
        let phase = profile.phases.remove(at);
        profile.phases.push(phase);
    }),
    ("every prompt stands in a script, and what must be asked must come", |profile| {
        step_mut(profile, "ida/install").prompts[0].script = None
    }),
    ("every prompt stands in a script, and what must be asked must come", |profile| {
        step_mut(profile, "postgres-init/install").prompts[0].required = false
    }),
    ("every prompt stands in a script, and what must be asked must come", |profile| {
        step_mut(profile, "captcha/install").terminal = mosip_setup::install::profile::Terminal::Pipe
    }),
    ("whether SSL is valid is answered as the profile has it (10)", |profile| step_mut(profile, "kernel/install").prompts.clear()),
    ("whether SSL is valid is answered as the profile has it (10)", |profile| {
        step_mut(profile, "resident/install").prompts[0].answer = "y".into()
    }),
    ("whether SSL is valid is answered as the profile has it (10)", |profile| {
        profile.derive.iter_mut().find(|(name, _)| name == "valid_ssl").unwrap().1 = "yes".into();
    }),
    ("SSH is allowed before a firewall is on (11, 25)", |profile| remove_step(profile, "testrig-nfs/ports")),
    ("SSH is allowed before a firewall is on (11, 25)", |profile| {
        profile.phases.iter_mut().find(|phase| phase.id == *"nfs-server").unwrap().steps.swap(0, 1)
    }),
    ("SSH is allowed before a firewall is on (11, 25)", |profile| {
        profile.phases.iter_mut().find(|phase| phase.id == *"packetcreator").unwrap().needs.clear();
    }),
    ("the folder is exported to the network alone (12)", |profile| remove_step(profile, "nfs-server/narrow")),
    ("the folder is exported to the network alone (12)", |profile| step_mut(profile, "nfs-server/narrow").verify.clear()),
    ("the folder is exported to the network alone (12)", |profile| reword(profile, "nfs-server/narrow", "${network}(", "*(")),
    ("the tunnel survives the nodes' Docker (23)", |profile| ansible_mut(profile, "mosip-machines/docker").limit = None),
    ("the tunnel survives the nodes' Docker (23)", |profile| {
        drop_relation(profile, |relation| matches!(relation, Relation::Apart { roles, .. } if roles.iter().any(|role| role == "bastion")))
    }),
    ("the two load balancers are two machines (30)", |profile| {
        drop_relation(profile, |relation| matches!(relation, Relation::Apart { roles, .. } if roles.iter().any(|role| role == "nginx")))
    }),
    ("nodes belong to one cluster, in one part", |profile| {
        drop_relation(profile, |relation| matches!(relation, Relation::OneOf { role, .. } if role == "observation-node"))
    }),
    ("etcd has an odd number of members (26)", |profile| check_mut(profile, "etcd.odd").level = Level::Warn),
    ("tools are those that fit", |profile| check_mut(profile, "local.tool.istioctl").level = Level::Warn),
    ("tools are those that fit", |profile| match &mut check_mut(profile, "local.tool.rke").kind {
        CheckKind::Tool { exact, .. } => *exact = None,
        other => panic!("{other:?}"),
    }),
    ("Rancher is the one that knows these charts (32)", |profile| reword(profile, "rancher/install", "--version 2.6", "--version 2.7")),
    ("Docker is one that RKE accepts (22)", |profile| check_mut(profile, "docker.mosip").guards.clear()),
    ("kubeconfigs are put there for their owner alone (34, 36)", |profile| {
        reword(profile, "mosip-cluster/kubeconfig", "install -m 0600", "cp")
    }),
    ("host keys are checked where a script calls Ansible (28)", |profile| {
        drop(step_mut(profile, "dslrig/install").env.remove("ANSIBLE_SSH_ARGS"))
    }),
    ("host keys are checked where a script calls Ansible (28)", |profile| {
        drop(step_mut(profile, "authdemo/install").env.insert("ANSIBLE_HOST_KEY_CHECKING".into(), "False".into()))
    }),
    ("Helm has a home of its own (14)", |profile| drop(step_mut(profile, "kafka/install").env.remove("HELM_CONFIG_HOME"))),
    ("checkouts are on a branch of their own (3)", |profile| step_mut(profile, "tools/checkout-mosip-infra").verify.clear()),
    ("checkouts are on a branch of their own (3)", |profile| reword(profile, "tools/checkout-k8s-infra", "switch -c ", "checkout ")),
    ("sources are pinned, and other layouts refused (24, 37)", |profile| source(profile, "mosip-infra").commit = "0".repeat(40)),
    ("sources are pinned, and other layouts refused (24, 37)", |profile| source(profile, "k8s-infra").refuse.clear()),
    ("credentials are not committed by accident (34)", |profile| {
        source(profile, "k8s-infra").exclude.retain(|pattern| pattern != "*.rkestate")
    }),
    ("files with secrets are for their owner alone", |profile| file_mut(profile, "{rancher_values}").secret = false),
    ("every file is written by some step", |profile| remove_step(profile, "prepare/files")),
    ("services wait for their names and certificates", |profile| check_mut(profile, "certificate.mosip").guards.clear()),
    ("services wait for their names and certificates", |profile| profile.checks.retain(|check| check.id != "gate.pod-dns")),
    ("secrets are typed only where nobody else looks on (20)", |profile| drop(check_mut(profile, "local.alone").guards.pop())),
];

#[test]
fn the_v3_profiles_keep_their_promises() {
    PROFILES.iter().for_each(|name| kept(&load(name).unwrap(), PROMISES));
}

#[test]
fn a_v3_profile_without_a_guard_breaks_a_promise() {
    PROFILES.iter().for_each(|name| broken_by(&load(name).unwrap(), PROMISES, MUTATIONS));
}

/// What shows that a step has done its work, or that it is not needed: one line for each step of a profile.
fn proofs(profile: &Profile) -> BTreeSet<String> {
    let line = |(phase, step): (&str, &Step)| {
        let mut line = format!("{phase}/{}:", step.id);
        let names = |checks: &[mosip_setup::install::ids::CheckId]| checks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut put = |word: &str, what: String| {
            if !what.is_empty() {
                line += &format!(" {word} {what};");
            }
        };
        match &step.action {
            StepKind::Wait(wait) => put("waits for", wait.check.to_string()),
            StepKind::Check(checks) => put("looks at", names(checks)),
            _ => {}
        }
        put("not where", names(&step.unless));
        put("then", names(&step.verify));
        let asked = step.prompts.iter().filter(|prompt| prompt.required).count();
        put("must ask", if asked > 0 { asked.to_string() } else { String::new() });
        put("again:", if step.repeat == Repeat::Safe { String::new() } else { format!("{:?}", step.repeat) });
        line
    };
    in_phases(profile).map(line).collect()
}

/// Nothing that proves a step can go without a change of this list; what it should be stands in `snapshots`.
#[test]
fn what_proves_each_step_is_on_record() {
    for name in PROFILES {
        let list: Vec<String> = proofs(&load(name).unwrap()).into_iter().collect();
        insta::assert_snapshot!(format!("proofs_{name}"), list.join("\n"));
    }
}
