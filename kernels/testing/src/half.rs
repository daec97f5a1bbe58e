//! Tensors of any element type, made and read by the crate `half`, which shares no code with the
//! kernels.

use half::{bf16, f16};
use sepconv_kernels::{ElementType, Elements, ElementsMut};

use super::{POISON, POISON_8, POISON_16};

/// Elements as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Bf16(Vec<u16>),
    U8(Vec<u8>),
    I8(Vec<i8>),
}

impl Stored {
    /// The values, rounded to the type; integers as they are.
    pub fn new(element: ElementType, values: &[f32]) -> Self {
        match element {
            ElementType::F32 => Self::F32(values.into()),
            ElementType::F16 => {
                Self::F16(values.iter().map(|&x| f16::from_f32(x).to_bits()).collect())
            }
            ElementType::Bf16 => {
                Self::Bf16(values.iter().map(|&x| bf16::from_f32(x).to_bits()).collect())
            }
            ElementType::U8 => Self::U8(values.iter().map(|&x| x as u8).collect()),
            ElementType::I8 => Self::I8(values.iter().map(|&x| x as i8).collect()),
            other => panic!("{other} is new"),
        }
    }

    /// So many that nobody wrote.
    pub fn poisoned(element: ElementType, len: usize) -> Self {
        match element {
            ElementType::F16 => Self::F16(vec![POISON_16; len]),
            ElementType::Bf16 => Self::Bf16(vec![POISON_16; len]),
            ElementType::U8 => Self::U8(vec![POISON_8; len]),
            ElementType::I8 => Self::I8(vec![POISON_8 as i8; len]),
            _ => Self::F32(vec![POISON; len]),
        }
    }

    /// [`Stored::values`], which need no copy if they are of f32.
    pub fn into_values(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            bits => bits.values(),
        }
    }

    /// The values.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::F16(bits) => bits.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect(),
            Self::Bf16(bits) => bits.iter().map(|&bits| bf16::from_bits(bits).to_f32()).collect(),
            Self::U8(x) => x.iter().map(|&x| x.into()).collect(),
            Self::I8(x) => x.iter().map(|&x| x.into()).collect(),
        }
    }

    pub fn elements(&self) -> Elements<'_> {
        match self {
            Self::F32(x) => Elements::F32(x),
            Self::F16(x) => Elements::F16(x),
            Self::Bf16(x) => Elements::Bf16(x),
            Self::U8(x) => Elements::U8(x),
            Self::I8(x) => Elements::I8(x),
        }
    }

    pub fn elements_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(x) => ElementsMut::F32(x),
            Self::F16(x) => ElementsMut::F16(x),
            Self::Bf16(x) => ElementsMut::Bf16(x),
            Self::U8(x) => ElementsMut::U8(x),
            Self::I8(x) => ElementsMut::I8(x),
        }
    }
}

/// The largest relative error of rounding to the type, and the largest absolute one below its
/// normal numbers.
pub fn roundoff(element: ElementType) -> (f64, f64) {
    match element {
        ElementType::F16 => ((-11_f64).exp2(), (-25_f64).exp2()),
        ElementType::Bf16 => ((-8_f64).exp2(), (-134_f64).exp2()),
        _ => (0.0, 0.0),
    }
}
