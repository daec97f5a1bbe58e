//! Borrowed NHWC tensors. Their bounds are proven once, when a view is made.

use crate::element::{Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::{ElementType, Elements, ElementsMut};

/// Elements from the first to one past the last element of a view, and of its tightest superset
/// that still holds whole pixels.
fn extent(shape: [usize; 4], pixel_stride: usize) -> Result<(usize, usize)> {
    let [n, h, w, c] = shape;
    if pixel_stride < c {
        return Err(Error::PixelStride { channels: c, pixel_stride });
    }
    let overflow = Error::Overflow { what: "elements of a view" };
    let pixels = n.checked_mul(h).and_then(|p| p.checked_mul(w)).ok_or_else(|| overflow.clone())?;
    if pixels == 0 || c == 0 {
        return Ok((0, pixels.checked_mul(pixel_stride).ok_or(overflow)?));
    }
    let whole = pixels.checked_mul(pixel_stride).ok_or(overflow)?;
    Ok((whole - pixel_stride + c, whole))
}

fn check(len: usize, shape: [usize; 4], pixel_stride: usize) -> Result<()> {
    let (least, most) = extent(shape, pixel_stride)?;
    if len < least || len > most {
        let expected = if len < least { least } else { most };
        return Err(Error::Length { what: "view", expected, actual: len });
    }
    Ok(())
}

macro_rules! view {
    ($name:ident, $elements:ident, $mutability:literal, $more:literal) => {
        #[doc = concat!("A ", $mutability, "tensor in NHWC order, of f32 or of 16-bit elements.")]
        ///
        /// Element (n, y, x, c) lies at `((n·H + y)·W + x)·pixel_stride + c`. A pixel stride larger
        /// than C addresses a range of channels of a wider tensor, e.g. one part of a concatenation:
        /// pass the wide tensor's slice from the first channel on.
        #[doc = $more]
        #[derive(Debug)]
        pub struct $name<'a> {
            data: $elements<'a>,
            shape: [usize; 4],
            pixel_stride: usize,
        }

        impl<'a> $name<'a> {
            /// A dense tensor of shape \[N, H, W, C\]. `data`, a slice of `f32` or
            #[doc = concat!("[`", stringify!($elements), "`],")]
            /// must have exactly N·H·W·C elements.
            ///
            /// # Errors
            /// [`Error::Length`], [`Error::Overflow`].
            pub fn new(data: impl Into<$elements<'a>>, shape: [usize; 4]) -> Result<Self> {
                Self::with_pixel_stride(data, shape, shape[3])
            }

            /// A tensor whose pixels begin `pixel_stride` ≥ C elements apart. `data` must have at
            /// least (N·H·W − 1)·pixel_stride + C and at most N·H·W·pixel_stride elements.
            ///
            /// # Errors
            /// [`Error::PixelStride`], [`Error::Length`], [`Error::Overflow`].
            pub fn with_pixel_stride(
                data: impl Into<$elements<'a>>,
                shape: [usize; 4],
                pixel_stride: usize,
            ) -> Result<Self> {
                let data = data.into();
                check(data.len(), shape, pixel_stride)?;
                Ok(Self { data, shape, pixel_stride })
            }

            /// \[N, H, W, C\].
            pub fn shape(&self) -> [usize; 4] {
                self.shape
            }

            /// Elements from one pixel to the next.
            pub fn pixel_stride(&self) -> usize {
                self.pixel_stride
            }

            /// What the elements are.
            pub fn element_type(&self) -> ElementType {
                self.data.element_type()
            }
        }
    };
}

view!(NhwcView, Elements, "shared ", "");
view!(
    NhwcViewMut,
    ElementsMut,
    "mutable ",
    "
An output can't share elements with the input, the residual or another output: the borrow checker refuses it.

```compile_fail,E0502
# use sepconv_kernels::*;
# fn main() -> Result<()> {
# let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
let mut tensor = vec![1.0; 12];
let x = NhwcView::new(&tensor[..8], plan.input_shape())?;
let y = NhwcViewMut::new(&mut tensor[4..], plan.output_shape())?;
plan.run(x, None, y, &mut [])
# }
```

```compile_fail,E0499
# use sepconv_kernels::*;
# fn main() -> Result<()> {
# let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
# let x = vec![1.0; 8];
let mut tensor = vec![1.0; 8];
let y = NhwcViewMut::new(&mut tensor, plan.output_shape())?;
plan.run(NhwcView::new(&x, plan.input_shape())?, None, y, &mut tensor) // nor with the scratch
# }
```"
);

impl Clone for NhwcView<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for NhwcView<'_> {}

impl NhwcView<'_> {
    pub(crate) fn pointer(&self) -> Pointer {
        self.data.pointer()
    }
}

impl NhwcViewMut<'_> {
    pub(crate) fn pointer(&mut self) -> PointerMut {
        self.data.pointer()
    }
}
