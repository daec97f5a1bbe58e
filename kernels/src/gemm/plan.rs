//! A GEMM, prepared: what its operands are, how they are taken, and in what blocks.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::activation::Activation;
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::gemm::blocking::{Depth, Heights, KBlock, k_blocks, k_blocks_of_all_taps, mc};
use crate::gemm::kernels::{GemmKernels, PanelKernels};
use crate::gemm::operands::DirectA;
use crate::gemm::producer::Producer;
use crate::gemm::products::Products;
use crate::gemm::weights::PackedWeights;
use crate::geometry::{Axis, product};
use crate::memory;
use crate::names::joined;
use crate::options::Options;
use crate::pixels::{Placement, Region};
use crate::planes::PlanesKernels;

/// Tiles of fewer pixels have micro-kernels that widen 16-bit weights themselves. (Zen 4, 2048 ×
/// 1000 weights, time by that with f32. AVX-512: widened before, 2.1 with 2 pixels, 1.8 with 4, 1.3
/// with 12, 1.1 with 24; by the micro-kernels 1.1, 1.3, 1.1, 1.1. AVX2: widened before, 1.8, 1.7,
/// 1.2; by the micro-kernels 1.0.)
pub(super) const SMALL_M: usize = 24;

/// Pixels of a line that lies in the input itself, for each panel of output channels, at least.
/// With fewer of them the calls of micro-kernels, line by line, take as long as copies. (Emerald
/// Rapids, time by that with copies. AVX2, 4 panels: 3×3·64→64 at 36² 1.02, 3×3·32→64 at 48² 0.99;
/// 1 and 2 panels: 3×3·4→16 at 14² 0.65, 3×3·16→32 at 40² 0.90. AVX-512, 2 panels: 3×3·64→64 at 36²
/// 0.91, 3×3·16→64 at 28² 0.92.)
const LEAST_LINE: usize = 12;

/// What a GEMM computes, apart from its operands.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) groups: usize,
    /// \[N, H, W, C\] of the output.
    pub(crate) output: [usize; 4],
    /// A partition of the output's pixels.
    pub(crate) regions: Vec<Region>,
    /// Columns of A; its kernel is that of the regions' tap ranges.
    pub(crate) depth: Depth,
    /// The kernels that write the output if it is made of planes.
    pub(crate) output_planes: Option<&'static PlanesKernels>,
    /// How it multiplies, as the weights were packed for: by dot products, then of one tap.
    pub(crate) products: Products,
}

/// How the micro-kernels take A, where they don't take the input itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum TakesA {
    /// In panels of all k.
    Panels,
    /// In panels of one block of k at a time.
    Blocks,
}

/// How they take B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TakesB {
    /// As it is packed.
    Packed,
    /// Made f32 of 16 bits.
    Widened,
}

/// Where the sums wait between two blocks of k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sums {
    /// In the output itself: B panels change faster than blocks.
    InOutput,
    /// In scratch, to be rounded: the chains of a B panel end before those of the next begin.
    InScratch,
}

/// A region of output pixels and the k that its pixels use.
#[derive(Debug)]
pub(super) struct RegionPlan {
    pub(super) region: Region,
    pub(super) blocks: Vec<KBlock>,
    /// The k of a kernel row that its pixels use, of the first of these rows: a block where A is
    /// the input itself, and lies in several runs.
    pub(super) run: KBlock,
    /// Where the k of each kernel row begin in the panel.
    pub(super) k_starts: Vec<usize>,
    /// Whether the panel has k of taps in the padding, which are zeros.
    pub(super) has_padding: bool,
}

/// A GEMM with its producer, prepared.
#[derive(Debug)]
pub(crate) struct GemmPlan {
    pub(super) kernels: &'static GemmKernels,
    pub(super) products: Products,
    pub(super) producer: Producer,
    pub(super) weights: Arc<PackedWeights>,
    pub(super) groups: usize,
    /// \[N, H, W, C\] of the output.
    pub(super) output: [usize; 4],
    pub(super) regions: Vec<RegionPlan>,
    /// k of a group's weights.
    pub(super) k: usize,
    /// k of an A panel, blocks padded to whole vectors.
    pub(super) panel_depth: usize,
    /// Rows of an A panel.
    pub(super) panel_rows: usize,
    /// k of the longest block, in whole vectors.
    kc: usize,
    /// Most pixels of a tile, in whole micro-tiles.
    pub(super) mc: usize,
    pub(super) heights: Heights,
    /// Elements of the input pixels that a tile copies out of planes.
    patch: usize,
    pub(super) a: TakesA,
    /// Whether micro-kernels can take the input itself for A.
    pub(super) direct: bool,
    pub(super) b: TakesB,
    pub(super) sums: Sums,
    pub(super) output_planes: Option<&'static PlanesKernels>,
    /// Where each pixel of a tile lies in the sums that wait in scratch, in elements.
    pub(super) sums_rows: Vec<usize>,
    pub(super) input_type: ElementType,
    pub(super) output_type: ElementType,
    pub(super) activation: Activation,
}

