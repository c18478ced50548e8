//! Ways to log in, on lab hosts: through a jump host, with a key that only an agent can use, and what is said where a way is closed.
//! Real OpenSSH, real ssh-agent, real Ansible.

use crate::faults::Stage;
use crate::lab::obstacle;
use crate::support::{on_path, skip};

#[test]
fn a_machine_behind_a_jump_host_is_reached_by_the_program_and_by_ansible() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    if !on_path("ansible") {
        skip!("ansible", "ansible-playbook is not installed");
    }
    let stage = Stage::with("vm1", "jump = \"wg-bastion\"");
    let lab = &stage.lab;
    // vm1 takes SSH from the bastion, and not from here.
    assert_eq!(lab.run("vm1", &["sudo", "ip", "rule", "add", "pref", "10", "from", "10.77.0.5", "blackhole"]).code, 0);
    lab.sh("! ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=2 10.77.0.41 true 2>/dev/null").expect(0);
    let only = ["check", "--only", "machine.login", "--only", "machine.ssh-port", "--only", "machine.swap"];
    // Nothing is known: what is behind the jump host says which key is missing.
    let first = stage.run(&only).expect(3).out;
    assert!(first.contains("through the jump host: ubuntu@10.77.0.10 says:") && first.contains("record its host key first"), "{first}");
    let accepted = stage.run(&["check", "--accept-host-keys", "--only", "machine.login"]).expect(0).out;
    let (bastion, vm1) = (accepted.find("recorded  wg-bastion").unwrap(), accepted.find("recorded  vm1").unwrap());
    assert!(bastion < vm1, "{accepted}");
    let passed = stage.run(&only).expect(0).out;
    assert!(passed.contains("skipped  1 because: reached through the jump host ubuntu@10.77.0.10"), "{passed}");
    // Ansible goes the same way, with the same known hosts.
    stage.run(&["run", "--yes", "--to", "prepare"]);
    let ping = "cd ~/automating-mosip-deployment/ansible/infra_deployment && ANSIBLE_HOST_KEY_CHECKING=True \
         ANSIBLE_SSH_ARGS=\"-o UserKnownHostsFile=$(echo ~/.local/state/mosip-setup/sites/*/known_hosts) -o StrictHostKeyChecking=yes -o BatchMode=yes\" \
         ansible -i inventory/rancher.ini vm1:obs-node -m raw -a hostname";
    let said = lab.sh(ping).expect(0).out;
    assert!(said.contains("vm1 | CHANGED") && said.contains("obs-node | CHANGED"), "{said}");
    // The jump host's key changes: the way is closed, and says why.
    lab.fault(&["host-key", "wg-bastion", "new"]);
    let closed = stage.run(&only).expect(3).out;
    assert!(closed.contains("fail     machine.login on machine:vm1\n"), "{closed}");
    assert!(closed.contains("10.77.0.41:22 through the jump host: ubuntu@10.77.0.10 says: Host key verification failed."), "{closed}");
}

#[test]
fn a_key_with_a_passphrase_is_said_as_such_and_an_agent_can_use_it() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let stage = Stage::with("vm1", "jump = \"wg-bastion\"");
    let lab = &stage.lab;
    stage.run(&["check", "--accept-host-keys", "--only", "machine.login"]).expect(0);
    lab.sh("cp -p ~/.ssh/id_ed25519 ~/plain && ssh-keygen -q -p -P '' -N 'two words' -f ~/.ssh/id_ed25519").expect(0);
    let locked = stage.run(&["check", "--only", "machine.login"]).expect(3).out;
    assert!(locked.contains("has a passphrase, and an unattended installation cannot type it"), "{locked}");
    // The agent goes with the shell that started it.
    let with_agent = "ssh-agent sh -c 'ssh-add -q ~/plain && rm ~/plain && exec /usr/local/bin/mosip-setup check --only machine.login --site ~/site.toml'";
    let passed = lab.sh(with_agent);
    assert_eq!(passed.code, 0, "{}{}", passed.out, passed.err);
    assert!(passed.out.ends_with("6 pass, 0 warn, 0 fail, 0 skipped, 0 unknown: nothing stands in the way.\n"), "{}", passed.out);
    // A key that nothing opens: the file is no key at all.
    lab.sh("printf 'no key\\n' >~/.ssh/id_ed25519").expect(0);
    let broken = stage.run(&["check", "--only", "machine.login"]).expect(3).out;
    assert!(broken.contains("the SSH key /home/ubuntu/.ssh/id_ed25519 cannot be used"), "{broken}");
}
