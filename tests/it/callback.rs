//! What a playbook does in detail: real Ansible through the attempt runner, with the plugin and without.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mosip_setup::engine::attempt::{Ended, read_exit};
use mosip_setup::engine::attempt_events::{AttemptEvents, told_in};
use mosip_setup::run::detail::{CellState, Detail, Details, Status};
use mosip_setup::run::event::Outcome;
use serde_json::json;

use crate::support::{PROGRAM, Place, on_path, skip};

const INVENTORY: &str = "[all:vars]\nansible_connection=local\nansible_python_interpreter=/usr/bin/python3\n[a]\nvm1\nvm2\n[gone]\nvm3 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=9\n[none]\n";

const PLAYBOOK: &str = r#"
- name: Nodes
  hosts: a, gone
  gather_facts: false
  tasks:
    - name: hello
      ansible.builtin.debug: { msg: "nothing secret" }
    - name: packages
      ansible.builtin.command: "true"
      loop: [{ name: one, password: "Canary-of-a-loop" }, { name: two, password: "Canary-of-a-loop" }]
      notify: restart
    - name: hidden
      ansible.builtin.command: "true"
      loop: ["Canary-of-no-log"]
      no_log: true
    - name: probe
      ansible.builtin.shell: "false"
      retries: 2
      delay: 0
      register: probed
      until: probed.rc == 0
      ignore_errors: true
    - name: half
      ansible.builtin.command: "test {{ inventory_hostname }} = vm1"
  handlers:
    - name: restart
      ansible.builtin.debug: { msg: "again" }
- name: Nobody
  hosts: none
  tasks:
    - name: never
      ansible.builtin.debug: { msg: "x" }
"#;

/// One host after the other, each at its own pace, tasks brought in while it runs, failures made good, work in the background.
const WAYS: &str = r#"
- name: One by one
  hosts: a
  serial: 1
  gather_facts: false
  tasks:
    - name: by itself
      ansible.builtin.command: "true"
      notify: again
    - name: brings more
      ansible.builtin.include_tasks: more.yml
      loop: [1, 2]
  handlers:
    - name: again
      ansible.builtin.debug: { msg: "again" }
- name: Each at its pace
  hosts: a, gone
  strategy: free
  # The home folder of the test is not the user's own, and Ansible's two halves would look in one each.
  vars: { ansible_async_dir: "{{ playbook_dir }}/async" }
  gather_facts: false
  tasks:
    - block:
        - name: breaks
          ansible.builtin.command: "test {{ inventory_hostname }} = vm1"
      rescue:
        - name: mends
          ansible.builtin.debug: { msg: "mended" }
    - name: in the background
      ansible.builtin.command: "true"
      async: 30
      poll: 1
    - name: several
      ansible.builtin.command: "test {{ item.name }} = good"
      loop: [{ name: good, password: Canary-of-a-loop }, { name: bad, password: Canary-of-a-loop }]
      ignore_errors: true
"#;

/// Runs a playbook with this `ansible-playbook`; its end, its attempt's folder, and the place that holds both.
fn play(ansible: &Path, env: &[(&str, &str)], secret: &str) -> (Place, PathBuf, Ended) {
    play_of(PLAYBOOK, ansible, env, secret)
}

fn play_of(playbook: &str, ansible: &Path, env: &[(&str, &str)], secret: &str) -> (Place, PathBuf, Ended) {
    let place = Place::new();
    fs::write(place.path("hosts.ini"), INVENTORY).unwrap();
    fs::write(place.path("play.yml"), playbook).unwrap();
    fs::write(place.path("more.yml"), "- name: brought in\n  ansible.builtin.debug: { msg: x }\n").unwrap();
    let dir = place.path("attempt");
    let mut variables = json!({ "ANSIBLE_NOCOLOR": "1", "ANSIBLE_RETRY_FILES_ENABLED": "0" });
    for (name, value) in env {
        variables[*name] = json!(value);
    }
    let spec = json!({
        "dir": dir, "lock": place.path("runner.lock"), "terminal": "pipe", "prompts": [], "secrets": [secret], "remove": [],
        "commands": [{
            "argv": [ansible, "-i", "hosts.ini", "play.yml"], "dir": place.path(""), "env": variables,
            "reading": { "reading": "playbook", "tasks": 6, "empty_groups": true },
        }],
    });
    let mut command = place.command(PROGRAM);
    let mut runner = command.arg("__attempt").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    runner.stdin.take().unwrap().write_all(spec.to_string().as_bytes()).unwrap();
    assert!(runner.wait().unwrap().success());
    let ended = read_exit(&dir).expect("an exit record");
    (place, dir, ended)
}

