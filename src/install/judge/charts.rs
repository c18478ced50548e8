//! Charts that are pinned, and images that may still be pulled.

use crate::install::check::{CheckKind, CheckSpec, Finding, Target};
use crate::install::facts::WayOutcome;
use crate::install::outside::{ChartsFacts, IndexAnswer, PullAnswer, PullFacts};

use super::judgement::{Judged, Judgement, skipped};

fn no_way(outcome: &WayOutcome) -> String {
    match outcome {
        WayOutcome::Answered(code) => format!("it answered {code}"),
        WayOutcome::Name => "its name is not resolved".to_owned(),
        WayOutcome::Connect => "no connection".to_owned(),
        WayOutcome::Timeout => "no answer in time".to_owned(),
        WayOutcome::Certificate => "its certificate is not accepted".to_owned(),
        WayOutcome::Proxy(said) => format!("the proxy refuses: {said}"),
        WayOutcome::NoTool => "nothing to ask with".to_owned(),
        WayOutcome::Failed(reason) => reason.clone(),
    }
}

/// Judges whether a repository has every chart in the version pinned. Where there is no way to it, that is another check's finding.
#[must_use]
pub fn charts(check: &CheckSpec, facts: &ChartsFacts) -> Finding {
    let CheckKind::Charts { index, charts, file } = &check.kind else {
        return super::unknown(check, Target::Local, "the check is not about charts");
    };
    let expected = format!("{} charts in the versions pinned, in {index}", charts.len());
    if let Some(problem) = &facts.problem {
        return Judgement::unknown(problem.clone(), expected).finding(check, Target::Local);
    }
    let through = facts.proxy.as_ref().map(|proxy| format!(" (through the proxy {proxy})")).unwrap_or_default();
    let judgement = match &facts.index {
        IndexAnswer::NoWay(outcome) => {
            let reason = format!("the index cannot be fetched{through}: {}; the way out has a check of its own", no_way(outcome));
            return skipped(check, Target::Local, &reason);
        }
        IndexAnswer::Status(code) => Judgement::new(Judged::Wrong, format!("the repository answers {code}{through}"), expected)
            .remedy("Has it moved? A repository that is gone must be replaced in the kit's modules."),
        IndexAnswer::NotAnIndex => {
            Judgement::new(Judged::Wrong, format!("what comes back{through} is not the index of a Helm repository"), expected)
                .remedy("Something in between answers in its place, a login page for example; or the repository has moved.")
        }
        IndexAnswer::TooLarge(limit) => {
            Judgement::unknown(format!("the index is larger than {} MiB, and was not read to its end", limit / (1024 * 1024)), expected)
        }
        IndexAnswer::Read(count) => {
            let mut wrong = Vec::new();
            for pin in &facts.pins {
                match &pin.version {
                    None => wrong.push(format!("{}: the file has no {}", pin.chart, pin.key)),
                    Some(version) if !pin.known => {
                        wrong.push(format!("{}: there is no such chart", format!("{} {version}", pin.chart).trim_end()));
                    }
                    Some(version) if !pin.found => {
                        let key = if pin.key.is_empty() { String::new() } else { format!(" ({})", pin.key) };
                        wrong.push(format!("{} {version}{key}: it has {}", pin.chart, pin.newest.join(", ")));
                    }
                    Some(_) => {}
                }
            }
            if wrong.is_empty() {
                Judgement::new(Judged::Right, format!("all {} found among {count} charts{through}", facts.pins.len()), expected)
            } else {
                let judgement = Judgement::new(Judged::Wrong, format!("not there: {}", wrong.join("; ")), expected);
                match file {
                    Some(_) => judgement.remedy("Choose a version that is there, under Advanced, or wait until it is published."),
                    None => judgement,
                }
            }
        }
    };
    judgement.finding(check, Target::Local)
}

/// Judges how many images Docker Hub still gives to this address.
#[must_use]
pub fn pull_limit(check: &CheckSpec, facts: &PullFacts) -> Finding {
    let CheckKind::PullLimit { min } = &check.kind else { return super::unknown(check, Target::Local, "the check is not about images") };
    let expected = format!("{min} images or more to be had from Docker Hub without a login");
    let through = facts.proxy.as_ref().map(|proxy| format!(" (through the proxy {proxy})")).unwrap_or_default();
    let judgement = match &facts.answer {
        PullAnswer::Limit { remaining, of, seconds, source } => {
            let share = of.map(|of| format!(" of {of}")).unwrap_or_default();
            let time = seconds.map(|seconds| format!(" in {} hours", seconds.div_ceil(3600))).unwrap_or_default();
            let whose = source.as_ref().map(|address| format!(", for the address {address}")).unwrap_or_default();
            Judgement::when(remaining >= min, format!("{remaining}{share} left{time}{whose}{through}"), expected)
        }
        PullAnswer::NoLimit => Judgement::new(Judged::Right, format!("Docker Hub names no limit for this address{through}"), expected),
        PullAnswer::Exhausted => {
            Judgement::new(Judged::Wrong, format!("none left: Docker Hub answers 429, too many requests{through}"), expected)
        }
        PullAnswer::NoWay(outcome) => {
            return skipped(
                check,
                Target::Local,
                &format!("Docker Hub cannot be asked{through}: {}; the way out has a check of its own", no_way(outcome)),
            );
        }
    };
    judgement.finding(check, Target::Local)
}
