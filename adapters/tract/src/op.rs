//! The operation.

use std::hash::{Hash, Hasher};

use sepconv_kernels::{NhwcView, NhwcViewMut, on_this_thread};
use sepconv_plans::{Plans, run};
use tract_core::internal::*;
use tract_core::ops::cnn::PoolSpec;
use tract_linalg::multithread::{Executor, current_tract_executor};

/// A convolution, or two, of \[N, H, W, C\]; a second input is added to the result.
#[derive(Clone, Debug)]
pub(crate) struct SepConv {
    plans: Arc<Plans>,
    /// Window and channels; of a pair, the depthwise one's window and the pointwise one's outputs.
    pool: PoolSpec,
}

impl SepConv {
    pub(crate) fn new(plans: Plans, pool: PoolSpec) -> Self {
        Self { plans: Arc::new(plans), pool }
    }
}

// tract wants to know which operations are the same: those that share their weights.
impl PartialEq for SepConv {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plans, &other.plans)
    }
}

impl Eq for SepConv {}

impl Hash for SepConv {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.plans).hash(state);
    }
}

impl Op for SepConv {
    fn name(&self) -> StaticName {
        "SepConv".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.pool.info())
    }

    op_as_typed_op!();
}

impl EvalOp for SepConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, residual) = (&inputs[0], inputs.get(1));
        let &[n, h, w, c] = x.shape() else {
            bail!("input of shape {:?}, not of rank 4 (N, H, W, C)", x.shape())
        };
        ensure!(
            c == self.pool.input_channels,
            "input has {c} channels, expected {}",
            self.pool.input_channels
        );
        let plan = self.plans.get([n, h, w])?;
        let (input, output) = (plan.input_shape(), plan.output_shape());
        let mut y = Tensor::zero::<f32>(&output)?;
        let from = NhwcView::new(x.try_as_plain_ram()?.as_slice::<f32>()?, input)?;
        let residual = residual.map(|residual| {
            ensure!(residual.shape() == output, "residual {:?}, not {output:?}", residual.shape());
            Ok(NhwcView::new(residual.try_as_plain_ram()?.as_slice::<f32>()?, output)?)
        });
        let residual = residual.transpose()?;
        let mut values = y.try_as_plain_ram_mut()?;
        let to = NhwcViewMut::new(values.as_slice_mut::<f32>()?, output)?;
        let compute = || run(&*plan, from, residual, to);
        match current_tract_executor() {
            Executor::SingleThread => on_this_thread(compute),
            Executor::MultiThread(pool) => pool.install(compute),
            Executor::RayonGlobal => compute(),
        }?;
        Ok(tvec!(y.into_tvalue()))
    }
}

impl TypedOp for SepConv {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.pool.output_shape(&inputs[0].shape)?;
        Ok(tvec!(inputs[0].datum_type.fact(&shape.shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let Some(&[n, h, w, _]) = inputs[0].shape.as_concrete() else { return Ok(tvec!()) };
        let count = self.plans.get([n, h, w])?.multiply_adds();
        Ok(tvec!((Cost::FMA(f32::datum_type()), count.to_dim())))
    }
}
