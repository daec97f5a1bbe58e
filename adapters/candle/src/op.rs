//! The operation that candle runs, on views \[N, H, W, C\].

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Error, Layout, Result, Shape, WithDType, bail,
};
use half::{bf16, f16};
use sepconv_kernels::{Elements, ElementsMut, NhwcView, NhwcViewMut};
use sepconv_plans::{Plans, run};

use crate::layout::dense;

const NAME: &str = "sepconv";

#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) plans: Plans,
    /// Of the input.
    pub(crate) channels: usize,
    /// Of all values.
    pub(crate) dtype: DType,
}

/// What both kinds of candle's operations are implemented for.
pub(crate) struct Handle(pub(crate) Arc<Op>);

/// A tensor as candle hands it over.
type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl CustomOp1 for Handle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.forward((storage, layout), None)
    }
}

impl CustomOp2 for Handle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.0.forward((x, x_layout), Some((residual, residual_layout)))
    }
}

impl Op {
    fn forward(
        &self,
        x: Operand<'_>,
        residual: Option<Operand<'_>>,
    ) -> Result<(CpuStorage, Shape)> {
        match self.dtype {
            DType::F16 => self.compute::<f16>(x, residual),
            DType::BF16 => self.compute::<bf16>(x, residual),
            _ => self.compute::<f32>(x, residual),
        }
    }

    fn compute<T: Element>(
        &self,
        (storage, layout): Operand<'_>,
        residual: Option<Operand<'_>>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = nhwc(layout)?;
        let [n, h, w, c] = shape;
        if c != self.channels {
            bail!("input of {c} channels, the weights are for {}", self.channels);
        }
        let plan = self.plans.get([n, h, w]).map_err(Error::wrap)?;
        let output = plan.output_shape();
        let x = dense(storage.as_slice::<T>()?, layout, shape);
        let x = NhwcView::new(T::elements(&x), shape).map_err(Error::wrap)?;
        let mut y = vec![T::default(); output.iter().product()];
        let to = NhwcViewMut::new(T::elements_mut(&mut y), output).map_err(Error::wrap)?;
        match residual {
            None => run(&*plan, x, None, to),
            Some((storage, layout)) => {
                let shape = nhwc(layout)?;
                let residual = dense(storage.as_slice::<T>()?, layout, shape);
                let residual = NhwcView::new(T::elements(&residual), shape).map_err(Error::wrap)?;
                run(&*plan, x, Some(residual), to)
            }
        }
        .map_err(Error::wrap)?;
        Ok((T::to_cpu_storage_owned(y), Shape::from(output.to_vec())))
    }
}

fn nhwc(layout: &Layout) -> Result<[usize; 4]> {
    Ok(layout.shape().dims4()?.into())
}

/// An element type of both candle and the kernels.
trait Element: WithDType + Default {
    fn elements(values: &[Self]) -> Elements<'_>;
    fn elements_mut(values: &mut [Self]) -> ElementsMut<'_>;
}

impl Element for f32 {
    fn elements(values: &[Self]) -> Elements<'_> {
        values.into()
    }

    fn elements_mut(values: &mut [Self]) -> ElementsMut<'_> {
        values.into()
    }
}

impl Element for f16 {
    fn elements(values: &[Self]) -> Elements<'_> {
        values.into()
    }

    fn elements_mut(values: &mut [Self]) -> ElementsMut<'_> {
        values.into()
    }
}

impl Element for bf16 {
    fn elements(values: &[Self]) -> Elements<'_> {
        values.into()
    }

    fn elements_mut(values: &mut [Self]) -> ElementsMut<'_> {
        values.into()
    }
}
