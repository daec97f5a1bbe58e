//! The one GEMM: pixels × taps·channels by taps·channels × output channels, fed by any producer.
//!
//! ```text
//! for each task = (group, tile of pixels, part of the output channels)   // on any thread, in any order
//!   for each k block                                                     // ascending: one chain per output
//!     producer fills the tile's A panels, this block (or all, before)    // stays in L2
//!     for each B panel of the part                                       // stays in L1
//!       for each A panel of the tile
//!         micro-kernel
//! ```
//!
//! With 16-bit operands this stays a GEMM of f32: the producer widens the input, and the weights are widened once
//! for each tile of pixels, a block of a B panel at a time, in scratch; for few pixels by each micro-kernel as it
//! loads them. The sums of 16-bit outputs stay in scratch until their chains end, for which all blocks of a panel
//! are computed one after the other; then they are rounded. (Rounding in the micro-kernel was measured to take 1 %
//! off shallow layers, and made the crate build for twice as long.)

pub(crate) mod kernels;
pub(crate) mod micro_kernel;
pub(crate) mod narrow;
pub(crate) mod pair;
pub(crate) mod tile;
pub(crate) mod widen;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::null;

use crate::activation::{ActivateRun, Activation};
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::geometry::{Axis, product};
use crate::memory::LINE_BYTES;
use crate::panel::{PackedWeights, Region, Source, Tile};
use crate::threads::{self, Shared, SharedMut};
use crate::window::Placement;
use crate::{NhwcView, NhwcViewMut, Options, memory};
use kernels::{DotKernels, GemmKernels, MicroKernels, SmallMKernels};
use micro_kernel::{Epilogue, MicroTiles, Prefetch, Residual};
use narrow::NarrowRun;
use pair::PairRun;
use tile::TileSize;
use widen::WidenRun;

/// Most pixels of a tile. Weights are read once per tile: the taller, the fewer times.
const TILE_PIXELS: usize = 128;
/// Least pixels of a tile that was made smaller for the sake of equal shares. With fewer of them each weight
/// that comes from L3 is used too rarely: the threads then share the output channels.
const SHARED_PIXELS: usize = 64;
/// Tiles of fewer pixels have micro-kernels that widen 16-bit weights themselves. (Zen 4, 2048 × 1000 weights, time
/// by that with f32. AVX-512: widened before, 2.1 with 2 pixels, 1.8 with 4, 1.3 with 12, 1.1 with 24; by the
/// micro-kernels 1.1, 1.3, 1.1, 1.1. AVX2: widened before, 1.8, 1.7, 1.2; by the micro-kernels 1.0.)
const FEW: usize = 24;
/// The largest MR of a level.
const MAX_ROWS: usize = 16;
/// Bytes of A panels in use at a time, those of one k block: three quarters of the smallest L2 (512 KiB)
/// that the crate aims at.
const TILE_BYTES: usize = 384 << 10;
/// Most k of a block. The accumulators go through memory between blocks, which costs more than a B panel
/// of 48 KiB (AVX2) that streams from L2 rather than L1: measured against 384, 2 to 5 % faster.
const BLOCK_DEPTH: usize = 768;

/// Rows of A a multiple of so many elements (4 KiB) apart share a set of the L1 cache, and a micro-tile has
/// more rows than a set has lines: they are packed.
const ALIASED: usize = 1024;

/// A range of k: where it lies in the A panel (a multiple of the lanes) and in the weights.
#[derive(Debug, Clone, Copy)]
struct Block {
    a: usize,
    b: usize,
    depth: usize,
}

/// A region of output pixels and the k that its pixels use.
#[derive(Debug)]
struct RegionPlan {
    region: Region,
    blocks: Vec<Block>,
    /// Where the k of each kernel row begin in the panel.
    k_starts: Vec<usize>,
}

/// What the columns of A mean: kernel height and width, and channels per tap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) kernel: [usize; 2],
    pub(crate) channels: usize,
}

impl Depth {
    pub(crate) fn product(&self) -> Result<usize> {
        product("kernel elements", &[self.kernel[0], self.kernel[1], self.channels])
    }
}

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
    /// The kernels for dot products of bf16, if the weights were packed for these: then of one tap.
    pub(crate) dot: Option<&'static DotKernels>,
}

