//! Reads FlatBuffers: tables whose fields are found through lists of offsets (vtables), vectors and
//! strings, all anywhere in a file. See <https://flatbuffers.dev/internals/>.
//!
//! Every access is checked against the file's end, so that nothing needs to be verified before.
//! What generated code and runtimes do by `unsafe` is not needed: a file's structure is read once.
//!
//! Parts may be shared, and a small file can claim a structure of any size by sharing. So it is
//! counted what is handed out: no more elements than the file has bytes.

use std::cell::Cell;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// A whole file.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    /// The number of elements that may still be read.
    left: Cell<usize>,
}

impl<'a> File<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, left: Cell::new(bytes.len()) }
    }

    /// The table at the root.
    pub(super) fn root(&self) -> Result<Table<'_, 'a>> {
        Table::new(self, self.follow(0)?)
    }

    /// The `len` bytes at `at`.
    pub(super) fn bytes(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        let range = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        range.ok_or_else(|| {
            format!("{len} bytes at {at} lie outside a file of {}", self.bytes.len())
        })
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        Ok(*self.bytes(at, N)?.first_chunk().expect("so many were asked for"))
    }

    /// The place that the offset at `at` leads to, always one behind it.
    fn follow(&self, at: usize) -> Result<usize> {
        let offset = u32::from_le_bytes(self.array(at)?) as usize;
        at.checked_add(offset).ok_or_else(|| format!("the offset {offset} at {at} overflows"))
    }

    /// The first element and the number of elements, `width` bytes each, of the vector to which the
    /// offset at `at` leads.
    fn vector(&self, at: usize, width: usize) -> Result<(usize, usize)> {
        let start = self.follow(at)?;
        let len = u32::from_le_bytes(self.array(start)?) as usize;
        let size = len.checked_mul(width).ok_or_else(|| format!("{len} elements at {start}"))?;
        self.bytes(start + 4, size)?;
        Ok((start + 4, len))
    }

    fn charge(&self, elements: usize) -> Result<()> {
        let left = self.left.get().checked_sub(elements);
        self.left.set(left.ok_or_else(|| {
            format!(
                "its parts share so much that they have more than {} elements",
                self.bytes.len()
            )
        })?);
        Ok(())
    }
}

/// A table: numbered fields, each of which may be absent.
#[derive(Clone, Copy)]
pub(super) struct Table<'f, 'a> {
    file: &'f File<'a>,
    at: usize,
    /// The fields' offsets from the table, 0 for an absent one.
    fields: &'a [u8],
}

impl<'f, 'a> Table<'f, 'a> {
    fn new(file: &'f File<'a>, at: usize) -> Result<Self> {
        file.charge(1)?;
        let back = i64::from(i32::from_le_bytes(file.array(at)?));
        let vtable = usize::try_from(at as i64 - back);
        let vtable = vtable.map_err(|_| format!("the table at {at} has its fields before 0"))?;
        let size = usize::from(u16::from_le_bytes(file.array(vtable)?));
        // The sizes of both come first.
        let fields = file.bytes(vtable, size)?.get(4..);
        let fields =
            fields.ok_or_else(|| format!("the table at {at} has {size} bytes of fields"))?;
        Ok(Self { file, at, fields })
    }

