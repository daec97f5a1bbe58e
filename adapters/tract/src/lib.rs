//! Depthwise, pointwise and separable convolutions of [tract](tract_core) models, computed by
//! [`sepconv_kernels`].
//!
//! [`Sepconv`] is a transformation of a model, before it is optimized:
//!
//! ```
//! use sepconv_tract::Sepconv;
//! use sepconv_tract::tract_core::internal::*;
//!
//! # fn main() -> TractResult<()> {
//! # let mut model = TypedModel::default();
//! # let x = model.add_source("x", f32::fact([1, 2, 5, 5]))?;
//! # let weights = model.add_const("weights", Tensor::zero::<f32>(&[3, 2, 1, 1])?)?;
//! # let bias = model.add_const("bias", Tensor::zero::<f32>(&[3])?)?;
//! # let pool_spec = sepconv_tract::tract_core::ops::cnn::PoolSpec {
//! #     data_format: sepconv_tract::tract_core::ops::nn::DataFormat::NCHW,
//! #     kernel_shape: tvec!(1, 1),
//! #     padding: sepconv_tract::tract_core::ops::cnn::PaddingSpec::Valid,
//! #     dilations: None,
//! #     strides: None,
//! #     input_channels: 2,
//! #     output_channels: 3,
//! # };
//! # let conv = sepconv_tract::tract_core::ops::cnn::Conv {
//! #     pool_spec, kernel_fmt: Default::default(), group: 1, q_params: None };
//! # let y = model.wire_node("conv", conv, &[x, weights, bias])?;
//! # model.select_output_outlets(&y)?;
//! // model: a TypedModel, from `into_typed` or `into_decluttered`
//! let report = Sepconv::new().replace(&mut model)?;
//! assert_eq!(report.replaced, ["conv"]);
//! let runnable = model.into_optimized()?.into_runnable()?;
//! # let y = runnable.run(tvec!(Tensor::zero::<f32>(&[1, 2, 5, 5])?.into_tvalue()))?;
//! # assert_eq!(y[0].shape(), [1, 3, 5, 5]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is replaced
//! Convolutions of f32 over two spatial axes, with constant weights: depthwise, pointwise (also
//! where tract has made a matrix product of it), standard. With them go the constant bias, the ReLU
//! or clip in front, between and behind, and the addition of another value of the same shape. A
//! depthwise convolution whose only reader is a pointwise one of stride 1 becomes one operation
//! with it. Everything else stays what it is, and [`Report::kept`] says why.
//!
//! Models of NCHW are wired through [`AxisOp::Move`](tract_core::ops::change_axes::AxisOp) on both
//! sides; tract removes those between neighbours when it optimizes.
//!
//! # Numerics
//! Values differ from tract's own by rounding. They have the same bits on every CPU and any number
//! of threads; see [`sepconv_kernels`].
//!
//! # Threads
//! Those of tract's current executor: the calling thread alone, unless the model is run inside
//! `multithread_tract_scope`, or a default executor was set.

mod chain;
mod convolution;
mod op;

pub use tract_core;

use tract_core::internal::*;
use tract_core::transform::ModelTransform;

use crate::chain::Chain;

/// The transformation. `model.transform(&Sepconv::new())` applies it; [`Sepconv::replace`] does the
/// same and tells what it did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sepconv {}

/// What a transformation did, by names of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The convolutions that sepconv computes; of a fused pair the depthwise one.
    pub replaced: Vec<String>,
    /// The convolutions that stay tract's, and why.
    pub kept: Vec<(String, String)>,
}

impl Sepconv {
    /// All that can be replaced is.
    pub fn new() -> Self {
        Self {}
    }

    /// Replaces convolutions of `model`, which must not be optimized yet.
    ///
    /// # Errors
    /// Those of tract, if the model contradicts itself. What can't be replaced is no error.
    pub fn replace(&self, model: &mut TypedModel) -> TractResult<Report> {
        // A bias may still be on its way through a reshape.
        model.prop_consts()?;
        let mut report = Report::default();
        for id in model.eval_order()? {
            let name = model.node(id).name.clone();
            match Chain::from(model, id) {
                Ok(None) => {}
                Ok(Some(chain)) => {
                    chain.patch(model, &name)?.apply(model)?;
                    report.replaced.push(name);
                }
                Err(reason) => report.kept.push((name, format!("{reason:#}"))),
            }
        }
        model.compact()?;
        Ok(report)
    }
}

impl ModelTransform for Sepconv {
    fn name(&self) -> StaticName {
        "sepconv".into()
    }

    fn transform(&self, model: &mut TypedModel) -> TractResult<()> {
        self.replace(model).map(drop)
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
