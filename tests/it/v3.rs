//! MOSIP's own scripts, driven by the shipped V3 profiles on a terminal, with kubectl and helm replaced by recorders. Runs when
//! MOSIP_SETUP_V3 names clones of k8s-infra and mosip-infra, one a line (`tests/run --v3 K8S_INFRA MOSIP_INFRA`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mosip_setup::adapters::profiles;
use mosip_setup::install::check::CheckKind;
use mosip_setup::install::ids::CheckId;
use mosip_setup::install::profile::{Phase, Profile, Step, StepKind};
use serde_json::Value;

use crate::support::{Done, Place, files_below, listed, repository, skip};

pub const SECRETS: [&str; 11] = [
    "s3_user_key",
    "s3_user_secret",
    "rancher_bootstrap_password",
    "slack_url",
    "prereg_captcha_secret_key",
    "resident_captcha_secret_key",
    "iam_smtp_password",
    "smtp_secret",
    "sms_secret",
    "sms_authkey",
    "registry_password",
];

const SITE: &str = r#"schema = 1
id = "0000000000000001"
profile = "variant"
domain = "sandbox.example.org"
rancher_host = "rancher.example.net"
rancher_keycloak_host = "keycloak.example.net"
network = "10.20.20.0/24"
iam_smtp_from = "noreply@example.org"
iam_smtp_auth = "true"
iam_smtp_username = "mailer@example.org"
mock_smtp = "N"
smtp_host = "mail.example.org"
smtp_username = "notices"
mock_sms = "N"
sms_host = "sms.example.org"
docker_registry = "Y"
registry_username = "puller"
registry_email = "a@example.org"
alerts = "Y"
slack_channel = "alerts"

[[machine]]
name = "obs1"
roles = ["observation-node", "observation-server"]
address = "10.20.20.31"

[[machine]]
name = "nginx-obs"
roles = ["nginx-observation"]
address = "10.20.20.21"

[[machine]]
name = "wireguard"
roles = ["bastion"]
address = "10.20.20.10"
public_address = "192.0.2.20"

[[machine]]
name = "node1"
roles = ["mosip-node", "mosip-server"]
address = "10.20.20.41"

[[machine]]
name = "nginx"
roles = ["nginx"]
address = "10.20.20.20"
public_address = "192.0.2.10"

[secret]
"#;

/// The checks of the nodes' iscsi, and which cluster's kubeconfig their phases use.
const ISCSI: [(&str, &str); 2] = [("iscsi.observation", "sandbox_obs_config"), ("iscsi.mosip", "sandbox_config")];

pub fn clones() -> Option<Vec<PathBuf>> {
    let value = std::env::var("MOSIP_SETUP_V3").ok()?;
    Some(value.lines().map(PathBuf::from).collect())
}

/// A site of the profile with recorders on PATH.
pub struct Bench {
    place: Place,
    pub profile: Profile,
    storage: &'static str,
}

impl Bench {
    fn new(clones: &[PathBuf], profile: &str) -> Self {
        Self::with(clones, profile, "")
    }

