//! Times to figures, with the names that they have in a record.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// One engine's times in ms, by round.
pub struct Series {
    pub name: String,
    pub version: &'static str,
    /// From sepconv's logits, as a part of the largest.
    pub difference: f64,
    pub rounds: Vec<Vec<f64>>,
}

impl Series {
    fn min(&self) -> f64 {
        self.rounds.iter().flatten().copied().fold(f64::INFINITY, f64::min)
    }

    /// Of each round.
    fn medians(&self) -> Vec<f64> {
        self.rounds.iter().map(|times| median(times)).collect()
    }
}

pub struct Report {
    /// Height and width.
    pub size: [usize; 2],
    pub level: &'static str,
    pub threads: usize,
    pub runs: u16,
    pub multiply_adds: u64,
    /// GFLOP/s, by round.
    pub peaks: Vec<f64>,
    /// sepconv's first.
    pub series: Vec<Series>,
}

/// What a series shows.
struct Summary<'a> {
    series: &'a Series,
    medians: Vec<f64>,
    median_ms: f64,
    gflops: f64,
    peak_share: f64,
    /// Of each round, sepconv's time divided by the engine's; empty for sepconv itself.
    ratios: Vec<f64>,
}

impl Report {
    fn summaries(&self) -> Vec<Summary<'_>> {
        self.series.iter().map(|series| self.summary(series)).collect()
    }

    fn summary<'a>(&self, series: &'a Series) -> Summary<'a> {
        let (ours, medians) = (self.series[0].medians(), series.medians());
        let gflops = |ms: f64| 2e-6 * self.multiply_adds as f64 / ms;
        let shares = medians.iter().zip(&self.peaks).map(|(&ms, peak)| gflops(ms) / peak);
        let ratios = ours.iter().zip(&medians).map(|(ours, its)| ours / its);
        let median_ms = median(&medians);
        Summary {
            series,
            median_ms,
            gflops: gflops(median_ms),
            peak_share: median(&shares.collect::<Vec<_>>()),
            ratios: if series.name == "sepconv" { Vec::new() } else { ratios.collect() },
            medians,
        }
    }

    /// The fastest comes first.
    pub fn table(&self) -> String {
        let [height, width] = self.size;
        let mut text = format!(
            "\nXception {height}×{width}, batch 1, f32, {} thread{}; {} rounds of {} runs; \
             FMA peak {:.1} GFLOP/s ({})\n\n",
            self.threads,
            if self.threads == 1 { "" } else { "s" },
            self.peaks.len(),
            self.runs,
            median(&self.peaks),
            self.level,
        );
        let _ = writeln!(
            text,
            "{:18} {:10} {:>8} {:>8} {:>8} {:>8}   {:22} max|Δ|/max|y|",
            "engine", "version", "min ms", "median", "GFLOP/s", "of peak", "sepconv ÷ it (range)"
        );
        let mut summaries = self.summaries();
        summaries.sort_by(|a, b| a.median_ms.total_cmp(&b.median_ms));
        for s in summaries {
            let ratio = if s.ratios.is_empty() {
                String::new()
            } else {
                let [low, high] = range(&s.ratios);
                format!("{:.3} ({low:.3}–{high:.3})", median(&s.ratios))
            };
            let _ = writeln!(
                text,
                "{:18} {:10} {:8.1} {:8.1} {:8.1} {:7.1}%   {ratio:22} {:.1e}",
                s.series.name,
                s.series.version,
                s.series.min(),
                s.median_ms,
                s.gflops,
                s.peak_share * 100.0,
                s.series.difference,
            );
        }
        text + "max|Δ|/max|y|: from sepconv's logits\n"
    }

    pub fn json(&self) -> Value {
        let (mut versions, mut runtimes) = (Map::new(), Map::new());
        for s in self.summaries() {
            let mut value = json!({
                "min_ms": s.series.min(),
                "median_ms": s.median_ms,
                "round_medians_ms": s.medians,
                "gflops": s.gflops,
                "peak_share": s.peak_share,
            });
            if !s.ratios.is_empty() {
                value["ours_over_it"] = median(&s.ratios).into();
                value["ours_over_it_range"] = range(&s.ratios).to_vec().into();
            }
            value["difference"] = s.series.difference.into();
            versions.insert(s.series.name.clone(), s.series.version.into());
            runtimes.insert(s.series.name.clone(), value);
        }
        json!({
            "versions": versions,
            "size": self.size,
            "batch": 1,
            "level": self.level,
            "multiply_adds": self.multiply_adds,
            "peak_gflops": median(&self.peaks),
            "rounds": self.peaks.len(),
            "runs": self.runs,
            "runtimes": runtimes,
        })
    }
}

/// The middle value, or the mean of the two.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

fn range(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least, largest]
}
