//! The results of `sepconv compare`, as JSON and as text.

use std::fmt::Write as _;

use serde::Serialize;

use super::bench::context;
use super::speed::{Speed, doubt, dropped_text, milliseconds, percent};
use super::text::{Row, columns, table, wrap};
use super::thousands;

/// All results.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) cpu: Option<String>,
    pub(super) level: &'static str,
    pub(super) threads: usize,
    pub(super) arithmetic: &'static str,
    pub(super) peak_gflops: f64,
    pub(super) rounds: usize,
    pub(super) dropped_rounds: usize,
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
    /// Median time of the standard layer ÷ that of the separable one.
    pub(super) obtained: f64,
    /// Half of the rounds' ratios lie between.
    pub(super) obtained_quartiles: [f64; 2],
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
            text += &wrap(
                "8-bit integers throughout, in separable and standard layers. Networks are \
                 quantized on their input. \"of peak\" is the share of f32's peak.",
                columns(),
            );
        }
        let tables = [self.layer_table(), self.spectrum_table(), self.network_table()];
        for (i, table) in tables.into_iter().flatten().enumerate() {
            let _ = write!(text, "\n{}. {table}", i + 1);
        }
        if let Some(dropped) = dropped_text(self.dropped_rounds, self.rounds) {
            text += &format!("\n{}", wrap(&dropped, columns()));
        }
        // Others than f32's multiply-adds may be faster than these.
        if ["exact", "unfused"].contains(&self.arithmetic)
            && let Some(doubt) = doubt(self.shares())
        {
            text += &format!("\n{}", wrap(doubt, columns()));
        }
        text
    }

    /// The shares of the peak that the tables show.
    fn shares(&self) -> impl Iterator<Item = f64> {
        let blocks = self.spectrum.iter().map(|row| row.speed.peak_share);
        blocks.chain(self.networks.iter().map(|row| row.speed.peak_share))
    }

    fn layer_table(&self) -> Option<String> {
        let of = self.name.as_ref().map_or(String::new(), |name| format!(" of {name}"));
        let title =
            format!("Separable layers{of}, each below the standard convolution of the same shape");
        let heading = Row::new(
            "layer",
            ["parameters", "multiply-\nadds, M", "ms", "GFLOP/s", "work\nsaved", "time\nsaved"],
        );
        let cells = |form: &Form| {
            vec![
                thousands(form.parameters),
                mega(form.multiply_adds),
                milliseconds(form.speed.median_ms),
                format!("{:.1}", form.speed.gflops),
            ]
        };
        let rows = self.layers.iter().flat_map(|row| {
            let times = match row.count {
                1 => String::new(),
                count => format!(" (×{count})"),
            };
            let saved = [row.promised, row.obtained].map(|saved| format!("{saved:.2}×"));
            let separable = cells(&row.separable).into_iter().chain(saved);
            [
                Row::new(format!("{}{times}", row.layer), cells(&row.standard)),
                Row::new("  separable", separable),
            ]
        });
        (!self.layers.is_empty()).then(|| titled(&title, heading, rows.collect()))
    }

    fn spectrum_table(&self) -> Option<String> {
        let title = "From standard to depthwise: 19×19, 728 → 728 channels, S segments";
        let heading =
            Row::new("block", ["parameters", "multiply-\nadds, M", "ms", "GFLOP/s", "of peak"]);
        let rows = self.spectrum.iter().map(|row| {
            Row::new(
                row.block.as_str(),
                [
                    thousands(row.parameters),
                    mega(row.multiply_adds),
                    milliseconds(row.speed.median_ms),
                    format!("{:.1}", row.speed.gflops),
                    percent(row.speed.peak_share),
                ],
            )
        });
        (!self.spectrum.is_empty()).then(|| titled(title, heading, rows.collect()))
    }

    fn network_table(&self) -> Option<String> {
        let pictures = match self.networks.first()?.batch {
            1 => "one picture".into(),
            batch => format!("{batch} pictures at a time"),
        };
        let heading = Row::new(
            "network",
            ["parameters", "multiply-\nadds, M", "ms", "pictures\nper s", "GFLOP/s", "of peak"],
        );
        let rows = self.networks.iter().map(|row| {
            Row::new(
                format!("{} {}×{}", row.network, row.size[0], row.size[1]),
                [
                    thousands(row.parameters),
                    mega(row.multiply_adds),
                    milliseconds(row.speed.median_ms),
                    format!("{:.1}", row.batch as f64 * 1e3 / row.speed.median_ms),
                    format!("{:.1}", row.speed.gflops),
                    percent(row.speed.peak_share),
                ],
            )
        });
        let mut text = titled(&format!("Networks, {pictures}"), heading, rows.collect());
        if self.networks.iter().any(|row| row.paper.is_some()) {
            text.push_str(&self.paper_table());
        }
        Some(text)
    }

    /// What the paper says of the networks.
    fn paper_table(&self) -> String {
        let rows = self.networks.iter().filter_map(|row| {
            let paper = row.paper?;
            Some(Row::new(
                row.network.as_str(),
                [
                    thousands(paper.parameters),
                    paper.steps_per_second.to_string(),
                    format!("{:.3}", paper.top1),
                    format!("{:.3}", paper.top5),
                ],
            ))
        });
        let heading = Row::new("network", ["parameters", "training\nsteps/s", "top-1", "top-5"]);
        let source = "The paper's own figures, which were not measured here: arXiv 1610.02357, \
                      Table 3, trained on 60 NVIDIA K80; accuracies on ImageNet, Table 1.";
        let columns = columns();
        format!("\n{}\n{}", wrap(source, columns), table(heading, rows.collect(), columns))
    }
}

/// A table below its title.
fn titled(title: &str, heading: Row, rows: Vec<Row>) -> String {
    let columns = columns();
    // Behind a number.
    let title = wrap(title, columns - 3);
    format!("{title}\n{}", table(heading, rows, columns))
}

fn mega(n: u64) -> String {
    format!("{:.1}", n as f64 / 1e6)
}
