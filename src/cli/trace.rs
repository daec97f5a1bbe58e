//! A run's steps as a trace: JSON in the Trace Event Format, which Perfetto (ui.perfetto.dev) and
//! chrome://tracing show.

use std::collections::BTreeMap;

use sepconv::network::{NetworkPlan, StepTime};
use serde::Serialize;

use super::{Result, to_json};

/// The text of a trace file: an event for each step on one track. The threads of a step are not
/// told apart.
pub(super) fn text(
    plan: &NetworkPlan,
    name: &str,
    threads: usize,
    times: &[StepTime],
) -> Result<String> {
    let steps: Vec<_> = plan.steps().collect();
    let calling = Event {
        name: "thread_name",
        ph: "M",
        ts: 0.0,
        dur: None,
        pid: 1,
        tid: 1,
        args: BTreeMap::from([("name", "steps".into())]),
    };
    let events = times.iter().map(|time| {
        let step = steps[time.step];
        let [n, h, ..] = step.output;
        // Whole rows have equal shares of a step's work.
        let share = (time.rows.len() * time.pictures.len()) as f64 / (n * h) as f64;
        let range = |range: &std::ops::Range<usize>| format!("{}..{}", range.start, range.end);
        Event {
            name: &step.name,
            ph: "X",
            ts: time.start.as_secs_f64() * 1e6,
            dur: Some(time.time.as_secs_f64() * 1e6),
            pid: 1,
            tid: 1,
            args: BTreeMap::from([
                ("kernel", step.kernel.as_str().into()),
                ("layers", step.nodes.join(" ").into()),
                ("rows", range(&time.rows).into()),
                ("pictures", range(&time.pictures).into()),
                ("M multiply-adds", Value::Number(step.multiply_adds as f64 * share / 1e6)),
            ]),
        }
    });
    let trace_events = std::iter::once(calling).chain(events).collect();
    let level = plan.level().name();
    let other_data = OtherData { network: name, input: plan.input_shape(), level, threads };
    to_json(&Trace { trace_events, display_time_unit: "ms", other_data })
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
    pid: u32,
    tid: u32,
    args: BTreeMap<&'static str, Value>,
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
