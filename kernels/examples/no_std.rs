//! A layer for a crate without std: an allocator is all it asks of the machine. The level is the
//! best that the target guarantees, so compile for the CPU that you have (`-C target-cpu=…`); on
//! AArch64 that is NEON in any case.
//!
//! cargo build --release -p sepconv-kernels --no-default-features --example no_std
#![no_std]

use sepconv_kernels::{
    Activation, Aligned, DepthwiseParams, Error, NhwcView, NhwcViewMut, Options, Padding, Plan,
    Separable, SeparableParams, Window,
};

/// 3×3 per channel, then 1×1, then ReLU, with the memory that it needs.
#[derive(Debug)]
pub struct Layer {
    plan: Separable,
    scratch: Aligned,
}

impl Layer {
    /// For pictures of H×W pixels with C channels. `depthwise` is [3, 3, C], `pointwise` is [C, O].
    pub fn new(
        [h, w, c]: [usize; 3],
        channels_out: usize,
        depthwise: &[f32],
        pointwise: &[f32],
    ) -> Result<Self, Error> {
        let params = SeparableParams::new(
            DepthwiseParams::new(Window::new([3, 3]).padding(Padding::Same), depthwise),
            channels_out,
            pointwise,
        );
        let options = Options::default().activation(Activation::Relu);
        let plan = Separable::new([1, h, w, c], &params, &options)?;
        let scratch = Aligned::new(plan.scratch_len(1), 0.0)?;
        Ok(Self { plan, scratch })
    }

    /// `x` is [H, W, C], `y` becomes [H, W, O].
    pub fn run(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let (from, to) = (self.plan.input_shape(), self.plan.output_shape());
        self.plan.run(NhwcView::new(x, from)?, None, NhwcViewMut::new(y, to)?, &mut self.scratch)
    }
}