fn details(dir: &Path) -> Details {
    let mut events = AttemptEvents::new(dir);
    assert!(events.update());
    events.details().clone()
}

fn state(details: &Details, task: &str, host: &str) -> CellState {
    let row = details.tasks.iter().find(|row| row.name == task).unwrap_or_else(|| panic!("no task {task}: {details:?}"));
    row.cells.get(host).unwrap_or_else(|| panic!("{task} has no {host}: {row:?}")).state
}

fn speaks(ansible: &Path) {
    let (_place, dir, ended) = play(ansible, &[], "restart-canary");
    let Outcome::Failed(failure) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!(failure.hosts, ["vm2", "vm3"]);
    let text = fs::read_to_string(dir.join("events.jsonl")).unwrap();
    // A known failure quotes the line of the log that gave it away; what Ansible is asked to tell says nothing of the kind.
    let text: String = text.lines().filter(|line| !line.contains(r#""event":"known""#)).map(|line| format!("{line}\n")).collect();
    assert!(!text.contains("Canary") && !text.contains("nothing secret"), "names and states only: {text}");
    let told = told_in(text.as_bytes());
    let items: Vec<&str> = told
        .iter()
        .filter_map(|told| match &told.detail {
            Detail::Item { host, item, .. } if host == "vm1" => Some(item.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(items, ["one", "two", ""], "an item's name, never the whole of it, and nothing under no_log");
    let retries: Vec<u32> = told
        .iter()
        .filter_map(|told| match &told.detail {
            Detail::Retry { host, left, .. } if host == "vm1" => Some(*left),
            _ => None,
        })
        .collect();
    let log = fs::read_to_string(dir.join("output.log")).unwrap();
    let printed: Vec<u32> =
        log.lines().filter_map(|line| line.strip_prefix("FAILED - RETRYING: [vm1]: probe (")?.split(' ').next()?.parse().ok()).collect();
    assert!(retries == printed && retries.len() == 2, "as Ansible itself says: {retries:?} {printed:?}");
    let details = details(&dir);
    assert_eq!(
        details.tasks.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["hello", "packages", "hidden", "probe", "half", "restart"]
    );
    assert_eq!(state(&details, "hello", "vm1"), CellState::Ended(Status::Ok));
    assert_eq!(state(&details, "packages", "vm1"), CellState::Ended(Status::Changed));
    assert_eq!(state(&details, "packages", "vm3"), CellState::Ended(Status::Unreachable));
    assert_eq!(state(&details, "probe", "vm2"), CellState::Ignored);
    assert_eq!(state(&details, "half", "vm2"), CellState::Ended(Status::Failed));
    assert_eq!((details.ended, details.empty_plays, details.active().len()), (true, 1, 0));
    assert!(details.tasks[5].handler);
    // One key away: where in the log the failure is.
    let (row, host, cell) = details.failing().unwrap();
    let (offset, begins) = cell.printed.clone().expect("the failing cell knows its line");
    assert_eq!((row.name.as_str(), host, begins.as_str()), ("half", "vm2", "fatal: [vm2"));
    let log = fs::read_to_string(dir.join("output.log")).unwrap();
    let line =
        log[usize::try_from(offset).unwrap()..].lines().find(|line| line.starts_with("fatal: [vm2")).expect("the line stands behind it");
    assert!(line.contains("FAILED!"), "{line}");
    assert_eq!(log.matches("\nTASK [").count(), 5, "the ordinary output stays as it is");
    let left: Vec<String> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        !left.iter().any(|name| name.contains("ansible") || name.contains("callback")),
        "what was not redacted does not stay: {left:?}"
    );
}

fn speaks_in_every_way(ansible: &Path) {
    let (_place, dir, ended) = play_of(WAYS, ansible, &[], "restart-canary");
    let Outcome::Failed(failure) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!(failure.hosts, ["vm3"], "what is made good or ignored is no failure");
    let text = fs::read_to_string(dir.join("events.jsonl")).unwrap();
    let text: String = text.lines().filter(|line| !line.contains(r#""event":"known""#)).map(|line| format!("{line}\n")).collect();
    assert!(!text.contains("Canary"), "{text}");
    let details = details(&dir);
    let ends = |task: &str, host: &str| {
        let rows = details.tasks.iter().filter(|row| row.name == task);
        rows.filter_map(|row| row.cells.get(host)).map(|cell| cell.state).collect::<Vec<_>>()
    };
    use CellState::{Ended as End, Ignored};
    for host in ["vm1", "vm2"] {
        assert_eq!(ends("by itself", host), [End(Status::Changed)]);
        assert_eq!(ends("brought in", host), [End(Status::Ok), End(Status::Ok)], "{host}: once for each item");
        assert_eq!(ends("again", host), [End(Status::Ok)], "{host}: its handler");
        assert_eq!(ends("in the background", host), [End(Status::Changed)]);
        assert_eq!(ends("several", host), [Ignored]);
    }
    assert_eq!((ends("breaks", "vm1"), ends("breaks", "vm2")), (vec![End(Status::Changed)], vec![End(Status::Failed)]));
    assert_eq!((ends("mends", "vm1"), ends("mends", "vm2")), (vec![], vec![End(Status::Ok)]));
    assert_eq!(
        details.tasks.iter().filter(|row| row.cells.get("vm3").is_some_and(|cell| cell.state == End(Status::Unreachable))).count(),
        1
    );
    assert!(details.ended && details.active().is_empty(), "{details:?}");
}

#[test]
fn ansible_tells_tasks_and_hosts_and_nothing_else() {
    speaks(Path::new("/usr/bin/ansible-playbook"));
}

#[test]
fn ansible_tells_them_in_every_way_of_running() {
    speaks_in_every_way(Path::new("/usr/bin/ansible-playbook"));
}

#[test]
fn a_newer_ansible_tells_the_same() {
    let Some(ansible) = std::env::var_os("MOSIP_SETUP_NEWER_ANSIBLE").map(PathBuf::from).filter(|path| path.is_file()) else {
        skip!("newer ansible", "no ansible-core newer than the system's is installed (MOSIP_SETUP_NEWER_ANSIBLE)")
    };
    speaks(&ansible);
    speaks_in_every_way(&ansible);
}

#[test]
fn without_the_plugin_the_output_says_it() {
    assert!(on_path("ansible-playbook"));
    // A program that keeps the folder of plugins from Ansible stands for whatever may keep the plugin from speaking.
    let place = Place::new();
    place.program("ansible-playbook", "#!/bin/sh\nunset ANSIBLE_CALLBACK_PLUGINS\nexec /usr/bin/ansible-playbook \"$@\"\n");
    let (_place, dir, ended) = play(&place.path("bin/ansible-playbook"), &[], "restart-canary");
    assert!(matches!(ended.outcome, Outcome::Failed(_)), "{ended:?}");
    let details = details(&dir);
    assert_eq!(state(&details, "hello", "vm1"), CellState::Ended(Status::Ok));
    assert_eq!(state(&details, "packages", "vm1"), CellState::Ended(Status::Changed));
    assert_eq!(state(&details, "probe", "vm2"), CellState::Ignored);
    assert_eq!(state(&details, "half", "vm2"), CellState::Ended(Status::Failed));
    let (_, host, cell) = details.failing().unwrap();
    assert_eq!((host, cell.printed.is_some()), ("vm2", true));
}

#[test]
fn names_that_hold_a_secret_are_masked() {
    let (_place, dir, _) = play(Path::new("/usr/bin/ansible-playbook"), &[], "packages");
    let text = fs::read_to_string(dir.join("events.jsonl")).unwrap();
    assert!(text.contains("(secret)") && !text.contains("packages"), "{text}");
}

#[test]
fn the_operators_own_callbacks_stay_in_force() {
    let place = Place::new();
    fs::write(
        place.path("own_note.py"),
        "from ansible.plugins.callback import CallbackBase\nclass CallbackModule(CallbackBase):\n    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = 'notification'\n    CALLBACK_NAME = 'own_note'\n    CALLBACK_NEEDS_ENABLED = True\n    def v2_playbook_on_stats(self, stats):\n        self._display.display('own note')\n",
    )
    .unwrap();
    let folder = place.path("").display().to_string();
    let env = [("ANSIBLE_CALLBACK_PLUGINS", folder.as_str()), ("ANSIBLE_CALLBACKS_ENABLED", "own_note")];
    let (_place, dir, _) = play(Path::new("/usr/bin/ansible-playbook"), &env, "restart-canary");
    assert!(fs::read_to_string(dir.join("output.log")).unwrap().contains("own note"));
    assert!(!details(&dir).tasks.is_empty());
}
