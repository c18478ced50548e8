//! The state of one machine: system, size, swap, ports, clock and the rest of what the probe script tells.

use crate::install::facts::{Listener, MachineFacts, ModuleState, PackageLock, Protocol};
use crate::install::plan::{Plan, PlanMachine};

use super::judgement::{Judged, Judgement};
use super::versions;

const KIB_PER_GIB: f64 = 1024.0 * 1024.0;

/// Firmware and kernel keep some memory for themselves: a machine sold with 32 GiB shows 31.
const MEMORY_TOLERANCE: f64 = 0.92;

/// Partitions, file system overhead and decimal gigabytes: a disk sold with 128 GB shows 116 GiB.
const DISK_TOLERANCE: f64 = 0.88;

/// How much of the disk a role asks for must still be free.
const FREE_SHARE: f64 = 0.25;

pub(super) fn gib(kib: u64) -> f64 {
    // Exact far beyond any disk there is.
    #[allow(clippy::cast_precision_loss)]
    let kib = kib as f64;
    kib / KIB_PER_GIB
}

pub(super) fn operating_system(accept: &[String], facts: &MachineFacts) -> Judgement {
    let expected = accept.join(", ");
    let Some(id) = &facts.os_id else { return Judgement::unknown("/etc/os-release names no system", expected) };
    let version = facts.os_version.as_deref().unwrap_or_default();
    let fits = accept.iter().any(|wanted| {
        let mut words = wanted.split_whitespace();
        let named = words.next().is_some_and(|name| name.eq_ignore_ascii_case(id));
        let released = words
            .next()
            .is_none_or(|release| version == release || version.strip_prefix(release).is_some_and(|rest| rest.starts_with('.')));
        named && released
    });
    let observed = facts.os_name.clone().unwrap_or_else(|| format!("{id} {version}"));
    Judgement::when(fits, observed, expected)
}

pub(super) fn architecture(accept: &[String], facts: &MachineFacts) -> Judgement {
    let expected = accept.join(", ");
    match &facts.architecture {
        Some(architecture) => Judgement::when(accept.contains(architecture), architecture.clone(), expected),
        None => Judgement::unknown("`uname -m` gave no answer", expected),
    }
}

/// Whether processors or memory are less than the machine's roles ask for.
pub(super) fn too_small(plan: &Plan, machine: &PlanMachine, facts: &MachineFacts) -> bool {
    let own = || plan.roles.iter().filter(|role| machine.roles.contains(&role.id));
    let (cpu, ram): (u32, u32) = (own().map(|role| role.cpu).sum(), own().map(|role| role.ram_gib).sum());
    facts.processors.is_some_and(|have| have < cpu) || facts.memory_kib.is_some_and(|have| gib(have) < f64::from(ram) * MEMORY_TOLERANCE)
}

/// Space of a volume group that belongs to no volume and is worth a word, GiB.
const SPARE_GIB: f64 = 20.0;

