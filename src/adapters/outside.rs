//! What a machine says about names and the way out, line by line of the probe's answer.

use std::net::{IpAddr, Ipv4Addr};

use crate::install::facts::{NameAnswer, WayOut, WayOutcome};

/// `NAME ADDRESS…`, or `NAME none|silent|failed`.
pub(super) fn name(line: &str) -> Option<(String, NameAnswer)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let rest: Vec<&str> = words.collect();
    let answer = match rest.as_slice() {
        ["none"] => NameAnswer::NotFound,
        ["silent"] => NameAnswer::NoServer,
        _ => {
            let addresses: Vec<IpAddr> = rest.iter().filter_map(|word| word.parse::<Ipv4Addr>().ok()).map(IpAddr::V4).collect();
            if addresses.is_empty() { NameAnswer::Failed } else { NameAnswer::Addresses(addresses) }
        }
    };
    Some((name, answer))
}

/// `URL PROXY TOOL EXIT-CODE WHAT-IT-SAID`, with `-` for no proxy.
pub(super) fn way(line: &str) -> Option<(String, WayOut)> {
    let mut words = line.splitn(5, ' ');
    let (url, proxy, tool, exit) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let said = words.next().unwrap_or_default().trim();
    let proxy = (proxy != "-").then(|| proxy.to_owned());
    let code = said.rsplit_once("code=").and_then(|(_, code)| code.trim().parse::<u16>().ok()).filter(|code| *code != 0);
    let said = said.split("code=").next().unwrap_or_default().trim().to_owned();
    let outcome = match (tool, exit, code) {
        ("none", ..) => WayOutcome::NoTool,
        (_, _, Some(407)) => WayOutcome::Proxy("it wants a login (407)".to_owned()),
        (_, "0", Some(code)) => WayOutcome::Answered(code),
        // Its own `limited` ended it.
        (_, "124" | "143", _) => WayOutcome::Timeout,
        ("curl", code, _) => curl(code, said),
        // GNU wget: 8 is an answer with an error status.
        ("wget", "0", _) => WayOutcome::Answered(200),
        ("wget", "8", _) => WayOutcome::Answered(400),
        ("wget", "5", _) => WayOutcome::Certificate,
        (_, _, _) => by_words(said),
    };
    Some((url.to_owned(), WayOut { outcome, proxy }))
}

/// The exit codes of curl, as its manual lists them.
fn curl(code: &str, said: String) -> WayOutcome {
    match code {
        "5" | "6" => WayOutcome::Name,
        "7" => WayOutcome::Connect,
        "28" => WayOutcome::Timeout,
        "35" | "51" | "58" | "60" | "77" | "83" | "91" => WayOutcome::Certificate,
        "56" if said.contains("CONNECT") || said.contains("proxy") => WayOutcome::Proxy(said),
        "97" => WayOutcome::Proxy(said),
        _ => by_words(said),
    }
}

/// What other tools print, by the words that all of them use.
fn by_words(said: String) -> WayOutcome {
    let low = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| low.contains(word));
    if has(&["name or service", "resolv", "bad address", "name resolution", "nodename"]) {
        WayOutcome::Name
    } else if has(&["tunnel connection failed", "proxy"]) {
        WayOutcome::Proxy(said)
    } else if has(&["timed out", "timeout"]) {
        WayOutcome::Timeout
    } else if has(&["certificate", "ssl"]) {
        WayOutcome::Certificate
    } else if has(&["refused", "unreachable", "no route"]) {
        WayOutcome::Connect
    } else {
        WayOutcome::Failed(if said.is_empty() { "no answer, and no reason given".to_owned() } else { said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ways_are_read() {
        assert_eq!(
            name("a.b 10.0.0.1 10.0.0.2 ").unwrap().1,
            NameAnswer::Addresses(vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()])
        );
        assert_eq!(name("a.b none"), Some(("a.b".into(), NameAnswer::NotFound)));
        assert_eq!(name("a.b silent").unwrap().1, NameAnswer::NoServer);
        assert_eq!(name("a.b").unwrap().1, NameAnswer::Failed);
        assert_eq!(name(""), None);
        let of = |line: &str| way(&format!("https://x/ {line}")).unwrap().1.outcome;
        assert_eq!(of("- curl 0 code=401"), WayOutcome::Answered(401));
        assert_eq!(of("- curl 6 curl: (6) Could not resolve host: x code=000"), WayOutcome::Name);
        assert_eq!(of("- curl 28 curl: (28) Connection timed out code=000"), WayOutcome::Timeout);
        assert_eq!(of("- curl 60 curl: (60) SSL certificate problem code=000"), WayOutcome::Certificate);
        assert!(
            matches!(of("http://p:3128 curl 56 curl: (56) CONNECT tunnel failed, response 403 code=000"), WayOutcome::Proxy(said) if said.contains("403"))
        );
        assert!(matches!(of("http://p:3128 curl 0 code=407"), WayOutcome::Proxy(_)));
        assert_eq!(of("- python 0 code=404"), WayOutcome::Answered(404));
        assert_eq!(of("- python 0 [Errno -3] Temporary failure in name resolution"), WayOutcome::Name);
        assert_eq!(of("- wget 8 "), WayOutcome::Answered(400));
        assert_eq!(of("- wget 1 wget: bad address 'x'"), WayOutcome::Name);
        assert_eq!(of("- none 0 "), WayOutcome::NoTool);
        assert!(matches!(of("- wget 4 "), WayOutcome::Failed(_)));
        assert_eq!(way("https://x/ http://p:3128 curl 0 code=200").unwrap().1.proxy.as_deref(), Some("http://p:3128"));
        assert_eq!(way("short"), None);
    }
}
