//! The driver: the loops over tiles, blocks and panels.

use core::ops::Range;
use core::ptr::null;
use core::slice;

use crate::activation::{ActivateRun, UNBOUNDED};
use crate::element::{Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::blocking::{ColumnSplit, KBlock, MAX_MC, MAX_MR, MicroRows, pixel_tiles};
use crate::gemm::kernels::{MicroKernelFn, PanelKernels, TileUnit};
use crate::gemm::micro_kernel::{Epilogue, MicroTiles, Output, Prefetch, Residual, Runs};
use crate::gemm::narrow::NarrowRun;
use crate::gemm::operands::{DirectA, Lines, PartOfA};
use crate::gemm::pair::PairRun;
use crate::gemm::pair_rows::PairRowsRun;
use crate::gemm::plan::{GemmPlan, RegionPlan, Sums, TakesA, TakesB};
use crate::gemm::products::Products;
use crate::gemm::round::RoundRun;
use crate::gemm::tile_rows::TileRowsRun;
use crate::gemm::widen::WidenRun;
use crate::int8::layer::Int8Layer;
use crate::int8::requantize::RequantizeRun;
use crate::memory::LINE_BYTES;
use crate::pixels::{Placement, Region};
use crate::planes::PlanesKernels;
use crate::planes::to_planes::ToPlanesRun;
use crate::planes::transpose::Transpose;
use crate::threads::{self, Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

impl GemmPlan {
    /// Computes the output rows `rows` of each picture. Views must have been checked against the
    /// plan's shapes: x is a view of the input rows that are needed, and the first of
    /// them; y and the residual have the output rows alone.
    pub(crate) fn run(
        &self,
        threads: &dyn Threads,
        rows: Range<usize>,
        x: (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let operands = Operands::new(x, residual, (&mut y, rows.start));
        self.run_on(threads, rows, operands, scratch)
    }

    /// The same for operands of any placement: output and residual have at least these rows, x
    /// those that they need.
    pub(crate) fn run_on(
        &self,
        threads: &dyn Threads,
        rows: Range<usize>,
        operands: Operands,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let workers = match self.workers(scratch.len()) {
            0 => {
                return Err(Error::Length {
                    what: "scratch",
                    expected: self.scratch_len(1),
                    actual: scratch.len(),
                });
            }
            room => room.min(threads.count().max(1)),
        };
        let tiles_of = |plan: &RegionPlan| {
            let region = plan.region.in_rows(&rows);
            let (pixels, width) = (self.output[0] * region.pixels(), region.columns.len());
            let at_once = self.producer.rows_at_once(self.direct);
            let unit = self.heights.unit();
            let tiles = pixel_tiles(pixels, width, self.mc, unit, at_once, workers);
            (region, tiles)
        };
        let tiles: usize = self.regions.iter().map(|plan| tiles_of(plan).1.count).sum();
        let panels = self.weights.panels();
        let produced = if self.direct { 0 } else { self.producer.cost() };
        let produced = produced.div_ceil(self.kernels.tile.nr);
        let split = ColumnSplit { tiles: tiles * self.groups, workers, panels, produced };
        let parts = split.parts();
        let run = Run { plan: self, operands };
        threads::for_each(
            threads,
            [tiles * self.groups * parts, workers],
            scratch,
            self.scratch_parts().total(),
            &|task, scratch| {
                let (tile, part) = (task / parts, task % parts);
                let panels = panels * part / parts..panels * (part + 1) / parts;
                let (group, mut tile) = (tile / tiles, tile % tiles);
                for plan in &self.regions {
                    let (region, tiles) = tiles_of(plan);
                    if tile < tiles.count {
                        // The tile that this thread is likely to take after it.
                        let next = tiles.pixels_of(tile + workers.div_ceil(parts));
                        let pixels = tiles.pixels_of(tile);
                        let task = Task { group, plan, region, pixels, next, panels };
                        // SAFETY: the views have the plan's shapes; tiles, groups and parts
                        // partition the output rows, so each element is written by one task.
                        unsafe { compute(&run, &task, scratch) };
                        return;
                    }
                    tile -= tiles.count;
                }
            },
        );
        Ok(())
    }
}

/// One call of [`GemmPlan::run`].
struct Run<'a> {
    plan: &'a GemmPlan,
    operands: Operands,
}

/// A tile of pixels × some panels of output channels of a group.
struct Task<'a> {
    group: usize,
    plan: &'a RegionPlan,
    /// The part of the plan's region in the rows to be computed.
    region: Region,
    /// Of this region.
    pixels: Range<usize>,
    /// Those that this thread is likely to compute next, none if empty.
    next: Range<usize>,
    /// Panels of output channels.
    panels: Range<usize>,
}

/// Where the pixels of a tile lie.
struct Offsets<'a> {
    /// In the output, in elements, and MR numbers more: the micro-kernel looks a micro-tile ahead.
    y: &'a [usize],
    /// In the residual, in elements; if there is none, any numbers.
    residual: &'a [usize],
    /// Those of the next tile in the input, in bytes; if they aren't prefetched, any numbers.
    next_x: &'a [usize],
}

