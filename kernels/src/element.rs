//! Element types of tensors and weights: f32, 16-bit types that kernels convert to f32 as they load
//! them, and 8-bit integers that stand for numbers by a [`Quantization`](crate::Quantization).

use core::fmt;
use core::mem::MaybeUninit;

/// How the elements of a tensor or of weights are stored. All arithmetic is f32, but for products
/// of 8-bit integers, whose sums are i32.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default().input_type(ElementType::Bf16);
/// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
/// let x = NhwcView::new(Elements::Bf16(&[0x3f80, 0xc040]), plan.input_shape())?;
/// let mut y = [0.0; 2];
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [1.0, -3.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary16: 11 significant bits, largest 65,504, least normal 6.1e-5, least 6.0e-8.
    F16,
    /// The upper half of an f32: 8 significant bits, the range of f32.
    Bf16,
    /// Integers 0 to 255: see [`Quantization`](crate::Quantization).
    U8,
    /// Integers −128 to 127: see [`Quantization`](crate::Quantization).
    I8,
}

impl ElementType {
    /// All types.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::U8, Self::I8];

    /// The types of floating-point numbers.
    pub const FLOATS: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The name that [`fmt::Display`] prints: `f32`, `f16`, `bf16`, `u8` or `i8`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
            Self::I8 => "i8",
        }
    }

    /// Whether it is [`U8`](Self::U8) or [`I8`](Self::I8).
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert_eq!(ElementType::ALL.map(ElementType::is_quantized), [false, false, false, true, true]);
    /// ```
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        matches!(self, Self::U8 | Self::I8)
    }

    /// The integers of a quantized type, the least and the largest.
    pub(crate) const fn integers(self) -> (i32, i32) {
        match self {
            Self::I8 => (-128, 127),
            _ => (0, 255),
        }
    }

    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 | Self::I8 => 1,
        }
    }

    /// The value of 16 bits, exactly.
    pub(crate) fn widen(self, bits: u16) -> f32 {
        match self {
            Self::F16 => f16_to_f32(bits),
            _ => bf16_to_f32(bits),
        }
    }
}

/// Something for each of the 16-bit types.
#[derive(Debug)]
pub(crate) struct F16Bf16<T> {
    pub(crate) f16: T,
    pub(crate) bf16: T,
}

