//! Offsets of buffers in one slice: buffers that are never needed at the same time may share a
//! place.

use sepconv_kernels::{Aligned, ElementType, Elements, ElementsMut};

/// The unit of the arena: a byte. Its slices have this type.
pub(super) type Unit = u8;

/// Offsets are multiples of a cache line.
const ALIGNMENT: usize = units(ElementType::F32, Aligned::LINE);

/// The units that so many elements take.
pub(super) const fn units(element: ElementType, elements: usize) -> usize {
    elements.saturating_mul(element.size() / size_of::<Unit>())
}

/// The elements that a buffer's units hold.
pub(super) fn elements(element: ElementType, units: &[Unit]) -> Elements<'_> {
    match element {
        ElementType::F32 => Elements::F32(bytemuck::cast_slice(units)),
        ElementType::F16 => Elements::F16(bytemuck::cast_slice(units)),
        ElementType::Bf16 => Elements::Bf16(bytemuck::cast_slice(units)),
        ElementType::U8 => Elements::U8(units),
        other => unreachable!("a plan refuses {other}"),
    }
}

/// As [`elements`], for writing.
pub(super) fn elements_mut(element: ElementType, units: &mut [Unit]) -> ElementsMut<'_> {
    match element {
        ElementType::F32 => ElementsMut::F32(bytemuck::cast_slice_mut(units)),
        ElementType::F16 => ElementsMut::F16(bytemuck::cast_slice_mut(units)),
        ElementType::Bf16 => ElementsMut::Bf16(bytemuck::cast_slice_mut(units)),
        ElementType::U8 => ElementsMut::U8(units),
        other => unreachable!("a plan refuses {other}"),
    }
}

/// A buffer and the first and last step that it is in use for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    /// In units, as all lengths and offsets here.
    pub(super) len: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Buffer {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The offset of each buffer, and the length of the slice. None if a slice can't be that long.
///
/// Larger buffers are placed first. Each goes into the smallest gap between the buffers that are in
/// use at the same time and already have a place, or after them if no gap is large enough.
pub(super) fn assign(buffers: &[Buffer]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&b| (std::cmp::Reverse(buffers[b].len), b));
    let mut offsets = vec![0; buffers.len()];
    // (offset, end, buffer), by offset.
    let mut placed: Vec<(usize, usize, usize)> = Vec::new();
    let mut total = 0;
    for b in order {
        let len = buffers[b].len.checked_next_multiple_of(ALIGNMENT)?;
        let neighbours = placed.iter().filter(|p| buffers[p.2].meets(&buffers[b]));
        let offset = smallest_gap(neighbours.map(|&(offset, end, _)| (offset, end)), len);
        let end = offset.checked_add(len)?;
        total = total.max(end);
        offsets[b] = offset;
        let at = placed.partition_point(|p| p.0 < offset);
        placed.insert(at, (offset, end, b));
    }
    (total <= isize::MAX as usize / size_of::<Unit>()).then_some((offsets, total))
}

/// The offset of the smallest gap of at least `len` between `taken` ranges, which are in order of
/// their starts; the end of the last if there is none.
fn smallest_gap(taken: impl Iterator<Item = (usize, usize)>, len: usize) -> usize {
    let mut best: Option<(usize, usize)> = None;
    let mut end = 0;
    for (start, stop) in taken {
        let gap = start.saturating_sub(end);
        if gap >= len && best.is_none_or(|(size, _)| gap < size) {
            best = Some((gap, end));
        }
        end = end.max(stop);
    }
    best.map_or(end, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buffers_that_meet_do_not_overlap(
            buffers in prop::collection::vec((1_usize..200, 0_usize..20, 0_usize..20), 0..40)
        ) {
            let buffers: Vec<_> = (buffers.into_iter())
                .map(|(len, first, life)| Buffer { len, first, last: first + life })
                .collect();
            let (offsets, total) = assign(&buffers).unwrap();
            for (i, a) in buffers.iter().enumerate() {
                prop_assert_eq!(offsets[i] % ALIGNMENT, 0);
                prop_assert!(offsets[i] + a.len <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                    prop_assert!(apart || !a.meets(b), "{a:?} at {}, {b:?} at {}", offsets[i], offsets[j]);
                }
            }
        }
    }

    #[test]
    fn buffers_that_never_meet_share_their_place() {
        let buffers = [(100, 0, 1), (50, 1, 2), (100, 2, 3), (50, 3, 4)]
            .map(|(len, first, last)| Buffer { len, first, last });
        let (offsets, total) = assign(&buffers).unwrap();
        assert_eq!(offsets, [0, 128, 0, 128]);
        assert_eq!(total, 128 + 64);
    }

    #[test]
    fn more_than_memory_is_refused() {
        let huge = Buffer { len: isize::MAX as usize / 2, first: 0, last: 0 };
        assert!(assign(&[huge, huge]).is_none());
        assert!(assign(&[Buffer { len: usize::MAX, ..huge }]).is_none());
        assert!(assign(&[Buffer { len: usize::MAX - 31, ..huge }; 2]).is_none());
    }
}
