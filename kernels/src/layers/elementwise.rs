//! What is done element by element.

use crate::element::{Elements, ElementsMut};
use crate::error::{Error, Result};
use crate::geometry::Window;
use crate::layers::layer::{HasLayer, Layer};
use crate::layers::plan::Plan;
use crate::layers::pool::pool;
use crate::level::Level;
use crate::options::Options;
use crate::params::PoolKind;
use crate::view::{NhwcView, NhwcViewMut};

/// x itself. With a residual it is an addition, with an activation that activation, with neither a
/// copy between views.
///
/// It is computed as a max pool over single elements, which keeps every value as it is.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default().activation(Activation::Relu);
/// let plan = Elementwise::new([1, 1, 1, 3], &options)?;
/// let mut y = [0.0; 3];
/// let x = NhwcView::new(&[1.0, 2.0, 3.0], plan.input_shape())?;
/// let residual = NhwcView::new(&[0.5, -2.5, -3.0], plan.output_shape())?;
/// plan.run(x, Some(residual), NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [1.5, 0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Elementwise(Layer);

impl Elementwise {
    /// Checks the shape and chooses kernels. `shape` is \[N, H, W, C\] of input and output.
    ///
    /// # Errors
    /// Zero or overflowing dimensions, an unavailable level.
    pub fn new(shape: [usize; 4], options: &Options) -> Result<Self> {
        pool(shape, PoolKind::Max, Window::new([1, 1]), options).map(Self)
    }
}

impl HasLayer for Elementwise {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Elementwise {}

/// Converts between element types: `y[i] = x[i]`, rounded to nearest, ties to even. `level` of
/// `None` means [`Level::from_env`]. Plans convert their operands themselves; this is for tensors
/// outside of plans.
///
/// ```
/// use sepconv_kernels::{Elements, ElementsMut, convert};
///
/// let mut bits = [0; 3];
/// convert(Elements::F32(&[1.0, -0.1, 65_520.0]), ElementsMut::F16(&mut bits), None)?;
/// assert_eq!(bits, [0x3c00, 0xae66, 0x7c00]);
/// # Ok::<(), sepconv_kernels::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`]: they have different lengths. An unavailable level.
pub fn convert(x: Elements<'_>, y: ElementsMut<'_>, level: Option<Level>) -> Result<()> {
    let (expected, actual) = (x.len(), y.len());
    if expected != actual {
        return Err(Error::Length { what: "output", expected, actual });
    }
    if expected == 0 {
        return Ok(());
    }
    let (input_type, output_type) = (x.element_type(), y.element_type());
    let options = Options::default().level(level).input_type(input_type).output_type(output_type);
    let plan = Elementwise::new([1, 1, 1, expected], &options)?;
    let shape = plan.output_shape();
    plan.run(NhwcView::new(x, shape)?, None, NhwcViewMut::new(y, shape)?, &mut [])
}
