//! Indexes and registries on loopback; never the network.

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

/// A web server that gives each request's first line to `answer`, and what that says back.
async fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let count = stream.read(&mut asked).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&asked[..count]).into_owned();
            let _ = stream.write_all(&answer(text.trim_end())).await;
        }
    });
    (url, serving)
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

const INDEX: &str = "apiVersion: v1\nentries:\n  admin-ui:\n  - apiVersion: v2\n    dependencies:\n    - name: common\n      version: 9.9.9\n    \
    version: 1.3.0\n  - version: 1.2.0\n    urls:\n    - x\n  \"mock-abis\":\n  - name: mock-abis\n    version: \"1.3.1-rc.1\"\ngenerated: now\n";

fn request(folder: &tempfile::TempDir, index: String) -> ChartsRequest {
    let template = folder.path().join("terraform.tfvars.tmp");
    std::fs::write(&template, "admin_version = \"1.3.0\" # pinned\nmock_version = \"v1.3.1-rc.1\"\nui_version = \"9.9.9\"\n").unwrap();
    let charts = [
        ("admin-ui", "admin_version"),
        ("mock-abis", "mock_version"),
        ("admin-ui", "ui_version"),
        ("gone", "admin_version"),
        ("admin-ui", "no_key"),
    ];
    ChartsRequest {
        index,
        file: Some(ChartsFile {
            template: folder.path().join("absent").display().to_string(),
            fallback: template.display().to_string(),
            set: BTreeMap::new(),
        }),
        charts: charts.map(|(chart, key)| (chart.to_owned(), key.to_owned())).to_vec(),
    }
}

#[tokio::test]
async fn pinned_versions_are_looked_for_in_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let (url, serving) = serve(|_| ok(INDEX)).await;
    let mut wanted = request(&folder, format!("{url}/index.yaml"));
    let facts = look(&wanted, LONG).await;
    assert_eq!((facts.index, facts.problem), (IndexAnswer::Read(2), None));
    let shown: Vec<(Option<&str>, bool, bool)> = facts.pins.iter().map(|pin| (pin.version.as_deref(), pin.known, pin.found)).collect();
    assert_eq!(
        shown,
        [
            (Some("1.3.0"), true, true),
            (Some("v1.3.1-rc.1"), true, true),
            // A version of a dependency is none of the chart's own.
            (Some("9.9.9"), true, false),
            (Some("1.3.0"), false, false),
            (None, true, false),
        ]
    );
    assert_eq!(facts.pins[2].newest, ["1.3.0", "1.2.0"]);
    // What the site sets counts, not the template.
    wanted.file.as_mut().unwrap().set.insert("ui_version".into(), "1.2.0".into());
    assert!(look(&wanted, LONG).await.pins[2].found);
    let file = wanted.file.as_mut().unwrap();
    (file.template, file.fallback) = ("/nowhere".into(), "/nowhere".into());
    assert!(look(&wanted, LONG).await.problem.unwrap().contains("cannot be read"));
    // Without a file the versions are given; an empty one is any.
    wanted.file = None;
    wanted.charts = [("admin-ui", "1.2.0"), ("admin-ui", ""), ("mock-abis", "9.9.9"), ("gone", "")]
        .map(|(chart, version)| (chart.to_owned(), version.to_owned()))
        .to_vec();
    let found: Vec<(bool, bool)> = look(&wanted, LONG).await.pins.iter().map(|pin| (pin.known, pin.found)).collect();
    assert_eq!(found, [(true, true), (true, true), (true, false), (false, false)]);
    serving.abort();
}

#[tokio::test]
async fn what_is_no_index_is_said_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (url, serving) = serve(|asked| match asked {
        line if line.starts_with("GET /login") => ok("<html>log in</html>"),
        line if line.starts_with("GET /gone") => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        line if line.starts_with("GET /proxy") => b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n".to_vec(),
        // Announces a body that never comes.
        _ => b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nentries:".to_vec(),
    })
    .await;
    let index = async |path: &str, limit| look(&request(&folder, format!("{url}{path}")), limit).await.index;
    assert_eq!(index("/login", LONG).await, IndexAnswer::NotAnIndex);
    assert_eq!(index("/gone", LONG).await, IndexAnswer::Status(404));
    assert!(matches!(index("/proxy", LONG).await, IndexAnswer::NoWay(WayOutcome::Proxy(_))));
    assert!(matches!(index("/cut", LONG).await, IndexAnswer::NoWay(_)));
    serving.abort();
    let _ = serving.await;
    assert_eq!(index("/", LONG).await, IndexAnswer::NoWay(WayOutcome::Connect));
    // One that accepts and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}/", silent.local_addr().unwrap());
    assert_eq!(look(&request(&folder, place), Duration::from_millis(300)).await.index, IndexAnswer::NoWay(WayOutcome::Timeout));
}

#[test]
fn an_index_of_any_size_passes_through_little_memory() {
    let mut scan = Scan::new(["wanted"].into_iter());
    let noise = format!("  other:\n  - description: {}\n    version: 1.0.0\n", "x".repeat(100_000));
    scan.feed(b"entries:\n");
    for _ in 0..200 {
        // Cut anywhere, also within a line.
        let (one, other) = noise.as_bytes().split_at(70_001);
        scan.feed(one);
        scan.feed(other);
    }
    scan.feed(b"  wanted:\n  - version: 7.1.");
    scan.feed(b"18\n");
    assert_eq!(scan.versions, BTreeMap::from([("wanted", vec!["7.1.18".to_owned()])]));
    assert_eq!(scan.count, 201);
    assert!(scan.line.capacity() <= 2 * LINE_LIMIT);
}

#[tokio::test]
async fn a_registry_tells_what_it_still_gives() {
    let (url, serving) = serve(|asked| {
        let first = asked.lines().next().unwrap_or_default();
        let head = |status: &str, headers: &str| format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n").into_bytes();
        if first.contains("/token") {
            ok("{\"token\":\"secret\"}")
        } else if first.contains("/none") {
            ok("{}")
        } else if !first.starts_with("HEAD") || !asked.to_lowercase().contains("authorization: bearer secret") {
            head("401 Unauthorized", "")
        } else if first.contains("/free") {
            head("200 OK", "")
        } else if first.contains("/over") {
            head("429 Too Many Requests", "")
        } else {
            head("200 OK", "ratelimit-limit: 100;w=21600\r\nratelimit-remaining: 42;w=21600\r\ndocker-ratelimit-source: 192.0.2.1\r\n")
        }
    })
    .await;
    let ask = async |token: &str, path: &str| pulls(&format!("{url}{token}"), &format!("{url}{path}"), LONG).await.answer;
    let limit = PullAnswer::Limit { remaining: 42, of: Some(100), seconds: Some(21_600), source: Some("192.0.2.1".into()) };
    assert_eq!(ask("/token", "/limited").await, limit);
    assert_eq!(ask("/token", "/free").await, PullAnswer::NoLimit);
    assert_eq!(ask("/token", "/over").await, PullAnswer::Exhausted);
    assert!(matches!(ask("/none", "/limited").await, PullAnswer::NoWay(WayOutcome::Failed(_))));
    serving.abort();
}
