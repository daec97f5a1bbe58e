//! Windows over single channels: depthwise convolution, max pool, average pool. One routine produces a
//! rectangle of output pixels, into a tensor or into the A panels of a GEMM.

pub(crate) mod kernel;
pub(crate) mod kernels;
pub(crate) mod strip;
pub(crate) mod tensor;

use core::ops::Range;
use core::ptr::null;

use crate::activation::Activation;
use crate::element::{ElementType, Elements, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::geometry::{Axis, Window, check_input, product};
use crate::memory::{Aligned, flush_subnormal};
use crate::options::Options;
use crate::params::{DepthwiseParams, PoolKind};
use crate::pixels::{Pixel, Placement, Rectangle};
use kernel::{MAX_PIXELS, WindowTile};
use kernels::{InputKernels, StripFn, StripKernels, WindowFn, WindowKernels};
use strip::StripTile;

/// Bytes of a picture up to which its rows are still in L2, or nearly, when they are needed. Prefetching
/// more of them is measured to triple the speed of 147²·64, prefetching fewer to lose up to 7 %.
const CACHED: usize = 3 << 19;
/// The same for strips of stride 1, which prefetch less of what is there already: of 1 MiB (19²·728 in
/// Xception) it takes a quarter off the time, of 0.6 MiB (10²·1536 by itself) it adds a quarter.
const CACHED_STRIP: usize = 3 << 18;
/// And of stride 2: at 147²·128 prefetching takes a third off the time, at 112²·64 it adds an eighth.
const CACHED_STRIP_2: usize = 6 << 20;
/// Bytes of an output up to which strips of stride 1 find what they write in the caches. Prefetching the
/// 11 MiB of 147²·128 takes 0.5 (AVX-512) and 0.8 (AVX2) of the time, the 4 MiB of 37²·728 1.0 and 1.06.
const WRITTEN_STRIP: usize = 5 << 20;

/// Bytes from one pixel to the next whose multiples put all lines of a strip in two sets of L1 (64 sets, 8 or 12 ways): if
/// vectors of half a line go one by one, the line is gone when the second half's turn comes. Strips of pairs take 0.71 of
/// the time at 7²·1024, 0.82 at 14²·512 and 10²·1536 (AVX2, Zen 4), but 1.05 at 28²·256: four sets hold enough.
const ALIASED: usize = 2 << 10;

/// Where the pixel in row r, column p of a rectangle goes, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Places<'a> {
    /// r·row + p·pixel: a tensor.
    Grid { row: usize, pixel: usize },
    /// table\[r·row + p\]: a tile of A panels.
    Table { table: &'a [usize], row: usize },
}

impl Places<'_> {
    fn of(&self, r: usize, p: usize) -> usize {
        match self {
            Self::Grid { row, pixel } => r * row + p * pixel,
            Self::Table { table, row } => table[r * row + p],
        }
    }
}

/// Where a rectangle goes: its pixels at `places` from `y`, blocks of channels `block` elements apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink<'a> {
    pub(crate) y: PointerMut,
    pub(crate) places: Places<'a>,
    pub(crate) block: usize,
}

/// A residual of the same pixels as the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    /// Of the rectangle's first pixel.
    pub(crate) data: Pointer,
    /// Elements from one pixel to the next.
    pub(crate) pixel: usize,
    /// Elements from one row to the next.
    pub(crate) row: usize,
}

/// What is applied to each output before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    pub(crate) residual: Option<Residual>,
    pub(crate) bounds: (f32, f32),
    /// After the clamp, and only if the plan was made for it.
    pub(crate) activation: Activation,
}

/// What a window kernel reads, and what it does to each element before and after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) input: ElementType,
    pub(crate) input_activation: Activation,
    /// Whether outputs are made that not all kernels make: see [`Ends::of`].
    pub(crate) any: bool,
}

impl Ends {
    /// Those of a plan that writes a tensor. An activation that is no clamp must be applied by the kernel if
    /// outputs are rounded to 16 bits after it; and the fast kernels make only f32 and what they are made of.
    pub(crate) fn of(options: &Options) -> Self {
        let rounds = options.output_type != ElementType::F32;
        Self {
            input: options.input_type,
            input_activation: options.input_activation,
            any: rounds
                && (options.output_type != options.input_type
                    || options.activation.bounds().is_none()),
        }
    }
}

