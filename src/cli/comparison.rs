//! The results of `sepconv compare`, as JSON and as text.

use std::fmt::Write as _;

use serde::Serialize;

use super::bench::context;
use super::speed::Speed;
use super::thousands;

/// All results.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) cpu: Option<String>,
    pub(super) level: &'static str,
    pub(super) threads: usize,
    pub(super) peak_gflops: f64,
    pub(super) layers: Vec<LayerRow>,
    pub(super) spectrum: Vec<SpectrumRow>,
    pub(super) networks: Vec<NetworkRow>,
}

/// A layer in one of two forms.
#[derive(Serialize)]
pub(super) struct Form {
    pub(super) parameters: u64,
    pub(super) multiply_adds: u64,
    #[serde(flatten)]
    pub(super) speed: Speed,
}

/// A shape of layer in both forms.
#[derive(Serialize)]
pub(super) struct LayerRow {
    /// `147×147, 64 → 128`
    pub(super) layer: String,
    /// The number of layers of this shape in Xception.
    pub(super) count: usize,
    pub(super) standard: Form,
    pub(super) separable: Form,
    /// Multiply-adds of the standard layer ÷ those of the separable one.
    pub(super) promised: f64,
    /// Time of the standard layer ÷ that of the separable one: the median of the rounds' ratios.
    pub(super) obtained: f64,
}

/// A block of the spectrum.
#[derive(Serialize)]
pub(super) struct SpectrumRow {
    pub(super) block: String,
    pub(super) segments: usize,
    pub(super) parameters: u64,
    pub(super) multiply_adds: u64,
    #[serde(flatten)]
    pub(super) speed: Speed,
}

/// A network.
#[derive(Serialize)]
pub(super) struct NetworkRow {
    pub(super) network: &'static str,
    pub(super) size: [usize; 2],
    pub(super) parameters: u64,
    pub(super) multiply_adds: u64,
    #[serde(flatten)]
    pub(super) speed: Speed,
    /// From the paper's Table 3.
    pub(super) paper: Option<Published>,
}

/// The figures of the Xception paper for a network.
#[derive(Serialize, Clone, Copy)]
pub(super) struct Published {
    pub(super) parameters: u64,
    /// Training steps per second on 60 NVIDIA K80.
    pub(super) steps_per_second: u32,
    /// ImageNet, single crop, single model (Table 1).
    pub(super) top1: f64,
    pub(super) top5: f64,
}

impl Report {
    pub(super) fn tables(&self) -> String {
        let mut text = context(self.level, self.threads);
        let _ = writeln!(text, ", {:.1} GFLOP/s FMA peak", self.peak_gflops);
        if let Some(cpu) = &self.cpu {
            let _ = writeln!(text, "{cpu}");
        }
        text.push_str("\n1. Separable layers of Xception, 3×3, beside standard convolutions of the same shape\n\n");
        let heading = [
            "layer",
            "times",
            "parameters",
            "separable",
            "M multiply-adds",
            "separable",
            "ms",
            "separable",
            "GFLOP/s",
            "separable",
            "promised",
            "obtained",
        ];
        let mega = |n: u64| format!("{:.1}", n as f64 / 1e6);
        let rows = self.layers.iter().map(|row| {
            let (a, b) = (&row.standard, &row.separable);
            vec![
                row.layer.clone(),
                row.count.to_string(),
                thousands(a.parameters),
                thousands(b.parameters),
                mega(a.multiply_adds),
                mega(b.multiply_adds),
                format!("{:.3}", a.speed.median_ms),
                format!("{:.3}", b.speed.median_ms),
                format!("{:.1}", a.speed.gflops),
                format!("{:.1}", b.speed.gflops),
                format!("{:.2}×", row.promised),
                format!("{:.2}×", row.obtained),
            ]
        });
        text.push_str(&table(&heading, rows));

        text.push_str("\n2. From standard to depthwise: 19×19, 728 → 728 channels, S segments\n\n");
        let heading = ["block", "parameters", "M multiply-adds", "ms", "GFLOP/s", "of peak"];
        let rows = self.spectrum.iter().map(|row| {
            vec![
                row.block.clone(),
                thousands(row.parameters),
                mega(row.multiply_adds),
                format!("{:.3}", row.speed.median_ms),
                format!("{:.1}", row.speed.gflops),
                percent(row.speed.peak_share),
            ]
        });
        text.push_str(&table(&heading, rows));

        text.push_str("\n3. Networks, one picture\n\n");
        let heading = [
            "network",
            "size",
            "parameters",
            "M multiply-adds",
            "ms",
            "pictures/s",
            "of peak",
            "paper: parameters",
            "training steps/s",
        ];
        let rows = self.networks.iter().map(|row| {
            let paper = |f: &dyn Fn(Published) -> String| row.paper.map_or("—".into(), f);
            vec![
                row.network.into(),
                format!("{}×{}", row.size[0], row.size[1]),
                thousands(row.parameters),
                mega(row.multiply_adds),
                format!("{:.2}", row.speed.median_ms),
                format!("{:.1}", 1e3 / row.speed.median_ms),
                percent(row.speed.peak_share),
                paper(&|p| thousands(p.parameters)),
                paper(&|p| p.steps_per_second.to_string()),
            ]
        });
        text.push_str(&table(&heading, rows));
        text.push_str(
            "\nThe paper is arXiv 1610.02357, Table 3; it trained on 60 NVIDIA K80. Its accuracies on\n\
             ImageNet, Table 1, were not measured here:\n\n",
        );
        let heading = ["network", "top-1", "top-5"];
        let rows = self.networks.iter().filter_map(|row| {
            let paper = row.paper?;
            Some(vec![
                row.network.into(),
                format!("{:.3}", paper.top1),
                format!("{:.3}", paper.top5),
            ])
        });
        text.push_str(&table(&heading, rows));
        text
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Aligns the first column to the left, the others to the right.
fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading: Vec<String> = heading.iter().map(|&cell| cell.into()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}
