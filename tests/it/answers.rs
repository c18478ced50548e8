//! Each answer of the shipped profile, changed: exactly the phases that depend on it are stale, and say so.

use std::collections::{BTreeMap, BTreeSet};

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::field::{FieldKind, Value};
use mosip_setup::install::plan::Plan;
use mosip_setup::install::planner::{self, Place};
use mosip_setup::install::profile::Profile;
use mosip_setup::install::site::Draft;
use mosip_setup::run::event::{Event, Outcome};
use mosip_setup::run::state::PhaseState;

use crate::plan_builder::Bench;

/// Field, another value, the phases that depend on it. What a playbook or a Terraform root reads was looked up in the kit at the commit of the
/// profile. `prepare` writes nearly every answer into a file; `rancher-import` writes all.yml a second time.
const TABLE: &str = "
    domain                        | other.example.org          | certificates prepare rancher-import nginx mosip-infra mosip-services verification
    installation_name             | other                      | prepare mosip-infra mosip-services
    rancher_host                  | cattle.sandbox.example.org | certificates prepare obs-cluster obs-terraform rancher-import
    public_api_address            | 192.0.2.77                 |
    ssh_user                      | admin                      | prepare update-nodes wireguard obs-cluster cluster nginx
    ssh_key                       | ~/.ssh/other               | prepare update-nodes wireguard obs-cluster rancher-import cluster nginx
    ssh_jump                      | 10.77.0.99                 | prepare wireguard
    kit_checkout                  | /srv/kit                   | tools certificates prepare update-nodes wireguard obs-cluster obs-terraform rancher-import cluster nginx istio mosip-infra mosip-services verification
    rancher_base                  | /srv/rancher               | tools prepare update-nodes wireguard obs-cluster obs-terraform rancher-import cluster nginx istio mosip-infra mosip-services verification
    certificate_source            | certbot                    | certificates obs-cluster nginx
    certbot_email                 | b@example.org              | certificates
    certificate_chain             | /c/other.pem               | certificates nginx
    certificate_key               | /c/other.key               | certificates nginx
    observation_certificate_chain | /c/other.pem               | certificates obs-cluster
    observation_certificate_key   | /c/other.key               | certificates obs-cluster
    nfs_path                      | /srv/nfs/other             |
    nfs_user                      | other                      |
    nfs_key                       | ~/.ssh/other               |
    wireguard_endpoint            | 192.0.2.99                 | prepare wireguard
    wireguard_network             | 10.77.0.0/16               | prepare wireguard
    wireguard_peers               | 7                          | prepare wireguard
    wireguard_port                | 51821                      | prepare wireguard
    wireguard_mtu                 | 1400                       | prepare wireguard
    timezone                      | Europe/London              | prepare wireguard
    rancher_bootstrap_password    | env:OTHER                  | prepare obs-terraform
    smtp_host                     | mail.example.org           | prepare mosip-services
    smtp_port                     | 25                         | prepare mosip-services
    smtp_username                 | other                      | prepare mosip-services
    smtp_secret                   | env:OTHER                  | prepare mosip-services
    sms_host                      | sms.example.org            | prepare mosip-services
    sms_port                      | 25                         | prepare mosip-services
    sms_username                  | other                      | prepare mosip-services
    sms_secret                    | env:OTHER                  | prepare mosip-services
    sms_authkey                   | env:OTHER                  | prepare mosip-services
    mock_smtp_enabled             | false                      | prepare mosip-services
    iam_smtp_host                 | mail.example.org           | prepare mosip-services
    iam_smtp_port                 | 25                         | prepare mosip-services
    iam_smtp_from                 | a@example.org              | prepare mosip-services
    iam_smtp_starttls             | true                       | prepare mosip-services
    iam_smtp_ssl                  | false                      | prepare mosip-services
    iam_smtp_auth                 | false                      | prepare mosip-services
    iam_smtp_username             | other                      | prepare mosip-services
    iam_smtp_password             | env:OTHER                  | prepare mosip-services
    use_existing_minio            | true                       | prepare mosip-services
    s3_pretext_value              | other                      | prepare mosip-services
    s3_region                     | eu-west-1                  | prepare mosip-services
    s3_user_key                   | env:OTHER                  | prepare mosip-services
    s3_user_secret                | env:OTHER                  | prepare mosip-services
    config_server_captcha_enable  | true                       | prepare mosip-services
    prereg_captcha_site_key       | other                      | prepare mosip-services
    prereg_captcha_secret_key     | env:OTHER                  | prepare mosip-services
    resident_captcha_site_key     | other                      | prepare mosip-services
    resident_captcha_secret_key   | env:OTHER                  | prepare mosip-services
    config_server_git_repo_uri    | https://example.org/config | prepare mosip-services
    config_server_git_repo_version | other                     | prepare mosip-services
    config_server_git_private     | false                      | prepare mosip-services
    config_server_git_username    | other                      | prepare mosip-services
    config_server_git_token       | env:OTHER                  | prepare mosip-services
    masterdata_loader_mosip_data_github_repo | https://example.org/data | prepare mosip-services
    masterdata_loader_mosip_data_github_branch | other         | prepare mosip-services
    resident_enabled              | false                      | prepare mosip-services
    print_enabled                 | false                      | prepare mosip-services
    partner_onboarder_enabled     | false                      | prepare mosip-services verification
    regclient_enabled             | false                      | prepare mosip-services
    mosip_file_server_enabled     | false                      | prepare mosip-services
    pmp_revamp_ui_enabled         | false                      | prepare mosip-services
    mock_mv_enabled               | false                      | prepare mosip-services
    enable_landing_page           | false                      | prepare mosip-services verification
    enable_clamav                 | false                      | prepare mosip-services
    httpbin_enable                | false                      | prepare mosip-services
    mosip_version                 | 1.2.2.0                    | prepare mosip-infra
    rke2_version                  | v1.28.9+rke2r1             | prepare obs-cluster rancher-import cluster
    rancher_version               | 2.8.4                      | prepare obs-terraform
    ingress_nginx_version         | 4.10.1                     | prepare obs-terraform
    observation_longhorn_version  | 1.5.2                      | prepare obs-terraform
    longhorn_version              | 1.5.2                      | prepare mosip-infra
    nginx_listen_ip               | 10.77.0.20                 | prepare nginx
    rancher_replicas              | 2                          | prepare obs-terraform
    rancher_import_timeout        | 1300                       | prepare rancher-import cluster
    kubelet_max_pods              | 310                        | prepare obs-cluster rancher-import cluster
    longhorn_replica_count        | 2                          | prepare mosip-infra
    kafka_replica_count           | 6                          | prepare mosip-services
    kafka_zookeeper_replica_count | 3                          | prepare mosip-services
    kafka_storage_size            | 9Gi                        | prepare mosip-services
    global_helm_timeout_seconds   | 5500                       | prepare mosip-services
    module_wait_seconds           | 70                         | prepare mosip-services
    rancher_import_url            | env:OTHER                  | prepare rancher-import cluster
