//! The mini kit on lab hosts: real Ansible, real Terraform.

use crate::lab::{HOSTS, Lab, obstacle};
use crate::support::{Done, on_path, repository, skip};

const READY: &str = "set -e; cp -r /srv/kit ~/kit; chmod -R u+w ~/kit; python3 /srv/render-sample.py ~/kit ~";

fn lab(hosts: &[&str]) -> Lab {
    let render = repository().join("tests/lab/render-sample.py");
    let lab = Lab::with(hosts, &[(&render, "/srv/render-sample.py")]);
    lab.sh(READY).expect(0);
    for (_, address) in HOSTS.iter().filter(|(name, _)| hosts.contains(name)) {
        lab.sh(&format!("ssh-keyscan -t ed25519 {address} >>~/.ssh/known_hosts")).expect(0);
    }
    lab
}

fn playbook(lab: &Lab, folder: &str, arguments: &str) -> Done {
    lab.sh(&format!("cd ~/kit/ansible/{folder} && ANSIBLE_NOCOLOR=1 ansible-playbook {arguments}"))
}

#[test]
fn the_wireguard_playbook_fails_once_then_changes_the_host_then_changes_little() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    if !on_path("ansible-playbook") {
        skip!("ansible", "ansible-playbook is not installed");
    }
    let lab = lab(&["wg-bastion"]);
    let arguments = "-i inventory/hosts.ini playbooks/wireguard.yml";
    lab.fault(&["fail-once", "wg-bastion", "wireguard"]);
    let failed = playbook(&lab, "wireguard", arguments).expect(2);
    assert!(failed.out.contains("Error pulling image"), "{}", failed.out);
    let passed = playbook(&lab, "wireguard", arguments).expect(0);
    assert!(passed.out.contains("PLAY RECAP"), "{}", passed.out);
    let peer = lab.run("wg-bastion", &["sudo", "cat", "/root/wireguard/config/peer1/peer1.conf"]).expect(0);
    assert!(peer.out.contains("AllowedIPs = 10.77.0.0/24") && peer.out.contains("Endpoint = 192.0.2.20:51820"), "{}", peer.out);
    playbook(&lab, "wireguard", arguments).expect(0);
    let again = lab.run("wg-bastion", &["sudo", "cat", "/root/wireguard/config/peer1/peer1.conf"]).expect(0);
    assert_eq!(again.out, peer.out, "keys are made once");
}

#[test]
fn a_host_without_a_cable_is_unreachable() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    if !on_path("ansible-playbook") {
        skip!("ansible", "ansible-playbook is not installed");
    }
    let lab = lab(&["wg-bastion"]);
    lab.fault(&["host-down", "wg-bastion"]);
    let done = playbook(&lab, "wireguard", "-i inventory/hosts.ini playbooks/wireguard.yml").expect(4);
    assert!(done.out.contains("UNREACHABLE!"), "{}", done.out);
}

#[test]
fn terraform_fails_once_and_then_applies() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it");
    }
    let lab = lab(&[]);
    // The releases insist on a cluster, which is a kubeconfig here.
    lab.sh("mkdir -p ~/rancher/mosip && echo lab >~/rancher/mosip/kube_config_cluster.yml").expect(0);
    lab.fault(&["fail-once", "deployment-node", "keycloak"]);
    let root = "cd ~/kit/terraform/mosip_deployment/mosip && export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1";
    lab.sh(&format!("{root} && terraform init -input=false -json")).expect(0);
    let apply = format!("{root} && terraform apply -input=false -auto-approve -json -var-file=../terraform.tfvars");
    let failed = lab.sh(&apply).expect(1);
    assert!(failed.out.contains("context deadline exceeded"), "{}", failed.out);
    let passed = lab.sh(&apply).expect(0);
    assert!(passed.out.contains(r#""operation":"apply""#), "{}", passed.out);
}

#[test]
fn a_lab_shows_its_faults_and_takes_them_back() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let lab = Lab::with(&["vm1"], &[]);
    let open = "timeout 3 bash -c 'exec 3<>/dev/tcp/10.77.0.41/22'";
    lab.sh(open).expect(0);
    lab.fault(&["port-closed", "vm1", "22"]);
    assert_ne!(lab.sh(open).code, 0);
    lab.fault(&["port-open", "vm1", "22"]);
    lab.sh(open).expect(0);
    let name = "python3 -c 'import socket; print(socket.gethostbyname(\"rancher.sandbox.example.org\"))'";
    assert_eq!(lab.sh(name).expect(0).out, "10.77.0.31\n");
    lab.fault(&["dns", "set", "rancher.sandbox.example.org", "A", "10.9.9.9"]);
    assert_eq!(lab.sh(name).expect(0).out, "10.9.9.9\n");
    lab.fault(&["dns", "del", "rancher.sandbox.example.org"]);
    assert_ne!(lab.sh(name).code, 0);
    lab.fault(&["no-sudo", "vm1"]);
    assert_ne!(lab.run("vm1", &["sudo", "-n", "true"]).code, 0);
    lab.fault(&["sudo", "vm1"]);
    lab.run("vm1", &["sudo", "-n", "true"]).expect(0);
    lab.fault(&["swap", "vm1", "on"]);
    assert!(lab.run("vm1", &["cat", "/proc/swaps"]).out.contains("/swap.img"));
    lab.fault(&["memory", "vm1", "3"]);
    assert!(lab.run("vm1", &["cat", "/proc/meminfo"]).out.starts_with("MemTotal: 3145728 kB"));
    lab.fault(&["disk", "vm1", "4G"]);
    assert!(lab.run("vm1", &["df", "-Pk", "/"]).out.contains(" 4194304 "));
    lab.sh("KUBECONFIG=/somewhere kubectl get nodes || :").expect(0);
    assert_eq!(lab.calls("deployment-node"), "kubectl\tKUBECONFIG=/somewhere\tget\tnodes\n");
}
