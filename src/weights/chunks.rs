//! Reads HDF5 datasets that lie in chunks, as h5py writes them: packed by deflate, shuffled, both
//! or neither. The crate `hdf5-pure` could read them, too. But to this project's own builds it is
//! compiled without optimisation, because it is large, and then takes three times as long for it.
//!
//! What is unusual in any way is left to the crate, which also finds the words for what is wrong.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdf5_pure::{Dataset, Layout};

use super::bytes::Bytes;

/// The identifiers of filters.
const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
/// The most bytes in chunks for each byte of the dataset. Those at the edges are partly outside.
const MOST: usize = 4;

/// The dataset's bytes, elements of `width` bytes in row-major order, or None if its chunks are
/// not of the usual kind. The bytes of all elements are `length`.
pub(super) fn read(
    dataset: &Dataset,
    file: &Bytes,
    width: usize,
    length: usize,
) -> Option<Vec<u8>> {
    let filters = dataset.filter_pipeline();
    let usual = filters.iter().all(|filter| match filter.id {
        DEFLATE => true,
        SHUFFLE => filter.client_data.first() == u32::try_from(width).ok().as_ref(),
        _ => false,
    });
    let Layout::Chunked { chunk_shape, .. } = dataset.layout().ok()? else { return None };
    let grid = Grid::new(&sizes(&dataset.shape().ok()?)?, &sizes(&chunk_shape)?, width)?;
    if !usual || grid.total.checked_mul(width)? != length || grid.packed_limit()? < grid.bytes {
        return None;
    }
    let chunks = dataset.chunks().ok()?;
    let stored = chunks.iter().try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.storage_size));
    if chunks.len() != grid.chunks || stored? > file.len() {
        return None;
    }
    let mut data = vec![0; length];
    let mut seen = vec![false; grid.chunks];
    for chunk in &chunks {
        let offset = sizes(&chunk.offset)?;
        // Each chunk once, through all filters.
        if chunk.filter_mask != 0 || std::mem::replace(&mut seen[grid.index(&offset)?], true) {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(chunk.storage_size).ok()?];
        file.read_at(chunk.address, &mut bytes).ok()?;
        for filter in filters.iter().rev() {
            bytes = match filter.id {
                DEFLATE => inflated(&bytes, grid.chunk_bytes)?,
                _ => unshuffled(&bytes, width),
            };
        }
        if bytes.len() != grid.chunk_bytes {
            return None;
        }
        grid.copy(&offset, &bytes, &mut data);
    }
    Some(data)
}

fn sizes(numbers: &[u64]) -> Option<Vec<usize>> {
    numbers.iter().map(|&n| usize::try_from(n).ok()).collect()
}

fn product(mut sizes: impl Iterator<Item = usize>) -> Option<usize> {
    sizes.try_fold(1_usize, |product, size| product.checked_mul(size))
}

/// Exactly `length` bytes from a stream of zlib's, whose checksum is right.
fn inflated(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut stream = ZlibDecoder::new(packed);
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).ok()?;
    (stream.read(&mut [0]).ok()? == 0).then_some(bytes)
}

/// Elements from their first bytes, then their second bytes, and so on.
fn unshuffled(bytes: &[u8], width: usize) -> Vec<u8> {
    let elements = bytes.len() / width;
    let mut result = bytes.to_vec();
    for (i, element) in result.chunks_exact_mut(width).enumerate() {
        for (j, byte) in element.iter_mut().enumerate() {
            *byte = bytes[j * elements + i];
        }
    }
    result
}

/// A dataset's shape and that of its chunks, of the same rank.
struct Grid {
    shape: Vec<usize>,
    chunk: Vec<usize>,
    width: usize,
    /// The elements of the dataset.
    total: usize,
    /// The number of chunks.
    chunks: usize,
    chunk_bytes: usize,
    /// The bytes of all chunks.
    bytes: usize,
}

impl Grid {
    fn new(shape: &[usize], chunk: &[usize], width: usize) -> Option<Self> {
        if shape.is_empty() || shape.len() != chunk.len() || chunk.contains(&0) {
            return None;
        }
        let chunks = product(shape.iter().zip(chunk).map(|(size, chunk)| size.div_ceil(*chunk)))?;
        let chunk_bytes = product(chunk.iter().copied().chain([width]))?;
        Some(Self {
            shape: shape.to_vec(),
            chunk: chunk.to_vec(),
            width,
            total: product(shape.iter().copied())?,
            chunks,
            chunk_bytes,
            bytes: chunks.checked_mul(chunk_bytes)?,
        })
    }

    /// The most bytes that chunks may have together.
    fn packed_limit(&self) -> Option<usize> {
        self.total.checked_mul(self.width)?.checked_mul(MOST)
    }