/// A GEMM with its producer, prepared.
#[derive(Debug)]
pub(crate) struct GemmPlan {
    pub(crate) kernels: &'static GemmKernels,
    source: Source,
    weights: PackedWeights,
    groups: usize,
    /// \[N, H, W, C\] of the output.
    output: [usize; 4],
    regions: Vec<RegionPlan>,
    /// k of a group's weights.
    k: usize,
    /// k of a panel, blocks padded to whole vectors.
    depth: usize,
    /// k of the longest block, in whole vectors.
    block: usize,
    /// Whether panels hold one block at a time.
    staged: bool,
    /// Most pixels of a tile.
    tile: usize,
    /// The input channels of a group if A may be the input itself.
    direct: Option<usize>,
    /// Makes pairs of A panels, if the micro-kernels multiply these.
    dot: Option<&'static DotKernels>,
    input_type: ElementType,
    output_type: ElementType,
    activation: Activation,
}

impl GemmPlan {
    pub(crate) fn new(
        kernels: &'static GemmKernels,
        source: Source,
        weights: PackedWeights,
        problem: Problem,
        options: &Options,
    ) -> Result<Self> {
        let Problem { groups, output, regions, depth, dot } = problem;
        product("output elements", &output)?;
        // Pairs, too, are in whole vectors.
        let lanes = if dot.is_some() { 2 * kernels.lanes } else { kernels.lanes };
        let overflow = || Error::Overflow { what: "kernel elements" };
        // At least one vector, so that scratch never has length 0, which would mean no thread.
        let (mut deepest, mut block) = (lanes, lanes);
        // Blocks by themselves need panels by themselves, and with sums that are to be rounded each panel of B
        // goes through all blocks.
        let staged = source.has_parts() && dot.is_none() && options.output_type == ElementType::F32;
        let mut plans = Vec::with_capacity(regions.len());
        for region in regions {
            let (mut blocks, k_starts, end) = blocks(&region, depth, lanes).ok_or_else(overflow)?;
            let longest = blocks.iter().map(|block| block.depth).max().unwrap_or(0);
            let longest = longest.checked_next_multiple_of(lanes).ok_or_else(overflow)?;
            block = block.max(longest);
            deepest = deepest.max(if staged { longest } else { end });
            if dot.is_some() {
                // Of one tap they begin at even k in both; only the last may have an odd length.
                for block in &mut blocks {
                    let Block { a, b, depth } = *block;
                    *block = Block { a: a / 2, b: b / 2, depth: depth.div_ceil(2) };
                }
            }
            plans.push(RegionPlan { region, blocks, k_starts });
        }
        assert!(kernels.tile.mr <= MAX_ROWS, "MR {} of a level", kernels.tile.mr);
        let panel = product("panel", &[deepest, kernels.tile.mr])?;
        let in_use = deepest.min(BLOCK_DEPTH) * kernels.tile.mr;
        let fitting = TILE_BYTES / size_of::<f32>() / in_use * kernels.tile.mr;
        let most = TILE_PIXELS / kernels.tile.mr * kernels.tile.mr;
        let tile = fitting.clamp(kernels.tile.mr, most);
        product("scratch", &[panel, tile])?;
        let activation = options.activation.checked()?;
        let direct = source.copied().filter(|_| dot.is_none());
        Ok(Self {
            kernels,
            source,
            weights,
            groups,
            output,
            regions: plans,
            k: depth.product()?,
            depth: deepest,
            block,
            staged,
            tile,
            direct,
            dot,
            input_type: options.input_type,
            output_type: options.output_type,
            activation,
        })
    }

    /// The kernels that run, without the producer's.
    pub(crate) fn name(&self) -> String {
        let mut pixels = self.regions.iter().map(|plan| self.output[0] * plan.region.pixels());
        let few = pixels.clone().find_map(|pixels| self.few(pixels)).map(|few| few.name);
        let many = pixels.any(|pixels| self.few(pixels).is_none());
        let widen =
            self.kernels.widen_name(self.weights.element()).filter(|_| self.widens() && many);
        let gemm = Some(self.micro_kernels().name).filter(|_| many);
        let narrow = self.kernels.narrow_name(self.output_type);
        [few, widen, gemm, narrow].into_iter().flatten().collect::<Vec<_>>().join("+")
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        self.weights.bytes() + self.source.weights_bytes()
    }

