//! Borrowed NHWC tensors. Bounds are checked once, when a view is made.

use core::ptr::NonNull;

use crate::element::{ElementType, Elements, ElementsMut, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::layout::TensorLayout;
use crate::pixels::Placement;
use crate::threads::{Shared, SharedMut};

/// Where the elements of a view lie.
#[derive(Debug, Clone, Copy)]
struct Strides {
    layout: TensorLayout,
    /// Elements from one pixel to the next, 1 if NCHW.
    pixel: usize,
    /// Elements from one picture to the next.
    picture: usize,
}

impl Strides {
    /// For pixels `pixel` elements apart, after a check of a slice of `len` elements.
    fn nhwc(
        len: usize,
        element: ElementType,
        [n, h, w, c]: [usize; 4],
        pixel: usize,
    ) -> Result<Self> {
        if pixel < c {
            return Err(Error::PixelStride { channels: c, pixel_stride: pixel });
        }
        let pixels = n.checked_mul(h).and_then(|p| p.checked_mul(w)).ok_or(OVERFLOW)?;
        check(len, element, [pixels, c], pixel)?;
        // Smaller than the whole, unless there are no pixels.
        let picture = h.wrapping_mul(w).wrapping_mul(pixel);
        Ok(Self { layout: TensorLayout::Nhwc, pixel, picture })
    }

    /// For pictures of planes, `picture` elements apart or dense, after a check of a slice of `len`
    /// elements.
    fn nchw(
        len: usize,
        element: ElementType,
        [n, c, h, w]: [usize; 4],
        picture: Option<usize>,
    ) -> Result<Self> {
        let elements = c.checked_mul(h).and_then(|p| p.checked_mul(w)).ok_or(OVERFLOW)?;
        let picture = picture.unwrap_or(elements);
        if picture < elements {
            return Err(Error::PictureStride { elements, picture_stride: picture });
        }
        check(len, element, [n, elements], picture)?;
        Ok(Self { layout: TensorLayout::Nchw, pixel: 1, picture })
    }

    fn placement(&self, shape: [usize; 4], top: usize) -> Placement {
        match self.layout {
            TensorLayout::Nhwc => Placement::nhwc(shape, self.pixel, top),
            TensorLayout::Nchw => Placement::nchw(shape, self.picture, top),
        }
    }
}

const OVERFLOW: Error = Error::Overflow { what: "elements of a view" };

/// Checks the length of a slice with `count` parts of `part` elements, `stride` apart. It ends with
/// the last part, or with the gap behind it at the latest.
fn check(len: usize, element: ElementType, [count, part]: [usize; 2], stride: usize) -> Result<()> {
    element.checked("view")?;
    let most = count.checked_mul(stride).ok_or(OVERFLOW)?;
    let least = if count == 0 || part == 0 { 0 } else { most - stride + part };
    if len < least || len > most {
        let expected = if len < least { least } else { most };
        return Err(Error::Length { what: "view", expected, actual: len });
    }
    Ok(())
}

/// A shared tensor in NHWC order, of f32 or of 16-bit elements.
/// [`NhwcView::nchw`] makes one in NCHW order.
///
/// Element (n, y, x, c) lies at `((n·H + y)·W + x)·pixel_stride + c`. A pixel stride larger
/// than C addresses a range of channels of a wider tensor, such as one part of a
/// concatenation: pass the wide tensor's slice from the first of these channels on.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let tensor = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 pixels of 3 channels
/// let x = NhwcView::with_pixel_stride(&tensor[1..], [1, 1, 2, 2], 3)?; // without the first
/// let plan = GlobalAveragePool::new(x.shape(), &Options::default())?;
/// let mut y = [0.0; 2];
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [3.5, 4.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NhwcView<'a> {
    data: Elements<'a>,
    /// \[N, H, W, C\].
    shape: [usize; 4],
    strides: Strides,
    /// A factor for each picture and channel, N·C of them.
    scale: Option<&'a [f32]>,
}

impl<'a> NhwcView<'a> {
    /// A dense tensor of shape \[N, H, W, C\]. `data` is a slice of `f32` or [`Elements`], of
    /// exactly N·H·W·C elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let view = NhwcView::new(&[0.0; 12], [1, 2, 2, 3])?;
    /// assert_eq!((view.shape(), view.pixel_stride()), ([1, 2, 2, 3], 3));
    /// let error = NhwcView::new(&[0.0; 13], [1, 2, 2, 3]).unwrap_err();
    /// assert_eq!(error.to_string(), "view: expected 12 elements, got 13");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Overflow`].
    pub fn new(data: impl Into<Elements<'a>>, shape: [usize; 4]) -> Result<Self> {
        Self::with_pixel_stride(data, shape, shape[3])
    }

    /// A tensor whose pixels begin `pixel_stride` ≥ C elements apart. `data` must have at
    /// least (N·H·W − 1)·pixel_stride + C and at most N·H·W·pixel_stride elements.
    ///
    /// # Errors
    /// [`Error::PixelStride`], [`Error::Length`], [`Error::Overflow`].
    pub fn with_pixel_stride(
        data: impl Into<Elements<'a>>,
        shape: [usize; 4],
        pixel_stride: usize,
    ) -> Result<Self> {
        let data = data.into();
        let strides = Strides::nhwc(data.len(), data.element_type(), shape, pixel_stride)?;
        Ok(Self { data, shape, strides, scale: None })
    }

    /// A dense tensor in NCHW order, of shape \[N, C, H, W\]: for plans whose
    /// [`Options`](crate::Options) say so. `data` must have exactly N·C·H·W elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let view = NhwcView::nchw(&[0.0; 12], [1, 3, 2, 2])?;
    /// assert_eq!(view.shape(), [1, 2, 2, 3]); // N, H, W, C
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Overflow`].
    pub fn nchw(data: impl Into<Elements<'a>>, [n, c, h, w]: [usize; 4]) -> Result<Self> {
        let (data, shape) = (data.into(), [n, h, w, c]);
        let strides = Strides::nchw(data.len(), data.element_type(), [n, c, h, w], None)?;
        Ok(Self { data, shape, strides, scale: None })
    }

    /// A tensor in NCHW order, of shape \[N, C, H, W\], whose pictures begin `picture_stride` ≥
    /// C·H·W elements apart: a range of channels of a wider tensor. Pass its slice from the first
    /// of these planes on. `data` must have at least (N − 1)·picture_stride + C·H·W and at most
    /// N·picture_stride elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// // 2 pictures of 3 planes of 1×2, of which the last two planes are read
    /// let tensor: [f32; 12] = std::array::from_fn(|i| i as f32);
    /// let x = NhwcView::nchw_with_picture_stride(&tensor[2..], [2, 2, 1, 2], 6)?;
    /// let options = Options::default().input_layout(TensorLayout::Nchw);
    /// let plan = GlobalAveragePool::new(x.shape(), &options)?;
    /// let (mut y, mut scratch) = ([0.0; 4], vec![0.0; plan.scratch_len(1)]);
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [2.5, 4.5, 8.5, 10.5]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PictureStride`], [`Error::Length`], [`Error::Overflow`].
    pub fn nchw_with_picture_stride(
        data: impl Into<Elements<'a>>,
        [n, c, h, w]: [usize; 4],
        picture_stride: usize,
    ) -> Result<Self> {
        let (data, shape, picture) = (data.into(), [n, h, w, c], Some(picture_stride));
        let strides = Strides::nchw(data.len(), data.element_type(), [n, c, h, w], picture)?;
        Ok(Self { data, shape, strides, scale: None })
    }

    /// The same with `scale`, a factor for each picture and channel, \[N, C\]: for plans whose
    /// [`Options::input_scale`](crate::Options::input_scale) says so.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// // 2 channels to 1
    /// let params = PointwiseParams::new(1, &[1.0, 10.0]);
    /// let plan = Pointwise::new([1, 1, 1, 2], &params, &Options::default().input_scale(true))?;
    /// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?.scaled(&[2.0, 0.5])?;
    /// let (mut y, mut scratch) = ([0.0], vec![0.0; plan.scratch_len(1)]);
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [26.0]); // 3·2·1 + 4·0.5·10
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`]: not N·C factors.
    pub fn scaled(self, scale: &'a [f32]) -> Result<Self> {
        let [n, _, _, c] = self.shape;
        let (expected, actual) = (n.checked_mul(c).ok_or(OVERFLOW)?, scale.len());
        if expected != actual {
            return Err(Error::Length { what: "scale", expected, actual });
        }
        Ok(Self { scale: Some(scale), ..self })
    }

    /// \[N, H, W, C\].
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Elements from one pixel to the next; 1 if NCHW.
    #[must_use]
    pub fn pixel_stride(&self) -> usize {
        self.strides.pixel
    }

    /// Elements from one picture to the next.
    #[must_use]
    pub fn picture_stride(&self) -> usize {
        self.strides.picture
    }

    /// Element type.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.data.element_type()
    }

    /// Whether it has a scale.
    #[must_use]
    pub fn is_scaled(&self) -> bool {
        self.scale.is_some()
    }
}

/// A mutable tensor in NHWC order, of f32 or of 16-bit elements.
/// [`NhwcViewMut::nchw`] makes one in NCHW order.
///
/// Element (n, y, x, c) lies at `((n·H + y)·W + x)·pixel_stride + c`. A pixel stride larger
/// than C addresses a range of channels of a wider tensor, such as one part of a
/// concatenation: pass the wide tensor's slice from the first of these channels on.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let mut tensor = vec![1.0, -2.0];
/// let options = Options::default().activation(Activation::Relu);
/// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
/// let y = NhwcViewMut::new(&mut tensor, plan.output_shape())?;
/// plan.run(NhwcView::new(&[3.0, -4.0], plan.input_shape())?, None, y, &mut [])?;
/// assert_eq!(tensor, [3.0, 0.0]);
/// # Ok(())
/// # }
/// ```
///
/// An output can't share elements with the input, the residual or another output: the borrow
/// checker refuses it.
///
/// ```compile_fail,E0502
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// # let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
/// let mut tensor = vec![1.0; 12];
/// let x = NhwcView::new(&tensor[..8], plan.input_shape())?;
/// let y = NhwcViewMut::new(&mut tensor[4..], plan.output_shape())?;
/// plan.run(x, None, y, &mut [])
/// # }
/// ```
///
/// ```compile_fail,E0499
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// # let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
/// # let x = vec![1.0; 8];
/// let mut tensor = vec![1.0; 8];
/// let y = NhwcViewMut::new(&mut tensor, plan.output_shape())?;
/// plan.run(NhwcView::new(&x, plan.input_shape())?, None, y, &mut tensor) // nor with the scratch
/// # }
/// ```
#[derive(Debug)]
pub struct NhwcViewMut<'a> {
    data: ElementsMut<'a>,
    /// \[N, H, W, C\].
    shape: [usize; 4],
    strides: Strides,
}

