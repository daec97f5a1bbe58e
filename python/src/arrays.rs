//! Arrays of one dimension, whose elements lie one after the other, as slices of elements.

use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;
use sepconv::kernels::{ElementType, Elements, ElementsMut};

/// Numbers of 16 bits are integers in Python: numpy's own types don't have bf16.
pub(crate) enum Array<'py> {
    F32(PyReadonlyArray1<'py, f32>),
    Bits(PyReadonlyArray1<'py, u16>),
    U8(PyReadonlyArray1<'py, u8>),
    I8(PyReadonlyArray1<'py, i8>),
}

impl<'py> Array<'py> {
    pub(crate) fn of(array: &Bound<'py, PyAny>, element: ElementType) -> PyResult<Self> {
        Ok(match element {
            ElementType::U8 => Self::U8(array.extract()?),
            ElementType::I8 => Self::I8(array.extract()?),
            ElementType::F16 | ElementType::Bf16 => Self::Bits(array.extract()?),
            _ => Self::F32(array.extract()?),
        })
    }

    pub(crate) fn elements(&self, element: ElementType) -> PyResult<Elements<'_>> {
        Ok(match self {
            Self::F32(numbers) => Elements::F32(numbers.as_slice()?),
            Self::Bits(bits) if element == ElementType::F16 => Elements::F16(bits.as_slice()?),
            Self::Bits(bits) => Elements::Bf16(bits.as_slice()?),
            Self::U8(integers) => Elements::U8(integers.as_slice()?),
            Self::I8(integers) => Elements::I8(integers.as_slice()?),
        })
    }
}

/// The same, to be written.
pub(crate) enum ArrayMut<'py> {
    F32(PyReadwriteArray1<'py, f32>),
    Bits(PyReadwriteArray1<'py, u16>),
    U8(PyReadwriteArray1<'py, u8>),
    I8(PyReadwriteArray1<'py, i8>),
}

impl<'py> ArrayMut<'py> {
    pub(crate) fn of(array: &Bound<'py, PyAny>, element: ElementType) -> PyResult<Self> {
        Ok(match element {
            ElementType::U8 => Self::U8(array.extract()?),
            ElementType::I8 => Self::I8(array.extract()?),
            ElementType::F16 | ElementType::Bf16 => Self::Bits(array.extract()?),
            _ => Self::F32(array.extract()?),
        })
    }

    pub(crate) fn elements(&mut self, element: ElementType) -> PyResult<ElementsMut<'_>> {
        Ok(match self {
            Self::F32(numbers) => ElementsMut::F32(numbers.as_slice_mut()?),
            Self::Bits(bits) => match element {
                ElementType::F16 => ElementsMut::F16(bits.as_slice_mut()?),
                _ => ElementsMut::Bf16(bits.as_slice_mut()?),
            },
            Self::U8(integers) => ElementsMut::U8(integers.as_slice_mut()?),
            Self::I8(integers) => ElementsMut::I8(integers.as_slice_mut()?),
        })
    }
}
