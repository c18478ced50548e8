//! The shipped profile against the real kit. Runs when MOSIP_SETUP_KIT names a clone of it (`tests/run --kit DIR`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::skip;
use mosip_setup::adapters::files::render::{self, Change, Scope};
use mosip_setup::adapters::paths::Paths;
use mosip_setup::adapters::project::Project;
use mosip_setup::adapters::secrets::Secrets;
use mosip_setup::adapters::sites::{self, OpenSite};
use mosip_setup::adapters::{import, profiles, sources};
use mosip_setup::install::plan::{Action, Edit, FileContent, FileFormat, Plan};
use mosip_setup::install::site::Draft;

struct Bench {
    scratch: tempfile::TempDir,
    project: Project,
    plan: Plan,
    secrets: Secrets,
}

/// The eleven hosts of the lab, the deployment node being the one this runs on.
const MACHINES: &[(&str, &str, &str)] = &[
    ("wg-bastion", "10.77.0.10", "bastion"),
    ("mosip-nginx", "10.77.0.20", "nginx"),
    ("obs-node", "10.77.0.30", "observation"),
    ("nginx-obs", "10.77.0.31", "nginx-observation"),
    ("vm1", "10.77.0.41", "cluster control-plane-primary worker"),
    ("vm2", "10.77.0.42", "cluster control-plane-subsequent worker"),
    ("vm3", "10.77.0.43", "cluster control-plane-subsequent worker"),
    ("vm4", "10.77.0.44", "cluster rke2-agent worker"),
    ("vm5", "10.77.0.45", "cluster rke2-agent worker"),
    ("vm6", "10.77.0.46", "cluster rke2-agent worker"),
];

/// A password with everything that Terraform's own syntax would take for something else.
const PASSWORD: &str = "p\"a\\s${s} %{w} 'ord' # x";

fn kit() -> Option<PathBuf> {
    std::env::var_os("MOSIP_SETUP_KIT").map(PathBuf::from)
}

fn bench(kit: &Path) -> Bench {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    for file in ["chain.pem", "key.pem"] {
        fs::write(folder.join(file), "PEM\n").unwrap();
    }
    let profile = profiles::load("turing-rke2").unwrap();
    let mut draft = Draft { profile: "turing-rke2".into(), ..Draft::default() };
    let place = |name: &str| folder.join(name).display().to_string();
    for (key, value) in [
        ("domain", "sandbox.example.org"),
        ("installation_name", "sandbox"),
        ("wireguard_network", "10.77.0.0/24"),
        ("rancher_base", &place("rancher")),
        ("certificate_chain", &place("chain.pem")),
        ("certificate_key", &place("key.pem")),
        ("global_helm_timeout_seconds", "7200"),
        ("httpbin_enable", "false"),
        ("kafka_replica_count", "3"),
        ("secret.rancher_bootstrap_password", "env:NOT_USED"),
        ("secret.iam_smtp_password", "env:NOT_USED"),
        ("advanced.mosip.tfvars.admin_service_startup_probe_enabled", "true"),
        ("advanced.mosip.tfvars.clamav_replica_count", "2"),
        ("advanced.all.yml.apt_autoclean", "false"),
        ("source.kit.path", &kit.display().to_string()),
    ] {
        draft.set(&profile, key, value).unwrap_or_else(|error| panic!("{}: {}", error.key, error.message));
    }
    for (name, address, roles) in MACHINES {
        draft.set(&profile, &format!("machine.{name}.address"), address).unwrap();
        draft.set(&profile, &format!("machine.{name}.roles"), roles).unwrap();
    }
    draft.set(&profile, "machine.wg-bastion.public_address", "192.0.2.20").unwrap();
    draft.set(&profile, "machine.mosip-nginx.public_address", "192.0.2.10").unwrap();
    draft.set(&profile, "machine.vm6.user", "ops").unwrap();
    let mut site = OpenSite::unsaved(&folder.join("site.toml"), Draft::default()).unwrap();
    sites::save(&mut site, &draft, &profile).unwrap();
    let paths = Paths::open(Some(&folder.join("state"))).unwrap();
    let source = profile.sources.values().next().unwrap();
    let fetched = sources::fetch("kit", source, &draft.sources["kit"], &paths, &mut |_| {}).unwrap();
    assert_eq!(fetched.warning, None, "the clone must have the pinned commit");
    let project = Project::open(&folder.join("site.toml"), paths).unwrap();
    let plan = project.plan().unwrap_or_else(|error| panic!("{error}"));
    let mut secrets = Secrets::default();
    for field in ["rancher_bootstrap_password", "iam_smtp_password"] {
        secrets.insert(field.parse().unwrap(), PASSWORD.to_owned().into());
    }
    Bench { scratch, project, plan, secrets }
}

impl Bench {
    fn checkout(&self) -> PathBuf {
        PathBuf::from(&self.plan.sources.values().next().unwrap().source.checkout)
    }

