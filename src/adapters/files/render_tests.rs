use super::*;
use crate::install::plan::{FileContent, PlanFile};

struct Bench {
    scratch: tempfile::TempDir,
    secrets: Secrets,
    state: RenderState,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let state = RenderState::load(&scratch.path().join("rendered.json"), vec![7; 32]);
        let mut secrets = Secrets::default();
        secrets.insert("pw".parse().unwrap(), "correct horse".to_owned().into());
        Self { scratch, secrets, state }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    fn plan(&self, files: Vec<PlanFile>) -> Plan {
        Plan {
            profile: "p".parse().unwrap(),
            title: String::new(),
            site: String::new(),
            phases: vec![],
            files,
            checks: vec![],
            machines: vec![],
            roles: vec![],
            sources: BTreeMap::new(),
            paths: BTreeMap::new(),
            networks: BTreeMap::new(),
            secrets: BTreeMap::new(),
            known_hosts: String::new(),
            outcome: vec![],
            settled: BTreeMap::new(),
        }
    }

    fn variables(&self, edits: Vec<Edit>) -> Plan {
        fs::write(self.path("v.tfvars.tmp"), "a = \"x\" # c\npw = \"admin\"\nn = 1").unwrap();
        let content = FileContent::Edit { template: self.path("v.tfvars.tmp"), fallback: String::new(), format: FileFormat::Hcl, edits };
        self.plan(vec![PlanFile { path: self.path("v.tfvars"), secret: true, content }])
    }

    fn render(&self, plan: &Plan) -> Vec<Rendered> {
        render(plan, Scope::default(), &self.secrets, &self.state).unwrap()
    }

    fn write(&mut self, plan: &Plan) -> Written {
        let rendered = self.render(plan);
        write(&rendered, &BTreeSet::new(), &mut self.state).unwrap()
    }
}

fn set(key: &str, value: &str) -> Edit {
    Edit::Set { section: None, key: key.into(), value: value.into() }
}

#[test]
fn twice_is_the_same_and_a_new_answer_is_an_edit() {
    let mut bench = Bench::new();
    let plan = bench.variables(vec![set("a", "y"), set("pw", "${secret.pw}")]);
    let first = bench.render(&plan);
    assert_eq!(first[0].change, Change::Create);
    assert!(!first[0].diff.contains("horse") && first[0].diff.contains("(secret, changed)"), "{}", first[0].diff);
    bench.write(&plan);
    assert_eq!(fs::read_to_string(bench.path("v.tfvars")).unwrap(), "a = \"y\" # c\npw = \"correct horse\"\nn = 1");
    assert_eq!(bench.render(&plan)[0].change, Change::Same);
    assert_eq!(bench.write(&plan), Written::default());
    let other = bench.variables(vec![set("a", "z"), set("pw", "${secret.pw}")]);
    assert_eq!(bench.render(&other)[0].change, Change::Edit);
    // The state lives on in its file.
    bench.state = RenderState::load(&bench.scratch.path().join("rendered.json"), vec![7; 32]);
    assert_eq!(bench.render(&other)[0].change, Change::Edit);
}

#[test]
fn a_hand_edit_is_a_conflict_and_kept_unless_overwritten_with_a_copy() {
    let mut bench = Bench::new();
    let plan = bench.variables(vec![set("a", "y")]);
    bench.write(&plan);
    fs::write(bench.path("v.tfvars"), "a = \"by hand\"\n").unwrap();
    let rendered = bench.render(&plan);
    assert_eq!(rendered[0].change, Change::Conflict);
    assert_eq!(bench.write(&plan).conflicts, [PathBuf::from(bench.path("v.tfvars"))]);
    assert_eq!(fs::read_to_string(bench.path("v.tfvars")).unwrap(), "a = \"by hand\"\n");
    let all = BTreeSet::from([PathBuf::from(bench.path("v.tfvars"))]);
    let done = write(&rendered, &all, &mut bench.state).unwrap();
    assert_eq!(fs::read_to_string(&done.backups[0]).unwrap(), "a = \"by hand\"\n");
    assert_eq!(bench.render(&plan)[0].change, Change::Same);
}

#[test]
fn a_file_of_somebody_else_is_a_conflict_but_a_plain_copy_of_the_template_is_not() {
    let bench = Bench::new();
    let plan = bench.variables(vec![set("a", "y")]);
    fs::write(bench.path("v.tfvars"), "a = 1\n").unwrap();
    assert_eq!(bench.render(&plan)[0].change, Change::Conflict);
    fs::copy(bench.path("v.tfvars.tmp"), bench.path("v.tfvars")).unwrap();
    assert_eq!(bench.render(&plan)[0].change, Change::Edit);
}

#[test]
fn a_missing_key_names_file_and_key_and_nothing_is_written() {
    let bench = Bench::new();
    for edits in [vec![set("nope", "y")], vec![set("nope", "${secret.unset}")]] {
        let plan = bench.variables(edits);
        let error = render(&plan, Scope::default(), &bench.secrets, &bench.state).unwrap_err().to_string();
        assert!(error.contains("v.tfvars.tmp") && error.contains("nope"), "{error}");
    }
}

#[test]
fn a_secret_that_is_not_set_leaves_the_template_and_an_empty_addition_is_left_out() {
    let mut bench = Bench::new();
    let empty = Edit::Add { section: None, key: "region".into(), value: "".into() };
    let plan = bench.variables(vec![set("pw", "${secret.unset}"), empty]);
    bench.write(&plan);
    assert_eq!(fs::read(bench.path("v.tfvars")).unwrap(), fs::read(bench.path("v.tfvars.tmp")).unwrap());
}

#[test]
fn tokens_are_written_once_and_never_too_late() {
    let mut bench = Bench::new();
    let once = FileContent::Once { random_hex: 64, unless: bench.path("kubeconfig") };
    let plan = bench.plan(vec![PlanFile { path: bench.path("base/token"), secret: true, content: once }]);
    assert_eq!(bench.write(&plan).written.len(), 1);
    let token = fs::read_to_string(bench.path("base/token")).unwrap();
    assert!(token.len() == 64 && token.chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(bench.render(&plan)[0].change, Change::Keep);
    fs::remove_file(bench.path("base/token")).unwrap();
    fs::write(bench.path("kubeconfig"), "").unwrap();
    assert_eq!(bench.render(&plan)[0].change, Change::Keep);
}

#[test]
fn a_certificate_not_obtained_yet_is_an_error_only_when_it_is_needed() {
    let bench = Bench::new();
    let copy = FileContent::Copy { from: bench.path("none.pem") };
    let plan = bench.plan(vec![PlanFile { path: bench.path("privkey.pem"), secret: true, content: copy }]);
    let preview = Scope { only: None, preview: true };
    assert_eq!(render(&plan, preview, &bench.secrets, &bench.state).unwrap()[0].change, Change::Keep);
    let error = render(&plan, Scope::default(), &bench.secrets, &bench.state).unwrap_err().to_string();
    assert!(error.contains("none.pem"), "{error}");
    fs::write(bench.path("none.pem"), "KEY").unwrap();
    assert_eq!(bench.render(&plan)[0].diff, "(secret, new)\n");
}
