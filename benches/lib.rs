//! What the benchmarks share: tables of layers, and the gemm crate as the yardstick.

use sepconv::kernels::{self, Aligned};
use sepconv::weights::synthetic;

#[path = "../src/cli/layer.rs"]
pub mod layer;

/// Layers of a network.
#[derive(Debug)]
pub struct Table {
    /// The network.
    pub name: &'static str,
    /// Pointwise layers, also measured against the gemm crate.
    pub pointwise: &'static [Product],
    /// The others, as texts for [`layer::Layer::parse`].
    pub others: &'static [&'static str],
}

/// A pointwise layer: (side·side × inner) · (inner × out).
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Height and width.
    pub side: usize,
    /// Input channels.
    pub inner: usize,
    /// Output channels.
    pub out: usize,
}

impl Product {
    /// As a text for [`layer::Layer::parse`].
    pub fn text(&self) -> String {
        let Self { side, inner, out } = self;
        format!("pw 1x{side}x{side}x{inner} o{out}")
    }
}

/// The networks whose layers are measured.
pub const TABLES: [Table; 3] = [
    Table {
        name: "xception",
        pointwise: &[
            Product { side: 147, inner: 64, out: 128 },
            Product { side: 147, inner: 128, out: 128 },
            Product { side: 74, inner: 128, out: 256 },
            Product { side: 37, inner: 256, out: 728 },
            Product { side: 19, inner: 728, out: 728 },
            Product { side: 10, inner: 1024, out: 1536 },
            Product { side: 10, inner: 1536, out: 2048 },
        ],
        others: &[
            "dw 1x147x147x128 k3",
            "dw 1x112x112x64 k3 s2",
            "dw 1x74x74x256 k3",
            "dw 1x37x37x728 k3",
            "dw 1x19x19x728 k3",
            "dw 1x10x10x1536 k3",
            "sep 1x147x147x64 o128 k3",
            "sep 1x147x147x128 o128 k3",
            "sep 1x74x74x128 o256 k3",
            "sep 1x37x37x256 o728 k3",
            "sep 1x19x19x728 o728 k3",
            "sep 1x10x10x1024 o1536 k3",
            "sep 1x10x10x1536 o2048 k3",
            "conv 1x299x299x3 o32 k3 s2",
            "conv 1x149x149x32 o64 k3",
        ],
    },
    Table {
        name: "mobilenet_v1",
        pointwise: &[
            Product { side: 112, inner: 32, out: 64 },
            Product { side: 56, inner: 64, out: 128 },
            Product { side: 56, inner: 128, out: 128 },
            Product { side: 28, inner: 128, out: 256 },
            Product { side: 28, inner: 256, out: 256 },
            Product { side: 14, inner: 256, out: 512 },
            Product { side: 14, inner: 512, out: 512 },
            Product { side: 7, inner: 512, out: 1024 },
            Product { side: 7, inner: 1024, out: 1024 },
        ],
        others: &[
            "dw 1x112x112x32 k3",
            "dw 1x112x112x64 k3 s2",
            "dw 1x56x56x128 k3",
            "dw 1x56x56x128 k3 s2",
            "dw 1x28x28x256 k3",
            "dw 1x28x28x256 k3 s2",
            "dw 1x14x14x512 k3",
            "dw 1x14x14x512 k3 s2",
            "dw 1x7x7x1024 k3",
            "sep 1x112x112x32 o64 k3",
            "sep 1x56x56x128 o128 k3",
            "sep 1x28x28x256 o256 k3",
            "sep 1x14x14x512 o512 k3",
            "sep 1x7x7x1024 o1024 k3",
            "conv 1x224x224x3 o32 k3 s2",
        ],
    },
    Table {
        name: "wide_depthwise",
        pointwise: &[],
        others: &[
            "dw 1x14x14x512 k5",
            "dw 1x14x14x512 k7",
            "dw 1x14x14x512 k9",
            "dw 1x14x14x512 k1x31",
            "dw 1x14x14x512 k31x1",
            "dw 1x14x14x512 k3 d2",
            "dw 1x28x28x240 k5 s2",
        ],
    },
];

/// The gemm crate on the matrices of a pointwise layer, all row-major, on the calling thread.
#[derive(Debug)]
pub struct Gemm {
    product: Product,
    x: Aligned,
    weights: Aligned,
    y: Aligned,
}

impl Gemm {
    /// With the data that the layer has.
    ///
    /// # Errors
    /// The memory can't be allocated.
    pub fn new(product: Product) -> Result<Self, kernels::Error> {
        let Product { side, inner: k, out: n } = product;
        let m = side * side;
        let random = |name: &str, len: usize| -> Result<Aligned, kernels::Error> {
            let mut data = Aligned::new(len, 0.0)?;
            for (x, u) in data.iter_mut().zip(synthetic::uniform(name)) {
                *x = u as f32;
            }
            Ok(data)
        };
        let (x, weights) = (random("input", m * k)?, random("pointwise", k * n)?);
        Ok(Self { product, x, weights, y: Aligned::new(m * n, f32::NAN)? })
    }

    /// Computes it; the result has the rows of the layer's output.
    pub fn run(&mut self) -> &[f32] {
        let Product { side, inner: k, out: n } = self.product;
        let m = side * side;
        let (x, weights) = (&self.x, &self.weights);
        let y = &mut self.y;
        // SAFETY: m·k, k·n and m·n elements, all initialised; y is borrowed mutably.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                y.as_mut_ptr(),
                1,
                n as isize,
                false,
                x.as_ptr(),
                1,
                k as isize,
                weights.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        y
    }
}