impl<T> F16Bf16<T> {
    /// That for a type; none for one of other sizes.
    pub(crate) fn of(&self, element: ElementType) -> Option<&T> {
        match element {
            ElementType::F16 => Some(&self.f16),
            ElementType::Bf16 => Some(&self.bf16),
            ElementType::F32 | ElementType::U8 | ElementType::I8 => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.f16, &self.bf16].into_iter()
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A slice of elements of any type. `into()` makes it from a slice of `f32` and, with the feature
/// `half`, of `half::f16` or `half::bf16`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let x = Elements::F16(&[0x3c00, 0x3800]);
/// let mut y = [0.0; 2];
/// convert(x, (&mut y).into(), None)?;
/// assert_eq!(y, [1.0, 0.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Elements<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// The bits of binary16 numbers.
    F16(&'a [u16]),
    /// The bits of bfloat16 numbers.
    Bf16(&'a [u16]),
    /// Quantized numbers.
    U8(&'a [u8]),
    /// Quantized numbers.
    I8(&'a [i8]),
}

/// A mutable slice of elements of any type: [`Elements`] to write to.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default().output_type(ElementType::Bf16);
/// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
/// let x = NhwcView::new(&[1.0, -3.0], plan.input_shape())?;
/// let mut bits = [0; 2];
/// let y = NhwcViewMut::new(ElementsMut::Bf16(&mut bits), plan.output_shape())?;
/// plan.run(x, None, y, &mut [])?;
/// assert_eq!(bits, [0x3f80, 0xc040]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ElementsMut<'a> {
    /// Numbers.
    F32(&'a mut [f32]),
    /// The bits of binary16 numbers.
    F16(&'a mut [u16]),
    /// The bits of bfloat16 numbers.
    Bf16(&'a mut [u16]),
    /// Quantized numbers.
    U8(&'a mut [u8]),
    /// Quantized numbers.
    I8(&'a mut [i8]),
    /// Room for numbers. (As all of these: a run that ends well has written them.)
    UninitF32(&'a mut [MaybeUninit<f32>]),
    /// Room for the bits of binary16 numbers.
    UninitF16(&'a mut [MaybeUninit<u16>]),
    /// Room for the bits of bfloat16 numbers.
    UninitBf16(&'a mut [MaybeUninit<u16>]),
    /// Room for quantized numbers.
    UninitU8(&'a mut [MaybeUninit<u8>]),
    /// Room for quantized numbers.
    UninitI8(&'a mut [MaybeUninit<i8>]),
}

#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
impl Elements<'_> {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) | Self::Bf16(x) => x.len(),
            Self::U8(x) => x.len(),
            Self::I8(x) => x.len(),
        }
    }

    /// The type of the elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F16(_) => ElementType::F16,
            Self::Bf16(_) => ElementType::Bf16,
            Self::U8(_) => ElementType::U8,
            Self::I8(_) => ElementType::I8,
        }
    }
}

#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
impl ElementsMut<'_> {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) | Self::Bf16(x) => x.len(),
            Self::UninitF32(x) => x.len(),
            Self::UninitF16(x) | Self::UninitBf16(x) => x.len(),
            Self::U8(x) => x.len(),
            Self::I8(x) => x.len(),
            Self::UninitU8(x) => x.len(),
            Self::UninitI8(x) => x.len(),
        }
    }

    /// The type of the elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) | Self::UninitF32(_) => ElementType::F32,
            Self::F16(_) | Self::UninitF16(_) => ElementType::F16,
            Self::Bf16(_) | Self::UninitBf16(_) => ElementType::Bf16,
            Self::U8(_) | Self::UninitU8(_) => ElementType::U8,
            Self::I8(_) | Self::UninitI8(_) => ElementType::I8,
        }
    }
}

impl Elements<'_> {
    pub(crate) fn pointer(&self) -> Pointer {
        let element = self.element_type();
        match self {
            Self::F32(x) => Pointer { at: x.as_ptr().cast(), element },
            Self::F16(x) | Self::Bf16(x) => Pointer { at: x.as_ptr().cast(), element },
            Self::U8(x) => Pointer { at: x.as_ptr(), element },
            Self::I8(x) => Pointer { at: x.as_ptr().cast(), element },
        }
    }

    /// Element `i` as f32; a quantized one is the integer itself.
    pub(crate) fn get(&self, i: usize) -> f32 {
        match self {
            Self::F32(x) => x[i],
            Self::F16(x) | Self::Bf16(x) => self.element_type().widen(x[i]),
            Self::U8(x) => x[i].into(),
            Self::I8(x) => x[i].into(),
        }
    }
}

impl ElementsMut<'_> {
    pub(crate) fn pointer(&mut self) -> PointerMut {
        let element = self.element_type();
        let at: *mut u8 = match self {
            Self::F32(x) => x.as_mut_ptr().cast(),
            Self::F16(x) | Self::Bf16(x) => x.as_mut_ptr().cast(),
            Self::UninitF32(x) => x.as_mut_ptr().cast(),
            Self::UninitF16(x) | Self::UninitBf16(x) => x.as_mut_ptr().cast(),
            Self::U8(x) => x.as_mut_ptr(),
            Self::I8(x) => x.as_mut_ptr().cast(),
            Self::UninitU8(x) => x.as_mut_ptr().cast(),
            Self::UninitI8(x) => x.as_mut_ptr().cast(),
        };
        PointerMut { at, element }
    }
}

impl<'a> From<&'a [f32]> for Elements<'a> {
    fn from(x: &'a [f32]) -> Self {
        Self::F32(x)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Elements<'a> {
    fn from(x: &'a [f32; N]) -> Self {
        Self::F32(x)
    }
}

impl<'a> From<&'a alloc::vec::Vec<f32>> for Elements<'a> {
    fn from(x: &'a alloc::vec::Vec<f32>) -> Self {
        Self::F32(x)
    }
}

impl<'a> From<&'a mut [f32]> for ElementsMut<'a> {
    fn from(x: &'a mut [f32]) -> Self {
        Self::F32(x)
    }
}

