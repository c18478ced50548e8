use super::*;
use proptest::strategy::Strategy as _;

fn read(lines: &[&str]) -> (Root, String) {
    let (mut root, mut out) = (Root::default(), Vec::new());
    lines.iter().for_each(|line| root.line(line.as_bytes(), &mut out));
    (root, String::from_utf8(out).unwrap())
}

#[test]
fn an_apply_is_followed_by_module() {
    let (mut root, text) = read(&[
        r#"{"@level":"info","@message":"Terraform 1.11.4","type":"version"}"#,
        r#"{"@message":"module.a[0].x.y: Plan to create","type":"planned_change","change":{"resource":{"addr":"module.a[0].x.y"},"action":"create"}}"#,
        r#"{"@message":"Plan: 2 to add","type":"change_summary","changes":{"add":2,"change":0,"remove":0,"operation":"plan"}}"#,
        r#"{"@message":"module.a[0].x.y: Creating...","type":"apply_start","hook":{"resource":{"addr":"module.a[0].x.y","module":"module.a[0]"}}}"#,
        r#"{"@message":"module.a[0].x.y: Still creating...","type":"apply_progress","hook":{"resource":{"addr":"module.a[0].x.y","module":"module.a[0]"},"elapsed_seconds":20}}"#,
        "not json",
    ]);
    let progress = root.take_progress().unwrap();
    assert_eq!((progress.done, progress.total), (0, 2));
    assert_eq!(progress.doing, "module.a[0].x.y");
    assert_eq!(progress.parts["module.a[0]"], "0/1");
    assert!(root.take_progress().is_none());
    assert!(text.starts_with("Terraform 1.11.4\n") && text.ends_with("not json\n"), "{text}");
}

#[test]
fn destroying_plans_and_errors_are_told() {
    let (root, text) = read(&[
        r#"{"@message":"x.y: Plan to replace","type":"planned_change","change":{"resource":{"addr":"x.y"},"action":"replace"}}"#,
        r#"{"@level":"error","@message":"Error: boom","type":"diagnostic","diagnostic":{"severity":"error","summary":"boom","detail":"line 1\nline 2","address":"x.y"}}"#,
    ]);
    assert_eq!(root.destroys(), ["x.y"]);
    assert_eq!(root.errors(), ["x.y: boom: line 1 line 2"]);
    let (root, _) = read(&[
        r#"{"@level":"error","@message":"Error: timed out","type":"diagnostic","diagnostic":{"severity":"error","summary":"timed out","detail":"","address":"x.y"}}"#,
    ]);
    assert_eq!(root.errors(), ["x.y: timed out"], "no detail, no colon");
    assert!(text.contains("Error: boom\nline 1\nline 2\n"));
}

#[test]
fn resources_are_told_once_planned_and_with_the_reason_that_comes_later() {
    let planned = r#"{"@message":"module.iam[0].x.y: Plan to create","type":"planned_change","change":{"resource":{"addr":"module.iam[0].x.y","module":"module.iam[0]"},"action":"create"}}"#;
    let hook = |kind: &str| {
        format!(
            r#"{{"@message":"m","type":"{kind}","hook":{{"resource":{{"addr":"module.iam[0].x.y","module":"module.iam[0]"}},"action":"create"}}}}"#
        )
    };
    let (started, errored) = (hook("apply_start"), hook("apply_errored"));
    let reason = r#"{"@level":"error","@message":"Error: local-exec","type":"diagnostic","diagnostic":{"severity":"error","summary":"local-exec provisioner error","detail":"exit status 3","address":"module.iam[0].x.y"}}"#;
    let (mut root, _) = read(&[
        planned,
        planned,
        &started,
        &errored,
        reason,
        r#"{"@message":"Warning","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Value for undeclared variable"}}"#,
    ]);
    let resource =
        |state| Detail::Resource { address: "module.iam[0].x.y".into(), module: "module.iam[0]".into(), action: "create".into(), state };
    let text = "local-exec provisioner error: exit status 3".to_owned();
    assert_eq!(
        root.take_seen(),
        [
            resource(ResourceState::Planned),
            resource(ResourceState::Running),
            resource(ResourceState::Failed),
            Detail::Reason { address: "module.iam[0].x.y".into(), text },
        ]
    );
    assert!(root.take_seen().is_empty());
}