/// Computes a task, with tables of its pixels on the stack: a tile has few, and zeros are written
/// only where numbers follow.
///
/// # Safety
/// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
/// - No other thread touches the task's outputs.
unsafe fn compute(run: &Run<'_>, task: &Task<'_>, scratch: &mut [f32]) {
    let Task { region, pixels, next, .. } = task;
    let mut y = [0; MAX_MC + MAX_MR];
    let (mut residual_table, mut next_x_table);
    match run.plan.output_planes {
        Some(_) => spread_over_planes(run, task, &mut y),
        None => {
            region.offsets(pixels.clone(), &mut y, &|pixel| run.operands.y_placement.of(pixel));
        }
    }
    let (mut residual, mut next_x) = (&y[..], &y[..]);
    if let Some((_, placement)) = run.operands.residual {
        residual_table = [0; MAX_MC];
        region.offsets(pixels.clone(), &mut residual_table, &|pixel| placement.of(pixel));
        residual = &residual_table;
    }
    let producer = &run.plan.producer;
    let channels = producer.prefetched_channels().filter(|_| !next.is_empty());
    if channels.is_some() {
        let size = run.plan.input_type.size();
        next_x_table = [0; MAX_MC];
        region.offsets(next.clone(), &mut next_x_table, &|pixel| {
            run.operands.x_placement.of(producer.newest_pixel(pixel)).wrapping_mul(size)
        });
        next_x = &next_x_table;
    }
    let offsets = Offsets { y: &y, residual, next_x };
    // SAFETY: the caller keeps the contract, which is the same.
    unsafe { Tile::new(run, task, offsets, channels, scratch).compute() };
}

/// Of planes no pixel has its outputs side by side. In place of them the rows of micro-tiles name,
/// for prefetching, the lines of a panel's planes that the tile is about to write: as many
/// neighbouring rows as there are for each plane.
fn spread_over_planes(run: &Run<'_>, task: &Task<'_>, y: &mut [usize]) {
    let (nr, at) = (run.plan.kernels.tile.nr, &run.operands.y_placement);
    let (width, pixels) = (task.region.columns.len(), task.pixels.len());
    // Rows of the tile that lie apart in a plane.
    let rows = if width == at.row { 1 } else { (pixels / width).max(1) };
    let of_plane = (pixels / nr).max(1);
    for (i, y) in y[..pixels].iter_mut().enumerate() {
        let (plane, part) = (i / of_plane, i % of_plane);
        let row = part * rows / of_plane;
        let within = (part - (row * of_plane).div_ceil(rows)) * nr;
        *y = plane
            .wrapping_mul(at.channel)
            .wrapping_add(row.wrapping_mul(at.row))
            .wrapping_add(within);
    }
}

/// The columns of one B panel.
#[derive(Clone, Copy)]
struct Columns {
    panel: usize,
    /// Elements from a pixel's first channel to the first column.
    offset: usize,
    count: usize,
    /// Whether sums wait in scratch: those that are to be rounded, and those of a panel that isn't
    /// full if the micro-kernels are of whole panels.
    in_scratch: bool,
}

/// One B panel over one block of k, one step of a task.
#[derive(Clone, Copy)]
struct Step {
    block: usize,
    panel: usize,
}

/// A block of a B panel, one step of a task.
struct BlockOfB {
    columns: Columns,
    block: KBlock,
    b: *const u8,
    /// What comes after it.
    next_b: *const u8,
    /// Whether the chains begin with it.
    first: bool,
    /// Whether they end with it.
    last: bool,
    /// The lines of the next tile's pixels that are prefetched meanwhile.
    lines: Range<usize>,
}