    /// Elements of a panel.
    fn panel(&self) -> usize {
        self.depth * self.kernels.tile.mr
    }

    fn micro_kernels(&self) -> &'static MicroKernels {
        match self.dot {
            Some(dot) => &dot.gemm,
            None => &self.kernels.f32,
        }
    }

    /// The micro-kernels for a tile of so many pixels, if there are such that widen weights themselves.
    fn few(&self, pixels: usize) -> Option<&'static SmallMKernels> {
        self.kernels.small_m(self.weights.element()).filter(|_| self.widens() && pixels < FEW)
    }

    /// Whether weights are made f32.
    fn widens(&self) -> bool {
        self.dot.is_none() && self.weights.element() != ElementType::F32
    }

    /// Whether sums wait in the output itself.
    fn wide(&self) -> bool {
        self.output_type == ElementType::F32
    }

    /// Scratch elements of one thread, whole cache lines: a tile of A panels, a panel's sums of a tile if these
    /// wait there, and a block of a B panel if it is widened.
    fn parts(&self) -> [usize; 3] {
        let nr = self.kernels.tile.nr;
        let sums = match (self.wide(), self.widens()) {
            (true, false) => 0,
            (true, true) => FEW,
            (false, _) => self.tile,
        };
        let b = if self.widens() { self.block } else { 0 };
        [self.panel() * self.tile / self.kernels.tile.mr, sums * nr, b * nr]
            .map(|len| len.next_multiple_of(memory::LINE))
    }

    /// All of them.
    fn part(&self) -> usize {
        self.parts().iter().sum()
    }

    pub(crate) fn scratch_len(&self, threads: usize) -> usize {
        memory::scratch_len(threads.max(1), self.part())
    }

    /// The threads that scratch of this length has room for, none if it is too short for one.
    fn workers(&self, scratch: usize) -> usize {
        (scratch + 1).saturating_sub(memory::LINE) / self.part()
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        self.source.vertical()
    }

    /// Computes the output rows `rows` of each picture. Views must have been checked against the plan's shapes:
    /// x has the input rows from `top` on that are needed, y and the residual the output rows alone.
    pub(crate) fn run(
        &self,
        rows: Range<usize>,
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let workers = match self.workers(scratch.len()) {
            0 => {
                return Err(Error::Length {
                    what: "scratch",
                    expected: self.scratch_len(1),
                    actual: scratch.len(),
                });
            }
            room => room.min(threads::available()),
        };
        let split = |region: &RegionPlan| {
            let region = region.region.in_rows(&rows);
            let split = self.split(&region, workers);
            (region, split)
        };
        let tiles: usize = self.regions.iter().map(|region| split(region).1.count).sum();
        let panels = self.weights.panels();
        let produced = if self.direct.is_some() { 0 } else { self.source.cost() };
        let parts =
            shares(tiles * self.groups, workers, panels, produced.div_ceil(self.kernels.tile.nr));
        let run = Run {
            plan: self,
            x: Shared(x.pointer()),
            x_placement: Placement::new(x.shape(), x.pixel_stride(), top),
            y_placement: Placement::new(y.shape(), y.pixel_stride(), rows.start),
            y: SharedMut(y.pointer()),
            residual: residual.map(|r| {
                (Shared(r.pointer()), Placement::new(r.shape(), r.pixel_stride(), rows.start))
            }),
        };
        threads::for_each(
            tiles * self.groups * parts,
            workers,
            memory::align(scratch),
            self.part(),
            &|task, scratch| {
                let (tile, part) = (task / parts, task % parts);
                let columns = panels * part / parts..panels * (part + 1) / parts;
                let (group, mut tile) = (tile / tiles, tile % tiles);
                for plan in &self.regions {
                    let (region, split) = split(plan);
                    if tile < split.count {
                        // The tile that this thread is likely to take after it.
                        let next = tile + workers.div_ceil(parts);
                        let next = split.start(next.min(split.count))
                            ..split.start(next.min(split.count - 1) + 1);
                        let pixels = split.start(tile)..split.start(tile + 1);
                        // SAFETY: the views have the plan's shapes; tiles, groups and parts
                        // partition the output rows, so each element is written by one task.
                        unsafe { run.tile(group, plan, &region, pixels, next, columns, scratch) };
                        return;
                    }
                    tile -= split.count;
                }
            },
        );
        Ok(())
    }

    /// How the pixels of a region are split into tiles.
    fn split(&self, region: &Region, workers: usize) -> Split {
        let (pixels, width) = (self.output[0] * region.pixels(), region.columns.len());
        if pixels == 0 {
            return Split { pixels, unit: 1, units: 0, count: 0 };
        }
        let rows = self.source.shares_rows() && width <= self.tile;
        let mut unit = if rows { width } else { self.kernels.tile.mr };
        let mut count = pixels.div_ceil(unit).div_ceil(self.tile / unit);
        let equal = count.next_multiple_of(workers);
        if workers > 1 && count < 8 * workers && pixels / equal >= SHARED_PIXELS {
            // Equal shares for the threads, to the pixel.
            (unit, count) = (1, equal);
        }
        Split { pixels, unit, units: pixels.div_ceil(unit), count }
    }
}

