//! `sepconv info`: shows the machine, its instruction sets and the kernels in use.

use std::fmt::Write as _;

use sepconv::kernels::{
    Amx, Arithmetic, Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams,
    GlobalAveragePool, Level, Options, Padding, Plan, Pointwise, PointwiseParams, Pool, PoolKind,
    Separable, SeparableParams, Window,
};
use serde::Serialize;

use super::layer::Layer;
use super::machine::{self, Cache, cpu_name};
use super::text::{columns, list, wrap};
use super::{Failure, Result, print, print_json, threads};

/// Show the CPU, its instruction sets and the kernels for typical layers
///
/// Also what decides speed besides: caches, huge pages, whether the machine is virtual, the
/// instructions for bf16 and 8-bit integers, and what each arithmetic would use. A note says so if
/// this build is not optimised.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv info
  sepconv info --json | jq -r .chosen
  SEPCONV_LEVEL=scalar sepconv info")]
pub(super) struct Args {
    /// Print one line of JSON
    ///
    /// {"version", "cpu", "cores", "threads", "rayon": built with threads?, "levels", "chosen",
    /// "forced": chosen by SEPCONV_LEVEL?, "fma": does the chosen level have fused multiply-adds?,
    /// "optimized": built so?, "virtual": is it a virtual machine?, "caches" (of the first CPU):
    /// [{"level", "kind", "bytes", "cpus" (that share it)}], "huge_pages": always, madvise or
    /// never, "instructions" (that the CPU has), "missing" (that it lacks), "amx": granted?,
    /// "kernels" and "arithmetics": [{"layer", "kernel"}]}. What is unknown is null
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    cpu: Option<String>,
    /// The number of logical cores.
    cores: Option<usize>,
    threads: usize,
    rayon: bool,
    levels: Vec<&'static str>,
    chosen: &'static str,
    /// Whether `SEPCONV_LEVEL` chose the level.
    forced: bool,
    /// Whether the level has fused multiply-adds.
    fma: bool,
    /// Whether the compiler optimised.
    optimized: bool,
    #[serde(rename = "virtual")]
    is_virtual: Option<bool>,
    caches: Vec<Cache>,
    huge_pages: Option<String>,
    instructions: Vec<&'static str>,
    missing: Vec<&'static str>,
    amx: bool,
    #[serde(skip)]
    level: Level,
    kernels: Vec<Chosen>,
    /// What a pointwise layer uses in each.
    arithmetics: Vec<Chosen>,
}

#[derive(Serialize)]
struct Chosen {
    layer: &'static str,
    kernel: String,
}

pub(super) fn run(args: Args) -> Result {
    let level = Level::from_env()?;
    let (instructions, missing): (Vec<_>, Vec<_>) =
        machine::instructions().into_iter().partition(|(_, present)| *present);
    let names = |all: Vec<(&'static str, bool)>| all.into_iter().map(|(name, _)| name).collect();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cpu: cpu_name(),
        cores: std::thread::available_parallelism().ok().map(Into::into),
        threads: threads::current(),
        rayon: cfg!(feature = "rayon"),
        levels: Level::available().iter().map(|l| l.name()).collect(),
        chosen: level.name(),
        forced: std::env::var_os("SEPCONV_LEVEL").is_some_and(|v| !v.is_empty()),
        fma: level.has_fma(),
        optimized: !cfg!(debug_assertions),
        is_virtual: machine::is_virtual(),
        caches: machine::caches(),
        huge_pages: machine::huge_pages(),
        instructions: names(instructions),
        missing: names(missing),
        amx: Amx::request() == Amx::Granted,
        level,
        kernels: kernels(level)?,
        arithmetics: arithmetics(level)?,
    };
    if args.json { print_json(&report) } else { print(&report.table()) }
}

impl Report {
    fn table(&self) -> String {
        let columns = columns();
        let mut rows = self.machine();
        rows.push(("levels", self.levels.join(" ")));
        let forced = if self.forced { " (by SEPCONV_LEVEL)" } else { "" };
        rows.push(("chosen", format!("{}{forced}", self.chosen)));
        let mut text = list(rows, columns);
        for (title, chosen) in [
            ("kernels in f32, by layer", &self.kernels),
            ("kernels of a pointwise layer, 19×19, 728 → 728, by arithmetic", &self.arithmetics),
        ] {
            text += &wrap(title, columns);
            let rows = chosen.iter().map(|c| (format!("  {}", c.layer), c.kernel.as_str()));
            text += &list(rows, columns);
        }
        if let Some(note) = without_fma(self.level) {
            text += &wrap(&note, columns);
        }
        if !self.optimized {
            text += &wrap(
                "warning: this build is not optimised, and many times slower than one by \
                 `cargo build --release`",
                columns,
            );
        }
        text
    }

