//! Times by step, beside the peak of multiply-adds: the clock of a machine varies, and the share of
//! its peak less.

use sepconv::kernels::{Arithmetic, Level, available_threads, burn_multiply_adds};
use serde::Serialize;

use crate::boundary::{clock, report};
use crate::model::Loaded;
use crate::{Result, sentence};

/// The most runs of a measurement.
const MOST_RUNS: usize = 1000;
/// The least milliseconds of a timing of the peak. Browsers' clocks may have steps of 0.1 ms.
const LEAST: f64 = 5.0;
/// How often the peak is timed.
const TRIES: usize = 8;

/// Seconds by JavaScript's clock.
pub(crate) fn seconds() -> f64 {
    clock().as_secs_f64()
}

/// GFLOP/s, a multiply-add counted as two.
pub(crate) fn gflops(multiply_adds: u64, seconds: f64) -> f64 {
    // A clock that stands still shows no speed.
    if seconds > 0.0 { 2.0 * multiply_adds as f64 / seconds / 1e9 } else { 0.0 }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    runs: usize,
    /// Of a run that is not watched: the mean.
    milliseconds: f64,
    gflops: f64,
    multiply_adds: u64,
    threads: usize,
    level: &'static str,
    arithmetic: &'static str,
    /// GFLOP/s of multiply-adds in registers on all threads.
    peaks: Peaks,
    steps: Vec<Step>,
}

#[derive(Serialize)]
pub(crate) struct Peaks {
    /// Fused ones, if the level has them.
    fused: Option<f64>,
    /// Multiplications, then additions.
    unfused: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    layers: Vec<String>,
    kernel: String,
    /// \[N, H, W, C\].
    output: [usize; 4],
    multiply_adds: u64,
    milliseconds: f64,
    gflops: f64,
    /// Of the time of all steps.
    share: f64,
}

/// Runs a model again and again, for about so long: half the time without looking, half with a look
/// at the clock after each step.
pub(crate) fn time(model: &mut Loaded, milliseconds: f64) -> Result<Times> {
    let budget = budget(milliseconds)?;
    let (arithmetic, plan) = (model.arithmetic, model.session.plan().clone());
    let x = std::mem::take(&mut model.x);
    let session = &mut model.session;
    let mut measure = || -> sepconv::Result<_> {
        session.run(&x)?;
        let (mut runs, start) = (0_usize, seconds());
        let time = loop {
            session.run(&x)?;
            runs += 1;
            let time = seconds() - start;
            report((time * 1e3 / budget).min(0.5));
            if time * 1e3 >= budget / 2.0 || runs == MOST_RUNS {
                break time / runs as f64;
            }
        };
        let mut watched = Vec::new();
        for run in 0..runs {
            let mut times = vec![0.0_f64; plan.steps().len()];
            session.run_timed_by(&clock, &x, |step| times[step.step] += step.time.as_secs_f64())?;
            watched.push(times);
            report(0.5 + 0.5 * (run + 1) as f64 / runs as f64);
        }
        Ok((runs, time, faster_half(watched)))
    };
    let measured = measure().map_err(sentence);
    model.x = x;
    let (runs, time, times) = measured?;
    let all: f64 = times.iter().sum();
    let steps = plan.steps().zip(times).map(|(step, time)| Step {
        name: step.name.clone(),
        layers: step.nodes.clone(),
        kernel: step.kernel.clone(),
        output: step.output,
        multiply_adds: step.multiply_adds,
        milliseconds: time * 1e3,
        gflops: gflops(step.multiply_adds, time),
        share: if all > 0.0 { time / all } else { 0.0 },
    });
    Ok(Times {
        runs,
        milliseconds: time * 1e3,
        gflops: gflops(plan.multiply_adds(), time),
        multiply_adds: plan.multiply_adds(),
        threads: available_threads(),
        level: plan.level().name(),
        arithmetic: arithmetic.name(),
        steps: steps.collect(),
        peaks: peaks()?,
    })
}

/// The mean time of each step in the faster half of the runs; in the slower half the machine was
/// busy with something else. (Browsers' clocks are coarser than a step, so that the median of a
/// single step would be 0.)
fn faster_half(mut runs: Vec<Vec<f64>>) -> Vec<f64> {
    runs.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
    let half = runs.len().div_ceil(2);
    let steps = runs.first().map_or(0, Vec::len);
    let mean = |step: usize| runs[..half].iter().map(|run| run[step]).sum::<f64>() / half as f64;
    (0..steps).map(mean).collect()
}

/// The milliseconds that a measurement may take.
pub(crate) fn budget(milliseconds: f64) -> Result<f64> {
    match (1.0..=60_000.0).contains(&milliseconds) {
        true => Ok(milliseconds),
        false => Err(format!("milliseconds: expected 1 to 60000, got {milliseconds}")),
    }
}

fn peaks() -> Result<Peaks> {
    let fused = Level::best().has_fma().then(|| peak(Arithmetic::Exact)).transpose()?;
    Ok(Peaks { fused, unfused: peak(Arithmetic::Unfused)? })
}

/// The GFLOP/s that all threads together reach on registers by multiply-adds of an arithmetic: the
/// most of a few tries, as the machine may be busy with something else.
pub(crate) fn peak(arithmetic: Arithmetic) -> Result<f64> {
    let level = Level::best();
    let (mut work, mut tries, mut most) = (1_000_000, 0, 0.0_f64);
    while tries < TRIES {
        let start = seconds();
        let mut done = 0;
        for count in on_each(|| burn_multiply_adds(level, arithmetic, work)) {
            done += count.map_err(sentence)?;
        }
        let time = seconds() - start;
        if time * 1e3 >= LEAST || work > 1 << 40 {
            most = most.max(gflops(done, time));
            tries += 1;
        } else {
            work *= 2;
        }
    }
    Ok(most)
}

/// Runs `f` on each thread at once.
fn on_each<T: Send>(f: impl Fn() -> T + Sync) -> Vec<T> {
    #[cfg(feature = "threads")]
    return rayon::broadcast(|_| f());
    #[cfg(not(feature = "threads"))]
    vec![f()]
}
