//! How pixels, k and output channels are divided: into tiles, blocks, parts and micro-tiles.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Result;
use crate::gemm::tile::TILE_ROWS;
use crate::geometry::product;
use crate::pixels::Region;

/// MC, the pixels of a tile, at most. Weights are read once per tile: the taller, the fewer times.
pub(crate) const MAX_MC: usize = 128;
/// Least pixels of a tile that was made smaller for the sake of equal shares. With fewer of them
/// each weight that comes from L3 is used too rarely: the threads then share the output channels.
const MIN_SHARED_MC: usize = 64;
/// Bytes of A panels in use at a time, those of one k block: three quarters of the smallest L2 (512
/// KiB) that the crate aims at.
const TILE_BYTES: usize = 384 << 10;
/// KC, the k of a block, at most. The accumulators go through memory between blocks, which costs
/// more than a B panel of 48 KiB (AVX2) that streams from L2 rather than L1: measured against 384,
/// 2 to 5 % faster.
pub(super) const KC: usize = 768;
/// The same for tile registers, whose B panel stays in L1: 32 KiB of its 48. (384 to 512 were
/// measured to be the best.)
pub(super) const TILE_KC: usize = 512;

/// The largest MR of a level.
pub(super) const MAX_MR: usize = 16;

/// A range of k: where it lies in the A panel (a multiple of the lanes) and in the weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct KBlock {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) depth: usize,
}

impl KBlock {
    /// The k of the first row of a region's taps, where A is no panel.
    pub(super) fn first_row(region: &Region, depth: Depth) -> Self {
        let Region { taps_y, taps_x, .. } = region;
        let b = (taps_y.start * depth.kernel[1] + taps_x.start) * depth.channels;
        Self { a: 0, b, depth: taps_x.len() * depth.channels }
    }

    /// The same where so many k are one. Blocks of one range begin at multiples of them in both;
    /// the last may end within one.
    pub(super) fn in_groups(self, group: usize) -> Self {
        let Self { a, b, depth } = self;
        Self { a: a / group, b: b / group, depth: depth.div_ceil(group) }
    }
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

/// The k blocks of a region, where the k of its kernel rows begin, and where they end in the panel.
/// Kernel rows that are adjacent in the weights form one range; each range begins at a multiple of
/// the lanes and is cut into equal blocks of at most `kc`.
pub(super) fn k_blocks(
    region: &Region,
    depth: Depth,
    lanes: usize,
    kc: usize,
) -> Option<(Vec<KBlock>, Vec<usize>, usize)> {
    let [_, kw] = depth.kernel;
    let mut ranges: Vec<KBlock> = Vec::new();
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
                ranges.push(KBlock { a, b, depth: length });
            }
        }
        end = ranges.last().map_or(0, |last| last.a + last.depth);
    }
    let mut blocks = Vec::new();
    for range in ranges {
        let count = range.depth.div_ceil(kc).max(1);
        let step = range.depth.div_ceil(count).checked_next_multiple_of(lanes)?.max(1);
        let mut at = 0;
        while at < range.depth {
            let depth = step.min(range.depth - at);
            blocks.push(KBlock { a: range.a + at, b: range.b + at, depth });
            at += depth;
        }
    }
    if blocks.is_empty() {
        // Windows without any input: the bias alone still goes through residual and activation.
        blocks.push(KBlock { a: 0, b: 0, depth: 0 });
    }
    Some((blocks, k_starts, end.checked_next_multiple_of(lanes)?))
}

/// The same where the taps in the padding count, too: the k of all taps, in blocks that begin at
/// multiples of `block`. A pixel of the region leaves the k of the taps that it lacks.
pub(super) fn k_blocks_of_all_taps(
    region: &Region,
    depth: Depth,
    block: usize,
    kc: usize,
) -> Option<(Vec<KBlock>, Vec<usize>, usize)> {
    let [kh, kw] = depth.kernel;
    let all = Region { taps_y: 0..kh, taps_x: 0..kw, ..region.clone() };
    let (blocks, _, end) = k_blocks(&all, depth, block, kc)?;
    let start = |ky| (ky * kw + region.taps_x.start) * depth.channels;
    Some((blocks, region.taps_y.clone().map(start).collect(), end))
}