/// Scratch elements of one thread, each in whole cache lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScratchParts {
    /// The A panels of a tile.
    pub(super) a: usize,
    /// The sums of a tile over one B panel.
    pub(super) sums: usize,
    /// A block of a B panel, widened.
    pub(super) b: usize,
    /// Input pixels, or residuals of integers, copied out of planes.
    patch: usize,
}

impl ScratchParts {
    pub(super) fn total(&self) -> usize {
        self.a + self.sums + self.b + self.patch
    }
}

impl GemmPlan {
    pub(crate) fn new(
        kernels: &'static GemmKernels,
        producer: Producer,
        weights: Arc<PackedWeights>,
        problem: Problem,
        options: &Options,
    ) -> Result<Self> {
        let Problem { groups, output, regions, depth, output_planes, products } = problem;
        product("output elements", &output)?;
        let is_int8 = matches!(products, Products::Int8(_));
        let of_tiles = matches!(products, Products::Tiles(_));
        // Sums can wait in an output of theirs, and end there.
        let fitting = options.output_type == ElementType::F32 && output_planes.is_none();
        let sums_in_output = fitting && !is_int8 && !of_tiles;
        let a = match products {
            Products::Dot(_) => TakesA::Panels,
            // With sums that are to be rounded each panel of B goes through all blocks.
            _ if producer.makes_blocks() && sums_in_output => TakesA::Blocks,
            _ => TakesA::Panels,
        };
        let (lanes, group) = (products.unit_of_k(kernels), products.group());
        // Panels of bf16 pairs are those of their f32 first.
        let of_panel = if is_int8 { group } else { 1 };
        let overflow = || Error::Overflow { what: "kernel elements" };
        // At least one vector, so that scratch never has length 0, which would mean no thread.
        let (mut panel_depth, mut kc) = (lanes, lanes);
        let mut plans = Vec::with_capacity(regions.len());
        for region in regions {
            let k_blocks = if products.is_bf16() { k_blocks_of_all_taps } else { k_blocks };
            let (mut blocks, k_starts, end) =
                k_blocks(&region, depth, lanes, products.kc()).ok_or_else(overflow)?;
            let run = KBlock::first_row(&region, depth);
            let of_region = [region.taps_y.len(), region.taps_x.len()];
            let has_padding = products.is_bf16() && of_region != depth.kernel;
            let longest = blocks.iter().map(|block| block.depth).max().unwrap_or(0);
            let longest = longest.checked_next_multiple_of(lanes).ok_or_else(overflow)?;
            let depth = if let TakesA::Blocks = a { longest } else { end };
            (kc, panel_depth) = (kc.max(longest), panel_depth.max(depth / of_panel));
            blocks.iter_mut().for_each(|block| *block = block.in_groups(group));
            plans.push(RegionPlan { region, blocks, run, k_starts, has_padding });
        }
        let (panel_rows, heights) = (products.panel_rows(kernels), products.heights());
        let mc = mc(panel_depth, heights.most());
        product("scratch", &[product("panel", &[panel_depth, panel_rows])?, mc])?;
        let patch = producer.patch(plans.iter().map(|plan| &plan.region), mc)?;
        let widens = group == 1 && !products.takes_bf16() && weights.element() != ElementType::F32;
        let in_scratch = !sums_in_output || widens || products.is_bf16();
        // Several runs of k are one block, of which no panel is widened.
        let k = depth.product()?;
        let in_one_block = depth.kernel[0] == 1 || k <= products.kc() && !widens;
        let sums_rows = (0..if in_scratch { mc } else { 0 }).map(|row| row * kernels.tile.nr);
        Ok(Self {
            kernels,
            products,
            direct: products.takes_input() && producer.is_direct() && in_one_block,
            producer,
            weights,
            groups,
            output,
            regions: plans,
            k,
            panel_depth,
            panel_rows,
            kc,
            mc,
            heights,
            patch,
            a,
            b: if widens { TakesB::Widened } else { TakesB::Packed },
            sums_rows: sums_rows.collect(),
            sums: if sums_in_output { Sums::InOutput } else { Sums::InScratch },
            output_planes,
            input_type: options.input_type,
            output_type: options.output_type,
            activation: options.activation.checked()?,
        })
    }