/// The thread's tile registers, configured; given back when this is dropped.
struct Configured(&'static TileUnit);

impl Configured {
    /// For so many rows, 1 to [`TILE_ROWS`](crate::gemm::tile::TILE_ROWS).
    ///
    /// # Safety
    /// The process may use tiles.
    unsafe fn new(unit: &'static TileUnit, rows: usize) -> Self {
        // SAFETY: the caller's word.
        unsafe { (unit.configure)(rows) };
        Self(unit)
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: the process may use tiles: they were configured.
        unsafe { (self.0.release)() };
    }
}

/// A task, being computed.
struct Tile<'a> {
    run: &'a Run<'a>,
    task: &'a Task<'a>,
    /// How A lies if it is the input itself.
    direct: Option<DirectA>,
    /// The blocks of k.
    blocks: &'a [KBlock],
    /// The micro-kernels, if they are of whole panels.
    panel_kernels: Option<&'static PanelKernels>,
    /// Whether weights are widened for them.
    widens: bool,
    rows: [MicroRows; 3],
    offsets: Offsets<'a>,
    /// Cache lines of the pixels of the next tile that are prefetched, from here on.
    next_x: *const u8,
    next_x_lines: usize,
    a: &'a mut [f32],
    sums: &'a mut [f32],
    /// A block of a B panel, widened.
    b: &'a mut [f32],
    /// The input pixels of some outputs, copied out of planes.
    patch: &'a mut [f32],
}

impl<'a> Tile<'a> {
    /// `channels` of the pixels of the next tile are prefetched, if any.
    fn new(
        run: &'a Run<'a>,
        task: &'a Task<'a>,
        offsets: Offsets<'a>,
        channels: Option<usize>,
        scratch: &'a mut [f32],
    ) -> Self {
        let plan = run.plan;
        let count = task.pixels.len();
        let parts = plan.scratch_parts();
        let (a, rest) = scratch.split_at_mut(parts.a);
        let (sums, rest) = rest.split_at_mut(parts.sums);
        let (b, patch) = rest.split_at_mut(parts.b);
        let rows = plan.heights.micro_rows(count);
        let panels = rows.iter().filter(|rows| rows.rows > 0);
        let panels = panels.map(|rows| rows.panel + rows.tiles).max().unwrap_or(0);
        let direct = plan.direct_a(&task.region, &run.operands.x_placement, count);
        let blocks = match direct {
            Some(direct) if !direct.is_one_run() => slice::from_ref(&task.plan.run),
            _ => &task.plan.blocks,
        };
        let (next_x, next_x_lines) = match channels {
            Some(channels) => {
                let lines = (channels * plan.input_type.size()).div_ceil(LINE_BYTES);
                (run.operands.x.0.add(task.group * channels).at, lines)
            }
            None => (null(), 0),
        };
        Self {
            run,
            task,
            direct,
            blocks,
            panel_kernels: plan.panel_kernels(count),
            widens: plan.b == TakesB::Widened && !plan.is_small_m(count),
            rows,
            offsets,
            next_x,
            next_x_lines,
            a: &mut a[..panels * plan.a_panel()],
            sums,
            b,
            patch,
        }
    }

    /// Computes the task.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the task's outputs.
    unsafe fn compute(&mut self) {
        let plan = self.run.plan;
        if self.direct.is_none() {
            match plan.a {
                // SAFETY: the caller keeps the contract of the views.
                TakesA::Panels => unsafe { self.produce(0..plan.panel_depth) },
                // Before their steps.
                TakesA::Blocks => (),
            }
        }
        let unit = plan.products.tile_unit();
        // SAFETY: that the process may use tiles was asked when the plan was made.
        let _configured = unit.map(|unit| unsafe { Configured::new(unit, self.rows[0].rows) });
        let steps = self.blocks.len() * self.task.panels.len();
        for i in 0..steps {
            let step = self.step(i);
            let block = self.blocks[step.block];
            let first = step.panel == self.task.panels.start;
            if let (TakesA::Blocks, None, true) = (plan.a, self.direct, first) {
                // SAFETY: the caller keeps the contract of the views.
                unsafe { self.produce(block.a..block.a + block.depth) };
            }
            let lines = self.next_x_lines;
            let lines = lines * i / steps..lines * (i + 1) / steps;
            let next = (i + 1 < steps).then(|| self.step(i + 1));
            // SAFETY: the caller keeps the contract of views and outputs; the step's block of A was
            // produced above, or A is the input.
            unsafe { self.multiply(step, next, lines) };
        }
        // SAFETY: the caller keeps the contract of views and outputs; all steps are done.
        unsafe { self.activate() };
    }

