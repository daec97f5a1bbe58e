//! Reads HDF5 files with the crate `hdf5-pure`.
//!
//! We chose this crate over `hdf5-reader` and `rust-hdf5` because it is pure Rust, reads every file
//! that h5py writes (old symbol tables and new link messages, contiguous and chunked data, both
//! kinds of string), and reads through a positioned [`Source`]. So `model.weights.h5` is read in
//! place inside a `.keras` zip. The crate checks a read against the source's length before it
//! allocates.
//!
//! A hostile file can still send a reader in circles, or name the same bytes a million times. So
//! the source here has a budget of a few multiples of the file's length. Every read and every
//! dataset is charged to it, which bounds time and memory whatever the file says.
//!
//! The crate's parser of datatypes recurses as deep as a 64 KB message can nest them. This
//! overflows a small stack, so all reading is done in [`on_deep_stack`]. A panic inside the crate
//! would end there, too. (None is known; the tests mutate files to find one.)

use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{AttrValue, Datatype, DatatypeByteOrder, FormatError, Layout, Source};

use super::bytes::Bytes;
use super::elements::Format;

/// The budget as a multiple of the file's length: more than any weights compress by.
const BUDGET_FACTOR: u64 = 16;
/// Bytes added to the budget, for small files whose directories are read many times.
const BUDGET_EXTRA: u64 = 16 << 20;
/// The cost of a read, in addition to its bytes.
const READ_COST: u64 = 64;
/// The stack to read on: addresses, most of which an honest file never touches.
const STACK: usize = if cfg!(target_pointer_width = "64") { 256 << 20 } else { 128 << 20 };

/// An open file. Errors are sentences; the caller adds the file's name in front.
pub(crate) struct Hdf5 {
    file: hdf5_pure::File,
    bytes: Bytes,
    /// Bytes of tensors that may still be read.
    budget: AtomicU64,
}

/// A source that stops serving when its budget is spent.
struct Metered {
    bytes: Bytes,
    budget: AtomicU64,
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let cost = READ_COST.saturating_add(buffer.len() as u64);
        if !spend(&self.budget, cost) {
            let message = "the file asks for more reads than an honest file of its size needs";
            return Err(FormatError::Source(message.into()));
        }
        let result = self.bytes.read_at(offset, buffer);
        result.map_err(|e| FormatError::Source(e.to_string()))
    }
}

/// Takes `cost` from a budget. False if it does not cover it.
fn spend(budget: &AtomicU64, cost: u64) -> bool {
    let take = |left: u64| left.checked_sub(cost);
    let order = Ordering::Relaxed;
    budget.fetch_update(order, order, take).is_ok()
}

/// Runs `read` on a thread with a stack that no nesting in an HDF5 file overflows (8191 datatypes
/// of 8 bytes fit into a message; 7000 take 97 MiB without optimisation, less than 4 at
/// opt-level 1). A panic becomes an error.
///
/// WebAssembly has no such threads, and panics can't be caught: there it runs on the caller's
/// stack, which the linker makes (`-z stack-size`). Overflowing it ends the program.
pub(crate) fn on_deep_stack<T: Send>(
    read: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    if cfg!(target_family = "wasm") {
        return read();
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        let thread = builder.spawn_scoped(scope, read);
        let thread = thread.map_err(|e| format!("can't start a thread to read with: {e}"))?;
        let panicked = |_| Err("the HDF5 reader panicked on this file".into());
        thread.join().unwrap_or_else(panicked)
    })
}

/// The kind of elements.
fn kind(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::FixedPoint { .. } => "integers",
        Datatype::FloatingPoint { .. } => "floating-point numbers",
        Datatype::Time { .. } => "times",
        Datatype::String { .. } => "text",
        Datatype::BitField { .. } => "bit fields",
        Datatype::Opaque { .. } => "opaque bytes",
        Datatype::Compound { .. } => "records",
        Datatype::Reference { .. } => "references",
        Datatype::Enumeration { .. } => "enumerations",
        Datatype::VariableLength { .. } => "lists",
        Datatype::Array { .. } => "arrays",
        #[allow(unreachable_patterns, reason = "the crate may add kinds")]
        _ => "of an unknown kind",
    }
}

/// Turns an error of the HDF5 crate into a sentence.
fn sentence(error: hdf5_pure::Error) -> String {
    format!("HDF5: {error}")
}

impl Hdf5 {
    pub(crate) fn open(bytes: Bytes) -> Result<Self, String> {
        let budget = bytes.len().saturating_mul(BUDGET_FACTOR);
        let budget = budget.saturating_add(BUDGET_EXTRA);
        let source = Metered { bytes: bytes.clone(), budget: AtomicU64::new(budget) };
        Ok(Self {
            file: hdf5_pure::File::from_source(source).map_err(sentence)?,
            bytes,
            budget: AtomicU64::new(budget),
        })
    }

