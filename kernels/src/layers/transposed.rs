//! Transposed convolutions.

use alloc::vec::Vec;

use crate::arithmetic::Arithmetic;
use crate::depthwise::plan::PackedDepthwise;
use crate::element::Elements;
use crate::error::{Error, Result};
use crate::geometry::{Axis, TransposedWindow, Window, check_input, product};
use crate::layers::conv::PackedConv;
use crate::layers::layer::{HasLayer, Layer, Machine, count};
use crate::layers::packed::{Common, Packed, Packing};
use crate::layers::plan::Plan;
use crate::layout::{TensorLayout, WeightLayout};
use crate::memory::reserved;
use crate::options::Options;
use crate::params::{ConvParams, DepthwiseParams, TransposedParams};
use crate::rows::plan::InputSpec;
use crate::table::kernels::Kernels;
use crate::tensor::{Channelwise, TensorPlan};
use crate::transposed::{Phase, PhaseMachine, TransposedPlan};
use crate::unpacked::Unpacked;

/// The longest stride: there are as many phases of the output as its square, and each is planned.
const MAX_STRIDE: usize = 64;

/// A transposed convolution (deconvolution), standard, in groups, or depthwise.
///
/// Each output is one chain of fused multiply-adds: bias, then the input pixels that reach it, row
/// by row (so that the kernel's taps descend), and the channels of each, ascending. With C groups
/// it is depthwise.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let window = TransposedWindow::new([1, 3]).stride([1, 2]);
/// let params = TransposedParams::new(window, 1, &[1.0, 10.0, 100.0]).bias(&[0.5]);
/// let plan = TransposedConv::new([1, 1, 2, 1], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 5], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [3.5, 30.5, 304.5, 40.5, 400.5]); // 3·100 + 4·1 in the middle
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TransposedConv(Layer);