/// MC, the pixels of a tile: as many as fit L2 with one block of `depth` k of their A panels, a
/// multiple of MR.
pub(super) fn mc(depth: usize, mr: usize) -> usize {
    let in_use = depth.min(KC) * mr;
    let fitting = TILE_BYTES / size_of::<f32>() / in_use * mr;
    fitting.clamp(mr, MAX_MC / mr * mr)
}

/// Pixels split into `count` tiles, about equal numbers of units of pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelTiles {
    pixels: usize,
    unit: usize,
    units: usize,
    pub(super) count: usize,
}

impl PixelTiles {
    /// The first pixel of a tile, or the end of all.
    fn start(&self, tile: usize) -> usize {
        // The units of a large batch times the tiles could overflow; the quotient and rest don't.
        let (whole, rest) = (self.units / self.count, self.units % self.count);
        ((whole * tile + rest.min(tile)) * self.unit).min(self.pixels)
    }

    /// The pixels of a tile, none beyond the last.
    pub(super) fn pixels_of(&self, tile: usize) -> Range<usize> {
        if tile < self.count { self.start(tile)..self.start(tile + 1) } else { 0..0 }
    }
}

/// How a region's `pixels`, in rows of `width`, are split into tiles of at most `mc`: by
/// `rows_at_once` rows if so many fit, else by `mr` pixels.
pub(super) fn pixel_tiles(
    pixels: usize,
    width: usize,
    mc: usize,
    mr: usize,
    rows_at_once: usize,
    workers: usize,
) -> PixelTiles {
    if pixels == 0 {
        return PixelTiles { pixels, unit: 1, units: 0, count: 0 };
    }
    let rows = width.saturating_mul(rows_at_once);
    let mut unit = if (1..=mc).contains(&rows) { rows } else { mr };
    let mut count = pixels.div_ceil(unit).div_ceil(mc / unit);
    let equal = count.next_multiple_of(workers);
    if workers > 1 && count < 8 * workers && pixels / equal >= MIN_SHARED_MC {
        // Equal shares for the threads, to the pixel.
        (unit, count) = (1, equal);
    }
    PixelTiles { pixels, unit, units: pixels.div_ceil(unit), count }
}

/// What decides in how many parts the output channels of each tile of pixels are split.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnSplit {
    /// Tiles of pixels, of all groups.
    pub(super) tiles: usize,
    /// Threads.
    pub(super) workers: usize,
    /// Panels of output channels of a tile.
    pub(super) panels: usize,
    /// How many panels take as long as making a tile's A panels, which each part does again.
    pub(super) produced: usize,
}

impl ColumnSplit {
    /// The number of parts with which the threads end soonest.
    pub(super) fn parts(&self) -> usize {
        let Self { tiles, workers, panels, produced } = *self;
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
}

/// Micro-tiles of equal height, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MicroRows {
    /// The first pixel of the tile that they hold.
    pub(super) first: usize,
    /// Their first A panel.
    pub(super) panel: usize,
    /// The first row of it that is theirs.
    pub(super) row: usize,
    pub(super) tiles: usize,
    pub(super) rows: usize,
    /// The index of `rows` in the list of all heights.
    pub(super) instance: usize,
}

/// How the pixels of a tile are divided into micro-tiles.
#[allow(clippy::large_enum_variant, reason = "one of a plan, and most are listed")]
#[derive(Debug)]
pub(crate) enum Heights {
    /// Into those of the highest, and two others.
    Listed(MicroTileHeights),
    /// Into an even number of equal ones, of [`TILE_ROWS`] rows at most; the last of them may have
    /// rows without a pixel, or nothing else.
    Even,
}