/// In how many parts the `panels` of output channels are split so that `workers` threads end soonest that have so many
/// tiles to compute. Each part produces its tile's A panels again, which takes as long as `produced` panels.
fn shares(tiles: usize, workers: usize, panels: usize, produced: usize) -> usize {
    // From so many tiles on it is no use: the last ones, which some threads wait for, are few.
    if tiles >= 8 * workers {
        return 1;
    }
    let time = |parts: &usize| {
        let rounds = (tiles * parts).div_ceil(workers);
        (rounds * (panels.div_ceil(*parts) + produced), *parts)
    };
    (1..=workers.min(panels).max(1)).min_by_key(time).unwrap_or(1)
}

/// Pixels split into `count` tiles, about equal numbers of units of pixels.
#[derive(Debug, Clone, Copy)]
struct Split {
    pixels: usize,
    unit: usize,
    units: usize,
    count: usize,
}

impl Split {
    /// The first pixel of a tile, or the end of all.
    fn start(&self, tile: usize) -> usize {
        // The units of a large batch times the tiles could overflow; the quotient and rest don't.
        let (whole, rest) = (self.units / self.count, self.units % self.count);
        ((whole * tile + rest.min(tile)) * self.unit).min(self.pixels)
    }
}

/// The k blocks of a region, where the k of its kernel rows begin, and where they end in the panel.
/// Kernel rows that are adjacent in the weights form one range; each range begins at a multiple of
/// the lanes and is cut into equal blocks of at most [`BLOCK_DEPTH`].
fn blocks(region: &Region, depth: Depth, lanes: usize) -> Option<(Vec<Block>, Vec<usize>, usize)> {
    let [_, kw] = depth.kernel;
    let mut ranges: Vec<Block> = Vec::new();
    let mut k_starts = Vec::with_capacity(region.taps_y.len());
    let mut end = 0_usize;
    for ky in region.taps_y.clone() {
        let b = (ky * kw + region.taps_x.start) * depth.channels;
        let length = region.taps_x.len() * depth.channels;
        match ranges.last_mut() {
            Some(last) if last.b + last.depth == b => {
                k_starts.push(last.a + last.depth);
                last.depth += length;
            }
            _ => {
                let a = end.checked_next_multiple_of(lanes)?;
                k_starts.push(a);
                ranges.push(Block { a, b, depth: length });
            }
        }
        end = ranges.last().map_or(0, |last| last.a + last.depth);
    }
    let mut blocks = Vec::new();
    for range in ranges {
        let count = range.depth.div_ceil(BLOCK_DEPTH).max(1);
        let step = range.depth.div_ceil(count).checked_next_multiple_of(lanes)?.max(1);
        let mut at = 0;
        while at < range.depth {
            let depth = step.min(range.depth - at);
            blocks.push(Block { a: range.a + at, b: range.b + at, depth });
            at += depth;
        }
    }
    if blocks.is_empty() {
        // Windows without any input: the bias alone still goes through residual and activation.
        blocks.push(Block { a: 0, b: 0, depth: 0 });
    }
    Some((blocks, k_starts, end.checked_next_multiple_of(lanes)?))
}