impl TransposedConv {
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, groups that don't divide the channels, weights or bias of
    /// the wrong length, an activation that makes no sense, integers, NCHW, a scale of the input,
    /// [`Arithmetic::Bf16`], a stride above 64, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &TransposedParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        PackedTransposed::new(channels_in, params, options).map(|p| Packed::new(p, Self))
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(
        input: [usize; 4],
        params: &TransposedParams<'_>,
        options: &Options,
    ) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for TransposedConv {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for TransposedConv {}

/// The weights of a phase.
#[derive(Debug)]
enum PackedPhase {
    Conv(PackedConv),
    Depthwise(PackedDepthwise),
}

/// Packed for all phases, row by row.
#[derive(Debug)]
struct PackedTransposed {
    common: Common,
    window: TransposedWindow,
    groups: usize,
    phases: Vec<PackedPhase>,
}

impl PackedTransposed {
    fn new(channels_in: usize, params: &TransposedParams<'_>, options: &Options) -> Result<Self> {
        let TransposedParams { window, groups, channels_out, weights, layout, bias } = *params;
        if groups == 0 {
            return Err(Error::ZeroDimension { what: "groups" });
        }
        let refused = |what| Err(Error::Unsupported { what });
        if options.input_type.is_quantized() || options.output_type.is_quantized() {
            return refused("a transposed convolution of integers: expected f32, f16 or bf16");
        }
        if [options.input_layout, options.output_layout] != [TensorLayout::Nhwc; 2] {
            return refused("a transposed convolution in NCHW layout: expected NHWC");
        }
        if options.input_scale {
            return refused("a scale on load of a transposed convolution: multiply it before");
        }
        if options.arithmetic == Arithmetic::Bf16 {
            return refused("a transposed convolution in the arithmetic bf16: expected exact");
        }
        let common = Common::new(channels_in, channels_out, window.as_window(), options)?;
        if !channels_in.is_multiple_of(groups) || !channels_out.is_multiple_of(groups) {
            return Err(Error::Groups { groups, channels_in, channels_out });
        }
        let taps = product("kernel elements", &window.kernel)?;
        let expected = product("weights", &[taps, channels_in / groups, channels_out])?;
        if let Some(&stride) = window.stride.iter().find(|&&stride| stride > MAX_STRIDE) {
            return Err(Error::Stride { stride, most: MAX_STRIDE });
        }
        let unpacked = Unpacked { weights, layout, bias };
        unpacked.check(["weights", "bias"], [expected, channels_out])?;
        let mut phases = Vec::new();
        // With a stride longer than the kernel most phases have no tap: their outputs are the bias.
        for row in 0..window.stride[0] {
            for column in 0..window.stride[1] {
                let phase = [row, column];
                phases.push(packed_phase(common.kernels, channels_in, params, options, phase)?);
            }
        }
        Ok(Self { common, window, groups, phases })
    }
}

/// Packs the taps of a phase.
fn packed_phase(
    kernels: &'static Kernels,
    channels_in: usize,
    params: &TransposedParams<'_>,
    options: &Options,
    phase: [usize; 2],
) -> Result<PackedPhase> {
    let TransposedParams { window, groups, channels_out, weights, layout, bias, .. } = *params;
    let taps = [0, 1].map(|axis| window.taps(axis, phase[axis]));
    // Where there are none: one tap, of zeros, that no output sees.
    let kernel = [0, 1].map(|axis| taps[axis].len().max(1));
    let of_phase = Gather { window, groups, channels_in, channels_out, layout, taps, kernel };
    let (f32s, bits);
    let weights = match weights {
        Elements::F32(all) => {
            f32s = of_phase.gather(all)?;
            Elements::F32(&f32s)
        }
        Elements::F16(all) => {
            bits = of_phase.gather(all)?;
            Elements::F16(&bits)
        }
        Elements::Bf16(all) => {
            bits = of_phase.gather(all)?;
            Elements::Bf16(&bits)
        }
        _ => {
            return Err(Error::Unsupported {
                what: "a transposed convolution of integers: expected f32, f16 or bf16",
            });
        }
    };
    let window = Window::new(kernel).dilation(window.phase_dilation());
    if groups == channels_in {
        let mut params = DepthwiseParams::new(window, weights).multiplier(channels_out / groups);
        params.bias = bias;
        let spec = InputSpec::of(options);
        let kernels = kernels.depthwise(spec.element, options.arithmetic);
        return PackedDepthwise::new(kernels, channels_in, &params, spec)
            .map(PackedPhase::Depthwise);
    }
    let mut params = ConvParams::new(window, channels_out, weights).groups(groups);
    params.bias = bias;
    PackedConv::new(channels_in, &params, options).map(PackedPhase::Conv)
}

/// How the weights of a phase lie among all.
struct Gather {
    window: TransposedWindow,
    groups: usize,
    channels_in: usize,
    channels_out: usize,
    layout: WeightLayout,
    /// Those of the phase, ascending, of either axis.
    taps: [TapsOfPhase; 2],
    kernel: [usize; 2],
}

type TapsOfPhase = core::iter::StepBy<core::ops::Range<usize>>;

impl Gather {
    /// \[taps, the last ones first\]\[input channels of a group\]\[output channels\].
    fn gather<T: Copy + Default>(&self, all: &[T]) -> Result<Vec<T>> {
        let [ins, outs] = [self.channels_in, self.channels_out].map(|c| c / self.groups);
        let taps = self.window.kernel[0] * self.window.kernel[1];
        // Here the outputs are those of a group, and the inputs those of all.
        let strides = self.layout.strides(taps, self.channels_in, outs);
        let len = product("weights", &[self.kernel[0], self.kernel[1], ins, self.channels_out])?;
        let mut gathered = reserved(len)?;
        for ky in self.taps[0].clone().rev() {
            for kx in self.taps[1].clone().rev() {
                let tap = (ky * self.window.kernel[1] + kx) * strides.tap;
                for i in 0..ins {
                    for o in 0..self.channels_out {
                        let input = o / outs * ins + i;
                        let at = tap + input * strides.input + o % outs * strides.output;
                        gathered.push(all[at]);
                    }
                }
            }
        }
        gathered.resize(len, T::default());
        Ok(gathered)
    }
}

impl Packing for PackedTransposed {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        let bytes = self.phases.iter().map(|phase| match phase {
            PackedPhase::Conv(packed) => packed.weights_bytes(),
            PackedPhase::Depthwise(packed) => packed.weights_bytes(),
        });
        bytes.sum()
    }

    fn output_size(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        self.window.output_size(size)
    }

    fn plan(&self, [n, h, w]: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_in, channels_out, ref options, .. } = self.common;
        let input = [n, h, w, channels_in];
        check_input(input)?;
        let (vertical, horizontal) = (self.window.axis(0, h)?, self.window.axis(1, w)?);
        let output = [n, vertical.output, horizontal.output, channels_out];
        product("output elements", &output)?;
        let mut phases = Vec::new();
        for row in 0..vertical.phases() {
            for column in 0..horizontal.phases() {
                let of = [vertical.phase(row), horizontal.phase(column)];
                let axes = of.each_ref().map(|phase| phase.axis);
                let packed = row * self.window.stride[1] + column;
                let machine = self.phases[packed].plan(input, axes, options, &self.common)?;
                let [vertical, horizontal] = of;
                phases.push(Phase { vertical, horizontal, machine });
            }
        }
        let depth = product("kernel elements", &self.window.kernel)?;
        let multiply_adds = count([n, h, w, channels_out], depth * (channels_in / self.groups));
        let plan = TransposedPlan { output, vertical, horizontal, phases };
        Ok(Layer::new(kernels, input, options, multiply_adds, Machine::Transposed(plan)))
    }
}

impl PackedPhase {
    fn plan(
        &self,
        input: [usize; 4],
        axes: [Axis; 2],
        options: &Options,
        common: &Common,
    ) -> Result<PhaseMachine> {
        Ok(match self {
            Self::Conv(packed) => PhaseMachine::Gemm(packed.gemm(input, axes, true)?),
            Self::Depthwise(packed) => {
                let [n, _, _, channels] = input;
                let shape = [n, axes[0].input, axes[1].input, channels];
                let plan = Channelwise::Depthwise(packed.plan_of(shape, axes)?);
                PhaseMachine::Channelwise(TensorPlan::new(plan, options, common.kernels)?)
            }
        })
    }
}
