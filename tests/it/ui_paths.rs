//! The matrix of paths on the preflight screen: by role, by machine, and what stands in the way.

use mosip_setup::install::check::{CheckSpec, Level, Target, Verdict};
use mosip_setup::install::judge::targets;
use mosip_setup::install::plan::Plan;
use mosip_setup::ui::app::Model;
use mosip_setup::ui::desk::Told;

use crate::ui_demo::{draft, files, plan as plain_plan, press, site, text, told};

fn between(id: &str, title: &str, from: &[&str], to: &[&str], ports: serde_json::Value) -> CheckSpec {
    CheckSpec {
        id: id.parse().unwrap(),
        title: title.into(),
        level: Level::Fail,
        roles: Vec::new(),
        guards: vec!["main-cluster".parse().unwrap()],
        provided_by: None,
        on_demand: false,
        when: None,
        remedy: "Nodes need it.".into(),
        fix: None,
        kind: serde_json::from_value(serde_json::json!({ "kind": "ports_between", "from": from, "to": to, "ports": ports })).unwrap(),
    }
}

fn plan() -> Plan {
    use serde_json::json;
    let mut plan = plain_plan();
    let cluster = json!([{ "tcp": 6443, "for": "Kubernetes API" }, { "udp": 8472, "for": "VXLAN of the pod network" }]);
    plan.checks.push(between("ports.cluster", "Among the cluster nodes", &["cluster"], &["cluster"], cluster));
    plan.checks.push(between("ports.nginx", "nginx to the nodes", &["nginx"], &["cluster"], json!([{ "tcp": 30080, "for": "gateway" }])));
    plan.checks.push(between(
        "ports.here",
        "From here",
        &["local"],
        &["cluster", "observation", "nginx"],
        json!([{ "tcp": 443, "for": "HTTPS" }]),
    ));
    plan
}

/// The matrix, with VXLAN blocked from two nodes to a third; `some`: only the first paths are tried yet.
pub fn matrix(columns: u16, rows: u16, some: bool) -> Model {
    let plan = plan();
    let mut model = site(columns, rows, draft());
    press(&mut model, "c");
    told(&mut model, Told::Saved(Ok("6d0c".into())));
    told(&mut model, Told::Planned(Ok(Box::new((plan.clone(), files())))));
    let expected: Vec<_> =
        plan.checks.iter().flat_map(|check| targets(check, &plan).into_iter().map(|target| (check.id.clone(), target))).collect();
    told(&mut model, Told::PreflightStarted { round: 1, expected: expected.clone() });
    for (check, target) in expected {
        let spec = plan.check(check.as_str()).unwrap();
        let (verdict, observed, remedy) = match (spec.id.as_str(), target.to_string().as_str()) {
            ("ports.cluster", "vm1→vm3:8472/udp") => (
                Verdict::Fail,
                "8472/udp (VXLAN of the pod network) from vm1 and vm2 to vm3 (2 pairs of machines) gets no answer: something drops it on the way",
                "Ask for this firewall rule: allow udp from 10.77.0.41 and 10.77.0.42 to 10.77.0.43 port 8472 (VXLAN of the pod network). Nodes need it.",
            ),
            ("ports.cluster", "vm2→vm3:8472/udp") => (Verdict::Skipped, "the same cause as ports.cluster on vm1→vm3:8472/udp", ""),
            ("ports.nginx", _) if some => continue,
            ("ports.here", name) if name.starts_with("local→obs") => {
                (Verdict::Unknown, "obs did not try all its paths in time", "Try it by hand.")
            }
            _ => (Verdict::Pass, "answered after 1 ms", ""),
        };
        let finding = mosip_setup::install::check::Finding {
            check: spec.id.clone(),
            target,
            level: spec.level,
            verdict,
            observed: observed.into(),
            expected: "open".into(),
            remedy: remedy.into(),
            guards: spec.guards.clone(),
            ignored: None,
            cause: None,
        };
        told(&mut model, Told::Finding { round: 1, finding: Box::new(finding) });
    }
    if !some {
        told(&mut model, Told::PreflightEnded { round: 1, result: Ok(()) });
    }
    press(&mut model, "v v");
    model
}

#[test]
fn ui_paths_by_role_and_by_machine() {
    for (columns, rows) in [(80, 24), (200, 50)] {
        let mut model = matrix(columns, rows, false);
        let roles = text(&model);
        assert!(roles.contains("this machine") && roles.contains("✗ 2/"), "{roles}");
        assert!(roles.contains("allow udp from 10.77.0.41 and"), "the cursor comes to the worst cell first\n{roles}");
        insta::assert_snapshot!(format!("paths-by-role-{columns}x{rows}"), roles);
        press(&mut model, "Enter");
        let machines = text(&model);
        assert!(machines.contains("by machine (Enter: back"), "{machines}");
        insta::assert_snapshot!(format!("paths-by-machine-{columns}x{rows}"), machines);
        press(&mut model, "Down");
        assert_eq!(
            model.preflight.cursor.as_ref().unwrap().1,
            Target::try_from("vm1→vm3:8472/udp".to_owned()).unwrap(),
            "a cause said elsewhere is found"
        );
        press(&mut model, "Esc Esc");
        assert_ne!(text(&model), roles, "Esc closes the machines, then leaves");
    }
}

#[test]
fn paths_fill_in_and_every_cell_is_reached() {
    let mut model = matrix(80, 24, true);
    assert!(text(&model).contains('·'), "what is not tried yet is open");
    press(&mut model, "Home");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..8 {
        for _ in 0..8 {
            seen.insert(model.preflight.paths.roles);
            press(&mut model, "Right");
        }
        press(&mut model, "Down Left Left Left Left Left Left Left Left");
    }
    let table = mosip_setup::ui::paths::by_role(&model.preflight, &plan());
    assert_eq!(seen.len(), table.rows.len() * table.columns.len());
    press(&mut model, "v");
    assert!(!text(&model).contains("Who reaches whom"));
}