/// Processors, memory and disk against the sum of the machine's roles.
pub(super) fn size(plan: &Plan, machine: &PlanMachine, facts: &MachineFacts) -> Judgement {
    let sized: Vec<_> =
        plan.roles.iter().filter(|role| machine.roles.contains(&role.id) && role.cpu + role.ram_gib + role.disk_gib > 0).collect();
    let sum = |part: &dyn Fn(&crate::install::profile::Role) -> u32| sized.iter().map(|role| part(role)).sum::<u32>();
    let (cpu, ram, disk) = (sum(&|role| role.cpu), sum(&|role| role.ram_gib), sum(&|role| role.disk_gib));
    let names: Vec<&str> = sized.iter().map(|role| role.id.as_str()).collect();
    let for_roles = if names.is_empty() { String::new() } else { format!(" for {}", names.join(" + ")) };
    let expected = format!("{cpu} processors, {ram} GiB of memory, {disk} GiB of disk, a quarter of it free{for_roles}");
    let (Some(processors), Some(memory)) = (facts.processors, facts.memory_kib) else {
        return Judgement::unknown("processors or memory could not be read", expected);
    };
    let Some(root) = facts.disks.get("/") else { return Judgement::unknown("`df /` gave no answer", expected) };
    // Images, volumes and databases live below /var/lib, which may be a file system of its own.
    let data = facts.disks.get("/var/lib").unwrap_or(root);
    let apart = data.mount != root.mount;
    let total = if apart { root.size_kib + data.size_kib } else { root.size_kib };
    let mut short = Vec::new();
    if processors < cpu {
        short.push(format!("{processors} processors instead of {cpu}"));
    }
    if gib(memory) < f64::from(ram) * MEMORY_TOLERANCE {
        short.push(format!("{:.1} GiB of memory instead of {ram}", gib(memory)));
    }
    if gib(total) < f64::from(disk) * DISK_TOLERANCE {
        short.push(format!("{:.0} GiB of disk instead of {disk}", gib(total)));
    } else if gib(data.free_kib) < f64::from(disk) * FREE_SHARE {
        let (free, wanted) = (gib(data.free_kib), f64::from(disk) * FREE_SHARE);
        short.push(format!("{free:.1} GiB free on {} instead of {wanted:.0}", if data.mount.is_empty() { "/" } else { &data.mount }));
    }
    if short.is_empty() {
        let observed = format!(
            "{processors} processors, {:.1} GiB of memory, {:.0} GiB of disk, {:.0} free",
            gib(memory),
            gib(total),
            gib(data.free_kib)
        );
        // It fits, and yet half of the disk may be out of reach.
        return match facts.unused_lvm_kib.iter().find(|(_, free)| gib(**free) > SPARE_GIB) {
            Some((group, free)) => {
                let observed = format!("{observed}; {:.0} GiB of the volume group {group} belong to no volume", gib(*free));
                let remedy = format!("`sudo lvextend -r -l +100%FREE {}` gives them to the disk.", data.device);
                Judgement::new(Judged::Doubtful, observed, expected).remedy(remedy).alone()
            }
            None => Judgement::new(Judged::Right, observed, expected),
        };
    }
    let judgement = Judgement::new(Judged::Wrong, short.join("; "), expected);
    // Ubuntu's installer leaves half of the volume group unused.
    let unused = facts.unused_lvm_kib.iter().find(|(_, free)| gib(**free) >= 1.0);
    match unused.filter(|_| short.iter().any(|text| text.contains("disk") || text.contains("free"))) {
        Some((group, free)) => judgement.remedy(format!(
            "The LVM volume group {group} has {:.0} GiB that belong to no volume: `lvextend -r -l +100%FREE {}` gives them to the disk.",
            gib(*free),
            data.device
        )),
        None => judgement,
    }
}

pub(super) fn swap_off(facts: &MachineFacts) -> Judgement {
    let expected = "no swap, now and after a reboot";
    let (Some(active), Some(configured)) = (&facts.swap_active, &facts.swap_configured) else {
        return Judgement::unknown("/proc/swaps could not be read", expected);
    };
    if active.is_empty() && configured.is_empty() {
        return Judgement::new(Judged::Right, "no swap", expected);
    }
    let mut observed = Vec::new();
    let mut remedy = Vec::new();
    if !active.is_empty() {
        observed.push(format!("in use: {}", active.join(", ")));
        remedy.push("`sudo swapoff -a` ends it now.".to_owned());
    }
    if !configured.is_empty() {
        observed.push(format!("returns after a reboot: {}", configured.join(", ")));
    }
    if configured.iter().any(|line| line.starts_with("/etc/fstab")) {
        remedy.push("Comment out the swap line of /etc/fstab.".to_owned());
    }
    for unit in configured.iter().filter_map(|line| line.strip_prefix("systemd unit ")) {
        remedy.push(format!("`sudo systemctl mask {unit}` keeps the unit from starting."));
    }
    if active.iter().chain(configured).any(|line| line.contains("zram")) {
        remedy.push("Remove the zram generator's configuration or its package.".to_owned());
    }
    Judgement::new(Judged::Wrong, observed.join("; "), expected).remedy(remedy.join(" ")).alone()
}

