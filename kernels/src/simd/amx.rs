//! Tile registers (AMX): eight of up to 16 rows of 64 bytes, and their products of bf16 and of
//! 8-bit integers.
//!
//! Inline assembly in place of intrinsics, which stable Rust lacks. No tile lives from one block of
//! assembly to the next, only the configuration does, so that the compiler need not know of them.

use core::arch::asm;

/// Rows of a tile, and columns of sums: f32 or i32.
pub(crate) const TILE: usize = 16;
/// Bytes of a row.
const ROW_BYTES: usize = 64;
/// Most steps of one [`multiply`].
pub(crate) const MAX_STEPS: usize = 16;

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_rows: [u16; 16],
    rows: [u8; 16],
}

/// Configures the thread's tiles: six of `rows` rows, for sums and A, two of 16 for B.
///
/// # Safety
/// - The process has the permission, or something else executes the instruction.
/// - 1 ≤ `rows` ≤ 16.
pub(crate) unsafe fn configure(rows: usize) {
    let mut of_tiles = [0; 16];
    of_tiles[..6].fill(rows as u8);
    of_tiles[6..8].fill(TILE as u8);
    let mut bytes_of_rows = [0; 16];
    bytes_of_rows[..8].fill(ROW_BYTES as u16);
    let configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        bytes_of_rows,
        rows: of_tiles,
    };
    // SAFETY: the configuration is a right one of 64 bytes; tiles hold nothing between blocks of
    // assembly; the caller vouches for the instruction.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const configuration,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags, readonly));
    }
}

/// Gives the thread's tiles back: a thread without is switched faster.
///
/// # Safety
/// The process has the permission, or something else executes the instruction.
pub(crate) unsafe fn release() {
    // SAFETY: tiles hold nothing between blocks of assembly; the caller vouches for the
    // instruction.
    unsafe {
        asm!("tilerelease",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nomem, nostack, preserves_flags));
    }
}

/// Two tiles of A by two of B, in four tiles of sums. A step takes the k of a tile's row: 32 of
/// bf16, 64 of 8-bit integers. A sum of i32 is stored as the f32 of its bits.
#[derive(Debug)]
pub(crate) struct Multiply {
    /// The two tiles of the first step; that of the next one lies behind each.
    pub(crate) a: [*const u8; 2],
    /// The first step's 16 rows of 32 columns of pairs, or of groups of four integers; the next
    /// step's lie behind.
    pub(crate) b: *const u8,
    /// 1 to [`MAX_STEPS`].
    pub(crate) steps: usize,
    /// What the sums of each tile of A begin with, rows of 32…
    pub(crate) start: [*const f32; 2],
    /// … of which there are as many as the tile's if true, else one for all.
    pub(crate) start_is_of_rows: bool,
    /// Where the sums of each tile of A go, rows of 32 side by side.
    pub(crate) sums: [*mut f32; 2],
    /// Prefetched into L2, eight cache lines a step.
    pub(crate) next_b: *const u8,
    /// Prefetched for writing, 32 elements at each offset, two offsets a step.
    pub(crate) y: *const u8,
    pub(crate) y_rows: *const usize,
}

/// Multiplies, with outputs of `Y_BYTES` an element. Of bf16, each sum is `start` + (even + odd) +
/// …, where even and odd are a step's chains of multiply-adds over even and odd k. INTEGERS: those
/// of A are unsigned, those of B signed, and sums are exact modulo 2³².
///
/// A, which is read once for each panel of B, is loaded past L1 (`tileloaddt1`): B stays there.
///
/// # Safety
/// - The thread's tiles are configured, for `rows` rows.
/// - A is valid for reading steps·1024 bytes from each pointer on, but for rows of a tile beyond
///   `rows`; b for reading steps·2048 bytes.
/// - `start` is valid for reading, the sums for writing 32 elements for each of the rows; no other
///   thread touches these.
/// - `y_rows` has 2·steps offsets.
#[inline(always)]
pub(crate) unsafe fn multiply<const Y_BYTES: usize, const INTEGERS: bool>(m: &Multiply) {
    // In registers there is no room for all.
    let ends = [m.start[0], m.start[1], m.sums[0].cast_const(), m.sums[1].cast_const()];
    // SAFETY: the caller keeps the contract: strides are 64 bytes of A and 128 of B, start and
    // sums; `ends` has four pointers; prefetches fault on no address.
    unsafe {
        asm!(
            "mov {t}, [{ends}]",
            "tileloadd tmm0, [{t} + {row}*2]",
            "tileloadd tmm1, [{t} + {row}*2 + 64]",
            "mov {t}, [{ends} + 8]",
            "tileloadd tmm2, [{t} + {row}*2]",
            "tileloadd tmm3, [{t} + {row}*2 + 64]",
            "mov {row:e}, 64",
            ".p2align 4",
            "2:",
            "tileloadd tmm6, [{b} + {row}*2]",
            "mov {t}, [{y_rows}]",
            "prefetchw [{y} + {t}*{size}]",
            "prefetchw [{y} + {t}*{size} + {last}]",
            "tileloaddt1 tmm4, [{a} + {row}*1]",
            "prefetcht1 [{next}]",
            "prefetcht1 [{next} + 64]",
            "prefetcht1 [{next} + 128]",
            "prefetcht1 [{next} + 192]",
            "tileloadd tmm7, [{b} + {row}*2 + 64]",
            "mov {t}, [{y_rows} + 8]",
            "prefetchw [{y} + {t}*{size}]",
            "prefetchw [{y} + {t}*{size} + {last}]",
            "tileloaddt1 tmm5, [{second} + {row}*1]",
            "prefetcht1 [{next} + 256]",
            "prefetcht1 [{next} + 320]",
            "prefetcht1 [{next} + 384]",
            "prefetcht1 [{next} + 448]",
            ".if {integers}",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            ".else",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            ".endif",
            "add {a}, 1024",
            "add {second}, 1024",
            "add {b}, 2048",
            "add {next}, 512",
            "add {y_rows}, 16",
            "dec {steps}",
            "jnz 2b",
            "mov {t}, [{ends} + 16]",
            "tilestored [{t} + {row}*2], tmm0",
            "tilestored [{t} + {row}*2 + 64], tmm1",
            "mov {t}, [{ends} + 24]",
            "tilestored [{t} + {row}*2], tmm2",
            "tilestored [{t} + {row}*2 + 64], tmm3",
            integers = const INTEGERS as u8,
            size = const Y_BYTES,
            last = const 31 * Y_BYTES,
            ends = in(reg) ends.as_ptr(),
            t = out(reg) _,
            row = inout(reg) if m.start_is_of_rows { ROW_BYTES } else { 0 } => _,
            a = inout(reg) m.a[0] => _,
            second = inout(reg) m.a[1] => _,
            b = inout(reg) m.b => _,
            next = inout(reg) m.next_b => _,
            y = in(reg) m.y,
            y_rows = inout(reg) m.y_rows => _,
            steps = inout(reg) m.steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
