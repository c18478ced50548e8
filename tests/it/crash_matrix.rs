//! Engine, runner, and both killed at every event of a rehearsal, and the run taken up again each time: the end is that of an undisturbed run, and
//! nothing is carried out twice that was not cut off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mosip_setup::engine::attempt::{Holder, is_locked, read_holder};
use mosip_setup::install::plan::Action;
use mosip_setup::run::event::{Event, Outcome};
use mosip_setup::run::state::{PhaseState, fold};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::stage::{PATIENCE, Stage, read_journal, wait_for_lock};
use crate::support::{files_below, repository, skip};

const ADDRESS: &str =
    "https://rancher.sandbox.example.org/v3/import/rehearsal000000000000000000000000000000000000000000000_c-m-rehearse.yaml";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Runner,
    Both,
}

fn journal_of(stage: &Stage) -> Option<std::path::PathBuf> {
    let runs = fs::read_dir(stage.site().join("runs")).ok()?;
    runs.map(|entry| entry.unwrap().path().join("journal.jsonl")).max()
}

/// Wakes up when a journal grows or its engine's front end has ended. Looking again and again instead would take the processor from the engine.
struct Alarm {
    ended: OwnedFd,
    grown: Option<OwnedFd>,
}

impl Alarm {
    fn new(engine: &Child) -> Self {
        Self { ended: pidfd_open(Pid::from_child(engine), PidfdFlags::empty()).unwrap(), grown: None }
    }

    /// From now on it hears of this journal, too.
    fn watch(&mut self, journal: &Path) {
        let grown = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&grown, journal, inotify::WatchFlags::MODIFY).unwrap();
        self.grown = Some(grown);
    }

    /// Waits for news, `patience` at most; before there is a journal, and for what no file tells, only for a moment.
    fn wait(&mut self, patience: Duration) {
        let patience = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
        fds.extend(self.grown.as_ref().map(|grown| PollFd::new(grown, PollFlags::IN)));
        rustix::event::poll(&mut fds, Some(&patience)).unwrap();
        if let Some(grown) = &self.grown {
            // What exactly has happened is read from the journal.
            while rustix::io::read(grown, &mut [0; 4096]).is_ok_and(|count| count > 0) {}
        }
    }
}

/// A moment.
const MOMENT: Duration = Duration::from_millis(1);

/// Waits until a journal has so many lines more that are no findings, or the engine has ended; says whether it has.
fn wait_for_events(stage: &Stage, engine: &mut Child, from: usize, count: usize) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut alarm = Alarm::new(engine);
    let (mut file, mut text): (Option<File>, Vec<u8>) = (None, Vec::new());
    loop {
        if engine.try_wait().unwrap().is_some() {
            return true;
        }
        if file.is_none()
            && let Some(path) = journal_of(stage)
        {
            file = File::open(&path).ok();
            if file.is_some() {
                alarm.watch(&path);
            }
        }
        if let Some(file) = &mut file {
            file.read_to_end(&mut text).unwrap();
        }
        if counted(&text, from) >= count {
            return false;
        }
        assert!(Instant::now() < deadline, "the engine neither ends nor goes on");
        alarm.wait(if file.is_some() { Duration::from_millis(500) } else { MOMENT });
    }
}

/// Waits until somebody runs a step; false: it has ended before it was seen, or nothing goes on.
fn wait_for_runner(stage: &Stage, engine: &mut Child, from: usize, count: usize) -> bool {
    let lock = stage.site().join("runner.lock");
    let mut alarm = Alarm::new(engine);
    while !(is_locked(&lock) && read_holder::<Holder>(&lock).is_some()) {
        let further = journal_of(stage).is_some_and(|path| counted(&fs::read(path).unwrap(), from) > count);
        if further || engine.try_wait().unwrap().is_some() {
            return false;
        }
        alarm.wait(MOMENT);
    }
    true
}

/// The events of a journal from a line on, without findings.
fn counted(text: &[u8], from: usize) -> usize {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.skip(from).filter(|line| memchr::memmem::find(line, b"\"kind\":\"finding\"").is_none()).count()
}

/// Kills whoever runs a step; says whether there was somebody.
fn kill_runner(stage: &Stage) -> bool {
    let lock = stage.site().join("runner.lock");
    let holder = read_holder::<Holder>(&lock).filter(|_| is_locked(&lock));
    let pid = holder.and_then(|holder| Pid::from_raw(i32::try_from(holder.pid).ok()?));
    pid.is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok())
}

/// Kills the engine and waits until its site is free; says whether there was one.
fn kill_engine(stage: &Stage) -> bool {
    let Some(engine) = stage.engine() else { return false };
    let killed = Pid::from_raw(engine).is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok());
    wait_for_lock(&stage.site().join("site.lock"));
    killed
}