    /// \[N, H, W, C\].
    pub(crate) fn output(&self) -> [usize; 4] {
        self.output
    }

    /// The kernels that run.
    pub(crate) fn name(&self) -> String {
        let mut pixels = self.regions.iter().map(|plan| self.output[0] * plan.region.pixels());
        let small_m = pixels.clone().find(|&pixels| self.is_small_m(pixels));
        let large_m = pixels.find(|&pixels| !self.is_small_m(pixels));
        let widens = self.b == TakesB::Widened && large_m.is_some();
        let widen = self.kernels.widen_name(self.weights.element()).filter(|_| widens);
        let narrow = match (self.output_planes, self.products) {
            (_, Products::Int8(layer)) => Some(layer.kernels.requantize_name),
            (Some(planes), _) => Some(planes.of(self.output_type).to_name),
            (None, _) => self.kernels.narrow_name(self.output_type),
        };
        let of_panels = |pixels| self.panel_kernels(pixels).map(|kernels| kernels.name);
        let gemm = |pixels| of_panels(pixels).or(self.products.micro_kernels().map(|k| k.name));
        let own = [small_m.and_then(gemm), widen, large_m.and_then(gemm), narrow];
        let names = self.producer.names(self.input_type);
        joined(&[names[0], names[1], own[0], own[1], own[2], own[3]])
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        self.weights.bytes() + self.producer.weights_bytes()
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        self.producer.vertical()
    }

    pub(crate) fn scratch_len(&self, threads: usize) -> usize {
        memory::scratch_len(threads.max(1), self.scratch_parts().total())
    }

    /// The threads that scratch of this length has room for, none if it is too short for one.
    pub(super) fn workers(&self, scratch: usize) -> usize {
        memory::parts(scratch, self.scratch_parts().total())
    }

    pub(super) fn scratch_parts(&self) -> ScratchParts {
        let nr = self.kernels.tile.nr;
        let sums = match (self.sums, self.b) {
            (Sums::InOutput, TakesB::Packed) if !self.products.is_bf16() => 0,
            // Those of panels that aren't full, of which micro-kernels of whole panels know
            // nothing.
            (Sums::InOutput, TakesB::Widened) if matches!(self.products, Products::Chain(_)) => {
                SMALL_M
            }
            (Sums::InOutput | Sums::InScratch, _) => self.mc,
        };
        let b = if self.b == TakesB::Widened { self.kc } else { 0 };
        // Residuals of integers are copied out of planes, too, a B panel's columns at a time.
        let residuals = match (self.products, self.output_planes) {
            (Products::Int8(_), Some(_)) => self.mc * nr,
            _ => 0,
        };
        let lines = |len: usize| len.next_multiple_of(memory::LINE);
        ScratchParts {
            a: lines(self.panel_depth * self.mc),
            sums: lines(sums * nr),
            b: lines(b * nr),
            patch: lines(self.patch.max(residuals)),
        }
    }

    /// How micro-kernels take the input itself for A, if they can and it is no slower: for tiles of
    /// so many pixels of a region.
    pub(super) fn direct_a(
        &self,
        region: &Region,
        at: &Placement,
        pixels: usize,
    ) -> Option<DirectA> {
        if !self.direct || self.is_small_m(pixels) {
            return None;
        }
        let least = self.panel_rows.max(LEAST_LINE * self.weights.panels());
        self.producer.direct(region, at, least)
    }

    /// Elements of an A panel.
    pub(super) fn a_panel(&self) -> usize {
        self.panel_depth * self.panel_rows
    }

    /// Whether a tile of so many pixels has micro-kernels that widen weights themselves.
    pub(super) fn is_small_m(&self, pixels: usize) -> bool {
        let has_kernels = match self.products {
            Products::Chain(chain) => chain.small_m.is_some(),
            _ => true,
        };
        self.b == TakesB::Widened && pixels < SMALL_M && has_kernels
    }

    /// The micro-kernels for a tile of so many pixels if they are of whole panels.
    pub(super) fn panel_kernels(&self, pixels: usize) -> Option<&'static PanelKernels> {
        match (self.products, self.is_small_m(pixels)) {
            (Products::Bf16(bf16), true) => Some(&bf16.small_m),
            (Products::Bf16(bf16), false) => Some(&bf16.large_m),
            (Products::Bf16Pairs(pairs), _) => Some(&pairs.gemm),
            (Products::Tiles(tiles), _) => Some(&tiles.unit.gemm),
            (Products::Int8(layer), _) => Some(layer.gemm()),
            (Products::Chain(chain), true) => chain.small_m(self.weights.element()),
            (Products::Chain(_) | Products::Dot(_), _) => None,
        }
    }
}