    /// What is known of this program and the machine.
    fn machine(&self) -> Vec<(&'static str, String)> {
        let unknown = || "unknown".to_owned();
        let threads = if self.rayon { "" } else { " (built without the feature rayon)" };
        let caches = self.caches.iter().map(|cache| {
            let kind = match cache.kind.as_str() {
                "data" => "d",
                "instruction" => "i",
                _ => "",
            };
            let size = machine::size(cache.bytes);
            let shared = match cache.cpus {
                1 => String::new(),
                cpus => format!(" for {cpus} CPUs"),
            };
            format!("L{}{kind} {size}{shared}", cache.level)
        });
        let caches: Vec<String> = caches.collect();
        let mut instructions = self.instructions.join(" ");
        if !self.missing.is_empty() {
            let comma = if instructions.is_empty() { "" } else { "; " };
            let _ = write!(instructions, "{comma}not {}", self.missing.join(" "));
        }
        let is_virtual = self.is_virtual.map(|yes| if yes { "yes" } else { "no" }.to_owned());
        vec![
            ("sepconv", self.version.into()),
            ("cpu", self.cpu.clone().unwrap_or_else(unknown)),
            ("cores", self.cores.map_or_else(unknown, |n| format!("{n} logical"))),
            ("threads", format!("{}{threads}", self.threads)),
            ("virtual", is_virtual.unwrap_or_else(unknown)),
            ("caches", if caches.is_empty() { unknown() } else { caches.join(", ") }),
            ("huge pages", self.huge_pages.clone().unwrap_or_else(unknown)),
            ("instructions", if instructions.is_empty() { "none".into() } else { instructions }),
            ("AMX", Amx::request().to_string()),
        ]
    }
}

/// What exact arithmetic costs on a level that has no fused multiply-adds, and what to do.
pub(super) fn without_fma(level: Level) -> Option<String> {
    (!level.has_fma()).then(|| {
        format!(
            "{level} has no fused multiply-adds. Exact layers emulate them, which takes many times \
             as long as --arithmetic unfused: products rounded before they are added, the same \
             bits on every CPU, too."
        )
    })
}

/// One layer of each kind at its size in Xception, and the kernels that its plan chooses.
fn kernels(level: Level) -> Result<Vec<Chosen>> {
    let options = Options::default().level(level);
    let zeros = vec![0.0; 2048 * 1000];
    let same = Window::new([3, 3]).padding(Padding::Same);
    let depthwise = |channels: usize| DepthwiseParams::new(same, &zeros[..9 * channels]);
    let plans: [(&'static str, Box<dyn Plan>); 7] = [
        (
            "convolution 3×3/2, 3 → 32",
            Box::new(Conv::new(
                [1, 299, 299, 3],
                &ConvParams::new(Window::new([3, 3]).stride([2, 2]), 32, &zeros[..9 * 3 * 32]),
                &options,
            )?),
        ),
        (
            "pointwise /2, 256 → 728",
            Box::new(Pointwise::new(
                [1, 37, 37, 256],
                &PointwiseParams::new(728, &zeros[..256 * 728]).stride([2, 2]),
                &options,
            )?),
        ),
        (
            "depthwise 3×3, 728",
            Box::new(Depthwise::new([1, 19, 19, 728], &depthwise(728), &options)?),
        ),
        (
            "separable 3×3, 728 → 728",
            Box::new(Separable::new(
                [1, 19, 19, 728],
                &SeparableParams::new(depthwise(728), 728, &zeros[..728 * 728])
                    .mid_activation(Default::default()),
                &options,
            )?),
        ),
        (
            "max pool 3×3/2, 128",
            Box::new(Pool::new([1, 147, 147, 128], PoolKind::Max, same.stride([2, 2]), &options)?),
        ),
        (
            "global average pool, 2048",
            Box::new(GlobalAveragePool::new([1, 10, 10, 2048], &options)?),
        ),
        (
            "dense, 2048 → 1000",
            Box::new(Dense::new([1, 1, 1, 2048], &DenseParams::new(1000, &zeros), &options)?),
        ),
    ];
    Ok(plans
        .into_iter()
        .map(|(layer, plan)| Chosen { layer, kernel: plan.kernel_name().to_owned() })
        .collect())
}

/// What a pointwise layer of Xception's middle flow uses in each arithmetic.
fn arithmetics(level: Level) -> Result<Vec<Chosen>> {
    const LAYER: &str = "pw 1x19x19x728 o728";
    let exact = Arithmetic::Exact;
    let ways = [
        ("exact", "", exact, false),
        ("unfused", "", Arithmetic::Unfused, false),
        ("bf16", "", Arithmetic::Bf16, false),
        ("bf16 --amx", "", Arithmetic::Bf16, true),
        ("fast, weights of bf16", " wbf16", Arithmetic::Fast, false),
        ("int8", " int8", exact, false),
        ("int8 --amx", " int8", exact, true),
    ];
    let chosen = ways.map(|(name, words, arithmetic, amx)| -> std::result::Result<_, String> {
        let layer = Layer::parse(&format!("{LAYER}{words}"))?.arithmetic(arithmetic).amx(amx);
        let plans = layer.pack(level)?().map_err(|e| e.to_string())?;
        let kernel = plans.iter().map(|plan| plan.kernel_name()).collect::<Vec<_>>().join(" then ");
        Ok(Chosen { layer: name, kernel })
    });
    chosen.into_iter().collect::<std::result::Result<_, _>>().map_err(Failure::Error)
}