/// How the preflight's own listeners call themselves.
const OWN_LISTENER: &str = "mosip-preflight";

pub(super) fn ports_free(tcp: &[u16], udp: &[u16], facts: &MachineFacts) -> Judgement {
    let list = |ports: &[u16], protocol: &str| ports.iter().map(|port| format!("{port}/{protocol}")).collect::<Vec<_>>();
    let all = [list(tcp, "tcp"), list(udp, "udp")].concat().join(", ");
    let expected = format!("nothing listens on {all}");
    let Some(listeners) = &facts.listeners else {
        return Judgement::unknown("neither `ss` nor /proc/net could be read", expected);
    };
    // The preflight's own listeners, which try the ways between machines, are gone in a moment.
    let ours = |listener: &Listener| listener.process.as_deref() == Some(OWN_LISTENER);
    let taken = |listener: &&Listener| {
        let ports = if listener.protocol == Protocol::Tcp { tcp } else { udp };
        ports.contains(&listener.port) && !ours(listener)
    };
    let mut busy: Vec<String> = Vec::new();
    for listener in listeners.iter().filter(taken) {
        let protocol = if listener.protocol == Protocol::Tcp { "tcp" } else { "udp" };
        let by = listener.process.as_ref().map(|process| format!(" by {process}")).unwrap_or_default();
        let text = format!("{}/{protocol} is taken{by}", listener.port);
        // The same program on IPv4 and IPv6 is one thing to deal with.
        if !busy.contains(&text) {
            busy.push(text);
        }
    }
    let remedy = "See what it is with `sudo ss -lntup`, and stop or move it.";
    let free = busy.is_empty();
    let observed = if free { "free".to_owned() } else { busy.join(", ") };
    Judgement::when(free, observed, expected).remedy(remedy)
}

pub(super) fn time_sync(max_skew_seconds: u32, facts: &MachineFacts) -> Judgement {
    let limit = f64::from(max_skew_seconds);
    let expected = format!("synchronised, at most {max_skew_seconds} s from the deployment node's clock");
    let Some(skew) = facts.clock_skew_seconds else { return Judgement::unknown("the machine's clock could not be read", expected) };
    let uncertainty = facts.clock_uncertainty_seconds;
    let direction = if skew < 0.0 { "behind" } else { "ahead" };
    let shown = format!("{:.1} s {direction}", skew.abs());
    let remedy = "`sudo timedatectl set-ntp true`, or point chrony or systemd-timesyncd at a time server that the machine can reach.";
    if skew.abs() > limit + uncertainty {
        return Judgement::new(Judged::Wrong, shown, expected).remedy(remedy);
    }
    if uncertainty > limit {
        return Judgement::unknown(format!("the answer took {:.1} s: too slow to compare clocks", uncertainty * 2.0), expected);
    }
    match facts.clock_synchronised {
        Some(true) => Judgement::new(Judged::Right, format!("synchronised, {shown}"), expected),
        Some(false) => Judgement::new(Judged::Wrong, format!("not synchronised, {shown} at the moment"), expected).remedy(remedy),
        None => {
            Judgement::new(Judged::Doubtful, format!("{shown}; whether it is kept synchronised could not be told"), expected).remedy(remedy)
        }
    }
}

