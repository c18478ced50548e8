use super::*;
use crate::install::ids::PhaseId;
use crate::install::plan::{Action, FileContent, Plan};
use crate::install::planner::{self, Place};
use crate::install::profile::{FileOrigin, StepKind};
use crate::install::site::Draft;

const TEXT: &str = include_str!("../../profiles/turing-rke2.toml");

fn turing() -> Profile {
    load("turing-rke2").unwrap_or_else(|error| panic!("{error}"))
}

fn draft(profile: &Profile) -> Draft {
    let mut draft = Draft::new(profile);
    draft.id = "0123".into();
    let set = |draft: &mut Draft, key: &str, value: &str| draft.set(profile, key, value).unwrap();
    for (number, machine) in draft.machines.clone().iter().enumerate() {
        set(&mut draft, &format!("machine.{}.address", machine.name), &format!("10.77.0.{}", number + 10));
    }
    set(&mut draft, "machine.nginx-node-1.public_address", "192.0.2.10");
    set(&mut draft, "machine.wireguard-node.public_address", "192.0.2.20");
    for (key, value) in [
        ("domain", "sandbox.example.org"),
        ("installation_name", "sandbox"),
        ("wireguard_network", "10.77.0.0/24"),
        ("secret.rancher_bootstrap_password", "env:RANCHER"),
    ] {
        set(&mut draft, key, value);
    }
    draft
}