    /// The same with other answers, written as in a site file.
    fn with(clones: &[PathBuf], profile: &str, answers: &str) -> Self {
        let mut place = Place::new();
        for folder in ["site", "calls/fail", "calls/kubectl"] {
            fs::create_dir_all(place.path(folder)).unwrap();
        }
        for program in ["helm", "kubectl", "rke", "istioctl", "curl", "ansible-playbook"] {
            place.program(program, &fs::read_to_string(repository().join("tests/fixtures/v3").join(program)).unwrap());
        }
        place.set("V3_STATE", place.path("calls").to_str().unwrap());
        let file = repository().join(format!("profiles/{profile}.toml"));
        let profile = profiles::load(file.to_str().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        let storage = if answers.contains("nfs-client") { "nfs-client" } else { "longhorn" };
        let bench = Self { place, profile, storage };
        for file in files_below(&repository().join("profiles"), ".toml") {
            fs::copy(&file, bench.place.path("site").join(file.file_name().unwrap())).unwrap();
        }
        fs::write(bench.place.path("site/variant.toml"), bench.variant()).unwrap();
        let mut site = SITE.replacen("\n[[machine]]", &format!("{answers}\n[[machine]]"), 1);
        for name in SECRETS {
            bench.secret(name);
            writeln!(site, "{name} = \"file:{}\"", bench.place.path(name).display()).unwrap();
        }
        fs::write(bench.place.path("site/site.toml"), site).unwrap();
        let (first, second) = (clones[0].display(), clones[1].display());
        bench.run(&["fetch", "--source", &format!("k8s-infra={first}"), "--source", &format!("mosip-infra={second}")]).expect(0);
        bench
    }

    fn secret(&self, name: &str) {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.place.path(name)).unwrap();
        file.write_all(value(name).as_bytes()).unwrap();
    }

    /// The profile without what needs machines or people: those phases do nothing, and no check looks for any. That pods have put iscsi
    /// on the nodes is claimed as soon as a script has asked for it.
    fn variant(&self) -> String {
        let checks: Vec<String> =
            self.profile.checks.iter().filter(|check| !check.on_demand).map(|check| format!("\"check:{}\"", check.id)).collect();
        let mut text = format!("schema = 1\nid = \"variant\"\ntitle = \"Variant\"\nextends = \"{}\"\n", self.profile.id);
        writeln!(text, "remove = [{}]", checks.join(", ")).unwrap();
        for (check, cluster) in ISCSI {
            let asked = format!(r"^kubectl \[{cluster}\] apply -n longhorn-system -f .*/longhorn-iscsi-installation.yaml");
            let calls = self.place.path("calls/calls");
            writeln!(
                text,
                "[[check]]\nid = \"{check}\"\ntitle = \"claimed\"\nkind = \"command\"\nargv = ['grep', '-q', '{asked}', '{}']\n\
                 level = \"fail\"\non_demand = true",
                calls.display()
            )
            .unwrap();
        }
        for phase in self.profile.phases.iter().filter(|phase| !self.runs_here(phase)) {
            writeln!(text, "[[phase]]\nid = \"{}\"\ntitle = \"none\"\n[[phase.step]]\nid = \"none\"\ncommand = [\"true\"]", phase.id)
                .unwrap();
        }
        text
    }

    fn runs_here(&self, phase: &Phase) -> bool {
        let claimed = |check: &CheckId| ISCSI.iter().any(|(id, _)| check == id);
        let command =
            |check: &CheckId| claimed(check) || matches!(self.profile.check(check.as_str()).unwrap().kind, CheckKind::Command { .. });
        // What belongs to the other storage is left out anyway.
        let other = |step: &&Step| {
            step.when.as_ref().is_some_and(|when| when.field.as_str() == "storage_class" && when.is.as_deref() != Some(self.storage))
        };
        phase.steps.iter().filter(|step| !other(step)).all(|step| match &step.action {
            StepKind::Command(_) | StepKind::Write(_) => step.verify.iter().chain(&step.unless).all(command),
            StepKind::Wait(wait) => command(&wait.check),
            StepKind::Check(checks) => checks.iter().all(command),
            StepKind::Ansible(_) | StepKind::Ssh(_) | StepKind::Ask(_) | StepKind::Terraform(_) => false,
        })
    }