#[test]
fn an_event_that_only_says_something_is_read_as_any_other() {
    let event = |message: &str, kind: &str| {
        format!(
            r#"{{"@level":"info","@message":{message},"@module":"terraform.ui","@timestamp":"2026-11-22T04:38:18.23Z","hook":{{"resource":{{"addr":"x.y"}},"output":"a \"quote\""}},"type":"{kind}"}}"#
        )
    };
    let plain = event(r#""x.y: (local-exec): so""#, "provision_progress");
    assert!(only_said(plain.as_bytes()).is_some());
    assert_eq!(read(&[&plain]).1, "x.y: (local-exec): so\n");
    let escaped = event(r#""x.y: \"so\" \u00e9""#, "provision_progress");
    assert_eq!((only_said(escaped.as_bytes()), read(&[&escaped]).1.as_str()), (None, "x.y: \"so\" é\n"));
    assert_eq!(only_said(event(r#""x""#, "apply_start").as_bytes()), None, "this one tells more");
    // Two that were written into each other are no event: all of it is shown.
    let (half, _) = plain.split_at(plain.len() / 2);
    let mixed = format!("{half}{plain}");
    assert_eq!((only_said(mixed.as_bytes()), read(&[&mixed]).1), (None, format!("{mixed}\n")));
}

#[test]
fn what_is_read_in_one_go_is_read_the_same_as_any_other_event() {
    let recorded = include_str!("../../../assets/rehearsal/recordings/mosip-services.apply.apply.jsonl");
    let lines: Vec<String> = recorded
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<serde_json::Value>(line).ok()?.get("out")?.as_str()?.trim_end().to_owned()))
        .collect();
    let (mut quick, mut slow) = (Root::default(), Root::default());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let mut in_one_go = 0;
    for line in &lines {
        in_one_go += usize::from(still_at_work(line.as_bytes()).is_some());
        quick.line(line.as_bytes(), &mut one);
        // Where the kind stands elsewhere, everything is read.
        let end = kind_at_end(line.as_bytes()).map_or(0, <[u8]>::len);
        let (rest, kind) = line.split_at(line.len() - end - 2);
        let moved = match rest.strip_suffix(",\"type\":\"") {
            Some(rest) => format!("{{\"type\":\"{},{}}}", &kind[..kind.len() - 1], rest.trim_start_matches('{')),
            None => line.clone(),
        };
        slow.line(moved.as_bytes(), &mut other);
        assert_eq!(quick.take_seen(), slow.take_seen(), "{line}");
        assert_eq!(quick.take_progress(), slow.take_progress(), "{line}");
    }
    assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other));
    assert!(in_one_go > 20, "{in_one_go} of {}", lines.len());
}

#[test]
fn a_resource_still_at_work_is_found_unless_its_name_is_escaped() {
    let line = |address: &str, seconds: &str| {
        format!(
            r#"{{"@level":"info","@message":"{address}: Still creating... [20s elapsed]","@module":"terraform.ui","@timestamp":"t","hook":{{"resource":{{"addr":"{address}","module":""}},"action":"create","elapsed_seconds":{seconds}}},"type":"apply_progress"}}"#
        )
    };
    let plain = line("x.y", "20");
    assert_eq!(still_at_work(plain.as_bytes()), Some((b"x.y: Still creating... [20s elapsed]".as_slice(), "x.y", 20)));
    for other in [line(r#"x.y[\"a\"]"#, "20"), line("x.y", "2.5"), line("x.y", ""), plain.replace("apply_progress", "apply_start")] {
        assert_eq!(still_at_work(other.as_bytes()), None, "{other}");
    }
    let (mut root, text) = read(&[&line(r#"x.y[\"a\"]"#, "20")]);
    assert_eq!(
        (root.take_progress().unwrap().doing.as_str(), text.as_str()),
        (r#"x.y["a"]"#, "x.y[\"a\"]: Still creating... [20s elapsed]\n")
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_lines_again(lines in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>().prop_filter("a line feed ends a line", |byte| *byte != b'\n'), 0..60), 0..20), event in proptest::prelude::any::<bool>()) {
        let (mut root, mut out, mut expected) = (Root::default(), Vec::new(), Vec::new());
        for line in &lines {
            root.line(line, &mut out);
            expected.extend_from_slice(line);
            expected.push(b'\n');
            if event {
                root.line(br#"{"@message":"said","type":"log"}"#, &mut out);
                expected.extend_from_slice(b"said\n");
            }
        }
        proptest::prop_assert_eq!(out, expected);
        let _ = (root.take_progress(), root.take_seen());
    }

    #[test]
    fn no_line_that_is_not_an_event_is_lost(lines in proptest::collection::vec("[^\n]{0,40}", 0..20)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (_, text) = read(&lines);
        proptest::prop_assert_eq!(text, lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
}
