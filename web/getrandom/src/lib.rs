//! Stands in for the crate `getrandom`. The crate `zip` asks it for random numbers when it
//! encrypts, which nothing here does. In browsers the real crate makes the module import what only
//! wasm-bindgen provides.

use std::fmt;

/// There are no random numbers here.
#[derive(Debug)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this build has no random numbers")
    }
}

impl std::error::Error for Error {}

/// Fills nothing.
///
/// # Errors
/// Always.
pub fn fill(_: &mut [u8]) -> Result<(), Error> {
    Err(Error)
}

/// No number.
///
/// # Errors
/// Always.
pub fn u64() -> Result<u64, Error> {
    Err(Error)
}
