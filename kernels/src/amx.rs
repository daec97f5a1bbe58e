//! Whether this process may use tile registers (AMX): what the CPU says, and the operating system.

use core::fmt;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::error::Result;

/// Whether a process may use the tile registers of x86-64 (AMX), with which plans multiply in the
/// arithmetic [`Bf16`](crate::Arithmetic::Bf16), and 8-bit integers, if
/// [`Options::amx`](crate::Options::amx) asks for it. The bits are the same without them.
///
/// The operating system (Linux) grants them to a whole process, on request. Nothing asks but
/// [`Amx::request`] and plans that were told to use them, since there is a price: with permission a
/// signal's frame is 8 KiB larger, and `sigaltstack` refuses a stack that has no room for it, in
/// all threads. While a thread has such a stack, the request is refused.
///
/// The answer is one for all threads, whatever CPUs their masks leave them: Linux enables the same
/// registers on all CPUs that it starts, and the permission is the process's, those of its threads
/// that run already too.
///
/// ```
/// # use sepconv_kernels::*;
/// match Amx::request() {
///     Amx::Granted => println!("plans with Options::amx use tile registers"),
///     other => println!("they don't: {other}"), // "… refused the permission (error 28)"
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Amx {
    /// The CPU, the operating system or this build has none with bf16 and 8-bit integers.
    Absent,
    /// The operating system refused the permission.
    Refused {
        /// Its error number: 28 (ENOSPC) if a thread has a signal stack that is too small.
        errno: i32,
    },
    /// This process has the permission.
    Granted,
}

/// What [`assume_amx`] puts in place of CPU and operating system; [`NOTHING`] if nothing.
static ASSUMED: AtomicI32 = AtomicI32::new(NOTHING);
const NOTHING: i32 = -1;

impl Amx {
    /// Asks the operating system for the permission, if the CPU has tile registers.
    pub fn request() -> Self {
        match ASSUMED.load(Ordering::Relaxed) {
            NOTHING if system::cpu_has_tiles() => Self::answered(system::request()),
            NOTHING => Self::Absent,
            errno => Self::answered(errno),
        }
    }

    /// Whether the process has the permission; asks for nothing.
    pub(crate) fn is_granted() -> bool {
        match ASSUMED.load(Ordering::Relaxed) {
            NOTHING => system::cpu_has_tiles() && system::has_permission(),
            errno => errno == 0,
        }
    }

    fn answered(errno: i32) -> Self {
        if errno == 0 { Self::Granted } else { Self::Refused { errno } }
    }
}

impl fmt::Display for Amx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("this CPU, operating system or build has no AMX"),
            Self::Refused { errno } => {
                write!(f, "the operating system refused the permission for AMX (error {errno})")
            }
            Self::Granted => f.write_str("this process may use AMX"),
        }
    }
}

/// For tests alone: from now on the CPU has tile registers, and the operating system's answer to
/// each request is `errno`, 0 for the permission. −1 ends this.
///
/// # Safety
/// If `errno` is 0, tile instructions execute in all threads of this process: those of the CPU, or
/// by a signal handler that has been installed.
#[doc(hidden)]
pub unsafe fn assume_amx(errno: i32) {
    ASSUMED.store(errno, Ordering::Relaxed);
}

/// Whether plans use tile registers that aren't told to by their options: by the variable
/// `SEPCONV_AMX` (feature `std`).
pub(crate) fn from_env() -> Result<bool> {
    #[cfg(feature = "std")]
    if let Some(value) = std::env::var_os("SEPCONV_AMX").filter(|v| !v.is_empty()) {
        return match value.to_str() {
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            _ => Err(crate::error::Error::UnknownAmx { value: value.to_string_lossy().into() }),
        };
    }
    Ok(false)
}

/// Linux on x86-64.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64"))]
mod system {
    use core::arch::asm;
    use core::arch::x86_64::{__cpuid, __cpuid_count};

    // <asm/prctl.h> and <asm/unistd_64.h>
    const ARCH_GET_XCOMP_PERM: usize = 0x1022;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const ARCH_PRCTL: isize = 158;
    /// The component of a thread's state that the tiles' contents are.
    const TILE_DATA: usize = 18;

    /// Whether the CPU has tiles and their products of bf16 and of 8-bit integers, of which no CPU
    /// has one kind alone, and the operating system saves them.
    #[allow(unused_unsafe, reason = "in older compilers only")]
    pub(super) fn cpu_has_tiles() -> bool {
        const XSAVE_IS_ENABLED: u32 = 1 << 27;
        const AMX: u32 = 1 << 22 | 1 << 24 | 1 << 25; // bf16, tiles, integers
        const TILES: u32 = 1 << 17 | 1 << TILE_DATA;
        // SAFETY: every CPU with 64 bits has this instruction.
        let [highest, features] = unsafe { [__cpuid(0).eax, __cpuid(1).ecx] };
        if highest < 7 || features & XSAVE_IS_ENABLED == 0 {
            return false;
        }
        // SAFETY: as above; there is a leaf 7.
        if unsafe { __cpuid_count(7, 0) }.edx & AMX != AMX {
            return false;
        }
        let enabled: u32;
        // SAFETY: the instruction exists where XSAVE is enabled; it reads register 0, which always
        // is there, and changes nothing.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _,
                options(nomem, nostack, preserves_flags));
        }
        enabled & TILES == TILES
    }

    /// Asks for the permission. The error number, 0 if it is given.
    pub(super) fn request() -> i32 {
        // SAFETY: the request takes a number and touches no memory.
        let status = unsafe { arch_prctl(ARCH_REQ_XCOMP_PERM, TILE_DATA) };
        -(status as i32)
    }

    /// Whether the permission was given before.
    pub(super) fn has_permission() -> bool {
        let mut permitted = 0_u64;
        // SAFETY: the request writes a u64 to the address, where there is one.
        let status = unsafe { arch_prctl(ARCH_GET_XCOMP_PERM, (&raw mut permitted).addr()) };
        status == 0 && permitted >> TILE_DATA & 1 == 1
    }

    /// The system call, of which the standard library has no wrapper.
    ///
    /// # Safety
    /// `argument` is what the request `code` takes.
    unsafe fn arch_prctl(code: usize, argument: usize) -> isize {
        let status;
        // SAFETY: a system call clobbers these registers alone; the caller vouches for what it
        // does.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL => status, in("rdi") code,
                in("rsi") argument, out("rcx") _, out("r11") _, options(nostack));
        }
        status
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")))]
mod system {
    pub(super) fn cpu_has_tiles() -> bool {
        false
    }

    pub(super) fn request() -> i32 {
        unreachable!("asked for where there are tiles")
    }

    pub(super) fn has_permission() -> bool {
        false
    }
}
