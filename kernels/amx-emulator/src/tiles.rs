//! What tile instructions do to the tiles of a thread.

use std::arch::asm;
use std::arch::x86_64::*;

/// Tiles that exist.
pub(crate) const TILES: usize = 8;
const ROWS: usize = 16;
/// Of a row.
const BYTES: usize = 64;

/// A tile's contents, zeros beyond its size.
type Tile = [[u8; BYTES]; ROWS];

/// The tiles of a thread.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// Rows and bytes of each; none without a configuration.
    sizes: Option<[(usize, usize); TILES]>,
    tiles: [Tile; TILES],
}

/// An instruction, as far as it is decoded. Memory is given by its address, rows by the distance
/// between them. Of 8-bit integers those of A are unsigned, those of B signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instruction {
    Configure { from: usize },
    Release,
    Zero { tile: usize },
    Load { tile: usize, from: usize, stride: usize },
    Store { tile: usize, to: usize, stride: usize },
    MultiplyBf16 { sums: usize, a: usize, b: usize },
    MultiplyInt8 { sums: usize, a: usize, b: usize },
}

impl Tiles {
    pub(crate) const fn new() -> Self {
        Self { sizes: None, tiles: [[[0; BYTES]; ROWS]; TILES] }
    }

    /// Executes an instruction; none if the CPU would refuse it.
    ///
    /// # Safety
    /// The CPU has AVX-512, and what the instruction reads and writes is valid, or is to fault.
    pub(crate) unsafe fn execute(&mut self, instruction: Instruction) -> Option<()> {
        match instruction {
            Instruction::Configure { from } => {
                // SAFETY: 64 bytes that the instruction reads, too.
                let configuration = unsafe { (from as *const [u8; 64]).read_unaligned() };
                self.configure(&configuration)
            }
            Instruction::Release => {
                *self = Self::new();
                Some(())
            }
            Instruction::Zero { tile } => {
                self.sizes?;
                self.tiles[tile] = [[0; BYTES]; ROWS];
                Some(())
            }
            Instruction::Load { tile, from, stride } => {
                let (rows, bytes) = self.sizes?[tile];
                self.tiles[tile] = [[0; BYTES]; ROWS];
                for (row, to) in self.tiles[tile].iter_mut().take(rows).enumerate() {
                    let from = from.wrapping_add(stride.wrapping_mul(row)) as *const u8;
                    // SAFETY: bytes that the instruction reads, too.
                    unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), bytes) };
                }
                (rows > 0).then_some(())
            }
            Instruction::Store { tile, to, stride } => {
                let (rows, bytes) = self.sizes?[tile];
                for (row, from) in self.tiles[tile].iter().take(rows).enumerate() {
                    let to = to.wrapping_add(stride.wrapping_mul(row)) as *mut u8;
                    // SAFETY: bytes that the instruction writes, too.
                    unsafe { to.copy_from_nonoverlapping(from.as_ptr(), bytes) };
                }
                (rows > 0).then_some(())
            }
            Instruction::MultiplyBf16 { sums, a, b } => {
                let [rows, groups] = self.sizes_of_product([sums, a, b])?;
                let (a, b) = (self.tiles[a], self.tiles[b]);
                // SAFETY: the CPU has AVX-512; the groups of each row of A fit its rows.
                unsafe { multiply_bf16(&mut self.tiles[sums], rows, &a, &b, groups) };
                Some(())
            }
            Instruction::MultiplyInt8 { sums, a, b } => {
                let [rows, groups] = self.sizes_of_product([sums, a, b])?;
                let (a, b) = (self.tiles[a], self.tiles[b]);
                // SAFETY: the CPU has AVX-512.
                unsafe { multiply_int8(&mut self.tiles[sums], rows, &a, &b, groups) };
                Some(())
            }
        }
    }

    /// The rows of sums, and the groups of four bytes along k that are multiplied; none if the CPU
    /// would refuse these tiles.
    fn sizes_of_product(&self, [sums, a, b]: [usize; 3]) -> Option<[usize; 2]> {
        let sizes = self.sizes?;
        let ((m, n), (a_rows, k), (b_rows, b_bytes)) = (sizes[sums], sizes[a], sizes[b]);
        let fitting = m == a_rows && n == b_bytes && k == 4 * b_rows;
        let valid = fitting && m * n * k > 0 && sums != a && sums != b && a != b;
        valid.then_some([m, b_rows])
    }

    /// From what `ldtilecfg` reads.
    fn configure(&mut self, configuration: &[u8; 64]) -> Option<()> {
        *self = Self::new();
        if configuration[0] == 0 {
            return Some(());
        }
        let sizes = std::array::from_fn(|tile| {
            let bytes =
                u16::from_le_bytes([configuration[16 + 2 * tile], configuration[17 + 2 * tile]]);
            (configuration[48 + tile].into(), bytes.into())
        });
        let fits = |&(rows, bytes): &(usize, usize)| {
            rows <= ROWS && bytes <= BYTES && bytes % 4 == 0 && (rows == 0) == (bytes == 0)
        };
        let reserved = configuration[1..16].iter().chain(&configuration[32..48]);
        let right = configuration[0] == 1
            && sizes.iter().all(fits)
            && reserved.chain(&configuration[56..]).all(|&byte| byte == 0);
        right.then(|| self.sizes = Some(sizes))
    }
}