    /// The i-th step. B panels change fastest, unless their chains are to end before the next one
    /// begins.
    fn step(&self, i: usize) -> Step {
        let (blocks, panels) = (self.blocks.len(), &self.task.panels);
        match self.run.plan.sums {
            Sums::InOutput => {
                Step { block: i / panels.len(), panel: panels.start + i % panels.len() }
            }
            Sums::InScratch => Step { block: i % blocks, panel: panels.start + i / blocks },
        }
    }

    /// Makes some k of the A panels.
    ///
    /// # Safety
    /// x is a view of the plan's input, of the rows that these outputs need.
    unsafe fn produce(&mut self, k: Range<usize>) {
        let Self { run, task, .. } = self;
        let plan = run.plan;
        let (lanes, a_panel) = (plan.kernels.lanes, plan.a_panel());
        let of_tiles = match plan.products {
            Products::Tiles(tiles) if plan.producer.makes_tile_rows() => Some(tiles),
            _ => None,
        };
        let mut rows = [0_usize; MAX_MC];
        for part in &self.rows {
            for tile in 0..part.tiles {
                for row in 0..part.rows {
                    let at = (part.panel + tile) * a_panel + (part.row + row) * lanes;
                    rows[part.first + tile * part.rows + row] = at;
                }
            }
        }
        let part = PartOfA {
            x: run.operands.x.0,
            placement: run.operands.x_placement,
            scale: run.operands.scale(),
            group: task.group,
            region: &task.region,
            k_starts: &task.plan.k_starts,
            k,
            pixels: task.pixels.clone(),
            next: Some(task.next.start).filter(|_| !task.next.is_empty()),
            panels: self.a.as_mut_ptr(),
            len: self.a.len(),
            block: plan.panel_rows * lanes,
            rows: &rows[..task.pixels.len()],
            pack: of_tiles
                .map_or(plan.kernels.pack(plan.input_type), |tiles| tiles.pack(plan.input_type)),
            patch: self.patch.as_mut_ptr(),
        };
        if task.plan.has_padding {
            self.a.fill(0.0);
        } else if of_tiles.is_some() {
            // What the last tile has beyond the last k; 0·NaN is NaN.
            let (tile, last) = (plan.panel_rows * lanes, (plan.k - 1) / BLOCK);
            for panel in self.a.chunks_exact_mut(a_panel) {
                panel[last * tile..][..tile].fill(0.0);
            }
        }
        // SAFETY: the level was available when the plan was made; x is a view of the plan's input;
        // the panels have room for the tile's pixels.
        unsafe { plan.producer.produce(plan.kernels, &part) };
        // SAFETY: the panels have been produced, and what the plan multiplies by was available.
        unsafe { self.convert(of_tiles.is_some()) };
    }

    /// Makes what is multiplied of the A panels, unless the producer has: `has_tiles` if it has
    /// made rows of tiles.
    ///
    /// # Safety
    /// The instructions by which the plan multiplies are available, and the panels of f32 or of
    /// 8-bit integers in rows.
    unsafe fn convert(&mut self, has_tiles: bool) {
        let plan = self.run.plan;
        let a_panel = plan.a_panel();
        match plan.products {
            Products::Bf16(bf16) => {
                let run = RoundRun { panels: self.a.as_mut_ptr(), count: self.a.len() };
                // SAFETY: the level was available; panels of whole blocks are whole vectors, and
                // this thread's.
                unsafe { (bf16.round)(&run) };
            }
            Products::Tiles(tiles) if !has_tiles => {
                for panel in self.a.chunks_exact_mut(a_panel) {
                    let (rows, depth) = (self.rows[0].rows, plan.k);
                    let run = TileRowsRun { panel: panel.as_mut_ptr(), rows, depth };
                    // SAFETY: the level was available; a panel has whole blocks of all k, and is
                    // this thread's.
                    unsafe { (tiles.rows)(&run) };
                }
            }
            // SAFETY: the CPU was asked; a panel has whole blocks of its depth.
            Products::Bf16Pairs(pairs) => unsafe { self.make_pairs(pairs.pair, plan.panel_depth) },
            Products::Dot(dot) => {
                let Region { taps_y, taps_x, .. } = &self.task.region;
                let depth = if taps_y.is_empty() || taps_x.is_empty() { 0 } else { plan.k };
                // SAFETY: the CPU was asked; a panel has whole blocks of the k of all taps.
                unsafe { self.make_pairs(dot.pair, depth) };
            }
            Products::Int8(layer) => {
                if let Some(matrices) = layer.matrices {
                    let run = PairRowsRun { panels: self.a.as_mut_ptr(), count: self.a.len() };
                    // SAFETY: the CPU was asked; panels have whole blocks of MR rows, and are this
                    // thread's.
                    unsafe { (matrices.pair_rows)(&run) };
                }
            }
            Products::Chain(_) | Products::Tiles(_) => (),
        }
    }

