//! Small plans for tests of the machine, and a driver that folds what the machine wants recorded.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use mosip_setup::install::ids::{PhaseId, StepRef};
use mosip_setup::install::plan::{Action, Plan, PlanPhase, PlanStep};
use mosip_setup::install::profile::Repeat;
use mosip_setup::run::event::{Decision, Event, FORMAT, Failure, Outcome, Recorded, StopReason};
use mosip_setup::run::machine::{Command, Effect, Input, Machine, Selection};
use mosip_setup::run::question::{Answer, Question};
use mosip_setup::run::state::{self, PhaseState, State};
use serde_json::json;

/// The operator in these tests.
pub const OPERATOR: &str = "asha";

/// An identifier of any kind.
pub fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A step whose digest is its name.
pub fn step(name: &str) -> PlanStep {
    with(name, Action::Command { argv: vec!["true".into()] })
}

/// A step that asks for a confirmation.
pub fn confirmation(name: &str, optional: Option<&str>) -> PlanStep {
    with(name, Action::Ask { text: "Ready?".into(), detail: String::new(), field: None, optional: optional.map(str::to_owned) })
}

/// A step that asks for a secret whose value must be eight or more letters `a` to `z`.
pub fn secret(name: &str, optional: Option<&str>) -> PlanStep {
    let field = serde_json::from_value(json!({
        "id": "token", "section": "Access", "kind": "secret", "label": "Token", "pattern": "[a-z]{8,}", "pattern_help": "eight letters",
    }));
    let action = Action::Ask {
        text: "Token?".into(),
        detail: String::new(),
        field: Some(Box::new(field.unwrap())),
        optional: optional.map(str::to_owned),
    };
    with(name, action)
}

fn with(name: &str, action: Action) -> PlanStep {
    serde_json::from_value(json!({
        "id": name, "title": name, "dir": null, "env": {}, "repeat": "safe", "verify": [], "unless": [], "on_retry": false,
        "terminal": "pipe", "prompts": [], "slow_after_minutes": 10, "action": action, "digest": name,
    }))
    .unwrap()
}

/// Changes to a step, one after the other.
pub trait StepWith {
    fn on_retry(self) -> Self;
    fn repeat(self, repeat: Repeat) -> Self;
    fn unless(self, check: &str) -> Self;
    fn digest(self, digest: &str) -> Self;
}

impl StepWith for PlanStep {
    fn on_retry(mut self) -> Self {
        self.on_retry = true;
        self
    }
    fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
    fn unless(mut self, check: &str) -> Self {
        self.unless.push(id(check));
        self
    }
    fn digest(mut self, digest: &str) -> Self {
        self.digest = digest.into();
        self
    }
}

/// A phase that may be skipped and needs others.
pub fn phase(name: &str, needs: &[&str], steps: Vec<PlanStep>) -> PlanPhase {
    PlanPhase {
        document: None,
        id: id(name),
        title: name.into(),
        help: String::new(),
        needs: needs.iter().map(|need| id(need)).collect(),
        after: Vec::new(),
        reads: BTreeMap::new(),
        names: BTreeMap::new(),
        expect_minutes: None,
        skip: Some("Something is missing then.".into()),
        steps,
    }
}

/// The same, but it cannot be skipped.
pub fn required(name: &str, needs: &[&str], steps: Vec<PlanStep>) -> PlanPhase {
    PlanPhase { skip: None, ..phase(name, needs, steps) }
}

/// A plan of these phases.
pub fn plan(phases: Vec<PlanPhase>) -> Plan {
    let empty = json!({
        "profile": "test", "title": "Test", "site": "site", "phases": [], "files": [], "checks": [], "machines": [], "roles": [],
        "sources": {}, "paths": {}, "networks": {}, "secrets": {}, "known_hosts": "/known_hosts", "outcome": [],
    });
    Plan { phases, ..serde_json::from_value(empty).unwrap() }
}

/// Three phases in a row of one step each, the third needing the second, the second the first.
pub fn chain() -> Plan {
    plan(vec![
        phase("one", &[], vec![step("a")]),
        phase("two", &["one"], vec![step("a"), step("b")]),
        phase("three", &["two"], vec![step("a")]),
    ])
}

/// A failure with a message.
pub fn failed(message: &str) -> Outcome {
    Outcome::Failed(Failure { message: message.into(), ..Failure::default() })
}