/// Adds products of pairs of bf16: for each sum a chain of multiply-adds from +0 over the first of
/// each pair, one over the second; their sum is added to it. Subnormal numbers are zeros, whether
/// read or written.
///
/// # Safety
/// The CPU has AVX-512; `pairs` ≤ 16.
unsafe fn multiply_bf16(sums: &mut Tile, rows: usize, a: &Tile, b: &Tile, pairs: usize) {
    // The signal's return brings the thread's own back.
    const FLUSH_AND_READ_AS_ZEROS: u32 = 0x1f80 | 1 << 15 | 1 << 6;
    // SAFETY: all exceptions are masked.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &FLUSH_AND_READ_AS_ZEROS, options(nostack, readonly));
        multiply_vectors(sums, rows, a, b, pairs);
    }
}

/// # Safety
/// As [`multiply_bf16`].
// Not inlined: arithmetic would not wait for the mode.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn multiply_vectors(sums: &mut Tile, rows: usize, a: &Tile, b: &Tile, pairs: usize) {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let first = |pairs: __m512i| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
    let second = |pairs: __m512i| _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
    for (sums, a) in sums.iter_mut().zip(a).take(rows) {
        let [mut even, mut odd] = [_mm512_setzero_ps(); 2];
        for (pair, b) in a.chunks_exact(4).zip(b).take(pairs) {
            let a = _mm512_set1_epi32(i32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]));
            // SAFETY: a row has 64 bytes.
            let b = unsafe { _mm512_loadu_si512(b.as_ptr().cast()) };
            even = _mm512_fmadd_ps(first(a), first(b), even);
            odd = _mm512_fmadd_ps(second(a), second(b), odd);
        }
        let sums = sums.as_mut_ptr().cast();
        // SAFETY: a row has 64 bytes.
        unsafe {
            let sum = _mm512_add_ps(_mm512_loadu_ps(sums), _mm512_add_ps(even, odd));
            _mm512_storeu_ps(sums, sum);
        }
    }
}

/// Adds products of groups of four integers, unsigned in A, signed in B, to sums of i32, modulo
/// 2³².
///
/// # Safety
/// The CPU has AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn multiply_int8(sums: &mut Tile, rows: usize, a: &Tile, b: &Tile, groups: usize) {
    for (sums, a) in sums.iter_mut().zip(a).take(rows) {
        let sums = sums.as_mut_ptr().cast();
        // SAFETY: a row has 64 bytes.
        let mut sum = unsafe { _mm512_loadu_si512(sums) };
        for (group, b) in a.chunks_exact(4).zip(b).take(groups) {
            // SAFETY: a row has 64 bytes.
            let b = unsafe { _mm512_loadu_si512(b.as_ptr().cast()) };
            // The bytes of each lane, its first in the lowest bits, with their signs.
            let bytes = [
                _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(b)),
                _mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(b)),
                _mm512_srai_epi32::<24>(_mm512_slli_epi32::<8>(b)),
                _mm512_srai_epi32::<24>(b),
            ];
            for (&a, b) in group.iter().zip(bytes) {
                let product = _mm512_mullo_epi32(_mm512_set1_epi32(a.into()), b);
                sum = _mm512_add_epi32(sum, product);
            }
        }
        // SAFETY: a row has 64 bytes.
        unsafe { _mm512_storeu_si512(sums, sum) };
    }
}