impl<'a> NhwcViewMut<'a> {
    /// A dense tensor of shape \[N, H, W, C\]. `data` is a slice of `f32` or [`ElementsMut`], of
    /// exactly N·H·W·C elements.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Overflow`].
    pub fn new(data: impl Into<ElementsMut<'a>>, shape: [usize; 4]) -> Result<Self> {
        Self::with_pixel_stride(data, shape, shape[3])
    }

    /// A tensor whose pixels begin `pixel_stride` ≥ C elements apart. `data` must have at
    /// least (N·H·W − 1)·pixel_stride + C and at most N·H·W·pixel_stride elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let mut joined = [0.0; 2 * 3]; // a concatenation: 2 pixels, of whose 3 channels the last is computed
    /// let plan = Elementwise::new([1, 1, 2, 1], &Options::default())?;
    /// let x = NhwcView::new(&[7.0, 8.0], plan.input_shape())?;
    /// let y = NhwcViewMut::with_pixel_stride(&mut joined[2..], plan.output_shape(), 3)?;
    /// plan.run(x, None, y, &mut [])?;
    /// assert_eq!(joined, [0.0, 0.0, 7.0, 0.0, 0.0, 8.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PixelStride`], [`Error::Length`], [`Error::Overflow`].
    pub fn with_pixel_stride(
        data: impl Into<ElementsMut<'a>>,
        shape: [usize; 4],
        pixel_stride: usize,
    ) -> Result<Self> {
        let data = data.into();
        let strides = Strides::nhwc(data.len(), data.element_type(), shape, pixel_stride)?;
        Ok(Self { data, shape, strides })
    }

