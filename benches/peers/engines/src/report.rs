//! Times to figures.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One engine's times in ms, by round.
pub struct Series {
    name: &'static str,
    version: &'static str,
    /// From sepconv's logits, as a part of the largest.
    difference: f64,
    pub rounds: Vec<Vec<f64>>,
}

impl Series {
    pub fn new(name: &'static str, version: &'static str, difference: f64) -> Self {
        Self { name, version, difference, rounds: Vec::new() }
    }

    fn min(&self) -> f64 {
        self.rounds.iter().flatten().copied().fold(f64::INFINITY, f64::min)
    }

    fn medians(&self) -> Vec<f64> {
        self.rounds.iter().map(|times| median(times)).collect()
    }
}

pub struct Report {
    pub threads: usize,
    pub runs: u16,
    pub multiply_adds: u64,
    /// GFLOP/s, by round.
    pub peaks: Vec<f64>,
    /// sepconv's first.
    pub series: Vec<Series>,
}

impl Report {
    fn gflops(&self, ms: f64) -> f64 {
        2e-6 * self.multiply_adds as f64 / ms
    }

    fn share(&self, series: &Series) -> f64 {
        let medians = series.medians();
        let shares: Vec<_> =
            medians.iter().zip(&self.peaks).map(|(ms, peak)| self.gflops(*ms) / peak).collect();
        median(&shares)
    }

    /// Of each round, sepconv's time through the engine's.
    fn ratios(&self, series: &Series) -> Vec<f64> {
        let ours = self.series[0].medians();
        ours.iter().zip(series.medians()).map(|(ours, its)| ours / its).collect()
    }

    pub fn table(&self) -> String {
        let s = if self.threads == 1 { "" } else { "s" };
        let mut text = format!(
            "\nXception, batch 1, f32, {} thread{s}; {} rounds of {} runs; FMA peak {:.1} GFLOP/s\n\n",
            self.threads,
            self.peaks.len(),
            self.runs,
            median(&self.peaks)
        );
        let _ = writeln!(
            text,
            "{:10} {:12} {:>8} {:>8} {:>8} {:>8}   {:22} max|Δ|/max|y|",
            "engine", "version", "min ms", "median", "GFLOP/s", "of peak", "sepconv ÷ it (range)"
        );
        for series in &self.series {
            let ms = median(&series.medians());
            let ratios = self.ratios(series);
            let [low, high] = range(&ratios);
            let ratio = format!("{:.3} ({low:.3}–{high:.3})", median(&ratios));
            let _ = writeln!(
                text,
                "{:10} {:12} {:8.1} {ms:8.1} {:8.1} {:7.1}%   {:22} {:.1e}",
                series.name,
                series.version,
                series.min(),
                self.gflops(ms),
                self.share(series) * 100.0,
                if series.name == "sepconv" { "" } else { &ratio },
                series.difference,
            );
        }
        text
    }

    pub fn json(&self) -> Value {
        let runtimes = self.series.iter().map(|series| {
            let medians = series.medians();
            let ms = median(&medians);
            let mut value = json!({
                "version": series.version,
                "min_ms": series.min(),
                "median_ms": ms,
                "round_medians_ms": medians,
                "gflops": self.gflops(ms),
                "peak_share": self.share(series),
                "difference": series.difference,
            });
            if series.name != "sepconv" {
                let ratios = self.ratios(series);
                value["ours_over_it"] = json!(median(&ratios));
                value["ours_over_it_range"] = json!(range(&ratios));
            }
            (series.name.to_owned(), value)
        });
        json!({
            "multiply_adds": self.multiply_adds,
            "peak_gflops": median(&self.peaks),
            "rounds": self.peaks.len(),
            "runs": self.runs,
            "runtimes": runtimes.collect::<serde_json::Map<_, _>>(),
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
    let fold = |f: fn(f64, f64) -> f64, start| values.iter().copied().fold(start, f);
    [fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY)]
}
