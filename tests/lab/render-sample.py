#!/usr/bin/python3
"""Fills a checkout of the (mini) kit for the sample site, without mosip-setup: `render-sample.py CHECKOUT HOME`.

For making recordings and for trying the lab by hand. Tests of the program let the program write these files.
"""

import pathlib
import re
import shutil
import sys

checkout, home = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
infra = checkout / "ansible/infra_deployment"
addresses = {f"vm{n}": f"10.77.0.{40 + n}" for n in range(1, 7)}
addresses |= {"obs-node-1": "10.77.0.30", "nginx-node-1": "10.77.0.20", "nginx-obs-node-1": "10.77.0.31"}


def fill(template, *changes):
    text = template.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.M)
        if not count:
            sys.exit(f"{template}: nothing matches {pattern}")
    template.with_suffix("").write_text(text)


key = (r"^ansible_ssh_private_key_file=.*$", f"ansible_ssh_private_key_file={home}/.ssh/id_ed25519")
strict = (r"^ansible_host_key_checking=False$", "ansible_host_key_checking=True")
fill(
    infra / "inventory/rancher.ini.tmp",
    key,
    strict,
    *((rf"^({name}) ansible_host=.*$", rf"\1 ansible_host={address}") for name, address in addresses.items()),
)
fill(
    checkout / "ansible/wireguard/inventory/hosts.ini.tmp",
    key,
    strict,
    (r"^wireguard-node .*$", "wireguard-node ansible_host=10.77.0.10 wireguard_endpoint=192.0.2.20"),
    (r"^ansible_become_method=sudo *$", "ansible_become_method=sudo\nwireguard_network=10.77.0.0/24\n"),
)
fill(
    infra / "inventory/group_vars/all.yml.tmp",
    (r"^mosip_domain: \S+", 'mosip_domain: "sandbox.example.org"'),
    (r"^nginx_obs_public_domain_names: \S+", 'nginx_obs_public_domain_names: "rancher.sandbox.example.org"'),
    (r"(no newline ends this line.*)\Z", rf'\1\nssh_key_path: "{home}/.ssh/id_ed25519"\n'),
)
(infra / "inventory/group_vars/nginx.yml").write_text('apt_upgrade_additional_packages: ["libnginx-mod-stream"]\n')
for group in ("physical_vms", "mosip_obs"):
    (infra / f"inventory/group_vars/{group}.yml").write_text('apt_upgrade_additional_packages: ["open-iscsi"]\n')
for role in ("nginx", "nginx_obs"):
    for name in ("fullchain.pem", "privkey.pem"):
        shutil.copy(home / "certificates" / name, infra / "playbooks/roles" / role / "files" / name)
fill(
    checkout / "terraform/obs_deployment/terraform.tfvars.tmp",
    (r"^rancher_hostname = \S+", 'rancher_hostname = "rancher.sandbox.example.org"'),
    (r'(?s)\Z(?<=\n)', 'rancher_bootstrap_password = "practise-practise"\n'),
)
fill(
    checkout / "terraform/mosip_deployment/terraform.tfvars.tmp",
    (r"^installation_name = \S+", 'installation_name = "sandbox"'),
    (r"^installation_domain = \S+", 'installation_domain = "sandbox.example.org"'),
)