    /// A dense tensor in NCHW order, of shape \[N, C, H, W\]: for plans whose
    /// [`Options`](crate::Options) say so. `data` must have exactly N·C·H·W elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let mut tensor = [0.0; 12];
    /// let view = NhwcViewMut::nchw(&mut tensor, [1, 3, 2, 2])?;
    /// assert_eq!(view.shape(), [1, 2, 2, 3]); // N, H, W, C
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Overflow`].
    pub fn nchw(data: impl Into<ElementsMut<'a>>, [n, c, h, w]: [usize; 4]) -> Result<Self> {
        let (data, shape) = (data.into(), [n, h, w, c]);
        let strides = Strides::nchw(data.len(), data.element_type(), [n, c, h, w], None)?;
        Ok(Self { data, shape, strides })
    }

    /// A tensor in NCHW order, of shape \[N, C, H, W\], whose pictures begin `picture_stride` ≥
    /// C·H·W elements apart: a range of channels of a wider tensor. Pass its slice from the first
    /// of these planes on. `data` must have at least (N − 1)·picture_stride + C·H·W and at most
    /// N·picture_stride elements.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// // a concatenation: 2 pictures of 2 planes of 1×2, of which the last is computed
    /// let mut joined = [0.0; 2 * 2 * 2];
    /// let nchw = TensorLayout::Nchw;
    /// let options = Options::default().input_layout(nchw).output_layout(nchw);
    /// let plan = Elementwise::new([2, 1, 2, 1], &options)?;
    /// let x = NhwcView::nchw(&[5.0, 6.0, 7.0, 8.0], [2, 1, 1, 2])?;
    /// let y = NhwcViewMut::nchw_with_picture_stride(&mut joined[2..], [2, 1, 1, 2], 4)?;
    /// plan.run(x, None, y, &mut vec![0.0; plan.scratch_len(1)])?;
    /// assert_eq!(joined, [0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 7.0, 8.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PictureStride`], [`Error::Length`], [`Error::Overflow`].
    pub fn nchw_with_picture_stride(
        data: impl Into<ElementsMut<'a>>,
        [n, c, h, w]: [usize; 4],
        picture_stride: usize,
    ) -> Result<Self> {
        let (data, shape, picture) = (data.into(), [n, h, w, c], Some(picture_stride));
        let strides = Strides::nchw(data.len(), data.element_type(), [n, c, h, w], picture)?;
        Ok(Self { data, shape, strides })
    }

    /// \[N, H, W, C\].
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Elements from one pixel to the next; 1 if NCHW.
    #[must_use]
    pub fn pixel_stride(&self) -> usize {
        self.strides.pixel
    }

    /// Elements from one picture to the next.
    #[must_use]
    pub fn picture_stride(&self) -> usize {
        self.strides.picture
    }

    /// Element type.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.data.element_type()
    }
}