    /// The number of the chunk whose first element is at `offset`, if there is one.
    fn index(&self, offset: &[usize]) -> Option<usize> {
        let all = self.shape.iter().zip(&self.chunk).zip(offset);
        let inside = |((size, chunk), at): ((&usize, &usize), &usize)| at < size && at % chunk == 0;
        if offset.len() != self.shape.len() || !all.clone().all(inside) {
            return None;
        }
        Some(all.fold(0, |i, ((size, chunk), at)| i * size.div_ceil(*chunk) + at / chunk))
    }

    /// Copies what is inside the dataset of the chunk at `offset`, row by row.
    fn copy(&self, offset: &[usize], chunk: &[u8], data: &mut [u8]) {
        let last = self.shape.len() - 1;
        let inside: Vec<usize> =
            (0..=last).map(|d| self.chunk[d].min(self.shape[d] - offset[d])).collect();
        let row = inside[last] * self.width;
        for i in 0..inside[..last].iter().product() {
            // The row's place along each dimension, from the last one on.
            let (mut rest, mut from, mut to) = (i, 0, 0);
            let (mut chunk_step, mut step) = (self.chunk[last], self.shape[last]);
            for d in (0..last).rev() {
                let at = rest % inside[d];
                rest /= inside[d];
                from += at * chunk_step;
                to += (offset[d] + at) * step;
                chunk_step *= self.chunk[d];
                step *= self.shape[d];
            }
            let (from, to) = (from * self.width, (to + offset[last]) * self.width);
            data[to..to + row].copy_from_slice(&chunk[from..from + row]);
        }
    }
}

#[cfg(test)]
mod tests {
    use hdf5_pure::{File, FileBuilder};

    use super::{inflated, read, unshuffled};
    use crate::weights::bytes::Bytes;

    /// A file with one dataset of these numbers; `pack` chooses its filters.
    fn file(shape: &[u64], chunk: &[u64], pack: [bool; 3]) -> Vec<u8> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i: u64| i as f32).collect();
        let mut builder = FileBuilder::new();
        let dataset = builder.create_dataset("x");
        dataset.with_f32_data(&values).with_shape(shape).with_chunks(chunk);
        if pack[0] {
            dataset.with_shuffle();
        }
        if pack[1] {
            dataset.with_deflate(6);
        }
        if pack[2] {
            dataset.with_fletcher32();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn chunks_are_put_together() {
        for (shape, chunk) in [
            (&[7_u64][..], &[3_u64][..]),
            (&[5, 7], &[2, 3]),
            (&[5, 7], &[5, 7]),
            (&[3, 3, 5, 7], &[2, 3, 2, 4]),
        ] {
            for pack in 0..4 {
                let bytes = file(shape, chunk, [pack & 1 > 0, pack & 2 > 0, false]);
                let dataset = File::from_bytes(bytes.clone()).unwrap().dataset("x").unwrap();
                let expected = dataset.read_raw().unwrap();
                let found = read(&dataset, &Bytes::memory(bytes), 4, expected.len());
                assert_eq!(found, Some(expected), "{shape:?} in {chunk:?}, {pack}");
            }
        }
    }

    #[test]
    fn unusual_chunks_are_left_to_the_crate() {
        let left = |bytes: Vec<u8>, width, length| {
            let dataset = File::from_bytes(bytes.clone()).unwrap().dataset("x").unwrap();
            read(&dataset, &Bytes::memory(bytes), width, length).is_none()
        };
        let usual = file(&[5, 7], &[2, 3], [true, true, false]);
        assert!(!left(usual.clone(), 4, 140));
        // Another width than that of the shuffle, another length, another filter.
        assert!(left(usual.clone(), 2, 70) && left(usual.clone(), 4, 144));
        assert!(left(file(&[5, 7], &[2, 3], [true, true, true]), 4, 140));
        // Damage anywhere is found by a checksum, or gives what the crate gives.
        for at in 0..usual.len() {
            let mut bytes = usual.clone();
            bytes[at] ^= 0x55;
            let Ok(file) = File::from_bytes(bytes.clone()) else { continue };
            let Ok(dataset) = file.dataset("x") else { continue };
            if let Some(found) = read(&dataset, &Bytes::memory(bytes), 4, 140) {
                assert!(dataset.read_raw().map_or(true, |raw| raw == found), "byte {at}");
            }
        }
    }

    #[test]
    fn filters_are_undone() {
        assert_eq!(unshuffled(&[1, 3, 5, 2, 4, 6], 2), [1, 2, 3, 4, 5, 6]);
        // zlib's stream of "abc".
        let packed = [0x78, 0x9c, 0x4b, 0x4c, 0x4a, 0x06, 0x00, 0x02, 0x4d, 0x01, 0x27];
        assert_eq!(inflated(&packed, 3).as_deref(), Some(&b"abc"[..]));
        assert!(inflated(&packed, 2).is_none() && inflated(&packed, 4).is_none());
        assert!(inflated(&packed[..10], 3).is_none());
    }
}