    /// The names of the groups in a group. The empty path is the root.
    pub(crate) fn groups(&self, path: &str) -> Result<Vec<String>, String> {
        self.group(path)?.groups().map_err(sentence)
    }

    /// The names of a group's datasets.
    pub(crate) fn datasets(&self, path: &str) -> Result<Vec<String>, String> {
        self.group(path)?.datasets().map_err(sentence)
    }

    fn group(&self, path: &str) -> Result<hdf5_pure::Group, String> {
        match path {
            "" => Ok(self.file.root()),
            _ => self.file.group(path).map_err(sentence),
        }
    }

    /// A group's attributes that are strings or arrays of strings.
    pub(crate) fn attributes(&self, path: &str) -> Result<Attributes, String> {
        let all = self.group(path)?.attrs().map_err(sentence)?;
        Ok(Attributes(all.into_iter().collect()))
    }

    /// A dataset's dimensions.
    pub(crate) fn shape(&self, path: &str) -> Result<Vec<u64>, String> {
        let dataset = self.file.dataset(path).map_err(sentence)?;
        dataset.shape().map_err(sentence)
    }

    /// A dataset of f16, f32 or f64 of exactly one of these shapes, which have as many elements
    /// each, as f32.
    pub(crate) fn read(&self, path: &str, shapes: &[&[usize]]) -> Result<Vec<f32>, String> {
        let dataset = self.file.dataset(path).map_err(sentence)?;
        let found = dataset.shape().map_err(sentence)?;
        let shape = shapes[0];
        if !shapes.iter().any(|shape| found.iter().copied().eq(shape.iter().map(|&d| d as u64))) {
            return Err(format!("expected shape {shape:?}, got {found:?}"));
        }
        let datatype = dataset.datatype().map_err(sentence)?;
        let Datatype::FloatingPoint { size, byte_order, layout } = &datatype else {
            return Err(format!("expected floating-point numbers, got {}", kind(&datatype)));
        };
        let big = match byte_order {
            DatatypeByteOrder::LittleEndian => false,
            DatatypeByteOrder::BigEndian => true,
            _ => return Err("VAX byte order is not supported".into()),
        };
        // Other formats, such as bfloat16, have the same sizes but other fields.
        let fields =
            [layout.bit_precision, layout.exponent_size.into(), layout.mantissa_size.into()];
        let format = match (size, fields) {
            (2, [16, 5, 10]) => Format::F16,
            (4, [32, 8, 23]) => Format::F32,
            (8, [64, 11, 52]) => Format::F64,
            (size, [_, exponent, mantissa]) => {
                return Err(format!(
                    "expected f16, f32 or f64, got floating-point numbers of {size} bytes with {exponent} \
                     bits of exponent and {mantissa} of mantissa"
                ));
            }
        };
        let elements = shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
        let length = elements.and_then(|n| n.checked_mul(format.width()));
        let length = length.ok_or_else(|| format!("shape {shape:?} overflows"))?;
        if !spend(&self.budget, length as u64) {
            return Err(format!(
                "it claims {length} bytes, more than a file of this size can hold"
            ));
        }
        match dataset.layout().map_err(sentence)? {
            Layout::Contiguous { address: Some(address), size } if size == length as u64 => {
                let values = self.bytes.range(address, size);
                let values = values.ok_or_else(|| {
                    format!("{size} bytes at {address} lie outside a file of {}", self.bytes.len())
                })?;
                format.read(&values, big).map_err(|e| e.to_string())
            }
            _ => {
                let raw = dataset.read_raw().map_err(sentence)?;
                if raw.len() != length {
                    return Err(format!("expected {length} bytes, got {}", raw.len()));
                }
                let mut data = Vec::new();
                format.decode(&raw, big, &mut data);
                Ok(data)
            }
        }
    }
}

/// A group's attributes.
pub(crate) struct Attributes(Vec<(String, AttrValue)>);

impl Attributes {
    fn find(&self, name: &str) -> Option<&AttrValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A string attribute.
    pub(crate) fn string(&self, name: &str) -> Option<&str> {
        self.find(name)?.as_str()
    }

    /// An array of strings, which Keras splits into `name0`, `name1`, … where it exceeds 64 KB.
    /// Absent and empty are the same.
    pub(crate) fn strings(&self, name: &str) -> Vec<String> {
        let list = |name: &str| self.find(name).and_then(|v| v.as_strings());
        if let Some(values) = list(name) {
            return values.to_vec();
        }
        (0..).map_while(|i| list(&format!("{name}{i}"))).flatten().cloned().collect()
    }
}