    /// Makes pairs of the A panels' k, of which there are `depth`.
    ///
    /// # Safety
    /// The CPU has what `pair` is compiled for; a panel has whole blocks of `depth` k.
    unsafe fn make_pairs(&mut self, pair: unsafe fn(&PairRun), depth: usize) {
        for panel in self.a.chunks_exact_mut(self.run.plan.a_panel()) {
            // SAFETY: the caller's word; the panel is this thread's.
            unsafe { pair(&PairRun { panel: panel.as_mut_ptr(), depth }) };
        }
    }

    /// Adds the products of a step to the sums, and ends their chains if it is their last. `next`
    /// is what comes then, `lines` those of the next tile's pixels that are prefetched meanwhile.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the task's outputs.
    /// - The A panels hold the block, unless A is the input.
    unsafe fn multiply(&mut self, step: Step, next: Option<Step>, lines: Range<usize>) {
        let (plan, task, group) = (self.run.plan, self.task, self.task.group);
        let nr = plan.kernels.tile.nr;
        let block = self.blocks[step.block];
        let (channels, column) = (plan.weights.columns(), step.panel * nr);
        let count = nr.min(channels - column);
        let columns = Columns {
            panel: step.panel,
            offset: group * channels + column,
            count,
            in_scratch: plan.sums == Sums::InScratch || self.panel_kernels.is_some() && count < nr,
        };
        let from = plan.weights.panel(group, step.panel, block.b);
        let mut b = from.at;
        if self.widens {
            let widened = &mut self.b[..block.depth * nr];
            let run = WidenRun { from, to: widened.as_mut_ptr(), count: widened.len() };
            // SAFETY: the level was available when the plan was made; the panel holds the block's
            // rows, each of NR elements, which are whole vectors.
            unsafe { (plan.kernels.of_16_bits().widen)(&run) };
            b = widened.as_ptr().cast();
        }
        let next_b = next.map_or(null(), |next| {
            plan.weights.panel(group, next.panel, self.blocks[next.block].b).at
        });
        let last = step.block + 1 == self.blocks.len();
        let of_b = BlockOfB { columns, block, b, next_b, first: step.block == 0, last, lines };
        // SAFETY: the caller keeps the contract; the pixels are the tile's.
        unsafe {
            match self.direct.map_or(Lines::All, |direct| direct.lines) {
                Lines::All => self.multiply_rows(self.rows, 0, &of_b),
                lines => {
                    let row = if lines == Lines::Columns { 1 } else { usize::MAX };
                    task.region.runs(task.pixels.clone(), row, &mut |_, first, count| {
                        self.multiply_rows(plan.heights.micro_rows(count), first, &of_b);
                    });
                }
            }
        }
        if last && columns.in_scratch {
            // SAFETY: the caller keeps the contract of views and outputs; this was the last block
            // of these columns.
            unsafe {
                match (plan.output_planes, plan.products) {
                    (None, Products::Int8(layer)) => self.requantize(&columns, &layer),
                    (Some(_), Products::Int8(layer)) => {
                        self.requantize_to_planes(&columns, &layer);
                    }
                    (Some(planes), _) => self.to_planes(&columns, planes),
                    (None, _) => self.narrow(&columns),
                }
            }
        }
    }