    fn run(&self, words: &[&str]) -> Done {
        let (state, site) = (self.place.path("state"), self.place.path("site/site.toml"));
        let mut all = vec!["--state-dir", state.to_str().unwrap(), "--site", site.to_str().unwrap()];
        all.extend(words);
        self.place.run(&all)
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.place.path("calls/calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn forget_calls(&self) {
        fs::write(self.place.path("calls/calls"), "").unwrap();
    }

    /// NAMESPACE RELEASE of each install that reached the cluster, in order.
    fn installs(&self) -> Vec<String> {
        let own = |line: &&String| line.contains("[sandbox_config]");
        let words = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let install = |words: Vec<String>| {
            let at = words.iter().position(|word| word == "install").filter(|_| words[0] == "helm")?;
            let namespace = words.iter().position(|word| word == "-n").map_or("default", |at| words[at + 1].as_str());
            Some(format!("{namespace} {}", words[at + 1]))
        };
        self.calls().iter().filter(own).map(words).filter_map(install).collect()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["--json", "status"]).expect(0).out).unwrap()
    }

    /// Whether a step was begun in the run as it stands.
    pub fn began(&self, phase: &str, step: &str) -> bool {
        let site = self.place.path("state/sites/0000000000000001/runs");
        files_below(&site, "output.log").iter().any(|path| path.to_string_lossy().contains(&format!("/steps/{phase}.{step}/")))
    }

    /// A text of the profile with this site's answers.
    pub fn filled(&self, text: &str) -> String {
        let values = [
            ("${host_prereg}", "prereg.sandbox.example.org"),
            ("${host_resident}", "resident.sandbox.example.org"),
            ("${domain}", "sandbox.example.org"),
            ("${installation_name}", "sandbox"),
            ("${role.nginx.first}", "10.20.20.20"),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    pub fn log(&self, step: &str) -> String {
        self.run(&["logs", step]).expect(0).out
    }

    pub fn checkout(&self, path: &str) -> PathBuf {
        self.place.path("site").join(path)
    }
}

pub fn value(secret: &str) -> String {
    if secret == "slack_url" { "https://hooks.slack.com/services/canary".to_owned() } else { format!("canary-{secret}") }
}

/// Each release that the scripts themselves name, in the documented order of the modules.
const RELEASES: &str = "postgres postgres,postgres istio-addons,postgres postgres-init,keycloak keycloak,keycloak istio-addons,keycloak keycloak-init,\
softhsm softhsm-kernel,softhsm softhsm-ida,minio minio,minio istio-addons,clamav clamav,activemq activemq,kafka kafka,kafka kafka-ui,kafka istio-addons,\
landing-page landing-page,conf-secrets conf-secrets,config-server config-server,artifactory artifactory,keymanager kernel-keygen,keymanager keymanager,\
websub websub-consolidator,websub websub,mock-smtp mock-smtp,kernel authmanager,kernel auditmanager,kernel idgenerator,kernel masterdata,kernel otpmanager,\
kernel pridgenerator,kernel ridgenerator,kernel syncdata,kernel notifier,masterdata-loader masterdata-loader,biosdk biosdk-service,\
packetmanager packetmanager,datashare datashare,prereg prereg-gateway,prereg prereg-captcha,prereg prereg-application,prereg prereg-booking,\
prereg prereg-datasync,prereg prereg-batchjob,prereg prereg-ui,idrepo idrepo-saltgen,idrepo credential,idrepo credentialrequest,idrepo identity,idrepo vid,\
pms pms-partner,pms pms-policy,pms pmp-ui,abis mock-abis,abis mock-mv,regproc regproc-salt,regproc regproc-workflow,regproc regproc-status,\
regproc regproc-camel,regproc regproc-pktserver,regproc regproc-group1,regproc regproc-group2,regproc regproc-group3,regproc regproc-group4,\
regproc regproc-group5,regproc regproc-group6,regproc regproc-group7,regproc regproc-trans,regproc regproc-notifier,regproc regproc-reprocess,\
admin admin-hotlist,admin admin-service,admin admin-ui,ida ida-keygen,ida ida-auth,ida ida-internal,ida ida-otp,print print-service,\
onboarder partner-onboarder,mosip-file-server mosip-file-server,resident resident,resident resident-ui,regclient regclient";

#[test]
fn every_script_is_answered_and_what_runs_is_not_installed_twice() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let bench = Bench::new(&clones, "v3-onprem");
    bench.run(&["run", "--yes"]).expect(0);
    assert_eq!(bench.status()["state"], "done");
    let installs = bench.installs();
    let services: Vec<&str> = installs.iter().map(String::as_str).filter(|one| RELEASES.split(',').any(|known| known == *one)).collect();
    assert_eq!(services, RELEASES.split(',').collect::<Vec<_>>());
    every_prompt_was_answered_in_the_log(&bench);
    what_the_scripts_received_reached_the_cluster(&bench);
    secrets_are_nowhere_in_the_state(&bench);
    longhorn_is_installed_in_both_clusters(&bench);
    crate::v3_charts::installed(&bench.profile, &bench.calls(), LEFT_OUT);
    // Once more, from the beginning: everything is there, so nothing is installed, and nothing deleted.
    bench.forget_calls();
    bench.run(&["run", "--new", "--yes"]).expect(0);
    assert_eq!(bench.installs(), Vec::<String>::new());
    assert!(!bench.calls().iter().any(|line| line.contains(" uninstall ") || line.contains(" upgrade ")), "{}", listed(&bench.calls()));
}

