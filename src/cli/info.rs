//! `sepconv info`: what this machine has and what would be used of it.

use std::fmt::Write as _;

use sepconv::kernels::{
    Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams, GlobalAveragePool, Level,
    Options, Padding, Plan, Pointwise, PointwiseParams, Pool, PoolKind, Separable, SeparableParams,
    Window,
};

use super::{Result, print, threads};

/// Show the CPU, its instruction levels, and the kernels chosen for typical layers
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv info
  SEPCONV_LEVEL=scalar sepconv info")]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> Result {
    let level = Level::from_env()?;
    let names: Vec<_> = Level::available().iter().map(|l| l.name()).collect();
    let forced = std::env::var_os("SEPCONV_LEVEL").is_some_and(|v| !v.is_empty());
    let cores = std::thread::available_parallelism();
    let cores = cores.map_or_else(|_| "unknown".into(), |n| n.to_string());
    let mut text = format!(
        "sepconv  {}\ncpu      {}\ncores    {cores} logical\nthreads  {}{}\nlevels   {}\nchosen   {level}{}\n",
        env!("CARGO_PKG_VERSION"),
        cpu_name().unwrap_or_else(|| "unknown".into()),
        threads::current(),
        if cfg!(feature = "rayon") { "" } else { " (built without the feature rayon)" },
        names.join(" "),
        if forced { " (by SEPCONV_LEVEL)" } else { "" },
    );
    text.push_str("kernels\n");
    for (layer, kernel) in kernels(level)? {
        let _ = writeln!(text, "  {layer:36}  {kernel}");
    }
    print(&text)
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

/// A layer of each kind at its size in Xception, and the kernels that its plan chooses.
fn kernels(level: Level) -> Result<Vec<(&'static str, String)>> {
    let options = Options { level: Some(level), ..Options::default() };
    let zeros = vec![0.0; 2048 * 1000];
    let same = Window::new([3, 3]).padding(Padding::Same);
    let depthwise = |channels: usize| DepthwiseParams {
        window: same,
        multiplier: 1,
        weights: (&zeros[..9 * channels]).into(),
        bias: None,
    };
    let plans: [(&str, Box<dyn Plan>); 7] = [
        (
            "convolution 3×3/2, 3 → 32",
            Box::new(Conv::new(
                [1, 299, 299, 3],
                &ConvParams {
                    window: Window::new([3, 3]).stride([2, 2]),
                    groups: 1,
                    channels_out: 32,
                    weights: (&zeros[..9 * 3 * 32]).into(),
                    bias: None,
                },
                &options,
            )?),
        ),
        (
            "pointwise /2, 256 → 728",
            Box::new(Pointwise::new(
                [1, 37, 37, 256],
                &PointwiseParams {
                    stride: [2, 2],
                    channels_out: 728,
                    weights: (&zeros[..256 * 728]).into(),
                    bias: None,
                },
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
                &SeparableParams {
                    depthwise: depthwise(728),
                    mid_activation: Default::default(),
                    channels_out: 728,
                    weights: (&zeros[..728 * 728]).into(),
                    bias: None,
                },
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
            Box::new(Dense::new(
                [1, 1, 1, 2048],
                &DenseParams { channels_out: 1000, weights: (&zeros).into(), bias: None },
                &options,
            )?),
        ),
    ];
    let name =
        |(layer, plan): (&'static str, Box<dyn Plan>)| (layer, plan.kernel_name().to_owned());
    Ok(plans.into_iter().map(name).collect())
}