/// A window over channels, prepared: geometry, packed weights, kernel.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    pub(crate) lanes: usize,
    tiles: &'static WindowKernels,
    /// For the pixels that see at least two columns of taps, if there are such kernels for the window.
    strips: Option<&'static StripKernels>,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    pub(crate) channels_out: usize,
    multiplier: usize,
    pub(crate) element: ElementType,
    input_activation: Activation,
    /// Kernel rows that the row kernels prefetch: those that the output row above had no use for, none if
    /// the picture is small.
    fresh_rows: usize,
    /// Pixels of the widest strip that is used.
    widest_strip: usize,
    /// Whether strips prefetch their input.
    ahead: bool,
    /// Whether they prefetch an output that is a tensor.
    written_ahead: bool,
    /// `[block of lanes][kh][kw][lane]`, then the biases; empty for pools.
    weights: Aligned,
    bias_at: usize,
}

impl WindowPlan {
    pub(crate) fn depthwise(
        kernels: &'static InputKernels,
        input: [usize; 4],
        params: &DepthwiseParams<'_>,
        ends: Ends,
    ) -> Result<Self> {
        let activation = ends.input_activation.checked()?;
        let Window { kernel, stride, dilation, .. } = params.window;
        let sliding = kernels
            .sliding
            .iter()
            .find(|s| s.kernel == kernel[1] && s.stride == stride[1] && dilation[1] == 1);
        let plain = params.multiplier == 1 && !ends.any;
        let tiles = match (plain, activation, sliding) {
            (true, Activation::None, Some(sliding)) => &sliding.plain,
            (true, Activation::Relu, Some(sliding)) => &sliding.relu,
            (true, Activation::None, None) => &kernels.depthwise,
            (true, Activation::Relu, None) => &kernels.depthwise_relu,
            _ => &kernels.depthwise_any,
        };
        let mut plan = Self::new(kernels, tiles, input, params.multiplier, &params.window, ends)?;
        if plain && (kernel, dilation) == ([strip::K; 2], [1, 1]) {
            let strips = kernels.strips.iter().find(|s| stride == [s.stride; 2]);
            plan.strips = match activation {
                Activation::None => strips.map(|s| &s.plain),
                Activation::Relu => strips.map(|s| &s.relu),
                _ => None,
            };
        }
        if kernels.pairs && (input[3] * ends.input.size()).is_multiple_of(ALIASED) {
            plan.widest_strip = strip::PAIR;
        }
        plan.pack(&params.window, params.weights, params.bias)?;
        Ok(plan)
    }

    pub(crate) fn pool(
        kernels: &'static InputKernels,
        kind: PoolKind,
        input: [usize; 4],
        window: &Window,
        ends: Ends,
    ) -> Result<Self> {
        let plain = ends.input_activation == Activation::None && !ends.any;
        let tiles = match kind {
            PoolKind::Max if plain => &kernels.max,
            PoolKind::Max => &kernels.max_any,
            PoolKind::Average if plain => &kernels.average,
            PoolKind::Average => &kernels.average_any,
        };
        Self::new(kernels, tiles, input, 1, window, ends)
    }

    fn new(
        kernels: &'static InputKernels,
        tiles: &'static WindowKernels,
        input: [usize; 4],
        multiplier: usize,
        window: &Window,
        ends: Ends,
    ) -> Result<Self> {
        check_input(input)?;
        if multiplier == 0 {
            return Err(Error::ZeroDimension { what: "depth multiplier" });
        }
        let vertical = window.axis(0, input[1])?;
        let horizontal = window.axis(1, input[2])?;
        let channels_out = product("output channels", &[input[3], multiplier])?;
        product("output elements", &[input[0], vertical.output, horizontal.output, channels_out])?;
        let bytes = input[1] * input[2] * input[3] * ends.input.size();
        // Of 16 bits only if the input is, too.
        let written = vertical.output * horizontal.output * channels_out * ends.input.size();
        Ok(Self {
            lanes: kernels.lanes,
            tiles,
            strips: None,
            widest_strip: strip::MAX_PIXELS,
            input,
            vertical,
            horizontal,
            channels_out,
            multiplier,
            element: ends.input,
            input_activation: ends.input_activation.checked()?,
            fresh_rows: if bytes > CACHED { vertical.stride } else { 0 },
            ahead: bytes > if vertical.stride == 1 { CACHED_STRIP } else { CACHED_STRIP_2 },
            written_ahead: written > WRITTEN_STRIP,
            weights: Aligned::new(0, 0.0)?,
            bias_at: 0,
        })
    }