fn plan(settings: &[(&str, &str)]) -> Plan {
    let profile = turing();
    let mut draft = draft(&profile);
    for (key, value) in settings {
        draft.set(&profile, key, value).unwrap();
    }
    let site = draft.validate(&profile, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let place = Place {
        home: "/home/op".into(),
        user: "op".into(),
        site_dir: "/home/op/site".into(),
        known_hosts: "/state/known_hosts".into(),
        fetched: [("kit".to_owned(), "/state/kit".to_owned())].into(),
        program: "/usr/bin/mosip-setup".into(),
        digest_key: vec![1; 32],
    };
    planner::plan(&profile, &site, &place).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn every_shipped_profile_reads_without_problems() {
    for id in ids() {
        if let Err(error) = load(id) {
            panic!("{error}");
        }
    }
    assert_eq!(list().len(), SHIPPED.len());
}

#[test]
fn a_new_site_needs_addresses_and_five_answers_only() {
    let profile = turing();
    let mut problems: Vec<String> =
        Draft::new(&profile).validate(&profile, None).unwrap_err().into_iter().map(|problem| problem.key).collect();
    problems.retain(|key| !key.ends_with(".address"));
    let wanted = [
        "domain",
        "installation_name",
        "wireguard_network",
        "secret.rancher_bootstrap_password",
        "machine.nginx-node-1.public_address",
        "machine.wireguard-node.public_address",
    ];
    assert_eq!(problems, wanted);
    assert_eq!(draft(&profile).machines.len(), 10);
}

#[test]
fn the_machines_of_a_new_site_fit_together_and_are_no_more_than_needed() {
    for (id, machines) in [("turing-rke2", 10), ("v3-onprem", 11), ("v3-onprem-nodns", 11)] {
        let profile = load(id).unwrap();
        let mut draft = Draft::new(&profile);
        assert_eq!(draft.machines.len(), machines, "{id}");
        for (number, machine) in draft.machines.clone().iter().enumerate() {
            draft.set(&profile, &format!("machine.{}.address", machine.name), &format!("10.77.0.{}", number + 10)).unwrap();
        }
        let problems = draft.validate(&profile, None).unwrap_err();
        let wrong: Vec<_> = problems.iter().filter(|problem| !problem.message.starts_with("is missing")).collect();
        assert!(wrong.is_empty(), "{id}: {wrong:?}");
        // A role of which others make parts belongs to no machine alone.
        let roles = |name: &str| draft.machines.iter().filter(|machine| machine.roles.iter().any(|role| role == name)).count();
        if id != "turing-rke2" {
            assert_eq!((roles("mosip-node"), roles("mosip-server"), roles("mosip-worker")), (6, 3, 3), "{id}");
            assert_eq!((roles("observation-node"), roles("observation-server"), roles("observation-worker")), (2, 1, 1), "{id}");
        }
    }
}

#[test]
fn phases_come_in_the_order_of_the_guides() {
    let phases: Vec<String> = plan(&[]).phases.iter().map(|phase| phase.id.to_string()).collect();
    let wanted = "tools certificates prepare update-nodes wireguard obs-cluster obs-terraform rancher-import cluster nginx istio mosip-infra mosip-services verification";
    assert_eq!(phases.join(" "), wanted);
}

#[test]
fn every_command_says_which_cluster_it_means() {
    for phase in turing().phases {
        for step in phase.steps {
            let runs = matches!(step.action, StepKind::Command(_) | StepKind::Ansible(_) | StepKind::Terraform(_));
            assert!(!runs || step.kubeconfig.is_some(), "{}/{}", phase.id, step.id);
        }
    }
    let plan = plan(&[]);
    let of = |phase: &str| plan.phase(phase).unwrap().steps[0].env["KUBECONFIG"].clone();
    assert_eq!(of("obs-terraform"), "/home/op/rancher/obs/kube_config_cluster.yml");
    assert_eq!(of("mosip-services"), "/home/op/rancher/mosip/kube_config_cluster.yml");
}

#[test]
fn task_counts_follow_the_machines() {
    let tasks = |settings: &[(&str, &str)], phase: &str| {
        let plan = plan(settings);
        plan.phase(phase).unwrap().steps.iter().find_map(|step| match &step.action {
            Action::Ansible { tasks, .. } => *tasks,
            _ => None,
        })
    };
    assert_eq!(tasks(&[], "cluster"), Some(94 + 5 * 20));
    assert_eq!(tasks(&[("machine.vm6.roles", "cluster,rke2-agent,worker")], "cluster"), Some(94 + 5 * 20));
    assert_eq!(tasks(&[], "obs-cluster"), Some(107));
    assert_eq!(tasks(&[], "update-nodes"), Some(8));
    assert_eq!(tasks(&[], "wireguard"), Some(23));
}

#[test]
fn pitfalls_of_the_kit_are_answered() {
    let plan = plan(&[]);
    let file = |ending: &str| plan.files.iter().find(|file| file.path.ends_with(ending)).unwrap_or_else(|| panic!("{ending}"));
    let text = |ending: &str| format!("{:?}", file(ending).content);
    assert!(text("group_vars/nginx.yml").contains("libnginx-mod-stream"));
    assert!(text("group_vars/physical_vms.yml").contains("open-iscsi") && text("group_vars/mosip_obs.yml").contains("open-iscsi"));
    for token in ["/home/op/rancher/mosip/rke2_token", "/home/op/rancher/obs/rke2_token"] {
        assert!(file(token).secret && matches!(file(token).content, FileContent::Once { random_hex: 64, .. }));
    }
    for inventory in ["inventory/hosts.ini", "inventory/rancher.ini"] {
        assert!(text(inventory).contains("key: \"ansible_host_key_checking\", value: String(\"True\")"), "{inventory}");
        assert!(!text(inventory).contains("group: \"deployment\"") && !text(inventory).contains("group: \"rke2_etcd\""));
    }
    for secret in [
        "all.yml",
        "obs_deployment/terraform.tfvars",
        "mosip_deployment/terraform.tfvars",
        "nginx/files/privkey.pem",
        "nginx_obs/files/privkey.pem",
    ] {
        assert!(file(secret).secret, "{secret}");
    }
    assert!(text("mosip_deployment/terraform.tfvars").contains("key: \"global_helm_timeout_seconds\", value: Integer(5400)"));
    // The restart that the kit forgets, after a failure only.
    for phase in ["nginx", "obs-cluster"] {
        let steps = &plan.phase(phase).unwrap().steps;
        let restart = steps.iter().position(|step| step.on_retry).unwrap();
        assert!(restart > 0 && format!("{:?}", steps[restart].action).contains("state=restarted"));
        assert!(steps[restart].env["ANSIBLE_SSH_ARGS"].contains("UserKnownHostsFile=/state/known_hosts"));
    }
    // The bastion, which the kit's package playbook leaves out.
    assert!(matches!(&plan.phase("wireguard").unwrap().steps[0].action, Action::Ssh { machines, .. } if machines.len() == 1));
    // Never offered: what is broken, what does nothing, what others read by a fixed name.
    let hidden: Vec<String> = turing()
        .files
        .iter()
        .filter_map(|file| match &file.origin {
            FileOrigin::Edit(edit) => Some(edit.hide.keys().cloned().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    for key in [
        "docker_secrets_enabled",
        "longhorn_enable",
        "enable_istio",
        "iam_admin_password",
        "rke2_enable_firewall",
        "cluster_cidr",
        "kernel_namespace",
    ] {
        assert!(hidden.iter().any(|known| known == key), "{key}");
    }
}

#[test]
fn each_phase_is_guarded_by_what_it_needs() {
    let profile = turing();
    let guarding = |phase: &str| -> Vec<String> {
        let phase: PhaseId = phase.parse().unwrap();
        profile.checks.iter().filter(|check| check.guards.contains(&phase)).map(|check| check.id.to_string()).collect()
    };
    for (phase, wanted) in [
        ("obs-cluster", &["certificate.nginx-observation", "machine.swap", "ports.free.observation", "ports.free.nginx-observation"][..]),
        ("obs-terraform", &["dns.rancher", "local.tool.terraform", "local.tool.helm"]),
        ("cluster", &["machine.swap", "machine.time", "ports.free.cluster", "ports.reach.cluster"]),
        ("nginx", &["certificate.nginx", "ports.free.nginx"]),
        ("istio", &["local.tool.istioctl", "local.tool.jq"]),
        ("mosip-services", &["dns.roots", "dns.public", "dns.internal", "local.helm-repository.mosip"]),
        ("wireguard", &["machine.modules.bastion", "ports.free.bastion"]),
    ] {
        let found = guarding(phase);
        for check in wanted {
            assert!(found.iter().any(|known| known == check), "{phase} is not guarded by {check}");
        }
    }
    for check in profile.checks.iter().filter(|check| check.on_demand) {
        assert!(check.guards.is_empty() && check.provided_by.is_none(), "{}", check.id);
    }
}

#[test]
fn every_on_demand_check_is_used_and_every_file_is_written() {
    let profile = turing();
    let steps = format!("{:?}", profile.phases);
    for check in profile.checks.iter().filter(|check| check.on_demand) {
        assert!(steps.contains(&format!("\"{}\"", check.id)), "{} is used nowhere", check.id);
    }
    for file in &profile.files {
        assert!(steps.contains(&format!("\"{}\"", file.target)), "{} is written nowhere", file.target);
    }
}

#[test]
fn certbot_is_driven_only_where_it_is_chosen() {
    let given = plan(&[]);
    assert!(given.phase("certificates").unwrap().steps.iter().all(|step| step.id != *"certbot"));
    let chosen = plan(&[("certificate_source", "certbot"), ("certbot_email", "op@example.org")]);
    let step = &chosen.phase("certificates").unwrap().steps[0];
    let Action::Command { argv } = &step.action else { panic!("{:?}", step.action) };
    assert!(argv.contains(&"/usr/bin/mosip-setup __acme-hook".to_owned()) && argv.contains(&"*.sandbox.example.org".to_owned()));
    assert!(chosen.files.iter().any(
        |file| matches!(&file.content, FileContent::Copy { from } if from == "/home/op/cert/config/live/sandbox.example.org/fullchain.pem")
    ));
    assert!(chosen.check("certificate.nginx").is_none() && chosen.check("certificate.issued.nginx").is_some());
}

#[test]
fn an_observation_node_may_be_its_own_nginx() {
    let profile = turing();
    let mut draft = draft(&profile);
    draft.machines.retain(|machine| machine.name != "nginx-obs-node-1");
    draft.set(&profile, "machine.obs-node-1.roles", "observation,nginx-observation").unwrap();
    assert!(draft.validate(&profile, None).is_ok());
    draft.set(&profile, "machine.nginx-node-1.roles", "nginx,nginx-observation").unwrap();
    assert!(draft.validate(&profile, None).is_err());
}

/// Changes to the shipped profile, each with the key of the problem and a word of its message.
const MUTATIONS: &[(&str, &str, &str, &str)] = &[
    ("schema = 1\n", "schema = 9\n", "schema", "schema 9"),
    ("kind = \"domain\"\nlabel", "kind = \"domian\"\nlabel", "field[0]", "domian"),
    ("guards = [\"istio\", \"mosip-infra\"]", "guards = [\"isto\", \"mosip-infra\"]", "check.local.tool.jq", "isto"),
    ("default = \"rancher.${domain}\"", "default = \"rancher.${domian}\"", "field.rancher_host.default", "domian"),
    ("needs = [\"istio\"]\n", "needs = [\"isto\"]\n", "phase.mosip-infra.needs", "isto"),
    (
        "role = \"bastion\", sudo = true, command = \"cat",
        "role = \"basteon\", sudo = true, command = \"cat",
        "phase.wireguard.step[2].ssh.role",
        "basteon",
    ),
    (
        "playbook = \"playbooks/deploy-nginx.yml\", tasks",
        "playbook = \"playbooks/deploy-nginx.yml\", arguments = [\"-v\"], tasks",
        "phase.nginx.step[0].ansible.arguments",
        "keys",
    ),
    ("random_hex = 64, unless = \"${main", "random_hex = 8, unless = \"${main", "file.${main_base}/rke2_token", "32"),
    (
        "# It holds the import address, which carries a registration token.\nsecret = true\n",
        "\n\n",
        "file.kit:ansible/infra_deployment/inventory/group_vars/all.yml",
        "secret = true",
    ),
    ("id = \"obs-terraform\"", "id = \"Obs Terraform\"", "phase[6]", "identifier"),
    ("ref = \"44d1186362f1b1a2c2c2ca0774307d3ff6db438a\"", "ref = \"main\"", "source.kit.ref", "40"),
];

#[test]
fn a_broken_profile_is_told_by_file_line_and_key() {
    for (old, new, key, word) in MUTATIONS {
        assert_eq!(TEXT.matches(old).count(), 1, "{old}");
        let offset = TEXT.find(old).unwrap();
        let text = TEXT.replacen(old, new, 1);
        let problems = profile_reader::read("mine.toml", &text, &|_| None).expect_err(new);
        let line = TEXT[..offset].matches('\n').count() + 1;
        let found = problems.iter().find(|problem| problem.key.starts_with(key) && problem.message.contains(word));
        let found = found.unwrap_or_else(|| panic!("{key}: {problems:#?}"));
        assert_eq!(found.file, "mine.toml");
        assert!(found.line.abs_diff(line) <= 12 && found.line > 0, "{key}: line {} instead of about {line}: {}", found.line, found.message);
    }
}

#[test]
fn a_variant_extends_a_shipped_profile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "schema = 1\nid = \"mine\"\ntitle = \"Mine\"\nextends = \"turing-rke2\"\nremove = [\"check:egress.charts\"]\n")
        .unwrap();
    let profile = load(&file.display().to_string()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((profile.id.as_str(), profile.check("egress.charts").is_none()), ("mine", true));
    assert_eq!(profile.phases.len(), turing().phases.len());
    let error = load("nothing").unwrap_err().to_string();
    assert!(error.contains("turing-rke2"), "{error}");
}

#[test]
fn keys_that_are_missing_are_named_all_at_once() {
    let text = "schema = 1\nid = \"x\"\ntitle = \"X\"\n[[role]]\nid = \"r\"\n[[check]]\nid = \"c\"\nkind = \"local_size\"\ncpu = 1\n";
    let problems = crate::install::profile_reader::read("own.toml", text, &|_| None).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for key in ["role[0].title", "role[0].count", "check[0].title", "check[0].level", "check[0].ram_gib", "check[0].disk_gib"] {
        assert!(said.iter().any(|line| line.contains(key) && line.contains("missing field")), "{key}: {said:#?}");
    }
    assert_eq!(said.len(), 6, "{said:#?}");
}
