//! A separable layer beside a standard one of the same shape.

use sepconv::kernels::{Arithmetic, Padding, Window};
use sepconv::network::{Network, NetworkPlan, Op, PlanOptions, Session};
use sepconv::weights::{count_parameters, synthetic};
use serde::{Deserialize, Serialize};

use crate::boundary::report;
use crate::timing::{budget, gflops, seconds};
use crate::{Result, sentence};

/// The most multiply-adds of the standard layer: a few seconds of one thread.
const MOST_MULTIPLY_ADDS: u64 = 1 << 34;
/// The most runs of either layer.
const MOST_RUNS: usize = 1000;

/// The shape of both layers; padding is SAME, and strides are 1.
#[derive(Deserialize)]
pub(crate) struct Layer {
    height: usize,
    width: usize,
    channels: usize,
    filters: usize,
    kernel: usize,
}

#[derive(Serialize)]
pub(crate) struct Comparison {
    separable: Form,
    standard: Form,
    /// Multiply-adds of the standard layer ÷ those of the separable one.
    promised: f64,
    /// The same of times.
    obtained: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    parameters: usize,
    multiply_adds: u64,
    /// The median.
    milliseconds: f64,
    gflops: f64,
    kernel: String,
}

/// Times both layers in turns, for about so long.
pub(crate) fn compare(
    layer: &Layer,
    arithmetic: Arithmetic,
    milliseconds: f64,
) -> Result<Comparison> {
    let budget = budget(milliseconds)?;
    layer.check()?;
    let window = Window::new([layer.kernel; 2]).padding(Padding::Same);
    let filters = layer.filters;
    let separable = Op::Separable { window, multiplier: 1, filters, bias: true };
    let standard = Op::Conv { window, groups: 1, filters, bias: true };
    let mut separable = Timed::new(layer, separable, arithmetic)?;
    let mut standard = Timed::new(layer, standard, arithmetic)?;
    let elements = layer.height * layer.width * layer.channels;
    let x: Vec<f32> = synthetic::uniform("input").take(elements).map(|u| u as f32).collect();
    let start = seconds();
    for run in 0..=MOST_RUNS {
        for form in [&mut separable, &mut standard] {
            let start = seconds();
            for _ in 0..form.repeats {
                form.session.run(&x).map_err(sentence)?;
            }
            let time = seconds() - start;
            form.enter(time, run);
        }
        let spent = (seconds() - start) * 1e3;
        report((spent / budget).min(1.0));
        // At least three, of which the first doesn't count.
        if run >= 3 && spent >= budget {
            break;
        }
    }
    let [separable, standard] = [separable.form(), standard.form()];
    Ok(Comparison {
        promised: standard.multiply_adds as f64 / separable.multiply_adds as f64,
        obtained: standard.milliseconds / separable.milliseconds,
        separable,
        standard,
    })
}

impl Layer {
    fn check(&self) -> Result<()> {
        let Self { height, width, channels, filters, kernel } = *self;
        let ranges = [
            ("height", height, 512),
            ("width", width, 512),
            ("channels", channels, 4096),
            ("filters", filters, 4096),
            ("kernel", kernel, 15),
        ];
        for (what, number, most) in ranges {
            if !(1..=most).contains(&number) {
                return Err(format!("{what}: expected 1 to {most}, got {number}"));
            }
        }
        let all = [height, width, kernel, kernel, channels, filters];
        let multiply_adds = all.iter().map(|&n| n as u64).product::<u64>();
        if multiply_adds > MOST_MULTIPLY_ADDS {
            return Err(format!(
                "layer: expected at most {MOST_MULTIPLY_ADDS} multiply-adds of the standard \
                 convolution, got {multiply_adds}"
            ));
        }
        Ok(())
    }
}

/// A layer by itself, and how long it takes.
struct Timed {
    session: Session,
    parameters: usize,
    /// The runs between two looks at the clock, whose steps may be of 0.1 ms.
    repeats: u32,
    times: Vec<f64>,
}

impl Timed {
    fn new(layer: &Layer, op: Op, arithmetic: Arithmetic) -> Result<Self> {
        let Layer { height, width, channels, .. } = *layer;
        let mut network = Network::new("layer", "input", [Some(height), Some(width)], channels);
        network.push("layer", op, &[network.output()]).map_err(sentence)?;
        let weights = synthetic::weights(&network).map_err(sentence)?;
        let options = PlanOptions::default().arithmetic(arithmetic);
        let input = [1, height, width, channels];
        let plan = NetworkPlan::new(&network, weights, input, &options).map_err(sentence)?;
        let parameters = count_parameters(&network).map_err(sentence)?.total;
        let session = Session::new(plan).map_err(sentence)?;
        Ok(Self { session, parameters, repeats: 1, times: Vec::new() })
    }

    /// Enters a time; that of the first run, which finds nothing in the caches, says how often to
    /// repeat.
    fn enter(&mut self, time: f64, run: usize) {
        if run == 0 {
            self.repeats = (5e-3 / time.max(1e-5)).ceil() as u32;
        } else {
            self.times.push(time / f64::from(self.repeats));
        }
    }

    fn form(mut self) -> Form {
        self.times.sort_by(f64::total_cmp);
        let time = self.times[self.times.len() / 2];
        let plan = self.session.plan();
        Form {
            parameters: self.parameters,
            multiply_adds: plan.multiply_adds(),
            milliseconds: time * 1e3,
            gflops: gflops(plan.multiply_adds(), time),
            kernel: plan.steps().map(|step| step.kernel.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}