    fn pack(&mut self, window: &Window, weights: Elements<'_>, bias: Option<&[f32]>) -> Result<()> {
        let channels = self.channels_out;
        let taps = product("kernel elements", &window.kernel)?;
        let expected = product("depthwise weights", &[taps, channels])?;
        if weights.len() != expected {
            return Err(Error::Length {
                what: "depthwise weights",
                expected,
                actual: weights.len(),
            });
        }
        if let Some(bias) = bias.filter(|b| b.len() != channels) {
            return Err(Error::Length {
                what: "depthwise bias",
                expected: channels,
                actual: bias.len(),
            });
        }
        let lanes = self.lanes;
        let padded = channels
            .checked_next_multiple_of(lanes)
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        self.bias_at = product("packed depthwise weights", &[padded, taps])?;
        let total = (self.bias_at.checked_add(padded))
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        self.weights = Aligned::new(total, 0.0)?;
        let packed = &mut self.weights[..];
        // No NaNs but the one: see `Element::store_sum`.
        let plain = |w: f32| if w.is_nan() { f32::NAN } else { flush_subnormal(w) };
        // In f32 whatever they were given in: there are few of them, and each is used for a whole picture.
        for tap in 0..taps {
            for c in 0..channels {
                let weight = weights.get(tap * channels + c);
                packed[(c / lanes * taps + tap) * lanes + c % lanes] = plain(weight);
            }
        }
        for (c, &b) in bias.unwrap_or_default().iter().enumerate() {
            packed[self.bias_at + c] = plain(b);
        }
        Ok(())
    }

    /// Bytes of weights and biases.
    pub(crate) fn weights_bytes(&self) -> usize {
        self.weights.len() * size_of::<f32>()
    }

