use super::*;
use crate::adapters::profiles;
use toml::Value;

fn profile() -> Profile {
    profiles::load("turing-rke2").unwrap()
}

fn draft(profile: &Profile) -> Draft {
    let mut draft = Draft::new(profile);
    draft.set(profile, "domain", "sandbox.example.org").unwrap();
    draft.set(profile, "wireguard_peers", "7").unwrap();
    draft.set(profile, "machine.vm1.address", "10.77.0.41").unwrap();
    draft.set(profile, "secret.rancher_bootstrap_password", "file:/secrets/rancher").unwrap();
    draft.set(profile, "advanced.mosip.tfvars.admin_startup_probe_enabled", "false").unwrap();
    draft.set(profile, "source.kit.path", "/srv/kit").unwrap();
    draft
}

struct Bench {
    _scratch: tempfile::TempDir,
    path: PathBuf,
    profile: Profile,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Self { path: scratch.path().join("site.toml"), _scratch: scratch, profile: profile() }
    }

    fn saved(&self) -> OpenSite {
        let mut site = OpenSite::unsaved(&self.path, Draft::default()).unwrap();
        save(&mut site, &draft(&self.profile), &self.profile).unwrap();
        site
    }
}

#[test]
fn a_new_file_explains_itself_and_reads_back() {
    let bench = Bench::new();
    let site = bench.saved();
    let text = fs::read_to_string(&bench.path).unwrap();
    assert!(text.contains("\ndomain = \"sandbox.example.org\"\n") && text.contains("\n# ssh_user = \"ubuntu\"\n"), "{text}");
    assert!(text.contains("# SSH user on the machines\n"));
    let loaded = load(&bench.path).unwrap();
    assert_eq!(loaded.file.draft, site.file.draft);
    assert_eq!(loaded.file.draft.id.len(), 32);
}

#[test]
fn saving_the_same_changes_nothing() {
    let bench = Bench::new();
    let mut site = bench.saved();
    let before = fs::read_to_string(&bench.path).unwrap();
    let same = site.file.draft.clone();
    save(&mut site, &same, &bench.profile).unwrap();
    assert_eq!(fs::read_to_string(&bench.path).unwrap(), before);
}

#[test]
fn comments_and_order_of_the_operator_stay() {
    let bench = Bench::new();
    let text = "# mine\nschema = 1\nid = \"ab\"\nprofile = \"turing-rke2\"\n\n# why this name\ndomain = \"a.example.org\" # asked Bob\nssh_user = \"root2\"\n# installation_name = \"x\"\n\n# the big one\n[[machine]]\nname = \"vm1\"\naddress = \"10.0.0.1\" # rack 3\nroles = [\"cluster\"]\n\n[[machine]]\nname = \"gone\"\n\n[secret]\n# in the vault\nsmtp_secret = \"env:SMTP\"\n";
    fs::write(&bench.path, text).unwrap();
    let mut site = load(&bench.path).unwrap();
    let mut draft = site.file.draft.clone();
    draft.answers.insert("domain".into(), Value::String("b.example.org".into()));
    draft.answers.insert("installation_name".into(), Value::String("sandbox".into()));
    draft.answers.remove("ssh_user");
    draft.machines[0].address = "10.0.0.9".into();
    draft.machines[1] = DraftMachine { name: "new".into(), address: "10.0.0.2".into(), ..DraftMachine::default() };
    draft.secrets.clear();
    save(&mut site, &draft, &bench.profile).unwrap();
    let wanted = "# mine\nschema = 1\nid = \"ab\"\nprofile = \"turing-rke2\"\n\n# why this name\ndomain = \"b.example.org\" # asked Bob\n# ssh_user = \"root2\"\ninstallation_name = \"sandbox\"\n\n# the big one\n[[machine]]\nname = \"vm1\"\naddress = \"10.0.0.9\" # rack 3\nroles = [\"cluster\"]\n\n[[machine]]\nname = \"new\"\nroles = []\naddress = \"10.0.0.2\"\n\n[secret]\n# in the vault\n# smtp_secret = \"env:SMTP\"\n";
    assert_eq!(fs::read_to_string(&bench.path).unwrap(), wanted);
}

#[test]
fn a_file_changed_meanwhile_is_not_overwritten() {
    let bench = Bench::new();
    let mut site = bench.saved();
    let other = format!("{}# by somebody else\n", site.text.clone().unwrap());
    fs::write(&bench.path, &other).unwrap();
    let mut draft = site.file.draft.clone();
    draft.answers.remove("domain");
    assert!(matches!(save(&mut site, &draft, &bench.profile), Err(SiteError::Changed { .. })));
    assert_eq!(fs::read_to_string(&bench.path).unwrap(), other);
    // Nor is a file that appeared where none was.
    let mut unsaved = OpenSite::unsaved(&bench.path, Draft::default()).unwrap();
    assert!(matches!(save(&mut unsaved, &draft, &bench.profile), Err(SiteError::Changed { .. })));
}

#[test]
fn a_bad_file_names_line_and_key() {
    let bench = Bench::new();
    fs::write(&bench.path, "schema = 1\nprofile = \"turing-rke2\"\ndomain = \"Not A Domain\"\n").unwrap();
    let problems = load(&bench.path).unwrap().file.validate(&bench.profile, None).unwrap_err();
    assert!(problems.iter().any(|problem| problem.key == "domain" && problem.line == 3), "{problems:?}");
    fs::write(&bench.path, "schema = 1\nprofile = \n").unwrap();
    assert!(load(&bench.path).unwrap_err().to_string().contains(":2"));
    assert!(load(Path::new("/nowhere/site.toml")).unwrap_err().to_string().contains("mosip-setup new"));
}
