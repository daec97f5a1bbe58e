//! The one GEMM: pixels × taps·channels by taps·channels × output channels, fed by any producer.
//!
//! ```text
//! for each task = (group, tile of pixels, part of the output channels)   // on any thread, in any order
//!   for each k block                                                     // ascending: one chain per output
//!     producer fills the tile's A panels, this block (or all, before)    // stays in L2
//!     for each B panel of the part                                       // stays in L1
//!       for each A panel of the tile
//!         micro-kernel
//! ```
//!
//! The loops are those of BLIS: a task is up to MC pixels × NC output channels, a block of k is KC
//! deep, a micro-tile is MR pixels × NR output channels.
//!
//! Where the producer would copy the input as it is, the micro-kernels read the input itself: the
//! pixels of a matrix (pointwise), or taps that lie side by side in the rows of windows. Their
//! micro-tiles then end with a row of pixels.
//!
//! With 16-bit operands this stays a GEMM of f32. The producer widens the input. The weights are
//! widened once for each tile of pixels, a block of a B panel at a time, in scratch; if there are
//! few pixels, by each micro-kernel as it loads them. The sums of 16-bit outputs stay in scratch
//! until their chains end: all blocks of a panel are computed one after the other, then the sums
//! are rounded. (Rounding in the micro-kernel was measured to take 1 % off shallow layers, and made
//! the crate build for twice as long.)
//!
//! In the arithmetic `bf16` weights of any type are packed as bf16, and the A panels are rounded
//! once they are produced. What is multiplied stays f32; the order in which products are added has
//! a micro-kernel of its own (`block_micro_kernel`). Tile registers (AMX) multiply bf16: for them
//! pixels are copied into rows of tiles (`pack_tiles`), or panels of f32 become such (`tile_rows`),
//! and the micro-kernel is another one again (`tile_micro_kernel`). Where multiply-adds take bf16
//! (Arm's FEAT_BF16), the panels become pairs of them.
//!
//! Of 8-bit integers a group along k is one element, and the micro-kernel is that of f32 with dot
//! products for FMAs; or one of products of matrices (Arm's FEAT_I8MM), for which the rows of A are
//! put in pairs (`pair_rows`, `matrix_micro_kernel`).

pub(crate) mod block_micro_kernel;
pub(crate) mod blocking;
mod driver;
pub(crate) mod im2row;
pub(crate) mod kernels;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
pub(crate) mod matrix_micro_kernel;
pub(crate) mod micro_kernel;
pub(crate) mod narrow;
pub(crate) mod operands;
pub(crate) mod pack;
pub(crate) mod pack_tiles;
pub(crate) mod pair;
pub(crate) mod pair_rows;
pub(crate) mod plan;
pub(crate) mod producer;
pub(crate) mod products;
pub(crate) mod round;
pub(crate) mod tile;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
pub(crate) mod tile_micro_kernel;
pub(crate) mod tile_rows;
pub(crate) mod weights;
pub(crate) mod widen;