pub(super) fn python(min: Option<&str>, facts: &MachineFacts) -> Judgement {
    let expected = min.map_or_else(|| "python3".to_owned(), |min| format!("python3, {min} or newer"));
    let remedy = "`sudo apt-get install python3`.";
    match facts.python.as_deref() {
        None => Judgement::unknown("python3 could not be looked for", expected),
        Some("") => Judgement::new(Judged::Wrong, "no python3 that runs", expected).remedy(remedy).alone(),
        Some(version) => match versions::problem(version, min, None, None) {
            Ok(()) => Judgement::new(Judged::Right, version, expected),
            Err(Some(problem)) => Judgement::new(Judged::Wrong, format!("{version} {problem}"), expected),
            Err(None) => Judgement::unknown(format!("the version '{version}' cannot be read"), expected),
        },
    }
}

pub(super) fn systemd(facts: &MachineFacts) -> Judgement {
    let expected = "systemd runs the machine";
    match facts.systemd {
        Some(true) if facts.cgroup == Some(1) => Judgement::new(Judged::Doubtful, "systemd, with control groups of version 1", expected)
            .remedy("Kubernetes gives version 1 up: remove systemd.unified_cgroup_hierarchy=0 from the kernel's command line, and reboot.")
            .alone(),
        Some(true) => Judgement::new(Judged::Right, "systemd", expected),
        Some(false) => Judgement::new(Judged::Wrong, "there is no /run/systemd/system: systemd does not run here", expected),
        None => Judgement::unknown("could not be told", expected),
    }
}

pub(super) fn kernel_modules(modules: &[String], facts: &MachineFacts) -> Judgement {
    let expected = format!("{} loaded or loadable", modules.join(", "));
    let state = |module: &String| facts.modules.get(module).copied().unwrap_or(ModuleState::Unknown);
    let in_state = |wanted: ModuleState| modules.iter().filter(|module| state(module) == wanted).map(String::as_str).collect::<Vec<_>>();
    let (missing, unclear) = (in_state(ModuleState::Missing), in_state(ModuleState::Unknown));
    if !missing.is_empty() {
        let kernel = facts.kernel.as_deref().unwrap_or("this kernel");
        let observed = format!("{} not found for {kernel}", missing.join(", "));
        let remedy = format!(
            "Install the kernel's extra modules (linux-modules-extra-{kernel} on Ubuntu), or reboot into the newest kernel installed."
        );
        return Judgement::new(Judged::Wrong, observed, expected).remedy(remedy);
    }
    if !unclear.is_empty() {
        return Judgement::unknown(format!("{}: not loaded, and there is no modprobe to ask", unclear.join(", ")), expected);
    }
    Judgement::new(Judged::Right, "all there", expected)
}

pub(super) fn package_lock(facts: &MachineFacts) -> Judgement {
    let expected = "no package manager at work";
    if let (Some(trouble), Some(PackageLock::Free) | None) = (&facts.package_trouble, &facts.package_lock) {
        let remedy = if trouble.contains("half installed") {
            "`sudo dpkg --configure -a`, then `sudo apt-get -f install`."
        } else {
            "Wait until it is done: `cloud-init status --wait`."
        };
        return Judgement::new(Judged::Wrong, trouble.clone(), expected).remedy(remedy).alone();
    }
    match &facts.package_lock {
        None => Judgement::unknown("/proc/locks could not be read", expected),
        Some(PackageLock::Free) if facts.unattended_upgrades == Some(true) => {
            Judgement::new(Judged::Right, "free; unattended upgrades are on, and may take it later", expected)
        }
        Some(PackageLock::Free) => Judgement::new(Judged::Right, "free", expected),
        Some(PackageLock::Held(who)) => Judgement::new(Judged::Wrong, who.clone(), expected)
            .remedy("Wait until it is done (unattended upgrades take some minutes), then check again.")
            .alone(),
    }
}

pub(super) fn reboot_pending(facts: &MachineFacts) -> Judgement {
    let expected = "no reboot pending";
    match facts.reboot_pending {
        Some(false) => Judgement::new(Judged::Right, "none pending", expected),
        Some(true) => Judgement::new(Judged::Wrong, "/run/reboot-required exists: an update waits for a reboot", expected)
            .remedy("Reboot the machine."),
        None => Judgement::unknown("could not be told", expected),
    }
}
