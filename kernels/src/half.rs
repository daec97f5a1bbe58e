//! Elements from slices of the half crate.

use alloc::vec::Vec;

use ::half::slice::HalfFloatSliceExt;
use ::half::{bf16, f16};

use crate::element::{Elements, ElementsMut};

impl<'a> From<&'a [f16]> for Elements<'a> {
    fn from(x: &'a [f16]) -> Self {
        Self::F16(x.reinterpret_cast())
    }
}

impl<'a> From<&'a Vec<f16>> for Elements<'a> {
    fn from(x: &'a Vec<f16>) -> Self {
        Self::F16(x.reinterpret_cast())
    }
}

impl<'a> From<&'a [bf16]> for Elements<'a> {
    fn from(x: &'a [bf16]) -> Self {
        Self::Bf16(x.reinterpret_cast())
    }
}

impl<'a> From<&'a Vec<bf16>> for Elements<'a> {
    fn from(x: &'a Vec<bf16>) -> Self {
        Self::Bf16(x.reinterpret_cast())
    }
}

impl<'a> From<&'a mut [f16]> for ElementsMut<'a> {
    fn from(x: &'a mut [f16]) -> Self {
        Self::F16(x.reinterpret_cast_mut())
    }
}

impl<'a> From<&'a mut Vec<f16>> for ElementsMut<'a> {
    fn from(x: &'a mut Vec<f16>) -> Self {
        Self::F16(x.reinterpret_cast_mut())
    }
}

impl<'a> From<&'a mut [bf16]> for ElementsMut<'a> {
    fn from(x: &'a mut [bf16]) -> Self {
        Self::Bf16(x.reinterpret_cast_mut())
    }
}

impl<'a> From<&'a mut Vec<bf16>> for ElementsMut<'a> {
    fn from(x: &'a mut Vec<bf16>) -> Self {
        Self::Bf16(x.reinterpret_cast_mut())
    }
}
