//! The handler: decodes the instruction that faulted, executes it if it is one of tiles, and has
//! the thread go on behind it.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::ptr;

use crate::tiles::{Instruction, Tiles};

thread_local! {
    // Constant and without a destructor: a handler may use it, which must not allocate.
    static TILES: UnsafeCell<Tiles> = const { UnsafeCell::new(Tiles::new()) };
}

/// By their numbers in instructions.
const REGISTERS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Installs the handler for all threads.
pub(crate) fn install() {
    // SAFETY: all of it is plain data, for which zeros are right.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the form that SA_SIGINFO asks for, and uses nothing that it may not.
    let status = unsafe { libc::sigaction(libc::SIGILL, &raw const action, ptr::null_mut()) };
    assert_eq!(status, 0, "no handler of SIGILL can be installed");
}

extern "C" fn handle(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes the thread's context, which nothing else uses meanwhile.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as usize;
    // SAFETY: the tiles of this thread, in which no other handler of this signal is: an instruction
    // here that faults ends the process. What the program's instruction reads and writes, this may.
    let executed = unsafe {
        decode(at as *const u8, |number| registers[REGISTERS[number] as usize] as usize).filter(
            |(instruction, _)| TILES.with(|tiles| (*tiles.get()).execute(*instruction)).is_some(),
        )
    };
    match executed {
        Some((_, length)) => registers[libc::REG_RIP as usize] += length as i64,
        // Of another kind: it faults once more, and then the process ends.
        // SAFETY: the default action needs no handler.
        None => _ = unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) },
    }
}

/// The tile instruction at `code` and its length, if it is one.
///
/// # Safety
/// `code` is valid for reading an instruction.
unsafe fn decode(
    code: *const u8,
    register: impl Fn(usize) -> usize,
) -> Option<(Instruction, usize)> {
    // SAFETY: within the instruction, of which each byte says whether others follow.
    let byte = |at: usize| unsafe { *code.add(at) };
    let displacement = |at: usize, wide: bool| {
        if wide {
            i32::from_le_bytes([0, 1, 2, 3].map(|i| byte(at + i))) as usize
        } else {
            byte(at) as i8 as usize
        }
    };
    // VEX with three bytes, map 0F38, W and L 0.
    if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
        return None;
    }
    let [high_index, high_base] = [0x40, 0x20].map(|bit| if byte(1) & bit == 0 { 8 } else { 0 });
    let (other, prefix) = (usize::from(!byte(2) >> 3 & 15), byte(2) & 3);
    let (opcode, mode) = (byte(3), byte(4) >> 6);
    let [reg, rm] = [usize::from(byte(4) >> 3 & 7), usize::from(byte(4) & 7)];
    let tile = reg;
    if mode == 3 {
        let instruction = match (opcode, prefix) {
            (0x49, 0) if [reg, rm] == [0, 0] => Instruction::Release,
            (0x49, 3) if rm == 0 => Instruction::Zero { tile },
            (0x5c, 2) if other < 8 => Instruction::MultiplyBf16 { sums: reg, a: rm, b: other },
            (0x5e, 1) if other < 8 => Instruction::MultiplyInt8 { sums: reg, a: rm, b: other },
            _ => return None,
        };
        return Some((instruction, 5));
    }
    let (mut length, mut base, mut address, mut stride) = (5, Some(rm | high_base), 0_usize, 0);
    if rm == 4 {
        let sib = byte(5);
        length += 1;
        base = Some(usize::from(sib & 7) | high_base);
        let index = usize::from(sib >> 3 & 7) | high_index;
        if index != 4 {
            stride = register(index) << (sib >> 6);
        }
        if sib & 7 == 5 && mode == 0 {
            return None; // no base: compilers write none here
        }
    } else if rm == 5 && mode == 0 {
        address = displacement(length, true);
        length += 4;
        address = address.wrapping_add(code as usize + length);
        base = None;
    }
    if mode != 0 {
        address = displacement(length, mode == 2);
        length += if mode == 2 { 4 } else { 1 };
    }
    let address = address.wrapping_add(base.map_or(0, register));
    let instruction = match (opcode, prefix) {
        // Of this one the index belongs to the address.
        (0x49, 0) if reg == 0 => Instruction::Configure { from: address.wrapping_add(stride) },
        (0x4b, 1 | 3) if rm == 4 => Instruction::Load { tile, from: address, stride },
        (0x4b, 2) if rm == 4 => Instruction::Store { tile, to: address, stride },
        _ => return None,
    };
    Some((instruction, length))
}
