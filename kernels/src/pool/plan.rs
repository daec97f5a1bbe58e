//! Choosing the row kernel of a pool.

use crate::activation::Activation;
use crate::error::Result;
use crate::geometry::Window;
use crate::params::PoolKind;
use crate::pool::kernels::PoolKernels;
use crate::rows::plan::{InputSpec, RowPlan};

/// The rows of a pool.
pub(crate) fn pool_plan(
    kernels: &'static PoolKernels,
    kind: PoolKind,
    input: [usize; 4],
    window: &Window,
    spec: InputSpec,
) -> Result<RowPlan> {
    let as_is = spec.activation == Activation::None && !spec.general;
    let row_kernels = match kind {
        PoolKind::Max if as_is => &kernels.max,
        PoolKind::Max => &kernels.max_general,
        PoolKind::Average | PoolKind::AverageOfPadded if as_is => &kernels.average,
        PoolKind::Average | PoolKind::AverageOfPadded => &kernels.average_general,
    };
    let axes = window.axes(input)?;
    let plan = RowPlan::new(kernels.lanes, row_kernels, input, 1, axes, spec, None)?;
    Ok(if kind == PoolKind::AverageOfPadded { plan.counting_padding() } else { plan })
}