impl NhwcView<'_> {
    /// Of a view of the rows from `top` on.
    pub(crate) fn placement(&self, top: usize) -> Placement {
        self.strides.placement(self.shape, top)
    }

    pub(crate) fn layout(&self) -> TensorLayout {
        self.strides.layout
    }

    pub(crate) fn pointer(&self) -> Pointer {
        self.data.pointer()
    }
}

impl NhwcViewMut<'_> {
    /// Of a view of the rows from `top` on.
    pub(crate) fn placement(&self, top: usize) -> Placement {
        self.strides.placement(self.shape, top)
    }

    pub(crate) fn layout(&self) -> TensorLayout {
        self.strides.layout
    }

    pub(crate) fn pointer(&mut self) -> PointerMut {
        self.data.pointer()
    }
}

/// Factors of an input, one for each picture and channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    factors: Pointer,
    /// How many a picture has.
    channels: usize,
}

impl Scale {
    /// The factors of a picture from a channel on.
    pub(crate) fn of(&self, picture: usize, channel: usize) -> NonNull<f32> {
        let at = self.factors.add(picture * self.channels + channel).at;
        NonNull::new(at.cast::<f32>().cast_mut()).unwrap_or(NonNull::dangling())
    }
}

/// Where the operands of a run lie, for tasks on any thread.
pub(crate) struct Operands {
    pub(crate) x: Shared,
    pub(crate) x_placement: Placement,
    pub(crate) y: SharedMut,
    pub(crate) y_placement: Placement,
    pub(crate) residual: Option<(Shared, Placement)>,
    /// The input's factors, and how many a picture has.
    pub(crate) scale: Option<(Shared, usize)>,
}

impl Operands {
    /// Of an input of the rows from `top` on, and of an output and a residual of those from `first`
    /// on.
    pub(crate) fn new(
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        (y, first): (&mut NhwcViewMut<'_>, usize),
    ) -> Self {
        Self {
            x: Shared(x.pointer()),
            x_placement: x.placement(top),
            y_placement: y.placement(first),
            y: SharedMut(y.pointer()),
            residual: residual.map(|r| (Shared(r.pointer()), r.placement(first))),
            scale: x.scale.map(|scale| (Shared(Elements::F32(scale).pointer()), x.shape[3])),
        }
    }

    /// The input's factors, if it has some.
    pub(crate) fn scale(&self) -> Option<Scale> {
        self.scale.map(|(factors, channels)| Scale { factors: factors.0, channels })
    }
}