";

fn rows() -> Vec<(&'static str, &'static str, BTreeSet<String>)> {
    let row = |line: &'static str| {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        (parts[0], parts[1], parts[2].split_whitespace().map(str::to_owned).collect())
    };
    TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).map(row).collect()
}

/// A site in which every field counts, and no answer follows from another.
fn draft(profile: &Profile) -> Draft {
    let mut draft = Draft::new(profile);
    draft.id = "0123".into();
    for (number, machine) in draft.machines.clone().iter().enumerate() {
        draft.set(profile, &format!("machine.{}.address", machine.name), &format!("10.77.0.{}", number + 10)).unwrap();
    }
    for (key, value) in [
        ("machine.nginx-node-1.public_address", "192.0.2.10"),
        ("machine.wireguard-node.public_address", "192.0.2.20"),
        ("domain", "sandbox.example.org"),
        ("rancher_host", "rancher.sandbox.example.org"),
        ("installation_name", "sandbox"),
        ("public_api_address", "192.0.2.10"),
        ("wireguard_endpoint", "192.0.2.20"),
        ("wireguard_network", "10.77.0.0/24"),
        ("certificate_chain", "/c/chain.pem"),
        ("certificate_key", "/c/key.pem"),
        ("observation_certificate_chain", "/c/observation.pem"),
        ("observation_certificate_key", "/c/observation.key"),
        ("nfs_user", "ubuntu"),
        ("nfs_key", "~/.ssh/nfs"),
        ("nfs_path", "/srv/nfs/mosip"),
        ("use_existing_minio", "false"),
        ("config_server_git_private", "true"),
    ] {
        draft.set(profile, key, value).unwrap();
    }
    for field in profile.fields.iter().filter(|field| field.kind == FieldKind::Secret) {
        draft.set(profile, &format!("secret.{}", field.id), "env:FIRST").unwrap();
    }
    draft
}

fn plan(profile: &Profile, draft: &Draft) -> Plan {
    plan_with(profile, draft, None)
}