/// A plan that Terraform would not carry out without consent.
pub fn destroys(resources: &[&str]) -> Outcome {
    let destroys = resources.iter().map(|resource| (*resource).to_owned()).collect();
    Outcome::Failed(Failure { message: "would destroy".into(), destroys, ..Failure::default() })
}

/// A machine with its journal, and a world that answers by script: what is not scripted succeeds.
pub struct Bench {
    pub events: Vec<Recorded>,
    pub state: State,
    pub machine: Machine,
    /// Outcomes by step, first come first served.
    pub outcomes: BTreeMap<StepRef, VecDeque<Outcome>>,
    /// What holds a phase back, by round.
    pub gates: BTreeMap<PhaseId, VecDeque<Vec<String>>>,
    /// Why steps are not needed.
    pub unneeded: BTreeMap<StepRef, String>,
    /// Steps executed, as `phase/step#attempt`, with what may be destroyed.
    pub executed: Vec<(String, Vec<String>)>,
    /// The hosts each of them was limited to.
    pub limits: Vec<Vec<String>>,
    /// Answers typed into the step that runs, as `question=text`.
    pub typed: Vec<String>,
    /// Answers are refused by whoever should keep or take them.
    pub refusing: bool,
    /// Secrets kept.
    pub kept: Vec<(String, String)>,
    /// Cancels asked for.
    pub cancels: Vec<bool>,
    /// Commands that could not be followed.
    pub rejected: Vec<String>,
    /// Why it halted last; none while something is under way.
    pub halted: Option<StopReason>,
    /// Steps that run until [`Bench::end`] says how they ended.
    pub holding: bool,
    pub running: Option<(StepRef, u32)>,
    clock: i64,
}

impl Bench {
    /// A run of a plan, its engine just started.
    pub fn new(plan: Plan) -> Self {
        let opened = Event::RunOpened {
            format: FORMAT,
            tool: "0".into(),
            run: "run".into(),
            site_file: "site.toml".into(),
            rehearsal: false,
            plan: Box::new(plan),
        };
        let first = Recorded { seq: 0, at: Timestamp::UNIX_EPOCH, event: opened };
        let state = State::open(&first).unwrap();
        let mut bench = Self {
            events: vec![first],
            state,
            machine: Machine::default(),
            outcomes: BTreeMap::new(),
            gates: BTreeMap::new(),
            unneeded: BTreeMap::new(),
            executed: Vec::new(),
            limits: Vec::new(),
            typed: Vec::new(),
            refusing: false,
            kept: Vec::new(),
            cancels: Vec::new(),
            rejected: Vec::new(),
            halted: None,
            holding: false,
            running: None,
            clock: 0,
        };
        bench.engine_starts();
        bench
    }

    /// Scripts the next outcomes of a step.
    pub fn will(mut self, step: &str, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.outcomes.entry(id(step)).or_default().extend(outcomes);
        self
    }