impl Heights {
    /// The micro-tiles for `count` pixels.
    pub(super) fn micro_rows(&self, count: usize) -> [MicroRows; 3] {
        match self {
            Self::Listed(heights) => heights.micro_rows(count),
            Self::Even => {
                let none = MicroRows { first: 0, panel: 0, row: 0, tiles: 0, rows: 0, instance: 0 };
                let tiles = 2 * count.div_ceil(2 * TILE_ROWS);
                let rows = count.div_ceil(tiles.max(1));
                [MicroRows { tiles, rows, ..none }, none, none]
            }
        }
    }

    /// The pixels that tiles are best made of.
    pub(super) fn unit(&self) -> usize {
        match self {
            Self::Listed(heights) => heights.heights[heights.heights.len() - 1],
            Self::Even => 1,
        }
    }

    /// The number that most of a tile's pixels are a multiple of.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Listed(_) => self.unit(),
            Self::Even => 2 * TILE_ROWS,
        }
    }
}

/// How the pixels of a tile that are no whole micro-tile are divided among others, for each number
/// of them: a plan decides once.
#[derive(Debug)]
pub(crate) struct MicroTileHeights {
    /// All heights, ascending; the last is MR.
    heights: &'static [usize],
    /// By \[whether there is a whole micro-tile\]\[count % MR\].
    splits: [[Split; MAX_MR]; 2],
}

/// The heights of one or two micro-tiles beside the whole ones, 0 for none, the higher first.
#[derive(Debug, Clone, Copy, Default)]
struct Split {
    /// Whether they take the pixels of a whole one, too.
    takes_whole: bool,
    heights: [usize; 2],
}

impl Split {
    /// Of `rest` pixels, 0 < `rest` < MR.
    ///
    /// Too few rows have too few chains to hide the latency of the FMA (one row of 6×16 takes two
    /// thirds of the time of six). So a rest shares its pixels, or its and those of the last whole
    /// micro-tile, between two if the smaller of them is then higher than the rest, or if there is
    /// no micro-tile as high as the rest.
    fn new(rest: usize, has_whole: bool, heights: &[usize]) -> Self {
        let mr = heights[heights.len() - 1];
        // Of all choices the first one whose least height is the highest.
        let (mut split, mut highest) = (Self::default(), 0);
        let mut offer = |takes_whole, a: usize, b: usize| {
            let least = if b > 0 { b } else { a };
            if a >= b && heights.contains(&a) && least > highest {
                (split, highest) = (Self { takes_whole, heights: [a, b] }, least);
            }
        };
        offer(false, rest, 0);
        for &b in heights {
            offer(false, rest.wrapping_sub(b), b);
        }
        for &b in heights.iter().filter(|_| has_whole) {
            offer(true, mr + rest - b, b);
        }
        assert!(highest > 0, "one or two of the heights {heights:?} make {rest}");
        split
    }
}

impl MicroTileHeights {
    /// For micro-tiles of these heights, ascending; the first is 1, the last MR.
    pub(super) fn new(heights: &'static [usize]) -> Self {
        let mr = heights[heights.len() - 1];
        assert!(mr <= MAX_MR, "MR {mr} of a level");
        let mut splits = [[Split::default(); MAX_MR]; 2];
        for (has_whole, splits) in [false, true].into_iter().zip(&mut splits) {
            for (rest, split) in splits[..mr].iter_mut().enumerate().skip(1) {
                *split = Split::new(rest, has_whole, heights);
            }
        }
        Self { heights, splits }
    }

    /// The micro-tiles for `count` pixels: whole ones, and two others at most. These two share a
    /// panel if it has room for both, so that no tile has more panels than `count` takes.
    pub(super) fn micro_rows(&self, count: usize) -> [MicroRows; 3] {
        let mr = self.heights[self.heights.len() - 1];
        let split = &self.splits[usize::from(count >= mr)][count % mr];
        let (whole, [a, b]) = (count / mr - usize::from(split.takes_whole), split.heights);
        debug_assert_eq!(whole * mr + a + b, count);
        let instance = |height| self.heights.iter().position(|&h| h == height).unwrap_or(0);
        let (panel, row) = if a + b < mr { (whole, a) } else { (whole + 1, 0) };
        let part = |first, panel, row, tiles, rows| MicroRows {
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
}
