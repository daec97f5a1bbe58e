//! AVX-512 F, BW, CD, DQ, VL (x86-64-v4): 16 lanes, 32 registers.

use core::arch::x86_64::*;

use pulp::Simd;

use crate::Level;
use crate::isa::{Head, Isa, V, instantiate};

/// pulp's `V4`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

const LEVEL: Level = Level::Avx512;

impl Isa for Avx512 {
    type S = pulp::x86::V4;
    type H = __m256i;

    // 12×32: 24 accumulators, 2 vectors of B and a few broadcasts of A in flight fit 32 registers.
    const MR: usize = 12;
    const NV: usize = 2;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `V4::try_new` decided.
        unsafe { pulp::x86::V4::new_unchecked() }
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_near(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_write(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(p.cast()) }
    }

    // vmaxps and vminps give their second operand when either is NaN or both are zeros.
    #[inline(always)]
    fn at_least(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.max_f32s(bound, x)
    }

    #[inline(always)]
    fn at_most(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.min_f32s(bound, x)
    }

    #[inline(always)]
    fn f16_to_f32(v: __m256i) -> V<Self> {
        // SAFETY: kernels run only where the level is available.
        pulp::cast(unsafe { _mm512_cvtph_ps(v) })
    }

    #[inline(always)]
    fn f32_to_f16(v: V<Self>) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(pulp::cast(v)) }
    }

    #[inline(always)]
    fn bf16_to_f32(v: __m256i) -> V<Self> {
        // SAFETY: as above.
        pulp::cast(unsafe { _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v)) })
    }

    // See `element::f32_to_bf16`. Not AVX512-BF16's instruction, which flushes subnormals.
    #[inline(always)]
    fn f32_to_bf16(v: V<Self>) -> __m256i {
        let x: __m512 = pulp::cast(v);
        let bits: __m512i = pulp::cast(v);
        // SAFETY: as above, AVX-512 BW.
        unsafe {
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let rounded = _mm512_add_epi32(bits, half);
            let quiet = _mm512_set1_epi32(0x40_0000);
            let bits = _mm512_mask_or_epi32(rounded, nan, bits, quiet);
            // The upper halves of the lanes.
            _mm512_castsi512_si256(_mm512_permutexvar_epi16(NARROW.vector(), bits))
        }
    }

    #[inline(always)]
    fn dot(a: V<Self>, b: V<Self>, c: V<Self>) -> V<Self> {
        // SAFETY: `DOT`'s kernels run only where AVX512-BF16 is available; any bits are bf16.
        pulp::cast(unsafe {
            let [a, b] = [a, b].map(|v| core::mem::transmute::<__m512, __m512bh>(pulp::cast(v)));
            _mm512_dpbf16_ps(pulp::cast(c), a, b)
        })
    }

    #[inline(always)]
    unsafe fn load_head_16(head: Head<Self>, p: *const u16) -> __m256i {
        // SAFETY: the caller's contract; masked elements are neither read nor faulted on.
        unsafe { _mm256_maskz_loadu_epi16(mask_16(head), p.cast()) }
    }

    #[inline(always)]
    unsafe fn store_head_16(head: Head<Self>, p: *mut u16, v: __m256i) {
        // SAFETY: the caller's contract; masked elements are neither written nor faulted on.
        unsafe { _mm256_mask_storeu_epi16(p.cast(), mask_16(head), v) }
    }
}

/// Places of 16-bit words.
#[repr(align(64))]
struct Words([u16; 32]);

impl Words {
    #[inline(always)]
    fn vector(&self) -> __m512i {
        pulp::cast(self.0)
    }
}

/// The upper half of lane i to word i.
static NARROW: Words = Words({
    let mut places = [0; 32];
    let mut i = 0;
    while i < 16 {
        places[i] = 2 * i as u16 + 1;
        i += 1;
    }
    places
});

#[inline(always)]
fn mask_16(head: Head<Avx512>) -> __mmask16 {
    head.mask.mask().0
}

/// AVX512-BF16.
mod bf16 {
    use super::*;
    use crate::gemm::kernel::{GemmTile, tile};
    use crate::isa::element::Pair;
    use crate::isa::{DotKernels, GemmFn, GemmKernels};

    /// All rows of a tile for some vectors.
    macro_rules! rows {
        ($n:literal) => {
            [
                gemm::<1, $n> as GemmFn,
                gemm::<2, $n>,
                gemm::<3, $n>,
                gemm::<4, $n>,
                gemm::<5, $n>,
                gemm::<6, $n>,
                gemm::<7, $n>,
                gemm::<8, $n>,
                gemm::<9, $n>,
                gemm::<10, $n>,
                gemm::<11, $n>,
                gemm::<12, $n>,
            ]
        };
    }

    /// 12×32 as for f32.
    pub(super) const DOT: DotKernels = DotKernels {
        is_available,
        gemm: GemmKernels {
            name: "gemm_dot_bf16_12x32_avx512",
            packed: &[&rows!(1), &rows!(2)],
            direct: &[],
        },
        pair,
    };

    fn is_available() -> bool {
        #[cfg(feature = "std")]
        {
            std::is_x86_feature_detected!("avx512bf16")
        }
        #[cfg(not(feature = "std"))]
        {
            cfg!(target_feature = "avx512bf16")
        }
    }

    #[target_feature(
        enable = "avx512bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn gemm<const M: usize, const N: usize>(t: &GemmTile) {
        // SAFETY: the caller vouches for the tile and for the CPU.
        unsafe { tile::<Avx512, Pair, M, N, false>(Avx512::token(), t) }
    }

    /// The panel's first `depth` k, of MR rows, become pairs; beyond them are zeros.
    ///
    /// Two blocks of 16 k of a row become one of 16 pairs. It lies no further on than what it is made of, so
    /// that nothing is overwritten that is still to be read.
    ///
    /// # Safety
    /// The CPU has AVX512-BF16; the panel holds whole blocks of `depth` k.
    #[target_feature(
        enable = "avx512bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn pair(panel: &mut [f32], depth: usize) {
        const L: usize = 16;
        let block = Avx512::MR * L;
        for i in 0..depth.div_ceil(2 * L) {
            let masks = [0, 1].map(|half| {
                let rest = depth.saturating_sub((2 * i + half) * L).min(L);
                ((1_u32 << rest) - 1) as __mmask16
            });
            for row in 0..Avx512::MR {
                let at = |block_of: usize| block_of * block + row * L;
                let from = [0, 1].map(|half| {
                    let from = panel.as_ptr().wrapping_add(at(2 * i + half));
                    // SAFETY: lanes beyond the depth are neither read nor faulted on.
                    unsafe { _mm512_maskz_loadu_ps(masks[half], from) }
                });
                // SAFETY: any bits are an f32; block i is not after block 2·i.
                unsafe {
                    for (half, from) in from.into_iter().enumerate() {
                        let pairs = _mm512_cvtneps_pbh(from);
                        let pairs = core::mem::transmute::<__m256bh, __m256>(pairs);
                        _mm256_storeu_ps(panel.as_mut_ptr().add(at(i) + half * L / 2), pairs);
                    }
                }
            }
        }
    }
}

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Avx512, "avx512", ["avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"],
    rows: [1 2 3 4 5 6 7 8 9 10 11 12], vectors: [1 2],
    gemm: "12x32", window: "8", pixels: [8 4 2 1],
    slide: "14", [14 8 5 3 2 1],
    strip: "6", [6 5 4 3 2 1], [6 4 3 1],
    dot: bf16::DOT);