/// The same, with an answer changed behind the relations that would change others along with it.
fn plan_with(profile: &Profile, draft: &Draft, answer: Option<(&str, &str)>) -> Plan {
    let mut site = draft.validate(profile, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    if let Some((field, value)) = answer {
        site.answers.insert(field.parse().unwrap(), Value::Text(value.into()));
    }
    let place = Place {
        home: "/home/op".into(),
        user: "op".into(),
        site_dir: "/home/op/site".into(),
        known_hosts: "/state/known_hosts".into(),
        fetched: [("kit".to_owned(), "/state/kit".to_owned())].into(),
        program: "/usr/bin/mosip-setup".into(),
        digest_key: vec![1; 32],
    };
    planner::plan(profile, &site, &place).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A run of this plan in which everything is done.
fn done(plan: Plan) -> Bench {
    let mut bench = Bench::new(plan);
    for phase in bench.state.plan.phases.clone() {
        for step in &phase.steps {
            let reference = mosip_setup::install::ids::StepRef { phase: phase.id.clone(), step: step.id.clone() };
            if step.on_retry {
                continue;
            }
            let (step, digest) = (reference.clone(), step.digest.clone());
            bench.record(Event::StepStarted { step, attempt: 1, digest, hosts: Vec::new() });
            bench.record(Event::StepFinished { step: reference, attempt: 1, outcome: Outcome::Done, took_ms: 1, log_bytes: 0 });
        }
    }
    assert!(bench.state.is_complete());
    bench
}

#[test]
fn each_answer_makes_exactly_the_phases_stale_that_depend_on_it() {
    let profile = load("turing-rke2").unwrap();
    let rows = rows();
    let listed: BTreeSet<&str> = rows.iter().map(|(field, ..)| *field).collect();
    let fields: BTreeSet<&str> = profile.fields.iter().map(|field| field.id.as_str()).collect();
    assert_eq!(listed, fields, "every field is in the table, and no other");
    let before = draft(&profile);
    let mut wrong = String::new();
    for (field, value, expected) in rows {
        let mut before = before.clone();
        // These are asked only with certificates from Let's Encrypt; the change from one's own files to those is another row.
        if field == "certbot_email" {
            before.set(&profile, "certificate_source", "certbot").unwrap();
            before.set(&profile, "certbot_email", "a@example.org").unwrap();
        }
        let secret = profile.field(field).unwrap().kind == FieldKind::Secret;
        let mut after = before.clone();
        if field == "certificate_source" {
            after.set(&profile, "certbot_email", "a@example.org").unwrap();
        }
        let alone = field == "domain";
        if !alone {
            after.set(&profile, &if secret { format!("secret.{field}") } else { field.to_owned() }, value).unwrap();
        }
        let bench = done(plan(&profile, &before));
        let next = plan_with(&profile, &after, alone.then_some((field, value)));
        let stale: BTreeMap<String, String> =
            bench.state.stale_with(&next).into_iter().map(|(phase, reason)| (phase.to_string(), reason)).collect();
        let found: BTreeSet<String> = stale.keys().cloned().collect();
        if found != expected {
            let (extra, missing): (Vec<_>, Vec<_>) = (found.difference(&expected).collect(), expected.difference(&found).collect());
            wrong.push_str(&format!("\n  {field}: stale without reason {extra:?}, not stale {missing:?}"));
        }
        for (phase, reason) in stale {
            if !reason.contains(field) {
                wrong.push_str(&format!("\n  {field}: {phase} says only '{reason}'"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn further_settings_make_the_phases_stale_that_read_them() {
    let profile = load("turing-rke2").unwrap();
    let bench = done(plan(&profile, &draft(&profile)));
    for (name, key, expected) in [
        ("mosip.tfvars", "some_probe_delay", vec!["prepare", "mosip-infra", "mosip-services"]),
        ("obs.tfvars", "some_key", vec!["prepare", "obs-terraform"]),
    ] {
        let mut draft = draft(&profile);
        draft.advanced.entry(name.into()).or_default().insert(key.into(), toml::Value::Integer(7));
        let stale = bench.state.stale_with(&plan(&profile, &draft));
        let names: Vec<&str> = stale.iter().map(|(phase, _)| phase.as_str()).collect();
        assert_eq!(names, expected, "{name}");
        assert!(stale.iter().skip(1).all(|(_, reason)| reason.contains(&format!("advanced.{name}"))), "{stale:?}");
    }
}

#[test]
fn what_is_hard_to_change_is_settled_by_a_phase_and_says_what_it_costs() {
    let profile = load("turing-rke2").unwrap();
    for (field, phase) in
        [("domain", "mosip-infra"), ("rancher_base", "cluster"), ("rke2_version", "cluster"), ("kit_checkout", "mosip-infra")]
    {
        let mut after = draft(&profile);
        let value = rows().iter().find(|(name, ..)| *name == field).unwrap().1;
        let alone = field == "domain";
        if !alone {
            after.set(&profile, field, value).unwrap();
        }
        let next = plan_with(&profile, &after, alone.then_some((field, value)));
        // Before the phase has begun it costs nothing.
        let fresh = Bench::new(plan(&profile, &draft(&profile)));
        assert_eq!(fresh.state.costly(&next), [], "{field}");
        let costly = done(plan(&profile, &draft(&profile))).state.costly(&next);
        assert_eq!(costly.len(), 1, "{costly:?}");
        assert_eq!(costly[0].field.as_str(), field);
        let settled = profile.field(field).unwrap();
        assert!(settled.settled_by.iter().any(|by| by.as_str() == phase) && costly[0].cost == settled.hard_to_change);
    }
    // The import address is an answer like any other.
    let mut after = draft(&profile);
    after.set(&profile, "secret.rancher_import_url", "env:OTHER").unwrap();
    assert_eq!(done(plan(&profile, &draft(&profile))).state.costly(&plan(&profile, &after)), []);
    let done = done(plan(&profile, &draft(&profile)));
    assert_eq!(done.state.phase_state_of(&"obs-cluster".parse().unwrap()), Some(PhaseState::Done));
}