    /// The same for some of the tile's pixels, from `first` on.
    ///
    /// # Safety
    /// As [`Tile::multiply`]; the pixels are of the tile, and of one line if A is the input.
    unsafe fn multiply_rows(&mut self, parts: [MicroRows; 3], first: usize, of_b: &BlockOfB) {
        let BlockOfB { columns, block, b, next_b, .. } = of_b;
        for part in parts.into_iter().filter(|part| part.tiles * part.rows > 0) {
            let panel = first / self.run.plan.heights.unit() + part.panel;
            let rows = MicroRows { first: first + part.first, panel, ..part };
            let (a, a_step) = self.a_of(&rows, block);
            let tiles = MicroTiles {
                tiles: rows.tiles,
                rows: rows.rows,
                a,
                a_step,
                runs: self.direct.map_or(Runs::ONE, |direct| direct.runs),
                b: *b,
                depth: block.depth,
                output: self.output_of(&rows, columns, of_b.first, of_b.last),
                prefetch: self.prefetch_of(&rows, columns, *next_b, of_b.lines.clone()),
            };
            let kernel = self.micro_kernel(rows.instance, columns.count);
            // SAFETY: the level was available when the plan was made; the instance is the one
            // for these rows and vectors; the pixels lie in the views, the columns in their
            // channels, and the block in the panels that were produced and packed, or in the input
            // of these pixels.
            unsafe { kernel(&tiles) };
        }
    }

    /// The micro-kernel of these rows for so many columns.
    fn micro_kernel(&self, instance: usize, columns: usize) -> MicroKernelFn {
        let plan = self.run.plan;
        let vectors = columns.div_ceil(plan.kernels.lanes);
        match (self.panel_kernels, plan.products.micro_kernels()) {
            (Some(kernels), _) => kernels.packed[instance],
            (None, Some(k)) if self.direct.is_some() => k.direct[vectors - 1][instance],
            (None, Some(k)) => k.packed[vectors - 1][instance],
            (None, None) => unreachable!("products have micro-kernels of panels or of vectors"),
        }
    }

    /// Where the rows' A begins for a block, and the step from one of their panels, or rows, to the
    /// next.
    fn a_of(&self, rows: &MicroRows, block: &KBlock) -> (*const f32, usize) {
        let (run, plan, region) = (self.run, self.run.plan, &self.task.region);
        if let Some(direct) = self.direct {
            let pixel = region.pixel(self.task.pixels.start + rows.first);
            let taps = [region.taps_y.start, region.taps_x.start];
            let tap = run.operands.x_placement.of(plan.producer.input_pixel(pixel, taps));
            let k = self.task.group * direct.channels + (block.b - self.task.plan.run.b);
            return (run.operands.x.0.add(tap.wrapping_add(k)).at.cast(), direct.step);
        }
        let k = if let TakesA::Blocks = plan.a { 0 } else { block.a };
        // bf16 take half the place of f32.
        let of_k = if plan.products.takes_bf16() { 2 } else { 1 };
        let row = k * plan.panel_rows / of_k + rows.row * plan.kernels.lanes;
        let a_panel = plan.a_panel();
        (self.a.as_ptr().wrapping_add(rows.panel * a_panel + row), a_panel)
    }

    /// The outputs of these rows and columns, in the first or the last block of k, or neither.
    fn output_of(
        &mut self,
        rows: &MicroRows,
        columns: &Columns,
        first: bool,
        last: bool,
    ) -> Output {
        let (run, plan, offsets) = (self.run, self.run.plan, &self.offsets);
        let (y, y_rows) = if columns.in_scratch {
            (self.sums.as_mut_ptr(), plan.sums_rows[rows.first..].as_ptr())
        } else {
            (run.operands.y.0.add(columns.offset).at.cast(), offsets.y[rows.first..].as_ptr())
        };
        let epilogue = Epilogue {
            residual: run.operands.residual.map(|(r, _)| Residual {
                at: r.0.add(columns.offset).at.cast(),
                rows: offsets.residual[rows.first..].as_ptr(),
            }),
            // Activations of f32 that are no clamp come at the end.
            bounds: plan.activation.bounds().unwrap_or(UNBOUNDED),
        };
        let bias = plan.weights.bias(self.task.group, columns.panel);
        Output {
            columns: if self.panel_kernels.is_some() {
                plan.kernels.tile.nr
            } else {
                columns.count
            },
            bias: if first { bias } else { None },
            y,
            y_rows,
            epilogue: (last && !columns.in_scratch).then_some(epilogue),
        }
    }

