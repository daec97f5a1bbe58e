//! Windows over single channels: depthwise convolution, max pool, average pool. One routine produces a
//! run of pixels of one output row, into a tensor or into the A panel of a GEMM.

pub(crate) mod kernel;

use core::ptr::null;

use crate::error::{Error, Result};
use crate::geometry::{Axis, check_input, product};
use crate::isa::{Kernels, WindowFn, WindowKernels};
use crate::memory::{Aligned, flush_subnormal};
use crate::{Activation, DepthwiseParams, Window};
use kernel::{MAX_PIXELS, WindowTile};

/// Bytes of a picture up to which its rows are still in L2, or nearly, when they are needed. Prefetching
/// more of them is measured to triple the speed of 147²·64, prefetching fewer to lose up to 7 %.
const CACHED: usize = 3 << 19;

/// Where a run's pixels go: pixel p at `y + (p / group)·group_stride + (p % group)·pixel`, its blocks
/// of channels `block` elements apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink {
    pub(crate) y: *mut f32,
    pub(crate) group: usize,
    pub(crate) group_stride: usize,
    pub(crate) pixel: usize,
    pub(crate) block: usize,
}

/// A residual of the same pixels as the output, its first element and pixel stride.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    pub(crate) data: *const f32,
    pub(crate) pixel_stride: usize,
}

/// What is applied to each output before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    /// The first pixel of the run in the residual, if any.
    pub(crate) residual: Option<Residual>,
    pub(crate) bounds: (f32, f32),
}

/// A window over channels, prepared: geometry, packed weights, kernel.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    pub(crate) kernels: &'static Kernels,
    pub(crate) tiles: &'static WindowKernels,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    pub(crate) channels_out: usize,
    multiplier: usize,
    input_activation: Activation,
    /// Kernel rows that are prefetched: those that the output row above had no use for, none if the
    /// picture is small.
    fresh_rows: usize,
    /// `[block of lanes][kh][kw][lane]`, then the biases; empty for pools.
    weights: Aligned,
    bias_at: usize,
}

impl WindowPlan {
    pub(crate) fn depthwise(
        kernels: &'static Kernels,
        input: [usize; 4],
        params: &DepthwiseParams<'_>,
        input_activation: Activation,
    ) -> Result<Self> {
        let activation = input_activation.checked()?;
        let Window { kernel: [_, kernel], stride: [_, stride], dilation: [_, dilation], .. } =
            params.window;
        let sliding = kernels
            .sliding
            .iter()
            .find(|s| s.kernel == kernel && s.stride == stride && dilation == 1);
        let tiles = match (params.multiplier, activation, sliding) {
            (1, Activation::None, Some(sliding)) => &sliding.plain,
            (1, Activation::Relu, Some(sliding)) => &sliding.relu,
            (1, Activation::None, None) => &kernels.depthwise,
            (1, Activation::Relu, None) => &kernels.depthwise_relu,
            _ => &kernels.depthwise_any,
        };
        let mut plan =
            Self::new(kernels, tiles, input, params.multiplier, &params.window, input_activation)?;
        plan.pack(&params.window, params.weights, params.bias)?;
        Ok(plan)
    }

    pub(crate) fn pool(
        kernels: &'static Kernels,
        tiles: &'static WindowKernels,
        input: [usize; 4],
        window: &Window,
        input_activation: Activation,
    ) -> Result<Self> {
        Self::new(kernels, tiles, input, 1, window, input_activation)
    }

    fn new(
        kernels: &'static Kernels,
        tiles: &'static WindowKernels,
        input: [usize; 4],
        multiplier: usize,
        window: &Window,
        input_activation: Activation,
    ) -> Result<Self> {
        check_input(input)?;
        if multiplier == 0 {
            return Err(Error::ZeroDimension { what: "depth multiplier" });
        }
        let vertical = window.axis(0, input[1])?;
        let horizontal = window.axis(1, input[2])?;
        let channels_out = product("output channels", &[input[3], multiplier])?;
        product("output elements", &[input[0], vertical.output, horizontal.output, channels_out])?;
        let large = input[1] * input[2] * input[3] * size_of::<f32>() > CACHED;
        Ok(Self {
            kernels,
            tiles,
            input,
            vertical,
            horizontal,
            channels_out,
            multiplier,
            input_activation: input_activation.checked()?,
            fresh_rows: if large { vertical.stride } else { 0 },
            weights: Aligned::new(0, 0.0)?,
            bias_at: 0,
        })
    }

