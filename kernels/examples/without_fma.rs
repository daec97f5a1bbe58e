//! What a CPU without fused multiply-adds makes of a separable layer, 14²·512→512 on one thread: in
//! the arithmetics unfused, bf16 and exact on each level, beside the plain loops that anyone would
//! write, which the compiler vectorises. All are timed in turns, each followed by as many
//! multiply-adds in registers, of which a share is told: of the least times, and the median of
//! pairs.
//!
//! cargo run --release -p sepconv-kernels --example without_fma [ROUNDS [LEVEL [ARITHMETIC]]]
//!
//! `checks/levels/wasm.sh --time` with the same arguments runs it as WebAssembly.

use std::error::Error;
use std::time::Instant;

use sepconv_kernels::{
    Arithmetic, DepthwiseParams, Level, NhwcView, NhwcViewMut, Options, Padding, Plan, Separable,
    SeparableParams, Window, burn_multiply_adds,
};

const SIDE: usize = 14;
const CHANNELS: usize = 512;
const SHAPE: [usize; 4] = [1, SIDE, SIDE, CHANNELS];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rounds = args.first().map_or(Ok(20), |rounds| rounds.parse::<usize>())?;
    let levels = match args.get(1) {
        Some(name) => vec![Level::parse(name)?.checked()?],
        None => Level::available(),
    };
    let layer = Layer::new();
    let expected = layer.plain_loops();
    let mut ways = vec![Way::new("plain loops".into(), None)];
    for level in levels {
        for arithmetic in [Arithmetic::Unfused, Arithmetic::Bf16, Arithmetic::Exact] {
            let is_asked_for = args.get(2).is_none_or(|name| name == arithmetic.name());
            if !is_asked_for || !arithmetic.is_available() {
                continue;
            }
            let plan = layer.plan(level, arithmetic)?;
            ways.push(Way::new(format!("{level} {arithmetic}"), Some((plan, arithmetic))));
        }
    }
    // The first round is not counted: in it engines of WebAssembly compile what is used often.
    for round in 0..=rounds.max(1) {
        for way in &mut ways {
            if way.seconds.len() >= 3 && way.seconds[0] > 0.1 {
                continue; // slow enough, without any doubt
            }
            let y = way.run(&layer, round > 0)?;
            if matches!(way.plan, None | Some((_, Arithmetic::Unfused))) {
                assert_eq!(y, expected, "products are rounded and added in this order");
            }
        }
    }
    println!("{:<20} {:>9} {:>10} {:>17}", "", "least ms", "median ms", "share of registers");
    for way in &mut ways {
        way.print();
    }
    Ok(())
}

/// A way to compute the layer, and how long it took.
struct Way {
    name: String,
    /// A plan in this arithmetic, or the plain loops.
    plan: Option<(Separable, Arithmetic)>,
    /// Seconds of each run.
    seconds: Vec<f64>,
    /// Seconds of as many multiply-adds in registers, after each run.
    in_registers: Vec<f64>,
}

impl Way {
    fn new(name: String, plan: Option<(Separable, Arithmetic)>) -> Self {
        Self { name, plan, seconds: Vec::new(), in_registers: Vec::new() }
    }

    /// Computes the layer, and notes the time if it counts.
    fn run(&mut self, layer: &Layer, counts: bool) -> Result<Vec<f32>, Box<dyn Error>> {
        let Some((plan, arithmetic)) = &self.plan else {
            let start = Instant::now();
            let y = layer.plain_loops();
            self.seconds.extend(counts.then(|| start.elapsed().as_secs_f64()));
            return Ok(y);
        };
        let mut y = vec![0.0; SIDE * SIDE * CHANNELS];
        let mut scratch = vec![0.0; plan.scratch_len(1)];
        let start = Instant::now();
        let output = NhwcViewMut::new(&mut y, plan.output_shape())?;
        plan.run(NhwcView::new(&layer.x, SHAPE)?, None, output, &mut scratch)?;
        self.seconds.extend(counts.then(|| start.elapsed().as_secs_f64()));
        let start = Instant::now();
        burn_multiply_adds(plan.level(), *arithmetic, plan.multiply_adds())?;
        self.in_registers.extend(counts.then(|| start.elapsed().as_secs_f64()));
        Ok(y)
    }

    fn print(&self) {
        let ordered = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            (times[0], times[times.len() / 2])
        };
        let (least, median) = ordered(self.seconds.clone());
        print!("{:<20} {:>9.2} {:>10.2}", self.name, least * 1e3, median * 1e3);
        if self.in_registers.is_empty() {
            return println!();
        }
        let pairs = self.in_registers.iter().zip(&self.seconds).map(|(peak, layer)| peak / layer);
        let (_, share) = ordered(pairs.collect());
        println!(" {:>8.2} {share:>9.2}", ordered(self.in_registers.clone()).0 / least);
    }
}

/// The layer's input and weights.
struct Layer {
    x: Vec<f32>,
    depthwise: Vec<f32>,
    pointwise: Vec<f32>,
}

impl Layer {
    fn new() -> Self {
        let mut state = 1_u32;
        let mut random = |len: usize| -> Vec<f32> {
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            };
            std::iter::repeat_with(next).take(len).collect()
        };
        Self {
            x: random(SIDE * SIDE * CHANNELS),
            depthwise: random(9 * CHANNELS),
            pointwise: random(CHANNELS * CHANNELS),
        }
    }

    fn plan(&self, level: Level, arithmetic: Arithmetic) -> Result<Separable, Box<dyn Error>> {
        let window = Window::new([3, 3]).padding(Padding::Same);
        let depthwise = DepthwiseParams::new(window, &self.depthwise);
        let params = SeparableParams::new(depthwise, CHANNELS, &self.pointwise);
        let options = Options::default().level(level).arithmetic(arithmetic);
        Ok(Separable::new(SHAPE, &params, &options)?)
    }

    /// Loops over pixels, taps, channels; those of the output innermost.
    fn plain_loops(&self) -> Vec<f32> {
        let mut y = vec![0.0; SIDE * SIDE * CHANNELS];
        for (at, pixel) in y.chunks_exact_mut(CHANNELS).enumerate() {
            let mut channels = [0.0; CHANNELS];
            for tap in 0..9 {
                // One more than the coordinates, none of which is below −1.
                let (row, column) = (at / SIDE + tap / 3, at % SIDE + tap % 3);
                if (1..=SIDE).contains(&row) && (1..=SIDE).contains(&column) {
                    let first = ((row - 1) * SIDE + column - 1) * CHANNELS;
                    let weights = &self.depthwise[tap * CHANNELS..][..CHANNELS];
                    for ((sum, x), weight) in channels.iter_mut().zip(&self.x[first..]).zip(weights)
                    {
                        *sum += x * weight;
                    }
                }
            }
            for (x, weights) in channels.iter().zip(self.pointwise.chunks_exact(CHANNELS)) {
                for (sum, weight) in pixel.iter_mut().zip(weights) {
                    *sum += x * weight;
                }
            }
        }
        y
    }
}