    /// What is prefetched while these rows and columns are computed.
    fn prefetch_of(
        &self,
        rows: &MicroRows,
        columns: &Columns,
        next_b: *const u8,
        lines: Range<usize>,
    ) -> Prefetch {
        // The next micro-tile's outputs are written next; these themselves if all are written after
        // the sums.
        let written = rows.first + if columns.in_scratch { 0 } else { rows.rows };
        let y = match self.run.plan.output_planes {
            Some(_) => {
                let at = &self.run.operands.y_placement;
                let first = self.task.region.pixel(self.task.pixels.start);
                at.of_channel(first, columns.offset)
            }
            None => columns.offset,
        };
        Prefetch {
            next_b,
            before: rows.panel,
            y: self.run.operands.y.0.add(y).at,
            y_size: self.run.plan.output_type.size(),
            of_run: rows.rows.div_ceil(self.direct.map_or(1, |direct| direct.runs.count)),
            y_rows: self.offsets.y[written..].as_ptr(),
            x: self.next_x.wrapping_add(lines.start * LINE_BYTES),
            x_rows: self.offsets.next_x[rows.first..].as_ptr(),
            x_lines: lines.len(),
        }
    }

    /// Ends the chains of sums that waited in scratch.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the task's outputs.
    /// - The sums of these columns are complete.
    unsafe fn narrow(&self, columns: &Columns) {
        let (run, plan) = (self.run, self.run.plan);
        let bounds = plan.activation.bounds();
        let f32_output = plan.sums == Sums::InOutput;
        let narrow = NarrowRun {
            tile: self.sums.as_ptr(),
            tile_row: plan.kernels.tile.nr,
            rows: self.task.pixels.len(),
            columns: columns.count,
            y: run.operands.y.0.add(columns.offset),
            y_rows: self.offsets.y.as_ptr(),
            residual: run.operands.residual.map(|(r, _)| r.0.add(columns.offset)),
            residual_rows: self.offsets.residual.as_ptr(),
            activation: plan.activation,
            bounds: if f32_output { Some(bounds.unwrap_or(UNBOUNDED)) } else { bounds },
        };
        // SAFETY: the level was available; the sums are complete; the pixels lie in the views, the
        // columns in their channels.
        unsafe { (plan.kernels.of_16_bits().narrow)(&narrow) };
    }

    /// Makes outputs of the sums of integers.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the task's outputs.
    /// - The sums of these columns are complete.
    unsafe fn requantize(&self, columns: &Columns, int8: &Int8Layer) {
        let operands = &self.run.operands;
        let y = operands.y.0.add(columns.offset);
        let residual = operands.residual.map(|(residual, _)| residual.0.add(columns.offset));
        let offsets = &self.offsets;
        // SAFETY: the sums are complete; the pixels lie in the views, and the columns in their
        // channels.
        unsafe {
            self.requantize_rows(columns, int8, (y, offsets.y), (residual, offsets.residual));
        }
    }

    /// The same of any rows, a pixel each, by their offsets in `y` and in the residual.
    ///
    /// # Safety
    /// - The sums of these columns are complete.
    /// - Each pixel has an offset, at which `y` is valid for writing the columns, and the residual
    ///   for reading them; no other thread touches those of `y`.
    unsafe fn requantize_rows(
        &self,
        columns: &Columns,
        int8: &Int8Layer,
        (y, y_rows): (PointerMut, &[usize]),
        (residual, residual_rows): (Option<Pointer>, &[usize]),
    ) {
        let weights = &self.run.plan.weights;
        let run = RequantizeRun {
            sums: self.sums.as_ptr(),
            rows: self.task.pixels.len(),
            columns: columns.count,
            multipliers: weights.multipliers(self.task.group, columns.panel),
            y,
            y_rows: y_rows.as_ptr(),
            residual,
            residual_rows: residual_rows.as_ptr(),
            in_i32: weights.in_i32(),
            epilogue: int8.epilogue,
        };
        // SAFETY: the instructions were available when the plan was made; the caller keeps the
        // contract.
        unsafe { (int8.kernels.requantize)(&run) };
    }

