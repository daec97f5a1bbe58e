//! `sepconv demo`: runs a small trained Xception on embedded pictures that it has never seen, then
//! times the full Xception and checks its numbers. Needs no file.

use std::path::Path;
use std::time::{Duration, Instant};

use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};
use sepconv::kernels::{Arithmetic, Level};
use sepconv::models::{XceptionConfig, xception};
use sepconv::network::{
    Calibration, NetworkPlan, Op, PlanOptions, QuantizeOptions, Session, spot_check,
};
use sepconv::weights::{self, synthetic};

use super::speed::{Rounds, Speed, median_peaks, milliseconds, peak, percent};
use super::text::{columns, wrap};
use super::threads::{self, Threads};
use super::{Failure, Result, input_size, print};

/// Try it: classify embedded pictures, then time Xception
///
/// Needs no file and no network. A small Xception, trained on scikit-learn's handwritten digits,
/// classifies 100 digits that it has never seen, then again with 8-bit integers. Then Xception at
/// 299×299, with pseudorandom weights, is timed and compared with the peak of this machine's
/// multiply-add units. Last, sampled outputs of its layers are checked against plain loops in
/// double precision. The last lines are commands for models and pictures of your own.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    threads: Threads,
}

/// See assets/README.md.
const MODEL: &[u8] = include_bytes!("../../assets/digits.keras");
const PICTURES: &[u8] = include_bytes!("../../assets/digits.png");
const LABELS: &str = include_str!("../../assets/digits.labels.txt");
const CLASSES: &str = include_str!("../../assets/digits.classes.txt");
/// Side of one digit on the sheet.
const DIGIT: usize = 8;
/// The columns of a digit drawn in characters, and the most digits side by side.
const DRAWN_COLUMNS: usize = 2 * DIGIT + 1;
const MOST_DRAWN: usize = 6;
/// The digits by which the network is quantized.
const CALIBRATED: usize = 20;

/// The most runs of Xception, and the time after which no run starts.
const RUNS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(6);
/// The number of sampled outputs of each checked layer.
const SAMPLES: usize = 64;

pub(super) fn run(args: Args) -> Result {
    args.threads.run(|| {
        let level = Level::from_env()?;
        let threads = threads::current();
        print(&format!("Level {level}, threads {threads}.\n\n"))?;
        digits()?;
        speed(level, threads)?;
        check()?;
        next()
    })
}

fn digits() -> Result {
    let model = weights::load_bytes("digits.keras", MODEL)?;
    let (size, channels) = input_size(&model.network, None)?;
    let input = [1, size[0], size[1], channels];
    // It was trained on logits.
    let mut network = model.network;
    network.push("probabilities", Op::Softmax, &[network.output()])?;
    let sheet = Picture::decode(Path::new("digits.png"), PICTURES)?.picture;
    let tiles = tiles(&sheet)?;
    let mut inputs = Vec::new();
    for digit in &tiles {
        let pixels = digit.resize(size, Resize::Nearest, Channels::Rgb)?;
        inputs.push(Preprocess::new(Scaling::Tf).apply(pixels)?);
    }
    let mut calibration = Calibration::new(&network, &model.weights, input)?;
    inputs[..CALIBRATED].iter().try_for_each(|x| calibration.add(x))?;
    let quantized = calibration.quantize(&QuantizeOptions::default())?;
    let options = PlanOptions::default();
    let float = read(NetworkPlan::new(&network, model.weights, input, &options)?, &inputs)?;
    let int8 = NetworkPlan::new(&quantized.network, quantized.weights, input, &options)?;
    let int8 = read(int8, &inputs)?;

    let columns = columns();
    // The last one has no space behind it.
    let fitting = ((columns + 1) / DRAWN_COLUMNS).clamp(1, MOST_DRAWN);
    let drawn: Vec<_> = tiles.into_iter().zip(float.says.iter().cloned()).take(fitting).collect();
    let all = inputs.len();
    let mut text = draw(&drawn) + "\n";
    let outcome = format!("{} of {all} digits right{}.", float.right(), float.described());
    text += &wrap(&outcome, columns);
    let of_integers = format!(
        "With 8-bit integers, calibrated on the first {CALIBRATED}: {} right{}.",
        int8.right(),
        int8.described()
    );
    text += &wrap(&of_integers, columns);
    text.push('\n');
    print(&text)
}

/// What a network takes the digits for.
struct Readings {
    says: Vec<String>,
    wrong: Vec<String>,
    spent: Duration,
}

fn read(plan: NetworkPlan, inputs: &[Vec<f32>]) -> Result<Readings> {
    let mut session = Session::new(plan)?;
    let classes: Vec<&str> = CLASSES.lines().collect();
    let mut readings = Readings { says: Vec::new(), wrong: Vec::new(), spent: Duration::ZERO };
    for (x, truth) in inputs.iter().zip(LABELS.lines()) {
        let start = Instant::now();
        session.run(x)?;
        readings.spent += start.elapsed();
        let probabilities = session.output();
        let best = (0..probabilities.len())
            .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
            .unwrap_or(0);
        let label = classes.get(best).copied().unwrap_or("?");
        let says = format!("{label} ({:.1} %)", probabilities[best] * 100.0);
        if label != truth {
            readings.wrong.push(format!("{truth} taken for {says}"));
        }
        readings.says.push(says);
    }
    Ok(readings)
}

