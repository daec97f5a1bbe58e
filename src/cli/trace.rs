//! A run's steps as a trace: JSON in the Trace Event Format, which Perfetto (ui.perfetto.dev) and
//! chrome://tracing show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sepconv::network::{NetworkPlan, StepTime};
use serde::Serialize;

use super::{Result, to_json};

/// The track of the steps; those of the threads come after it.
const STEPS: usize = 1;

/// The text of a trace file: an event for each step on one track, and on a track of each thread one
/// for each time that it computed.
pub(super) fn text(
    plan: &NetworkPlan,
    name: &str,
    threads: usize,
    times: &[StepTime],
) -> Result<String> {
    let steps: Vec<_> = plan.steps().collect();
    let used: BTreeSet<_> =
        times.iter().flat_map(|time| &time.threads).map(|thread| thread.thread).collect();
    let mut trace_events = vec![Event::track(STEPS, "steps".into())];
    trace_events
        .extend(used.iter().map(|thread| Event::track(track(*thread), format!("thread {thread}"))));
    for time in times {
        let step = steps[time.step];
        let [n, h, ..] = step.output;
        // Whole rows have equal shares of a step's work.
        let share = (time.rows.len() * time.pictures.len()) as f64 / (n * h) as f64;
        let range = |range: &std::ops::Range<usize>| format!("{}..{}", range.start, range.end);
        let args = BTreeMap::from([
            ("kernel", step.kernel.as_str().into()),
            ("layers", step.nodes.join(" ").into()),
            ("rows", range(&time.rows).into()),
            ("pictures", range(&time.pictures).into()),
            ("M multiply-adds", Value::Number(step.multiply_adds as f64 * share / 1e6)),
        ]);
        trace_events.push(Event::span(&step.name, STEPS, [time.start, time.time], args));
        for thread in &time.threads {
            let args = BTreeMap::from([("rows", range(&time.rows).into())]);
            let span = [thread.start, thread.time];
            trace_events.push(Event::span(&step.name, track(thread.thread), span, args));
        }
    }
    let level = plan.level().name();
    let other_data = OtherData { network: name, input: plan.input_shape(), level, threads };
    to_json(&Trace { trace_events, display_time_unit: "ms", other_data })
}

/// That of a thread.
fn track(thread: usize) -> usize {
    STEPS + 1 + thread
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    trace_events: Vec<Event<'a>>,
    display_time_unit: &'static str,
    other_data: OtherData<'a>,
}

#[derive(Serialize)]
struct OtherData<'a> {
    network: &'a str,
    input: [usize; 4],
    level: &'static str,
    threads: usize,
}

/// A span of time ("X") or the name of a track ("M"). Times are in microseconds.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    ph: &'static str,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: usize,
    tid: usize,
    args: BTreeMap<&'static str, Value>,
}

impl<'a> Event<'a> {
    /// The name of a track.
    fn track(tid: usize, name: String) -> Self {
        let args = BTreeMap::from([("name", Value::Text(name))]);
        Self { name: "thread_name", ph: "M", ts: 0.0, dur: None, pid: 1, tid, args }
    }

    /// From `start` on, for some time.
    fn span(
        name: &'a str,
        tid: usize,
        [start, time]: [Duration; 2],
        args: BTreeMap<&'static str, Value>,
    ) -> Self {
        let [ts, dur] = [start, time].map(|time| time.as_secs_f64() * 1e6);
        Self { name, ph: "X", ts, dur: Some(dur), pid: 1, tid, args }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(f64),
}

impl<T: Into<String>> From<T> for Value {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}