/// Micro-tiles of equal height, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    /// The first pixel of the tile that they hold.
    first: usize,
    /// Their first A panel.
    panel: usize,
    /// The first row of it that is theirs.
    row: usize,
    tiles: usize,
    rows: usize,
    /// The index of `rows` in the list of all heights.
    instance: usize,
}

/// Micro-tiles for `count` pixels, of the heights `rows` (ascending; the last is MR): whole ones, and the rest.
///
/// Too few rows have too few chains to hide the latency of the FMA (one row of 6×16 takes two thirds of the time
/// of six). So a rest shares its pixels, or its and those of the last whole one, between two micro-tiles if the
/// smaller of them is then higher than the rest, or if there is no micro-tile as high as the rest. The two of a
/// rest alone share a panel, so that no tile has more panels than `count` takes.
fn parts(count: usize, rows: &[usize]) -> [Part; 3] {
    let mr = *rows.last().expect("a level has micro-tiles");
    let (whole, rest) = (count / mr, count % mr);
    // Whole ones, and the heights of two others; of all choices the one whose least height is the highest.
    let single = [(whole, rest, 0)].into_iter().filter(|_| rows.contains(&rest));
    let of_rest = rows.iter().map(|&b| (whole, rest.wrapping_sub(b), b));
    let shared = rows.iter().map(|&b| (whole.wrapping_sub(1), (mr + rest).wrapping_sub(b), b));
    let pairs = of_rest.chain(shared.filter(|_| whole > 0));
    let pairs = pairs.filter(|&(_, a, b)| a >= b && rows.contains(&a));
    let least = |&(_, a, b): &(usize, usize, usize)| core::cmp::Reverse(if b > 0 { b } else { a });
    let (whole, a, b) = if rest == 0 {
        (whole, 0, 0)
    } else {
        single.chain(pairs).min_by_key(least).expect("one row is one of the heights")
    };
    debug_assert!([a, b].iter().all(|height| *height == 0 || rows.contains(height)));
    debug_assert_eq!(whole * mr + a + b, count);
    let instance = |height| rows.iter().position(|&r| r == height).unwrap_or(0);
    // A panel for each but where the second one fits behind the first.
    let (panel, row) = if a + b < mr { (whole, a) } else { (whole + 1, 0) };
    let part = |first, panel, row, tiles, rows| Part {
        first,
        panel,
        row,
        tiles,
        rows,
        instance: instance(rows),
    };
    [
        part(0, 0, 0, whole, mr),
        part(whole * mr, whole, 0, 1, a),
        part(whole * mr + a, panel, row, 1, b),
    ]
}

/// One call of [`GemmPlan::run`].
struct Run<'a> {
    plan: &'a GemmPlan,
    x: Shared,
    x_placement: Placement,
    y: SharedMut,
    y_placement: Placement,
    residual: Option<(Shared, Placement)>,
}