/// What these answers do not install: the provisioner of NFS, the test rigs; and Rancher, whose phase needs people.
const LEFT_OUT: &[&str] = &["rancher", "nfs-client-provisioner", "apitestrig", "authdemo", "dslorchestrator", "packetcreator", "uitestrig"];

fn longhorn_is_installed_in_both_clusters(bench: &Bench) {
    let calls = bench.calls();
    for cluster in ["sandbox_obs_config", "sandbox_config"] {
        let place = |words: &str| {
            let found = calls.iter().position(|line| line.contains(&format!("[{cluster}]")) && line.contains(words));
            found.unwrap_or_else(|| panic!("{cluster}: {words}: {}", listed(&calls)))
        };
        let asked = ["create namespace longhorn-system", "longhorn-iscsi-installation.yaml", "longhorn-nfs-installation.yaml"].map(place);
        let install = place("install longhorn longhorn/longhorn -n longhorn-system --create-namespace --version 1.4.2");
        assert!(asked.is_sorted() && asked[2] < install, "{cluster}");
        // Others need volumes: they come after the class that gives them.
        let class = calls.iter().skip(install).position(|line| line.contains(&format!("[{cluster}] get storageclass")));
        assert!(class.is_some(), "{cluster}: nobody looks whether the class is there");
    }
}