impl Readings {
    fn right(&self) -> usize {
        self.says.len() - self.wrong.len()
    }

    /// What is wrong, and the time of each.
    fn described(&self) -> String {
        let (all, spent) = (self.says.len() as f64, self.spent.as_secs_f64() * 1e3);
        let comma = if self.wrong.is_empty() { "" } else { ", " };
        format!("{comma}{}; {} ms each", self.wrong.join(", "), milliseconds(spent / all))
    }
}

/// The digits of a contact sheet, row by row.
fn tiles(sheet: &Picture) -> Result<Vec<Picture>> {
    let [height, width] = sheet.size();
    let mut tiles = Vec::new();
    for top in (0..height).step_by(DIGIT) {
        for left in (0..width).step_by(DIGIT) {
            let rows = (top..top + DIGIT).flat_map(|y| {
                let start = (y * width + left) * 3;
                &sheet.rgb()[start..start + DIGIT * 3]
            });
            tiles.push(Picture::new([DIGIT, DIGIT], rows.copied().collect())?);
        }
    }
    Ok(tiles)
}

/// Draws digits side by side in characters of rising weight, with the network's answer below each.
fn draw(digits: &[(Picture, String)]) -> String {
    const INK: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let mut text = String::new();
    for y in 0..DIGIT {
        for (picture, _) in digits {
            for x in 0..DIGIT {
                let value = usize::from(picture.rgb()[(y * DIGIT + x) * 3]);
                let ink = INK[value * (INK.len() - 1) / 255];
                // Twice, because characters are about twice as high as wide.
                text.extend([ink, ink]);
            }
            text.push(' ');
        }
        let end = text.trim_end_matches(' ').len();
        text.truncate(end);
        text.push('\n');
    }
    let line: String = digits.iter().map(|(_, says)| format!("{says:<DRAWN_COLUMNS$}")).collect();
    text.push_str(line.trim_end());
    text
}

fn speed(level: Level, threads: usize) -> Result {
    let network = xception(&XceptionConfig::default())?;
    let weights = synthetic::weights(&network)?;
    let picture = synthetic::picture(299);
    let input = [1, 299, 299, 3];
    let plan = NetworkPlan::new(&network, &weights, input, &PlanOptions::default())?;
    let multiply_adds = plan.multiply_adds();
    let mut session = Session::new(plan)?;
    session.run(&picture.data)?;
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while times.is_empty() || (times.len() < RUNS && begin.elapsed() < PATIENCE) {
        let start = Instant::now();
        session.run(&picture.data)?;
        times.push(start.elapsed().as_secs_f64());
        peaks.push(peak(level, Arithmetic::Exact)?);
    }
    let rounds = Rounds::new(vec![times], peaks);
    let ([peak, _], times) = (median_peaks(rounds.peaks.iter()), &rounds.times[0]);
    let speed = Speed::new(multiply_adds, times, peak);
    let outcome = format!(
        "Xception 299×299, synthetic weights, {} runs: {:.1} ms median, {:.1} ms least; {:.1} GFLOP/s, \
         {} of the FMA peak of {threads} thread{}.",
        times.len(),
        speed.median_ms,
        speed.min_ms,
        speed.gflops,
        percent(speed.peak_share),
        if threads == 1 { "" } else { "s" },
    );
    print(&(wrap(&outcome, columns()) + "\n"))
}

fn check() -> Result {
    // The smallest size, because the loops are slow, and every kind of layer of the network.
    const SIZE: usize = 71;
    const LAYERS: [&str; 7] = [
        "block1_conv1",
        "block1_conv2",
        "block2_sepconv1",
        "conv2d_1",
        "block8_sepconv2",
        "block14_sepconv2",
        "predictions/logits",
    ];
    let network = xception(&XceptionConfig::default())?;
    let weights = synthetic::weights(&network)?;
    let picture = synthetic::picture(SIZE);
    let input = [1, SIZE, SIZE, 3];
    let check = spot_check(&network, &weights, input, &picture.data, &LAYERS, SAMPLES)?;
    let outcome = format!(
        "{} sampled outputs of {} layers at {SIZE}×{SIZE} against plain loops in double precision: \
         largest error {:.2} of the rounding bound.",
        check.outputs,
        LAYERS.len(),
        check.worst
    );
    if check.worst <= 1.0 {
        print(&wrap(&outcome, columns()))
    } else {
        Err(Failure::Error(format!("{outcome} The kernels are wrong on this CPU.")))
    }
}

/// What to try next, as it can be typed.
fn next() -> Result {
    let called = std::env::args().next().unwrap_or_default();
    let commands = |program: &str| {
        [
            ("Classify pictures", "classify --weights MODEL.keras PICTURE.jpg"),
            ("Time your model, layer by layer", "bench --weights MODEL.keras"),
            (
                "Make it a third as large",
                "quantize --weights MODEL.keras --calibrate PICTURES/ \\\n    \
                 --output MODEL.safetensors",
            ),
        ]
        .map(|(what, words)| format!("\n# {what}\n{program} {words}\n"))
        .concat()
    };
    let mut text = commands(&called);
    if text.lines().any(|line| line.chars().count() > columns()) {
        text = commands("sepconv");
    }
    let heading = "Now with a model of yours (.keras, .h5, .tflite, TensorFlow.js's model.json, \
                   timm's .safetensors):";
    print(&format!("\n{}{text}", wrap(heading, columns())))
}
