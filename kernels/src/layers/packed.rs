//! Layers without a shape: what packing makes of weights.

use alloc::sync::Arc;
use core::fmt;

use crate::error::{Error, Result};
use crate::geometry::{Window, check_input, product};
use crate::layers::layer::{Layer, choose};
use crate::layout::TensorLayout;
use crate::level::Level;
use crate::options::Options;
use crate::planes::PlanesKernels;
use crate::table::kernels::Kernels;

/// A layer's weights, packed once, from which plans for inputs of any size are made.
///
/// It holds all of a layer but the size of its input: weights and biases, window, activations,
/// element types, level. The original weights can be dropped. Clones and plans share the one
/// packed copy, which is freed with the last of them. It is `Send + Sync`.
///
/// Packing takes time and memory in proportion to the weights. A plan takes microseconds, and a few
/// KiB however large the weights are.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let packed = {
///     let weights = [1.0, 10.0]; // 2 channels to 1
///     Pointwise::pack(2, &PointwiseParams::new(1, &weights), &Options::default())?
/// };
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// for pixels in [1, 3] {
///     let plan = packed.plan([1, 1, pixels])?;
///     let (mut y, mut scratch) = (vec![0.0; pixels], vec![0.0; plan.scratch_len(1)]);
///     let x = NhwcView::new(&x[..2 * pixels], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
///     assert_eq!(y, [21.0, 43.0, 65.0][..pixels]);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Packed<L> {
    packing: Arc<dyn Packing>,
    of: fn(Layer) -> L,
}

impl<L> Packed<L> {
    pub(super) fn new(packing: impl Packing + 'static, of: fn(Layer) -> L) -> Self {
        Self { packing: Arc::new(packing), of }
    }

    /// The level whose kernels the plans run.
    #[must_use]
    pub fn level(&self) -> Level {
        self.packing.common().kernels.level
    }

    /// Bytes of the packed weights and biases. Plans take none besides.
    #[must_use]
    pub fn weights_bytes(&self) -> usize {
        self.packing.weights_bytes()
    }

    /// Input channels C.
    #[must_use]
    pub fn channels_in(&self) -> usize {
        self.packing.common().channels_in
    }

    /// Output channels: O, or C·M of a depthwise convolution.
    #[must_use]
    pub fn channels_out(&self) -> usize {
        self.packing.common().channels_out
    }

    /// The output shape \[N, H, W, C\] for an input of `size` \[N, H, W\].
    ///
    /// # Errors
    /// Those of [`Packed::plan`].
    pub fn output_shape(&self, [n, h, w]: [usize; 3]) -> Result<[usize; 4]> {
        let Common { channels_in, channels_out, .. } = self.packing.common();
        check_input([n, h, w, *channels_in])?;
        let [oh, ow] = self.packing.output_size([h, w])?;
        let shape = [n, oh, ow, *channels_out];
        product("output elements", &shape).map(|_| shape)
    }

    /// A plan for an input of `size` \[N, H, W\]: the same as `L::new` makes for that shape, bits
    /// included, but without packing.
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a kernel larger than the padded input.
    pub fn plan(&self, size: [usize; 3]) -> Result<L> {
        self.packing.plan(size).map(self.of)
    }
}

impl<L> Clone for Packed<L> {
    fn clone(&self) -> Self {
        Self { packing: self.packing.clone(), of: self.of }
    }
}

impl<L> fmt::Debug for Packed<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Common { kernels, channels_in, channels_out, window, .. } = self.packing.common();
        f.debug_struct("Packed")
            .field("level", &kernels.level)
            .field("channels_in", channels_in)
            .field("channels_out", channels_out)
            .field("window", window)
            .finish_non_exhaustive()
    }
}

/// All of a layer but the size of its input.
pub(super) trait Packing: Send + Sync {
    fn common(&self) -> &Common;

    fn weights_bytes(&self) -> usize;

    /// Output height and width over an input of height and width.
    fn output_size(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        self.common().window.output_size(size)
    }

    /// The layer for an input of so many pictures, rows and columns.
    fn plan(&self, size: [usize; 3]) -> Result<Layer>;
}

/// What all layers with weights have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) kernels: &'static Kernels,
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    pub(super) window: Window,
    pub(super) options: Options,
}

impl Common {
    /// Checks all of it.
    pub(super) fn new(
        channels_in: usize,
        channels_out: usize,
        window: Window,
        options: &Options,
    ) -> Result<Self> {
        for (what, value) in [("channels", channels_in), ("output channels", channels_out)] {
            if value == 0 {
                return Err(Error::ZeroDimension { what });
            }
        }
        let (kernels, window) = (choose(options)?, window.checked()?);
        options.input_activation.checked()?;
        options.activation.checked()?;
        Ok(Self { kernels, channels_in, channels_out, window, options: *options })
    }

    /// The kernels for the planes of a tensor \[N, H, W, C\] of that layout, if it has some: of
    /// single pixels both layouts are the same memory.
    pub(super) fn planes(
        &self,
        layout: TensorLayout,
        [_, h, w, _]: [usize; 4],
    ) -> Option<&'static PlanesKernels> {
        (layout == TensorLayout::Nchw && [h, w] != [1, 1]).then_some(&self.kernels.planes)
    }
}