/// One life of an engine, ended after so many events of its own.
fn live(stage: &Stage, after: usize, victim: Victim) {
    let from = journal_of(stage).map_or(0, |path| fs::read_to_string(path).unwrap().lines().count());
    let waiting = if from > 0 { stage.status()["questions"][0]["id"].as_str().map(str::to_owned) } else { None };
    let mut command = match &waiting {
        _ if from == 0 => stage.rehearsal(&[]),
        Some(question) => stage.command(&["answer", question]),
        None => stage.command(&["run", "--yes"]),
    };
    let mut engine = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = engine.stdin.take().unwrap();
    // It may be gone before it reads.
    drop(std::io::Write::write_all(&mut input, ADDRESS.as_bytes()));
    drop(input);
    let mut count = after;
    loop {
        if wait_for_events(stage, &mut engine, from, count) {
            return;
        }
        // Whoever runs the step is on its way: it dies as soon as it is there, in the middle of its work.
        if victim != Victim::Engine && !wait_for_runner(stage, &mut engine, from, count) {
            count += 1;
            continue;
        }
        // The engine is a process of its own; what was started here only watches, says that it is gone, and ends.
        let killed = match victim {
            Victim::Runner => kill_runner(stage),
            Victim::Engine => kill_engine(stage),
            Victim::Both => {
                let engine = kill_engine(stage);
                kill_runner(stage) || engine
            }
        };
        if killed {
            engine.wait().unwrap();
            return;
        }
        // Nobody was there just now: the next event, then.
        count += 1;
    }
}

/// What an installation leaves: where phases stand, and the files written, without what is random or says when.
fn end_state(stage: &Stage) -> (Vec<String>, BTreeMap<String, String>) {
    let mut files = BTreeMap::new();
    let scratch = stage.scratch();
    for folder in ["automating-mosip-deployment", "home/rancher"] {
        for path in files_below(&scratch.join(folder), "") {
            let name = path.strip_prefix(&scratch).unwrap().display().to_string();
            if name.contains("/.git/") || name.ends_with("rke2_token") || name.ends_with(".pem") {
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let text = text.replace(&stage.place.path("").display().to_string(), "PLACE/");
            // A rehearsal's first password is its own.
            let kept = text.lines().filter(|line| !line.starts_with("rancher_bootstrap_password"));
            files.insert(name, kept.collect::<Vec<_>>().join("\n"));
        }
    }
    (stage.phases(), files)
}

/// Whether a step runs below a process of its own.
fn has_process(action: &Action) -> bool {
    matches!(action, Action::Command { .. } | Action::Ansible { .. } | Action::Terraform { .. } | Action::Ssh { .. })
}

/// The end of a disturbed run: like an undisturbed one; and each step was carried out as often as its journal can explain.
fn check(stage: &Stage, victim: Victim, undisturbed: &(Vec<String>, BTreeMap<String, String>), place: &str) {
    assert_eq!(end_state(stage), *undisturbed, "{place}");
    let state = stage.state();
    let steps = stage.runs().pop().unwrap().join("steps");
    let events = stage.events();
    for phase in &state.plan.phases {
        for (reference, _) in state.steps_of(phase) {
            let outcomes: Vec<&Outcome> = events
                .iter()
                .filter_map(|event| match &event.event {
                    Event::StepFinished { step, outcome, .. } if *step == reference => Some(outcome),
                    _ => None,
                })
                .collect();
            let succeeded = outcomes.iter().filter(|outcome| outcome.is_success()).count();
            let wanted = usize::from(state.plan.step(&reference).is_some_and(|step| !step.on_retry));
            assert!(succeeded == wanted || succeeded == 1, "{place}: {reference} succeeded {succeeded} times");
            // Commands run in a process of their own, which only its own death cuts off.
            let action = &state.plan.step(&reference).unwrap().action;
            if has_process(action) {
                let carried_out = |attempt: &Path| attempt.join("output.log").exists();
                let folder = steps.join(reference.folder());
                let begun =
                    fs::read_dir(&folder).into_iter().flatten().filter(|entry| carried_out(&entry.as_ref().unwrap().path())).count();
                let cut_off = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Interrupted { .. })).count();
                assert!(begun <= 1 + cut_off, "{place}: {reference} was carried out {begun} times and cut off {cut_off} times");
                if victim == Victim::Engine {
                    assert!(begun <= 1, "{place}: a dead engine made {reference} run {begun} times");
                }
            }
        }
    }
}

fn finish(stage: &Stage, place: &str) {
    for _ in 0..8 {
        let status = stage.status();
        // What a runner has left is told before an engine has taken it in: that is still to be done.
        if status["state"] == "done" && stage.state().closed {
            return;
        }
        match status["questions"][0]["id"].as_str() {
            Some(question) => drop(stage.run_with(&["answer", question], ADDRESS)),
            None => drop(stage.run(&["run", "--yes"])),
        }
    }
    panic!("{place}: the run does not come to its end: {}", stage.status());
}

