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
    pub(super) arithmetic: &'static str,
    pub(super) peak_gflops: f64,
    pub(super) layers: Vec<LayerRow>,
    pub(super) spectrum: Vec<SpectrumRow>,
    pub(super) networks: Vec<NetworkRow>,
    /// The network that the layers are from.
    #[serde(skip)]
    pub(super) name: Option<String>,
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
    /// The number of layers of this shape in the network.
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
    pub(super) network: String,
    pub(super) size: [usize; 2],
    /// Pictures in one run.
    pub(super) batch: usize,
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
    /// All tables that have rows.
    pub(super) fn tables(&self) -> String {
        let mut text = context(self.level, self.threads);
        let _ = writeln!(text, ", {:.1} GFLOP/s FMA peak", self.peak_gflops);
        if let Some(cpu) = &self.cpu {
            let _ = writeln!(text, "{cpu}");
        }
        if self.arithmetic == "int8" {
            text.push_str(
                "8-bit integers throughout, in separable and standard layers. Networks are\n\
                 quantized on their input. \"of peak\" is the share of f32's peak.\n",
            );
        }
        let tables = [self.layer_table(), self.spectrum_table(), self.network_table()];
        for (i, table) in tables.into_iter().flatten().enumerate() {
            let _ = write!(text, "\n{}. {table}", i + 1);
        }
        text
    }

    fn layer_table(&self) -> Option<String> {
        let title = match &self.name {
            Some(name) => format!(
                "Separable layers of {name}, beside standard convolutions of the same shape"
            ),
            None => "Separable layers, beside standard convolutions of the same shape".into(),
        };
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
        (!self.layers.is_empty()).then(|| format!("{title}\n\n{}", table(&heading, rows)))
    }

    fn spectrum_table(&self) -> Option<String> {
        let title = "From standard to depthwise: 19×19, 728 → 728 channels, S segments";
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
        (!self.spectrum.is_empty()).then(|| format!("{title}\n\n{}", table(&heading, rows)))
    }

    fn network_table(&self) -> Option<String> {
        let pictures = match self.networks.first()?.batch {
            1 => "one picture".into(),
            batch => format!("{batch} pictures at a time"),
        };
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
        let has_paper = self.networks.iter().any(|row| row.paper.is_some());
        let heading = if has_paper { &heading[..] } else { &heading[..7] };
        let rows = self.networks.iter().map(|row| {
            let paper = |f: &dyn Fn(Published) -> String| row.paper.map_or("—".into(), f);
            let mut cells = vec![
                row.network.clone(),
                format!("{}×{}", row.size[0], row.size[1]),
                thousands(row.parameters),
                mega(row.multiply_adds),
                format!("{:.2}", row.speed.median_ms),
                format!("{:.1}", row.batch as f64 * 1e3 / row.speed.median_ms),
                percent(row.speed.peak_share),
            ];
            if has_paper {
                cells.push(paper(&|p| thousands(p.parameters)));
                cells.push(paper(&|p| p.steps_per_second.to_string()));
            }
            cells
        });
        let mut text = format!("Networks, {pictures}\n\n{}", table(heading, rows));
        if has_paper {
            text.push_str(&self.paper_table());
        }
        Some(text)
    }

    fn paper_table(&self) -> String {
        let rows = self.networks.iter().filter_map(|row| {
            let paper = row.paper?;
            Some(vec![
                row.network.clone(),
                format!("{:.3}", paper.top1),
                format!("{:.3}", paper.top5),
            ])
        });
        format!(
            "\nThe paper is arXiv 1610.02357, Table 3; it trained on 60 NVIDIA K80. Its accuracies on\n\
             ImageNet, Table 1, were not measured here:\n\n{}",
            table(&["network", "top-1", "top-5"], rows)
        )
    }
}

fn mega(n: u64) -> String {
    format!("{:.1}", n as f64 / 1e6)
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