    /// Makes outputs of the sums of integers, in their place, and copies them into the planes of
    /// the output.
    ///
    /// # Safety
    /// As [`Tile::compute`]; the sums of these columns are complete.
    unsafe fn requantize_to_planes(&mut self, columns: &Columns, int8: &Int8Layer) {
        let (run, plan, Task { region, pixels, .. }) = (self.run, self.run.plan, self.task);
        let (nr, element) = (plan.kernels.tile.nr, plan.output_type);
        // An output is no larger than a sum: each is written after what lies there was read.
        let row = nr * (size_of::<f32>() / element.size());
        let rows: [usize; MAX_MC] = core::array::from_fn(|i| i * row);
        let [outputs, residuals] = [self.sums.as_mut_ptr(), self.patch.as_mut_ptr()]
            .map(|at| PointerMut { at: at.cast(), element });
        let of_plane = run.operands.y_placement.row;
        if let Some((residual, at)) = &run.operands.residual {
            region.runs(pixels.clone(), of_plane, &mut |pixel, first, pixels| {
                let copy = Transpose {
                    from: residual.0.add(at.of_channel(pixel, columns.offset)),
                    from_row: at.channel,
                    to: residuals.add(first * row),
                    to_row: row,
                    rows: columns.count,
                    columns: pixels,
                };
                // SAFETY: the pixels lie in the residual, the columns in its channels; the patch,
                // which no input is in any more, has room for the sums of a tile.
                unsafe { copy.run() };
            });
        }
        let residual = run.operands.residual.as_ref().map(|_| residuals.as_read());
        // SAFETY: the sums are complete; outputs and residuals have rows for these pixels, in this
        // thread's scratch.
        unsafe { self.requantize_rows(columns, int8, (outputs, &rows), (residual, &rows)) };
        region.runs(pixels.clone(), of_plane, &mut |pixel, first, pixels| {
            let at = run.operands.y_placement.of_channel(pixel, columns.offset);
            let copy = Transpose {
                from: outputs.as_read().add(first * row),
                from_row: row,
                to: run.operands.y.0.add(at),
                to_row: run.operands.y_placement.channel,
                rows: pixels,
                columns: columns.count,
            };
            // SAFETY: the pixels lie in the output, the columns in its channels; no other thread
            // writes them.
            unsafe { copy.run() };
        });
    }

    /// Ends the chains of sums that waited in scratch, in the planes of the output.
    ///
    /// # Safety
    /// As [`Tile::compute`]; the sums of these columns are complete.
    unsafe fn to_planes(&self, columns: &Columns, planes: &PlanesKernels) {
        let (run, plan, Task { region, pixels, .. }) = (self.run, self.run.plan, self.task);
        let nr = plan.kernels.tile.nr;
        let row = run.operands.y_placement.row;
        region.runs(pixels.clone(), row, &mut |pixel, first, pixels| {
            let of = |placement: &Placement| placement.of_channel(pixel, columns.offset);
            let args = ToPlanesRun {
                sums: self.sums[first * nr..].as_ptr(),
                sums_pixel: nr,
                pixels,
                channels: columns.count,
                y: run.operands.y.0.add(of(&run.operands.y_placement)).at,
                y_channel: run.operands.y_placement.channel,
                residual: run.operands.residual.map(|(residual, at)| residual.0.add(of(&at)).at),
                activation: plan.activation,
                bounds: plan.activation.bounds(),
            };
            // SAFETY: the level was available when the plan was made; the sums are complete; the
            // pixels lie in the views, the columns in their channels.
            unsafe { (planes.of(plan.output_type).to)(&args) };
        });
    }

    /// Applies an activation of f32 outputs that is no clamp.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the task's outputs.
    /// - All sums of the task are complete.
    unsafe fn activate(&self) {
        let (run, plan, panels) = (self.run, self.run.plan, &self.task.panels);
        let activation = plan.activation;
        if plan.sums == Sums::InScratch || activation.bounds().is_some() || panels.is_empty() {
            return;
        }
        let (nr, channels) = (plan.kernels.tile.nr, plan.weights.columns());
        let (start, end) = (panels.start * nr, (panels.end * nr).min(channels));
        let mut rows = self.offsets.y[..self.task.pixels.len()].iter().copied().peekable();
        while let Some(row) = rows.next() {
            // Pixels without a gap between them are one.
            let mut count = end - start;
            while rows.next_if_eq(&(row + count)).is_some() {
                count += end - start;
            }
            let at = row + self.task.group * channels + start;
            let x = run.operands.y.0.add(at).at.cast();
            // SAFETY: channels start..end of output pixels, of f32, that this task has just
            // written.
            unsafe { (plan.kernels.activate)(&ActivateRun { x, count, activation }) };
        }
    }
}