    fn write(&self) -> Vec<Change> {
        sources::check_out("kit", &self.project.fetched["kit"], &self.checkout(), &mut |_| {}).unwrap();
        let mut state = self.project.render_state().unwrap();
        let files = render::render(&self.plan, Scope::default(), &self.secrets, &state).unwrap_or_else(|error| panic!("{error}"));
        render::write(&files, &BTreeSet::new(), &mut state).unwrap();
        render::exclude(&self.plan).unwrap();
        files.iter().map(|file| file.change).collect()
    }

    fn run(&self, folder: &str, words: &[&str], input: Option<&str>) -> Output {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.checkout().join(folder));
        command.env("ANSIBLE_NOCOLOR", "1").env("CHECKPOINT_DISABLE", "1").env("ANSIBLE_LOCAL_TEMP", self.scratch.path().join("tmp"));
        if let Some(input) = input {
            let file = self.scratch.path().join("input");
            fs::write(&file, input).unwrap();
            command.stdin(fs::File::open(file).unwrap());
        }
        command.output().unwrap_or_else(|error| panic!("{}: {error}", words[0]))
    }

    fn ok(&self, folder: &str, words: &[&str], input: Option<&str>) -> String {
        let output = self.run(folder, words, input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

#[test]
fn the_real_kit_takes_the_rendered_files() {
    let Some(kit) = kit() else {
        skip!("kit", "the real kit is not given (--kit DIR)");
    };
    let bench = bench(&kit);
    let first = bench.write();
    assert!(first.iter().all(|change| *change == Change::Create), "{first:?}");
    let second = bench.write();
    assert!(second.iter().all(|change| matches!(change, Change::Same | Change::Keep)), "rendering twice changes something: {second:?}");
    inventories_show_the_model(&bench);
    playbooks_have_the_right_syntax(&bench);
    variables_read_back(&bench);
    only_lines_that_must_differ_differ(&bench);
    assert_eq!(bench.ok("", &["git", "status", "--porcelain"], None), "", "rendered files show as untracked");
    import_finds_the_site_again(&bench);
}

fn inventories_show_the_model(bench: &Bench) {
    let mut seen = 0;
    for step in bench.plan.phases.iter().flat_map(|phase| &phase.steps) {
        let Action::Ansible { inventory, model, .. } = &step.action else { continue };
        let text = bench.ok("", &["ansible-inventory", "-i", inventory, "--list"], None);
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!model.is_empty());
        for (group, hosts) in model {
            let listed: BTreeSet<&str> = list[group]["hosts"].as_array().into_iter().flatten().filter_map(|host| host.as_str()).collect();
            assert_eq!(listed, hosts.keys().map(String::as_str).collect(), "[{group}]");
            for (host, address) in hosts {
                let variables = &list["_meta"]["hostvars"][host];
                let wanted = MACHINES.iter().find(|machine| machine.0 == host).unwrap().1;
                assert_eq!(variables["ansible_host"].as_str(), Some(wanted), "{host}");
                assert!(address.as_deref().is_none_or(|address| address == wanted));
                assert_eq!(variables["ansible_host_key_checking"], true, "{host}");
                assert_eq!(variables["ansible_user"].as_str(), Some(if host == "vm6" { "ops" } else { "ubuntu" }));
            }
        }
        if inventory.ends_with("rancher.ini") {
            let of = |host: &str, key: &str| list["_meta"]["hostvars"][host][key].clone();
            // Each group's own packages win over the empty list for all.
            assert_eq!(of("mosip-nginx", "apt_upgrade_additional_packages"), serde_json::json!(["libnginx-mod-stream"]));
            assert_eq!(of("vm3", "apt_upgrade_additional_packages"), serde_json::json!(["open-iscsi"]));
            assert_eq!(of("obs-node", "apt_upgrade_additional_packages"), serde_json::json!(["open-iscsi"]));
            assert_eq!(of("nginx-obs", "apt_upgrade_additional_packages"), serde_json::json!([]));
            assert_eq!(of("mosip-nginx", "nginx_listen_ip"), "0.0.0.0");
            assert_eq!(of("vm1", "mosip_domain"), "sandbox.example.org");
            assert_eq!(of("vm1", "ssh_key_path"), of("vm1", "ansible_ssh_private_key_file"));
            assert_eq!(of("deployment-node", "ansible_connection"), "local");
            assert_eq!(of("vm1", "apt_autoclean"), false);
        } else {
            let bastion = &list["_meta"]["hostvars"]["wg-bastion"];
            assert_eq!((&bastion["wireguard_network"], &bastion["wireguard_endpoint"]), (&"10.77.0.0/24".into(), &"192.0.2.20".into()));
            assert_eq!(bastion["wireguard_peers"], 5);
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}

fn playbooks_have_the_right_syntax(bench: &Bench) {
    for step in bench.plan.phases.iter().flat_map(|phase| &phase.steps) {
        let Action::Ansible { argv, .. } = &step.action else { continue };
        let mut words: Vec<&str> = argv.iter().map(String::as_str).collect();
        words.push("--syntax-check");
        let folder = step.dir.as_deref().unwrap();
        let output = bench.run(folder, &words, None);
        let (text, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("playbook:"), "{words:?}: {text}{warnings}");
        assert!(!warnings.contains("Unable to parse") && !warnings.contains("no hosts matched"), "{warnings}");
    }
}

/// The edits of each variables file, secrets filled in: what must read back.
fn wanted(bench: &Bench, edits: &[Edit]) -> BTreeMap<String, toml::Value> {
    let mut values = BTreeMap::new();
    for edit in edits {
        let (Edit::Set { key, value, .. } | Edit::Add { key, value, .. }) = edit else { continue };
        match value.as_str().map(|text| (text, bench.secrets.expand(text))) {
            // Not answered: the template's value stays, an addition is left out.
            Some((text, filled)) if filled.is_empty() && (text.contains("${secret.") || matches!(edit, Edit::Add { .. })) => {}
            Some((_, filled)) => drop(values.insert(key.clone(), toml::Value::String(filled))),
            None => drop(values.insert(key.clone(), value.clone())),
        }
    }
    values
}

fn variables_read_back(bench: &Bench) {
    for file in &bench.plan.files {
        let FileContent::Edit { template, format: FileFormat::Hcl, edits, .. } = &file.content else { continue };
        // `fmt` may complain about the template already; ours must not be worse.
        let complains = |path: &str| !bench.run("", &["terraform", "fmt", "-check", path], None).status.success();
        let template_copy = bench.scratch.path().join("template.tfvars");
        fs::copy(template, &template_copy).unwrap();
        assert!(!complains(&file.path) || complains(&template_copy.display().to_string()), "{}: worse than its template", file.path);
        // Terraform reads each value back: an own root declares the variables, and the console shows them.
        let root = bench.scratch.path().join("console");
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(&root).unwrap();
        let values = wanted(bench, edits);
        assert!(values.len() > 4);
        let declared: String = values.keys().map(|key| format!("variable \"{key}\" {{}}\n")).collect();
        fs::write(root.join("main.tf"), declared).unwrap();
        let object: Vec<String> = values.keys().map(|key| format!("{key} = var.{key}")).collect();
        let question = format!("base64encode(jsonencode({{ {} }}))\n", object.join(", "));
        let text = bench.ok(&root.display().to_string(), &["terraform", "console", &format!("-var-file={}", file.path)], Some(&question));
        // Warnings on undeclared variables come first.
        let encoded = text.trim().lines().last().unwrap().trim_matches('"');
        let shown = openssl::base64::decode_block(encoded).unwrap_or_else(|error| panic!("{error}: {text}"));
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        for (key, value) in values {
            assert_eq!(shown[&key], serde_json::to_value(&value).unwrap(), "{}: {key}", file.path);
        }
    }
}

fn only_lines_that_must_differ_differ(bench: &Bench) {
    for (path, most) in [
        ("terraform/mosip_deployment/terraform.tfvars", 9),
        ("terraform/obs_deployment/terraform.tfvars", 2),
        ("ansible/infra_deployment/inventory/group_vars/all.yml", 5),
    ] {
        let file = bench.checkout().join(path);
        let (old, new) = (fs::read_to_string(format!("{}.tmp", file.display())).unwrap(), fs::read_to_string(&file).unwrap());
        let old: Vec<&str> = old.lines().collect();
        let new: Vec<&str> = new.lines().collect();
        assert!(new.len() >= old.len());
        let changed: Vec<(&&str, &&str)> = old.iter().zip(&new).filter(|(old, new)| old != new).collect();
        assert!(!changed.is_empty() && changed.len() <= most, "{path}: {changed:#?}");
        let added: Vec<&&str> = new[old.len()..].iter().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(added.len() <= 2, "{path}: {added:?}");
    }
}

fn import_finds_the_site_again(bench: &Bench) {
    let imported = import::import(&bench.project.profile, &bench.checkout()).unwrap();
    let draft = &bench.project.open.file.draft;
    for key in ["domain", "installation_name", "wireguard_network", "global_helm_timeout_seconds", "httpbin_enable", "kafka_replica_count"]
    {
        assert_eq!(imported.draft.answers.get(key), draft.answers.get(key), "{key}");
    }
    assert_eq!(imported.draft.advanced, draft.advanced);
    let machines = |draft: &Draft| -> BTreeMap<String, (String, BTreeSet<String>)> {
        draft
            .machines
            .iter()
            .map(|machine| (machine.name.clone(), (machine.address.clone(), machine.roles.iter().cloned().collect())))
            .collect()
    };
    assert_eq!(machines(&imported.draft), machines(draft));
}