impl<'a, const N: usize> From<&'a mut [f32; N]> for ElementsMut<'a> {
    fn from(x: &'a mut [f32; N]) -> Self {
        Self::F32(x)
    }
}

impl<'a> From<&'a mut [MaybeUninit<f32>]> for ElementsMut<'a> {
    fn from(x: &'a mut [MaybeUninit<f32>]) -> Self {
        Self::UninitF32(x)
    }
}

impl<'a> From<&'a mut alloc::vec::Vec<f32>> for ElementsMut<'a> {
    fn from(x: &'a mut alloc::vec::Vec<f32>) -> Self {
        Self::F32(x)
    }
}

/// Where elements begin that are read. Moving it is no promise about what lies there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pointer {
    pub(crate) at: *const u8,
    pub(crate) element: ElementType,
}

/// Where elements begin that are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointerMut {
    pub(crate) at: *mut u8,
    pub(crate) element: ElementType,
}

impl Pointer {
    /// So many elements on.
    #[inline(always)]
    pub(crate) fn add(self, elements: usize) -> Self {
        self.skip(elements, self.element.size())
    }

    /// So many elements on, of a size that the caller knows.
    #[inline(always)]
    pub(crate) fn skip(self, elements: usize, size: usize) -> Self {
        Self { at: self.at.wrapping_add(elements.wrapping_mul(size)), ..self }
    }
}

impl PointerMut {
    pub(crate) fn f32(at: *mut f32) -> Self {
        Self { at: at.cast(), element: ElementType::F32 }
    }

    /// The same, to be read.
    pub(crate) fn as_read(self) -> Pointer {
        Pointer { at: self.at.cast_const(), element: self.element }
    }

    /// So many elements on.
    #[inline(always)]
    pub(crate) fn add(self, elements: usize) -> Self {
        self.skip(elements, self.element.size())
    }

    /// So many elements on, of a size that the caller knows.
    #[inline(always)]
    pub(crate) fn skip(self, elements: usize, size: usize) -> Self {
        Self { at: self.at.wrapping_add(elements.wrapping_mul(size)), ..self }
    }
}

/// The f32 of a bf16.
pub(crate) const fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// Rounds to the nearest bf16, ties to even. Overflow gives ∞; a NaN stays a NaN and becomes quiet.
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    // Half of the last place, less by the smallest amount if the last place is even.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The f32 of an f16.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    let magnitude = match magnitude {
        // Zero and subnormals: so many 2⁻²⁴, exactly.
        0..0x400 => (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits(),
        // The exponent's bias is 15 here and 127 there.
        0x400..0x7c00 => (magnitude << 13) + ((127 - 15) << 23),
        0x7c00 => f32::INFINITY.to_bits(),
        _ => (magnitude << 13) | 0x7fc0_0000,
    };
    f32::from_bits(sign | magnitude)
}

/// Rounds to the nearest f16, ties to even. 65,520 and above give ∞, 2⁻²⁵ and below 0; a NaN stays
/// a NaN and becomes quiet.
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16 & 0x8000) as u16;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    let rounded = match magnitude {
        0x7f80_0001.. => 0x7e00 | (magnitude >> 13 & 0x3ff),
        // 65,520 lies halfway between the largest, which is odd, and what would come next.
        0x477f_f000.. => 0x7c00,
        // From 2⁻¹⁴, the least normal: as for bf16, by 13 places.
        0x3880_0000.. => {
            let bits = magnitude - ((127 - 15) << 23);
            (bits + 0xfff + (bits >> 13 & 1)) >> 13
        }
        // In the sum with ½ the last place is 2⁻²⁴, that of subnormal f16: the addition rounds.
        _ => (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits(),
    };
    sign | rounded as u16
}