    /// Appends an event as the engine does: numbered, folded, and able to be read back from its line.
    pub fn record(&mut self, event: Event) {
        self.clock += 1;
        let at = Timestamp::from_second(self.clock).unwrap();
        let recorded = Recorded { seq: self.state.seq + 1, at, event };
        let line = serde_json::to_string(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&line).unwrap(), recorded, "an event survives its line");
        self.state.apply(&recorded).unwrap();
        self.events.push(recorded);
    }

    fn engine_starts(&mut self) {
        self.record(Event::EngineStarted { pid: 1, boot: "boot".into(), tool: "0".into(), by: OPERATOR.into() });
    }

    /// The engine dies and another one takes the run: nothing is known but the journal.
    pub fn restart(&mut self) {
        self.state = state::fold(&self.events).unwrap();
        self.machine = Machine::default();
        self.halted = None;
        self.running = None;
        self.engine_starts();
    }

    /// Takes in what happened, and goes on until something is awaited.
    pub fn input(&mut self, input: Input) {
        let mut waiting = VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            let effects = self.machine.handle(&self.state, input);
            self.perform(effects, &mut waiting);
            loop {
                let effects = self.machine.advance(&self.state);
                if effects.is_empty() {
                    break;
                }
                self.perform(effects, &mut waiting);
            }
        }
        assert_eq!(state::fold(&self.events).unwrap(), self.state, "what is seen is a fold of what was written");
    }

    fn perform(&mut self, effects: Vec<Effect>, waiting: &mut VecDeque<Input>) {
        for effect in effects {
            match effect {
                Effect::Record(event) => self.record(*event),
                Effect::JudgeGate(phase) => {
                    let blocking = self.gates.get_mut(&phase).and_then(VecDeque::pop_front).unwrap_or_default();
                    waiting.push_back(Input::GateJudged { phase, blocking, ignored: 0 });
                }
                Effect::JudgeNeed(step) => {
                    let unneeded = self.unneeded.get(&step).cloned();
                    waiting.push_back(Input::NeedJudged { step, unneeded });
                }
                Effect::Execute { step, attempt, destroys, hosts } => {
                    // Written ahead: what is carried out is on record before.
                    let record = self.state.step(&step);
                    assert!(record.is_some_and(|record| record.is_running() && record.attempts == attempt), "{step}#{attempt}: {record:?}");
                    self.executed.push((format!("{step}#{attempt}"), destroys));
                    self.limits.push(hosts);
                    if self.holding {
                        self.running = Some((step, attempt));
                        continue;
                    }
                    let outcome = self.outcomes.get_mut(&step).and_then(VecDeque::pop_front).unwrap_or(Outcome::Done);
                    waiting.push_back(Input::Ended { step, attempt, outcome, took_ms: 1000, log_bytes: 0 });
                }
                Effect::KeepSecret { question, .. } | Effect::Type { question, .. } if self.refusing => {
                    assert_eq!(self.machine.handle(&self.state, Input::NotKept { question }), []);
                    self.rejected.push("refused".into());
                    return;
                }
                Effect::KeepSecret { field, value, .. } => self.kept.push((field, value)),
                Effect::Type { question, text, .. } => self.typed.push(format!("{question}={text}")),
                Effect::Cancel { now } => self.cancels.push(now),
                Effect::Halt(reason) => self.halted = Some(reason),
                Effect::Reject(message) => self.rejected.push(message),
            }
        }
    }

    /// The operator commands.
    pub fn command(&mut self, command: Command) {
        self.halted = None;
        self.input(Input::Command { command, by: OPERATOR.into() });
    }

    /// Runs everything.
    pub fn run(&mut self) {
        self.command(Command::Run(Selection::default()));
    }

    /// Runs a phase again.
    pub fn retry(&mut self, phase: &str, from_start: bool) {
        self.command(Command::Retry { phase: id(phase), from_start, step: None, failed_hosts: false });
    }

    /// Runs a step again.
    pub fn retry_step(&mut self, step: &str, failed_hosts: bool) {
        let step: StepRef = id(step);
        self.command(Command::Retry { phase: step.phase, from_start: false, step: Some(step.step), failed_hosts });
    }

    /// Skips a phase.
    pub fn skip(&mut self, phase: &str, reason: &str) {
        self.command(Command::Skip { phase: id(phase), reason: reason.into() });
    }

    /// Answers the open question.
    pub fn answer(&mut self, text: &str) {
        let question = self.question().id.clone();
        self.command(Command::Answer { question, answer: Answer::Text(text.into()) });
    }

    /// Leaves the open question open.
    pub fn leave_open(&mut self) {
        let question = self.question().id.clone();
        self.command(Command::Answer { question, answer: Answer::Open });
    }

    /// Ends the step that runs.
    pub fn end(&mut self, outcome: Outcome) {
        let (step, attempt) = self.running.take().unwrap();
        self.input(Input::Ended { step, attempt, outcome, took_ms: 1000, log_bytes: 0 });
    }

    /// The open question.
    pub fn question(&self) -> &Question {
        self.state.questions.first().unwrap()
    }

    /// Where a phase stands.
    pub fn phase(&self, name: &str) -> PhaseState {
        self.state.phase_state_of(&id(name)).unwrap()
    }

    /// Where all phases stand, in words.
    pub fn phases(&self) -> String {
        let words = self.state.plan.phases.iter().map(|phase| format!("{:?}", self.state.phase_state(phase)).to_lowercase());
        words.collect::<Vec<_>>().join(" ")
    }

    /// What was executed, as `phase/step#attempt`.
    pub fn ran(&self) -> String {
        self.executed.iter().map(|(step, _)| step.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// What the operator decided, the latest last.
    pub fn decisions(&self) -> Vec<&Decision> {
        self.events
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::OperatorDecided { decision, by } => {
                    assert_eq!(by, OPERATOR);
                    Some(decision)
                }
                _ => None,
            })
            .collect()
    }
}