fn undisturbed() -> (Vec<String>, BTreeMap<String, String>) {
    let stage = Stage::new();
    stage.rehearse(&[]).expect(0);
    end_state(&stage)
}

/// Many deaths in one run: each life is one event longer than the one before.
fn deaths(victim: Victim) {
    let wanted = undisturbed();
    let stage = Stage::new();
    let mut lives = 0;
    for after in (1..60).step_by(4) {
        live(&stage, after, victim);
        if after == 1 {
            // From now on nobody answers beforehand.
            stage.unanswered();
        }
        lives += 1;
        if stage.status()["state"] == "done" {
            break;
        }
    }
    finish(&stage, "after all deaths");
    assert!(lives >= 4, "{lives} lives only");
    check(&stage, victim, &wanted, &format!("{victim:?} killed in {lives} lives"));
}

#[test]
fn a_run_whose_engine_dies_again_and_again_ends_as_if_nothing_had_been() {
    deaths(Victim::Engine);
}

#[test]
fn a_run_whose_engine_and_runners_die_again_and_again_ends_as_if_nothing_had_been() {
    deaths(Victim::Both);
}

/// One victim, killed after every event of a run, each time in a run of its own; where a runner is to die, after every event that begins one.
/// `part` of `PARTS`: so that no test takes many minutes.
fn at_every_event(victim: Victim, part: usize) {
    let whole = Stage::new();
    whole.rehearse(&[]).expect(0);
    let wanted = end_state(&whole);
    let state = whole.state();
    let begins = |event: &Event| match event {
        Event::StepStarted { step, .. } => state.plan.step(step).is_some_and(|step| has_process(&step.action)),
        _ => false,
    };
    let events = whole.events();
    let events = events.iter().map(|event| &event.event).filter(|event| !matches!(event, Event::Finding { .. }));
    let places: Vec<usize> =
        events.enumerate().filter(|(_, event)| victim == Victim::Engine || begins(event)).map(|(number, _)| number + 1).collect();
    assert!(places.len() >= 20, "{} places", places.len());
    let (mut lived, mut cut_off) = (0, 0);
    let mine: Vec<usize> = places.iter().copied().skip(part).step_by(PARTS).collect();
    for after in &mine {
        let place = format!("{victim:?} killed after event {after}");
        let stage = Stage::new();
        live(&stage, *after, victim);
        // So early that there is no rehearsal yet.
        if !stage.state_dir().join("rehearsal.json").exists() {
            continue;
        }
        stage.unanswered();
        finish(&stage, &place);
        check(&stage, victim, &wanted, &place);
        lived += 1;
        let interrupted = |event: &Event| matches!(event, Event::StepFinished { outcome: Outcome::Interrupted { .. }, .. });
        cut_off += usize::from(stage.events().iter().any(|event| interrupted(&event.event)));
    }
    assert!(lived * 10 >= mine.len() * 9, "{lived} deaths at {} places", mine.len());
    // Some steps are over too soon to be hit; most are not.
    assert!(victim == Victim::Engine || cut_off * 2 > mine.len(), "of {} steps {cut_off} were cut off", mine.len());
}

const PARTS: usize = 2;

macro_rules! at_every_event {
    ($($name:ident: $victim:ident, $part:literal;)*) => {$(
        #[test]
        fn $name() {
            if std::env::var_os("MOSIP_SETUP_LONG").is_none() {
                skip!("long", "only with --long");
            }
            at_every_event(Victim::$victim, $part);
        }
    )*};
}

at_every_event! {
    an_engine_killed_at_every_odd_event_loses_nothing: Engine, 0;
    an_engine_killed_at_every_even_event_loses_nothing: Engine, 1;
    a_runner_killed_at_every_odd_event_is_run_again: Runner, 0;
    a_runner_killed_at_every_even_event_is_run_again: Runner, 1;
    engine_and_runner_killed_at_every_odd_event_lose_nothing: Both, 0;
    engine_and_runner_killed_at_every_even_event_lose_nothing: Both, 1;
}

/// A clock that is set back in the middle of a run changes nothing: order is the order of the journal.
#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    for path in files_below(&repository().join("tests/it/fixtures/journals/v1"), ".jsonl") {
        let events = read_journal(&path);
        let told = fold(&events).unwrap();
        for cut in (1..events.len()).step_by(7) {
            let mut back = events.clone();
            for event in &mut back[cut..] {
                event.at -= jiff::SignedDuration::from_hours(5);
            }
            let state = fold(&back).unwrap();
            let phases = |state: &mosip_setup::run::state::State| -> Vec<(PhaseState, String)> {
                state.plan.phases.iter().map(|phase| (state.phase_state(phase), state.phase_reason(phase))).collect()
            };
            assert_eq!(phases(&state), phases(&told), "set back after event {cut} of {}", path.display());
            assert_eq!((state.summary(), &state.questions), (told.summary(), &told.questions));
        }
    }
}