fn every_prompt_was_answered_in_the_log(bench: &Bench) {
    let mut seen = 0;
    for phase in bench.profile.phases.iter().filter(|phase| phase.when.is_none()) {
        let asks = |step: &&Step| step.when.is_none() && !step.prompts.is_empty() && matches!(step.action, StepKind::Command(_));
        for step in phase.steps.iter().filter(asks) {
            let Some(prompt) = step.prompts.iter().find(|prompt| prompt.required && prompt.when.is_none()) else { continue };
            let log = bench.log(&format!("{}/{}", phase.id, step.id));
            let text = prompt.text.split("${").next().unwrap().trim();
            assert!(log.contains(text), "{}/{}: {text}: {log}", phase.id, step.id);
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
    // With MinIO there is one question that an S3 of one's own has at another place.
    let log = bench.log("object-store/install");
    assert!(log.contains("as mentioned above(1/2)1") && log.contains("Please provide pretext value : \n"), "{log}");
}

fn what_the_scripts_received_reached_the_cluster(bench: &Bench) {
    let calls = bench.calls();
    let one = |words: &[&str]| {
        let found: Vec<&String> = calls.iter().filter(|line| words.iter().all(|word| line.contains(word))).collect();
        assert!(!found.is_empty(), "no call has {words:?}");
        found[0].clone()
    };
    one(&["-n postgres install postgres ", "--set image.repository=bitnamilegacy/postgresql --timeout 20m"]);
    let init = one(&["-n keycloak install keycloak-init"]);
    for part in [
        "smtpServer.host=mock-smtp.mock-smtp",
        "smtpServer.port=8025",
        "smtpServer.from=noreply@example.org",
        "smtpServer.starttls=false",
        "smtpServer.ssl=false",
        "smtpServer.auth=true",
        "smtpServer.user=mailer@example.org",
        &format!("smtpServer.password={}", value("iam_smtp_password")),
        "frontendUrl=https://iam.sandbox.example.org/auth",
    ] {
        assert!(init.contains(part), "{part}: {init}");
    }
    one(&["create configmap s3 --from-literal=s3-user-key=minio-access --from-literal=s3-region="]);
    one(&[
        "create configmap msg-gateway --from-literal=smtp-host=mail.example.org --from-literal=sms-host=sms.example.org",
        "smtp-port=587",
        "sms-port=443",
    ]);
    one(&["create secret generic msg-gateway", &value("smtp_secret"), &value("sms_secret"), &value("sms_authkey")]);
    one(&[
        "create secret docker-registry regsecret1 --docker-server=https://index.docker.io/v1/ --docker-username=puller",
        &value("registry_password"),
    ]);
    one(&["create secret generic mosip-captcha", &value("prereg_captcha_secret_key"), &value("resident_captcha_secret_key")]);
    one(&["install regproc-group1", "--set persistence.storageClass=longhorn"]);
    one(&["install config-server mosip/config-server -f values.yaml", "-f ", "config-server-values.yaml"]);
    one(&["-n cattle-logging-system install elasticsearch", "--set kibana.image.repository=mosipint/kibana"]);
    one(&["[sandbox_obs_config]", "install ingress-nginx", "--version 4.0.18"]);
    one(&["[sandbox_config]", "install rancher-monitoring mosip/rancher-monitoring", "--set ingressNginx.enabled=false"]);
    one(&["curl", "https://kibana.sandbox.example.org/api/saved_objects/_import"]);
    one(&["patch secret alertmanager-rancher-monitoring-alertmanager"]);
    one(&["install landing-page", "--set landing.version=mosip-setup-v1.2.0.2"]);
    one(&["install partner-onboarder", "s3-host=http://minio.minio:9000", "s3-bucket-name=onboarder"]);
    for wrong in ["enable_insecure", "ENABLE_INSECURE", "regproc-landingzone mosip"] {
        assert!(!calls.iter().any(|line| line.contains(wrong)), "{wrong}");
    }
    // Not one call went to a cluster that nobody named.
    let asks = |line: &&String| line.starts_with("helm [") || line.starts_with("kubectl [");
    let named = |line: &&String| {
        line.contains("[sandbox_config]")
            || line.contains("[sandbox_obs_config]")
            || line.contains("--kubeconfig ")
            || line.contains(" repo ")
    };
    let lost: BTreeSet<&String> = calls.iter().filter(asks).filter(|line| !named(line)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

fn secrets_are_nowhere_in_the_state(bench: &Bench) {
    for path in files_below(&bench.place.path("state"), "") {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for name in SECRETS {
            assert!(!text.contains(&value(name)), "{name} in {}", path.display());
        }
    }
}

#[test]
fn a_module_that_failed_is_taken_up_where_it_failed() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let bench = Bench::new(&clones, "v3-onprem");
    fs::write(bench.place.path("calls/fail/kernel.otpmanager"), "no matches for kind").unwrap();
    let failed = bench.run(&["run", "--yes", "--to", "kernel"]).expect(1);
    assert!(failed.out.contains("FAILED   kernel/install"), "{}", failed.out);
    bench.forget_calls();
    bench.run(&["retry", "kernel"]).expect(0);
    let wanted = ["kernel otpmanager", "kernel pridgenerator", "kernel ridgenerator", "kernel syncdata", "kernel notifier"];
    assert_eq!(bench.installs()[..5], wanted);
    assert!(bench.calls().iter().any(|line| line.ends_with("-n kernel uninstall otpmanager --wait")));
}

#[test]
fn storage_on_nfs_and_an_object_store_of_ones_own_are_answered() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let answers = "testrigs = \"Y\"\nstorage_class = \"nfs-client\"\nobject_store = \"2\"\ns3_region = \"eu-west-1\"\ns3_prefix = \"mosip\"\n\n\
                   [[machine]]\nname = \"nfs\"\nroles = [\"nfs\"]\naddress = \"10.20.20.60\"\n";
    let mut bench = Bench::with(&clones, "v3-onprem", answers);
    bench.place.set("V3_CLASS", "nfs-client");
    bench.run(&["run", "--yes"]).expect(0);
    let calls = bench.calls();
    let has =
        |words: &[&str]| assert!(calls.iter().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {}", listed(&calls));
    has(&["[sandbox_config]", "install nfs-client-provisioner", "--set nfs.server=10.20.20.60 --set nfs.path=/srv/nfs/mosip/sandbox"]);
    has(&["[sandbox_config]", "patch storageclass nfs-client", "is-default-class"]);
    has(&["create configmap s3", &format!("s3-user-key={}", value("s3_user_key")), "s3-region=eu-west-1"]);
    has(&["create secret generic s3", &format!("s3-user-secret={}", value("s3_user_secret")), "s3-pretext-value=mosip"]);
    let rigs =
        ["packetcreator packetcreator", "authdemo authdemo", "apitestrig apitestrig", "dslrig dslorchestrator", "uitestrig uitestrig"];
    assert_eq!(bench.installs()[bench.installs().len() - 5..], rigs);
    let key = bench.place.path("home/.ssh/id_rsa").display().to_string();
    let inventory = format!("nfsserver ansible_user=ubuntu ansible_host=10.20.20.60 ansible_ssh_private_key_file={key}");
    assert_eq!(calls.iter().filter(|line| line.starts_with("ansible-playbook") && line.contains(&inventory)).count(), 3);
    has(&["install packetcreator", "--set istio.enabled=true --set ingress.enabled=false --set persistence.nfs.server=10.20.20.60"]);
    has(&["install apitestrig", "--set crontime=0 3 * * *", "eSignetDeployed=no"]);
    has(&[
        "install dslorchestrator",
        "packetUtilityBaseUrl=https://api-internal.sandbox.example.org/v1/packetcreator",
        "reportExpirationInDays=3",
    ]);
    assert!(!bench.installs().iter().any(|one| one.contains("minio") || one.contains("longhorn")), "{:?}", bench.installs());
    crate::v3_charts::installed(&bench.profile, &calls, &["rancher", "longhorn", "minio"]);
    crate::v3_prompts::check(&bench);
}

#[test]
fn without_dns_the_clusters_learn_the_names_and_no_certificate_is_called_valid() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let bench = Bench::new(&clones, "v3-onprem-nodns");
    bench.run(&["run", "--yes", "--to", "kernel"]).expect(0);
    let settings = fs::read_to_string(bench.place.path("calls/sandbox_config.replaced")).unwrap();
    let value: Value = serde_json::from_str(&settings).unwrap();
    let corefile = value["data"]["Corefile"].as_str().unwrap();
    let lines = [
        "10.20.20.20 sandbox.example.org api-internal.sandbox.example.org",
        "10.20.20.21 rancher.example.net keycloak.example.net",
        "fallthrough",
    ];
    assert!(lines.iter().all(|line| corefile.contains(line)), "{corefile}");
    assert!(corefile.find("fallthrough") < corefile.find("forward"), "{corefile}");
    let observation = fs::read_to_string(bench.place.path("calls/sandbox_obs_config.replaced")).unwrap();
    assert!(observation.contains("rancher.example.net") && !observation.contains("api-internal"), "{observation}");
    assert!(bench.calls().iter().any(|line| line.contains("install authmanager") && line.contains("--set enable_insecure=true")));
    let certificate = Command::new("openssl")
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(bench.checkout("tls/mosip.pem"))
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&certificate.stdout).into_owned();
    assert!(names.contains("DNS:sandbox.example.org, DNS:*.sandbox.example.org"), "{names}");
}

/// Scripts evaluate what they are told (`keycloak_init.sh`), hand it on unquoted, or read it with a `read` that takes backslashes away.
#[test]
fn what_a_script_is_told_can_hold_no_shell_text() {
    // These three are quoted by the script: only what `read` itself spoils is refused.
    let quoted = ["smtp_secret", "sms_secret", "sms_authkey"];
    for name in ["v3-onprem", "v3-onprem-nodns"] {
        let profile = profiles::load(name).unwrap();
        let mut told = BTreeSet::new();
        for step in profile.phases.iter().flat_map(|phase| &phase.steps) {
            for prompt in &step.prompts {
                let names = prompt.answer.split("${").skip(1).filter_map(|rest| rest.split('}').next());
                told.extend(names.map(|name| name.strip_prefix("secret.").unwrap_or(name).to_owned()));
            }
        }
        let mut seen = 0;
        for field in told.iter().filter_map(|name| profile.field(name)) {
            for hostile in ["a;id", "a$HOME", "a b", "a'b", "a\"b", "a`id`", "a\\b", "a|b", "$(id)", "a\nb", "a*"] {
                let spoiled = hostile.contains([' ', '\\', '\n']);
                if spoiled || !quoted.contains(&field.id.as_str()) {
                    let long = format!("{hostile}{}", "x".repeat(12));
                    for text in [hostile, &long, &format!("https://a.b/{hostile}"), &format!("a@b.org{hostile}")] {
                        assert!(field.parse(text).is_err(), "{name}: {} takes {text:?}", field.id);
                    }
                }
            }
            seen += 1;
        }
        assert!(seen >= 30, "{name}: {seen} of {told:?}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_changed_script_and_a_foreign_cluster_are_refused_before_anything_is_typed_or_applied() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let bench = Bench::new(&clones, "v3-onprem");
    // The engine lives on between these commands, so that a variable of a later one would not reach it.
    let cluster = |what: &str, value: &str| fs::write(bench.place.path("calls").join(what), value).unwrap();
    cluster("server", "10.99.0.1");
    let failed = bench.run(&["run", "--yes", "--to", "postgres-init"]).expect(1);
    assert!(failed.out.contains("10.99.0.1") && failed.out.contains("none of the site's servers"), "{}", failed.out);
    cluster("server", "10.20.20.41");
    cluster("nodes", "10.20.20.41 10.99.0.2");
    let failed = bench.run(&["retry"]).expect(1);
    assert!(failed.out.contains("10.99.0.2"), "{}", failed.out);
    let applied = |line: &String| line.contains("[sandbox_config]") && (line.contains(" apply ") || line.contains(" install "));
    assert!(!bench.calls().iter().any(applied), "{}", listed(&bench.calls()));
    cluster("nodes", "10.20.20.41");
    let script = bench.checkout("mosip-infra/deployment/v3/external/postgres/init_db.sh");
    edit(&script, "Are you sure?(Y/n)", "Really?(Y/n)");
    let failed = bench.run(&["retry"]).expect(1);
    assert!(failed.out.contains("init_db.sh does not ask") && failed.out.contains("nothing was started"), "{}", failed.out);
    assert!(!bench.installs().contains(&"postgres postgres-init".to_owned()));
    fs::remove_file(&script).unwrap();
    // Its step has begun, so it is asked about; the answer is an operator's.
    bench.run(&["retry"]).expect(4);
    let question = bench.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    let failed = bench.run(&["answer", &question, "yes"]).expect(1);
    assert!(failed.out.contains("init_db.sh cannot be read"), "{}", failed.out);
}