    /// \[N, H, W, C\] of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.input[0], self.vertical.output, self.horizontal.output, self.channels_out]
    }

    /// The instance to begin a run of `room` pixels with, so that its tiles are about equally wide.
    fn instance(&self, room: usize) -> (usize, WindowFn) {
        let tiles = self.tiles.tiles;
        let wanted = room.div_ceil(room.div_ceil(tiles[0].0));
        let fits = tiles.iter().find(|(pixels, _)| *pixels <= wanted);
        *fits.expect("the last instance holds one pixel")
    }

    /// The kernel that computes most of the output.
    pub(crate) fn kernel_name(&self) -> &'static str {
        self.strips.map_or(self.tiles.name, |strips| strips.name)
    }

    /// For the kernels that bound the input from below: 0 for ReLU.
    fn input_bound(&self) -> f32 {
        if self.input_activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY }
    }

    /// Whether the rows of a rectangle share what they read, so that low ones are slower than high ones.
    pub(crate) fn shares_rows(&self) -> bool {
        self.strips.is_some()
    }

    /// Computes a rectangle of the output; `next` is where the one computed after it begins, if any.
    ///
    /// # Safety
    /// `x` is a view of the plan's input, of its type, with the rows that these pixels' windows cover. The pixels
    /// lie in the output, their places in the sink are valid for writing and no other thread touches them; the
    /// residual is valid for these pixels.
    pub(crate) unsafe fn run(
        &self,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Option<Pixel>,
        sink: &Sink<'_>,
        finish: &Finish,
    ) {
        if at.rows.is_empty() || at.columns.is_empty() {
            return;
        }
        // The last place is looked up here, so that all lie in the table.
        let _ = sink.places.of(at.rows.len() - 1, at.columns.len() - 1);
        let mut ox = at.columns.start;
        while ox < at.columns.end {
            let strip = self.strip(ox..at.columns.end);
            let end = match strip {
                Some((pixels, _)) => ox + pixels,
                None if self.strips.is_some() => ox + 1,
                None => at.columns.end,
            };
            // SAFETY: the caller's contract, for some columns of the rectangle.
            unsafe {
                match strip {
                    Some((_, kernel)) => {
                        let inner = end < at.columns.end;
                        let next =
                            if inner { Some(Pixel { column: end, ..at.first() }) } else { next };
                        self.run_strip(kernel, x, at, ox..end, next, sink, finish);
                    }
                    None => {
                        for oy in at.rows.clone() {
                            self.run_row(x, at, oy, ox..end, sink, finish);
                        }
                    }
                }
            }
            ox = end;
        }
    }

    /// The strip kernel to begin these columns with, so that the strips are about equally wide; none if
    /// there is none for the first of them.
    fn strip(&self, columns: Range<usize>) -> Option<(usize, StripFn)> {
        let tiles = self.strips?.tiles;
        let first = self.horizontal.taps(columns.start);
        if first.start > 1 || first.end < 2 {
            return None;
        }
        let mut room = 1;
        if first.end == strip::K {
            let interior = self.horizontal.interior();
            // All pixels up to here see all three columns, the next one may lack the last.
            let whole = interior.end.clamp(columns.start + 1, columns.end);
            let next = whole < columns.end && self.horizontal.taps(whole) == (0..2);
            room = whole + usize::from(next) - columns.start;
        }
        let widest = tiles[0].0.min(self.widest_strip);
        let wanted = room.div_ceil(room.div_ceil(widest));
        tiles.iter().find(|(pixels, _)| *pixels <= wanted).copied()
    }

    /// Computes some columns of a rectangle by a strip kernel.
    ///
    /// # Safety
    /// As [`WindowPlan::run`]; `kernel` is one for these columns, whose number [`WindowPlan::strip`] gave.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a strip")]
    unsafe fn run_strip(
        &self,
        kernel: StripFn,
        (x, placement): (Pointer, Placement),
        at: &Rectangle,
        columns: Range<usize>,
        next: Option<Pixel>,
        sink: &Sink<'_>,
        finish: &Finish,
    ) {
        let [_, h, _, channels] = self.input;
        let (vertical, horizontal) = (&self.vertical, &self.horizontal);
        let (rows, p) = (at.rows.len(), columns.start - at.columns.start);
        // The first tap, which may lie outside: modulo 2⁶⁴ then.
        let tap = |pixel: Pixel| {
            let iy = (pixel.row * vertical.stride).wrapping_sub(vertical.before);
            let ix = (pixel.column * horizontal.stride).wrapping_sub(horizontal.before);
            x.add(placement.of(Pixel { row: iy, column: ix, ..pixel })).at
        };
        let top = at.rows.start * vertical.stride;
        let inside_from = |edge: usize| (edge + vertical.before).saturating_sub(top);
        let inside = inside_from(0)..inside_from(h).min((rows - 1) * vertical.stride + strip::K);
        let mut grid = [0; strip::MAX_PIXELS];
        let (y, y_row, y_pixels, y_pixels_row) = match sink.places {
            Places::Grid { row, pixel } => {
                for (p, place) in grid.iter_mut().enumerate() {
                    *place = p.wrapping_mul(pixel);
                }
                (sink.y.add(p * pixel), row, grid.as_ptr(), 0)
            }
            Places::Table { table, row } => (sink.y, 0, table[p..].as_ptr(), row),
        };
        let (residual, residual_pixel, residual_row) = match finish.residual {
            Some(r) => (r.data.add(p * r.pixel), r.pixel, r.row),
            None => (Pointer::NULL, 0, 0),
        };
        let tile = StripTile {
            x: tap(Pixel { column: columns.start, ..at.first() }),
            x_row: placement.row(),
            x_column: placement.pixel,
            rows,
            inside,
            left: horizontal.taps(columns.start).start > 0,
            right: horizontal.taps(columns.end - 1).end < strip::K,
            ahead: next.filter(|_| self.ahead).map_or(null(), |next| {
                let skipped = (strip::K - horizontal.stride) * placement.pixel;
                tap(next).wrapping_add(skipped * x.element.size())
            }),
            input_bound: self.input_bound(),
            channels,
            weights: self.weights.as_ptr(),
            bias: self.weights.as_ptr().wrapping_add(self.bias_at),
            y,
            y_row,
            y_pixels,
            y_pixels_row,
            y_ahead: match sink.places {
                Places::Grid { pixel, .. } if self.written_ahead && pixel == channels => {
                    columns.len() * pixel
                }
                _ => 0,
            },
            y_block: sink.block,
            residual,
            residual_pixel,
            residual_row,
            bounds: finish.bounds,
        };
        // SAFETY: the level was available when the plan was made; x, y and residual are valid by the
        // caller's contract for these pixels; the rows inside and the columns but for those said to
        // lie outside are the input's.
        unsafe { kernel(&tile) };
    }

    /// Computes columns of output row `oy` of a rectangle by the row kernels.
    ///
    /// # Safety
    /// As [`WindowPlan::run`].
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a run")]
    unsafe fn run_row(
        &self,
        (x, placement): (Pointer, Placement),
        at: &Rectangle,
        oy: usize,
        columns: Range<usize>,
        sink: &Sink<'_>,
        finish: &Finish,
    ) {
        let (vertical, horizontal) = (&self.vertical, &self.horizontal);
        let rows = vertical.taps(oy);
        let y0 = if rows.is_empty() { 0 } else { vertical.position(oy, rows.start) };
        let interior = horizontal.interior();
        let lanes = self.lanes;
        // Of a pool, which has no weights and any kernel, the products can wrap.
        let weights_row = horizontal.kernel.wrapping_mul(lanes);
        let mut tile = WindowTile {
            x: x.at,
            // A stride or dilation beyond the input can wrap, but then only one pixel or tap is used.
            x_pixel: horizontal.stride.wrapping_mul(placement.pixel),
            x_row: vertical.dilation.wrapping_mul(placement.row()),
            x_column: horizontal.dilation.wrapping_mul(placement.pixel),
            rows: rows.len(),
            fresh_rows: rows.len().min(self.fresh_rows),
            fresh_columns: 0,
            columns: horizontal.kernel,
            channels: self.channels_out,
            multiplier: self.multiplier,
            weights: self.weights.as_ptr(),
            weights_row,
            weights_block: vertical.kernel.wrapping_mul(weights_row),
            bias: self.weights.as_ptr().wrapping_add(self.bias_at),
            input_activation: self.input_activation,
            input_bound: self.input_bound(),
            y: sink.y,
            y_pixels: [0; MAX_PIXELS],
            y_block: sink.block,
            residual: Pointer::NULL,
            residual_pixel: 0,
            bounds: finish.bounds,
            activation: finish.activation,
        };
        let r = oy - at.rows.start;
        let mut ox = columns.start;
        while ox < columns.end {
            let inside = interior.contains(&ox);
            let (pixels, kernel) = if inside {
                self.instance(columns.end.min(interior.end) - ox)
            } else {
                (1, self.tiles.border)
            };
            let taps = if inside { 0..horizontal.kernel } else { horizontal.taps(ox) };
            tile.columns = taps.len();
            tile.fresh_columns = tile.columns.min(horizontal.stride);
            let x0 = if taps.is_empty() { 0 } else { horizontal.position(ox, taps.start) };
            tile.x = x.add(placement.of(Pixel { row: y0, column: x0, ..at.first() })).at;
            tile.weights = (self.weights.as_ptr())
                .wrapping_add(rows.start.wrapping_mul(weights_row))
                .wrapping_add(taps.start.wrapping_mul(lanes));
            let p = ox - at.columns.start;
            for (i, place) in tile.y_pixels[..pixels].iter_mut().enumerate() {
                *place = sink.places.of(r, p + i);
            }
            if let Some(residual) = finish.residual {
                tile.residual = residual.data.add(r * residual.row + p * residual.pixel);
                tile.residual_pixel = residual.pixel;
            }
            // SAFETY: the level was available when the plan was made; x, y and residual are valid by
            // the caller's contract for these pixels, and the taps passed lie inside the input.
            unsafe { kernel(&tile) };
            ox += pixels;
        }
    }
}