    /// Where a field is, if it is present.
    fn field(&self, slot: usize) -> Option<usize> {
        let (offsets, _) = self.fields.as_chunks::<2>();
        let offset = u16::from_le_bytes(*offsets.get(slot)?);
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    /// A number, made `of` its bytes.
    pub(super) fn number<const N: usize, T>(
        &self,
        slot: usize,
        of: fn([u8; N]) -> T,
        default: T,
    ) -> Result<T> {
        match self.field(slot) {
            None => Ok(default),
            Some(at) => self.file.array(at).map(of),
        }
    }

    /// A vector of numbers; empty if absent.
    pub(super) fn numbers<const N: usize, T>(
        &self,
        slot: usize,
        of: fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let Some(at) = self.field(slot) else {
            return Ok(Vec::new());
        };
        let (start, len) = self.file.vector(at, N)?;
        self.file.charge(len)?;
        let (elements, _) = self.file.bytes(start, len * N)?.as_chunks::<N>();
        Ok(elements.iter().map(|&bytes| of(bytes)).collect())
    }

    /// A vector of bytes; empty if absent.
    pub(super) fn bytes(&self, slot: usize) -> Result<&'a [u8]> {
        match self.field(slot) {
            None => Ok(&[]),
            Some(at) => {
                let (start, len) = self.file.vector(at, 1)?;
                self.file.bytes(start, len)
            }
        }
    }

    /// A string; empty if absent.
    pub(super) fn string(&self, slot: usize) -> Result<&'a str> {
        let bytes = self.bytes(slot)?;
        std::str::from_utf8(bytes).map_err(|e| {
            format!(
                "the string of {} bytes in the table at {} is no UTF-8: {e}",
                bytes.len(),
                self.at
            )
        })
    }

    /// A table in a field.
    pub(super) fn table(&self, slot: usize) -> Result<Option<Self>> {
        let field = self.field(slot);
        field.map(|at| Table::new(self.file, self.file.follow(at)?)).transpose()
    }

    /// A vector of tables; empty if absent.
    pub(super) fn tables(&self, slot: usize) -> Result<Vec<Self>> {
        let Some(at) = self.field(slot) else {
            return Ok(Vec::new());
        };
        let (start, len) = self.file.vector(at, 4)?;
        let places = (0..len).map(|i| self.file.follow(start + 4 * i));
        places.map(|place| Table::new(self.file, place?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// {0: 7_i32, 1: "ab", 2: [{}, {}] (shared)}, its vtable first.
    const SMALL: [u8; 56] = [
        20, 0, 0, 0, // the root at 20
        10, 0, 16, 0, 4, 0, 8, 0, 12, 0, 0, 0, 0, 0, 0, 0, // its vtable at 4
        16, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0, // the table
        2, 0, 0, 0, b'a', b'b', 0, 0, // at 36
        2, 0, 0, 0, 224, 255, 255, 255, 0, 0, 0, 0, // at 44, changed below
    ];

    #[test]
    fn reads_a_table() {
        let file = File::new(&SMALL);
        let root = file.root().unwrap();
        assert_eq!(root.number(0, i32::from_le_bytes, 1), Ok(7));
        assert_eq!(root.number(3, i32::from_le_bytes, 1), Ok(1));
        assert_eq!(root.string(1), Ok("ab"));
        assert_eq!(root.numbers(1, u8::from_le_bytes), Ok(vec![b'a', b'b']));
        assert_eq!(root.string(9), Ok(""));
    }

    #[test]
    fn every_cut_and_change_is_read_or_refused() {
        let all = |bytes: &[u8]| {
            let file = File::new(bytes);
            let root = file.root()?;
            root.number(0, i32::from_le_bytes, 1)?;
            root.string(1)?;
            root.tables(2).map(|tables| tables.len())
        };
        for cut in 0..SMALL.len() {
            let _ = all(&SMALL[..cut]);
            for value in [0, 1, 127, 128, 254, 255] {
                let mut changed = SMALL;
                changed[cut] = value;
                let _ = all(&changed);
            }
        }
        let outside = all(&SMALL).unwrap_err();
        assert!(outside.ends_with("lie outside a file of 56"), "{outside}");
    }

    #[test]
    fn sharing_is_bounded() {
        let file = File::new(&SMALL);
        let root = file.root().unwrap();
        let read = (0..60).map(|_| root.numbers(1, u8::from_le_bytes));
        let error = read.into_iter().find_map(|r| r.err()).unwrap();
        assert!(error.ends_with("more than 56 elements"), "{error}");
    }
}