impl Run<'_> {
    /// Computes some pixels of `region`, the part of `plan`'s in the rows to be computed, × some panels of output
    /// channels of a group. `next` are those that this thread is likely to compute next, none if empty.
    ///
    /// # Safety
    /// x, y and residual are views of the plan's shapes with these rows and those that they need; no other thread
    /// touches these outputs.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a task")]
    unsafe fn tile(
        &self,
        group: usize,
        plan: &RegionPlan,
        region: &Region,
        pixels: Range<usize>,
        next: Range<usize>,
        panels: Range<usize>,
        scratch: &mut [f32],
    ) {
        let gemm = self.plan;
        let GemmKernels { lanes, tile: TileSize { mr, nr, .. }, .. } = *gemm.kernels;
        let count = pixels.len();
        let [a_len, sums_len, _] = gemm.parts();
        let (a, rest) = scratch.split_at_mut(a_len);
        let (sums, widened) = rest.split_at_mut(sums_len);
        let (a, a_panel) = (a.as_mut_ptr(), gemm.panel());
        let kernels = gemm.micro_kernels();
        let parts = parts(count, kernels.rows);
        let len = count.div_ceil(mr) * a_panel;
        assert!(len <= a_len, "a tile fits its scratch");
        let few = gemm.few(count);
        let aliased = self.x_placement.pixel.is_multiple_of(ALIASED);
        let direct = gemm.direct.filter(|_| !aliased && few.is_none());
        let mut places = [0_usize; TILE_PIXELS];
        if direct.is_none() {
            for part in &parts {
                for tile in 0..part.tiles {
                    for row in 0..part.rows {
                        let place = (part.panel + tile) * a_panel + (part.row + row) * lanes;
                        places[part.first + tile * part.rows + row] = place;
                    }
                }
            }
        }
        let (first, after) = (pixels.clone(), Some(next.start).filter(|_| !next.is_empty()));
        let produce = |k: Range<usize>| {
            let tile = Tile { a, places: &places[..count], len };
            // SAFETY: by the assertion the tile has room for so many k; x is a view of the plan's input.
            unsafe {
                gemm.source.produce(
                    gemm.kernels,
                    (self.x.0, self.x_placement),
                    group,
                    region,
                    &plan.k_starts,
                    k,
                    first.clone(),
                    after,
                    tile,
                );
            }
        };
        if direct.is_none() && !gemm.staged {
            produce(0..gemm.depth);
        }
        if let Some(dot) = gemm.dot {
            let k = if region.taps_y.is_empty() || region.taps_x.is_empty() { 0 } else { gemm.k };
            // SAFETY: the tile is `len` elements of this thread.
            let a = unsafe { core::slice::from_raw_parts_mut(a, len) };
            for panel in a.chunks_exact_mut(a_panel) {
                // SAFETY: the CPU was asked when the plan was made; a panel has whole blocks of its k.
                unsafe { (dot.pair)(&PairRun { panel: panel.as_mut_ptr(), depth: k }) };
            }
        }
        let first_pixel = pixels.start;
        // The micro-kernel looks a panel ahead.
        let mut y_rows = [0_usize; TILE_PIXELS + MAX_ROWS];
        let mut residual_rows = [0_usize; TILE_PIXELS];
        region.offsets(pixels.clone(), &mut y_rows, |pixel| self.y_placement.of(pixel));
        if let Some((_, placement)) = self.residual {
            region.offsets(pixels, &mut residual_rows, |pixel| placement.of(pixel));
        }
        let wide = gemm.wide();
        let mut sum_rows = [0_usize; TILE_PIXELS];
        if !wide || few.is_some() {
            let mut at = 0;
            for row in &mut sum_rows[..count] {
                *row = at;
                at += nr;
            }
        }
        // Spread over the calls of the micro-kernel, the next tile's pixels are prefetched.
        let mut next_rows = [0_usize; TILE_PIXELS];
        let (mut next_group, mut next_lines) = (null(), 0);
        if let Some(group_channels) = gemm.source.prefetched().filter(|_| !next.is_empty()) {
            let size = gemm.input_type.size();
            region.offsets(next, &mut next_rows, |pixel| {
                self.x_placement.of(gemm.source.fresh(pixel)).wrapping_mul(size)
            });
            next_group = self.x.0.add(group * group_channels).at;
            next_lines = (group_channels * size).div_ceil(LINE_BYTES);
        }
        let channels = gemm.weights.columns();
        let widens = gemm.widens() && few.is_none();
        let activation = gemm.activation;
        let bounds = activation.bounds();
        // Activations of f32 that are no clamp come at the end.
        let clamp = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        // B panels change fastest, unless their chains are to end before the next one begins.
        let (blocks, calls) = (plan.blocks.len(), plan.blocks.len() * panels.len());
        let following = |(i, panel): (usize, usize)| match wide {
            true if panel + 1 == panels.end => (i + 1, panels.start),
            true => (i, panel + 1),
            false if i + 1 == blocks => (0, panel + 1),
            false => (i + 1, panel),
        };
        let mut at = (0, panels.start);
        for call in 0..calls {
            let (i, panel) = at;
            at = following(at);
            let block = &plan.blocks[i];
            if gemm.staged && direct.is_none() && panel == panels.start {
                produce(block.a..block.a + block.depth);
            }
            let lines = next_lines * call / calls..next_lines * (call + 1) / calls;
            let ahead =
                (call + 1 < calls).then(|| gemm.weights.panel(group, at.1, plan.blocks[at.0].b).at);
            let column = panel * nr;
            let columns = nr.min(channels - column);
            let vectors = columns.div_ceil(lanes);
            let offset = group * channels + column;
            let residual = self.residual.map(|(r, _)| r.0.add(offset));
            let y = self.y.0.add(offset);
            let from = gemm.weights.panel(group, panel, block.b);
            let mut b = from.at;
            if widens {
                let widened = &mut widened[..block.depth * nr];
                let run = WidenRun { from, to: widened.as_mut_ptr(), count: widened.len() };
                // SAFETY: the level was available when the plan was made; the panel holds the block's rows,
                // each of NR elements, which are whole vectors.
                unsafe { (gemm.kernels.widen)(&run) };
                b = widened.as_ptr().cast();
            }
            // Aside, in scratch, wait sums that are to be rounded, and those of few pixels if the panel isn't full, of
            // which their micro-kernels know nothing.
            let aside = !wide || few.is_some() && columns < nr;
            for part in &parts {
                let Part { first, panel: a_tile, row, tiles, rows, instance } = *part;
                if tiles * rows == 0 {
                    continue;
                }
                let kernel = match few {
                    Some(few) => few.packed[instance],
                    None if direct.is_some() => kernels.direct[vectors - 1][instance],
                    None => kernels.packed[vectors - 1][instance],
                };
                let (a, a_step) = if let Some(channels) = direct {
                    // Pixels are read in the order in which they lie.
                    let pixel = (first_pixel + first) * self.x_placement.pixel;
                    let k = group * channels + block.b;
                    (self.x.0.add(pixel + k).at.cast(), self.x_placement.pixel)
                } else {
                    let from = if gemm.staged { 0 } else { block.a };
                    let panel = a_tile * a_panel + from * mr + row * lanes;
                    (a.cast_const().wrapping_add(panel), a_panel)
                };
                let epilogue = (!aside && i + 1 == blocks).then(|| Epilogue {
                    residual: residual.map(|residual| Residual {
                        at: residual.at.cast(),
                        rows: residual_rows[first..].as_ptr(),
                    }),
                    bounds: clamp,
                });
                let tile = MicroTiles {
                    tiles,
                    a,
                    a_step,
                    b,
                    depth: block.depth,
                    columns: if few.is_some() { nr } else { columns },
                    bias: if i == 0 { gemm.weights.bias(group, panel) } else { None },
                    y: if aside { sums.as_mut_ptr() } else { y.at.cast() },
                    y_rows: if aside { &sum_rows[first..] } else { &y_rows[first..] }.as_ptr(),
                    epilogue,
                    prefetch: Prefetch {
                        next_b: ahead.unwrap_or(null()),
                        before: a_tile,
                        y,
                        // Those of the next micro-tile; these themselves if they are written after all of them.
                        y_rows: y_rows[first + if aside { 0 } else { rows }..].as_ptr(),
                        x: next_group.wrapping_add(lines.start * LINE_BYTES),
                        x_rows: next_rows[first..].as_ptr(),
                        x_lines: lines.len(),
                    },
                };
                // SAFETY: the level was available when the plan was made; the instance is the one
                // for these rows and vectors; the pixels lie in the views, the columns in their
                // channels, and the block in the panels that were produced and packed.
                unsafe { kernel(&tile) };
            }
            if aside && i + 1 == blocks {
                let run = NarrowRun {
                    tile: sums.as_ptr(),
                    tile_row: nr,
                    rows: count,
                    columns,
                    y,
                    y_rows: y_rows.as_ptr(),
                    residual,
                    residual_rows: residual_rows.as_ptr(),
                    activation,
                    bounds: if wide { Some(clamp) } else { bounds },
                };
                // SAFETY: the level was available; the sums of these pixels and columns are complete; the
                // pixels lie in the views, the columns in their channels.
                unsafe { (gemm.kernels.narrow)(&run) };
            }
        }
        if wide && bounds.is_none() && !panels.is_empty() {
            let (start, end) = (panels.start * nr, (panels.end * nr).min(channels));
            for row in &y_rows[..count] {
                let at = row + group * channels + start;
                // SAFETY: channels start..end of an output pixel, of f32, that this task has just written.
                unsafe {
                    let y = self.y.0.add(at).at.cast();
                    (gemm.kernels.activate)(&ActivateRun { x: y, count: end - start, activation });
                }
            }
        }
    }
}