    fn pack(&mut self, window: &Window, weights: &[f32], bias: Option<&[f32]>) -> Result<()> {
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
        let lanes = self.kernels.lanes;
        let padded = channels
            .checked_next_multiple_of(lanes)
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        self.bias_at = product("packed depthwise weights", &[padded, taps])?;
        let total = (self.bias_at.checked_add(padded))
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        self.weights = Aligned::new(total, 0.0)?;
        let packed = &mut self.weights[..];
        for (tap, row) in weights.chunks_exact(channels).enumerate() {
            for (c, &weight) in row.iter().enumerate() {
                packed[(c / lanes * taps + tap) * lanes + c % lanes] = flush_subnormal(weight);
            }
        }
        for (c, &b) in bias.unwrap_or_default().iter().enumerate() {
            packed[self.bias_at + c] = flush_subnormal(b);
        }
        Ok(())
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

    /// Computes pixels `columns` of output row (n, oy); the first of them is pixel `first` of the sink.
    ///
    /// # Safety
    /// `x` is a view of the plan's input shape with the given pixel stride. The pixels lie in the
    /// output, their places in the sink are valid for writing and no other thread touches them; the
    /// residual is valid for these pixels.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a run")]
    pub(crate) unsafe fn run(
        &self,
        x: *const f32,
        pixel_stride: usize,
        (n, oy): (usize, usize),
        columns: core::ops::Range<usize>,
        sink: &Sink,
        first: usize,
        finish: &Finish,
    ) {
        let [_, h, w, _] = self.input;
        let (vertical, horizontal) = (&self.vertical, &self.horizontal);
        let rows = vertical.taps(oy);
        let y0 = if rows.is_empty() { 0 } else { vertical.position(oy, rows.start) };
        let interior = horizontal.interior();
        let lanes = self.kernels.lanes;
        // Of a pool, which has no weights and any kernel, the products can wrap.
        let weights_row = horizontal.kernel.wrapping_mul(lanes);
        let mut tile = WindowTile {
            x,
            // A stride or dilation beyond the input can wrap, but then only one pixel or tap is used.
            x_pixel: horizontal.stride.wrapping_mul(pixel_stride),
            x_row: vertical.dilation.wrapping_mul(w * pixel_stride),
            x_column: horizontal.dilation.wrapping_mul(pixel_stride),
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
            y: sink.y,
            y_pixels: [0; MAX_PIXELS],
            y_block: sink.block,
            residual: null(),
            residual_pixel: 0,
            bounds: finish.bounds,
        };
        // Divided once: per pixel it would cost as much as the taps of a few channels.
        let (mut group, mut member) = (first / sink.group, first % sink.group);
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
            tile.x = x.wrapping_add(((n * h + y0) * w + x0) * pixel_stride);
            tile.weights = (self.weights.as_ptr())
                .wrapping_add(rows.start.wrapping_mul(weights_row))
                .wrapping_add(taps.start.wrapping_mul(lanes));
            for offset in &mut tile.y_pixels[..pixels] {
                *offset = group * sink.group_stride + member * sink.pixel;
                member += 1;
                if member == sink.group {
                    (group, member) = (group + 1, 0);
                }
            }
            if let Some(residual) = finish.residual {
                tile.residual =
                    residual.data.wrapping_add((ox - columns.start) * residual.pixel_stride);
                tile.residual_pixel = residual.pixel_stride;
            }
            // SAFETY: the level was available when the plan was made; x, y and residual are valid by
            // the caller's contract for these pixels, and the taps passed lie inside the input.
            unsafe { kernel(&tile) };
            ox += pixels;
        }
    }
}
