//! `sepconv info`: shows the CPU, its instruction sets and the kernels in use.

use std::fmt::Write as _;

use sepconv::kernels::{
    Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams, GlobalAveragePool, Level,
    Options, Padding, Plan, Pointwise, PointwiseParams, Pool, PoolKind, Separable, SeparableParams,
    Window,
};
use serde::Serialize;

use super::{Result, print, print_json, threads};

/// Show the CPU, its instruction sets and the kernels for typical layers
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
    /// "kernels": [{"layer", "kernel"}]}
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
    #[serde(skip)]
    level: Level,
    kernels: Vec<Chosen>,
}

#[derive(Serialize)]
struct Chosen {
    layer: &'static str,
    kernel: String,
}

pub(super) fn run(args: Args) -> Result {
    let level = Level::from_env()?;
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
        level,
        kernels: kernels(level)?,
    };
    if args.json { print_json(&report) } else { print(&report.table()) }
}

impl Report {
    fn table(&self) -> String {
        let unknown = || "unknown".into();
        let mut text = format!(
            "sepconv  {}\ncpu      {}\ncores    {} logical\nthreads  {}{}\nlevels   {}\nchosen   {}{}\nkernels\n",
            self.version,
            self.cpu.clone().unwrap_or_else(unknown),
            self.cores.map_or_else(unknown, |n| n.to_string()),
            self.threads,
            if self.rayon { "" } else { " (built without the feature rayon)" },
            self.levels.join(" "),
            self.chosen,
            if self.forced { " (by SEPCONV_LEVEL)" } else { "" },
        );
        for Chosen { layer, kernel } in &self.kernels {
            let _ = writeln!(text, "  {layer:36}  {kernel}");
        }
        if let Some(note) = without_fma(self.level) {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

/// What exact arithmetic costs on a level that has no fused multiply-adds, and what to do.
pub(super) fn without_fma(level: Level) -> Option<String> {
    (!level.has_fma()).then(|| {
        format!(
            "{level} has no fused multiply-adds. Exact layers emulate them, which takes many times \
             as long as\n--arithmetic unfused: products rounded before they are added, the same \
             bits on every CPU, too."
        )
    })
}

#[cfg(target_os = "linux")]
pub(super) fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cpu_name() -> Option<String> {
    None
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
