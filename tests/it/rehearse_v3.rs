//! Rehearsals of MOSIP's own scripts: scripts of our own ask on a real terminal, and are answered as the profile says.

use std::fs;

use crate::stage::Stage;
use crate::support::{Done, files_below};

fn rehearse(stage: &Stage, profile: &str, fault: &str) -> Done {
    if fault.is_empty() { stage.rehearse(&["--profile", profile]) } else { stage.rehearse(&["--profile", profile, "--fault", fault]) }
}

fn releases(stage: &Stage) -> Vec<String> {
    let cluster = stage.scratch().join("cluster/sandbox_config");
    let names = if cluster.is_dir() { files_below(&cluster, "") } else { Vec::new() };
    let mut names: Vec<String> = names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".release."));
    names.sort();
    names
}

#[test]
fn scripts_ask_and_are_answered_and_secrets_are_masked() {
    let stage = Stage::new();
    let done = rehearse(&stage, "v3-onprem", "");
    assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
    assert!(done.err.contains("REHEARSAL: nothing outside the scratch folder is touched"), "{}", done.err);
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["rehearsal"].as_bool()), (Some("done"), Some(true)));
    let idle: Vec<String> = stage.phases().into_iter().filter(|phase| !phase.ends_with("=done")).collect();
    assert_eq!(idle, Vec::<String>::new());
    for prompt in [
        "Provide 'SMTP host' for keycloak : mail.example.org",
        "Provide Provide SMTP login Password : (secret)",
        "Please choose the correct option as mentioned above(1/2)1",
        "Provide S3 URL : http://minio.minio:9000",
        "Is the eSignet service deployed? (yes/no): no",
        "CAUTION: all existing data will be lost. Are you sure?(Y/n)Y",
    ] {
        assert!(done.out.contains(prompt), "{prompt}: {}", done.out);
    }
    let releases = releases(&stage);
    assert!(releases.len() > 90 && releases.contains(&"regproc.release.regproc-trans".to_owned()), "{releases:?}");
    assert!(!releases.contains(&"regproc.release.regproc-landingzone".to_owned()), "it is left out");
    for secret in files_below(&stage.scratch().join("home/secrets"), "") {
        let value = fs::read_to_string(&secret).unwrap();
        assert!(!done.out.contains(&value) && !done.err.contains(&value), "{}", secret.display());
        for path in files_below(&stage.state_dir(), "") {
            assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(&value), "{} in {}", secret.display(), path.display());
        }
    }
    let outside: Vec<_> = ["home", "tmp", "runtime"].iter().flat_map(|folder| files_below(&stage.place.path(folder), "")).collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn without_dns_certificates_are_made_and_ssl_is_not_called_valid() {
    let stage = Stage::new();
    let done = rehearse(&stage, "v3-onprem-nodns", "");
    assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
    assert!(stage.scratch().join("tls/mosip.pem").is_file() && stage.scratch().join("tls/observation.pem").is_file());
    assert!(stage.phases().contains(&"nfs-server=done".to_owned()));
    // A terminal ends its lines in two characters.
    let out = done.out.replace('\r', "");
    for line in [
        "Please provide NFS SERVER: 10.77.0.50",
        "Please provide NFS Path: /srv/nfs/mosip/sandbox",
        "development environments.\nkernel| n\nkernel| Installing authmanager",
        "QUESTION config-server/repository#1: Is the configuration changed for an installation without DNS?",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let refused = stage.rehearse(&["--profile", "v3-onprem-nodns", "--fault", "dns-wrong"]).expect(2);
    assert!(refused.err.contains("it belongs to turing-rke2, v3-onprem"), "{}", refused.err);
}

#[test]
fn a_release_that_fails_once_is_alone_installed_again() {
    let stage = Stage::new();
    let failed = rehearse(&stage, "v3-onprem", "release-fails-once").expect(1);
    assert!(failed.out.contains("FAILED   kernel/install") && failed.out.contains("timed out waiting"), "{}", failed.out);
    // It goes on to the next question, which nobody is there to answer.
    let done = stage.run(&["retry", "kernel"]).expect(4);
    assert!(done.out.contains("helm: kernel/otpmanager is removed first"), "{}", done.out);
    assert!(done.out.contains("uninstall otpmanager") && !done.out.contains("uninstall authmanager"), "{}", done.out);
    assert!(releases(&stage).contains(&"kernel.release.notifier".to_owned()));
}

#[test]
fn what_no_profile_expects_of_a_script_is_put_to_the_operator() {
    let stage = Stage::new();
    let waiting = rehearse(&stage, "v3-onprem", "prompt-unknown").expect(4);
    assert!(waiting.out.contains("Shall the broker keep its messages on disk? (y/n)"), "{}", waiting.out);
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["questions"].as_array().map(Vec::len)), (Some("waiting"), Some(1)));
    assert!(!releases(&stage).contains(&"activemq.release.activemq".to_owned()), "nothing is typed meanwhile");
    let question = status["questions"][0]["id"].as_str().unwrap().to_owned();
    // It goes on to the next question.
    stage.run(&["answer", &question, "y"]).expect(4);
    assert!(releases(&stage).contains(&"activemq.release.activemq".to_owned()));
}

#[test]
fn a_kubeconfig_of_another_cluster_stops_before_anything_is_applied() {
    let stage = Stage::new();
    let failed = rehearse(&stage, "v3-onprem", "wrong-kubeconfig").expect(1);
    assert!(failed.out.contains("FAILED   mosip-gate/right-cluster"), "{}", failed.out);
    assert!(failed.out.contains("https://192.0.2.77:6443, which is none of the site's servers"), "{}", failed.out);
    assert_eq!(releases(&stage), Vec::<String>::new());
    let waiting = stage.run(&["retry", "mosip-gate"]).expect(4);
    assert!(waiting.out.contains("QUESTION rancher-import/address#1"), "{}", waiting.out);
    assert_eq!((stage.begun("mosip-gate/right-cluster"), stage.begun("mosip-cluster/rke")), (2, 1));
}

#[test]
fn faults_of_the_preflight_stop_these_routes_too() {
    for (profile, fault, check, word) in [
        ("v3-onprem", "host-down", "machine.login on machine:node3", "no route to host"),
        ("v3-onprem-nodns", "swap-on", "machine.swap on machine:node3", "/swap.img"),
        ("v3-onprem", "dns-wrong", "dns.internal on name:api-internal.sandbox.example.org", "192.0.2.99"),
        ("v3-onprem", "cert-expired", "certificate.mosip on local", "expired"),
    ] {
        let stage = Stage::new();
        let done = rehearse(&stage, profile, fault).expect(3);
        assert!(done.out.contains(check) && done.out.contains(word), "{fault}:\n{}", done.out);
        assert!(!stage.site().join("runs").exists(), "nothing has run");
    }
}
