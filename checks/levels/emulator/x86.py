#!/usr/bin/env python3
"""Runs a static x86-64 Linux program on an emulated CPU of another model.

usage: x86.py [--cpu MODEL] BINARY [ARGUMENTS...]

MODEL is, in rising order of what it offers, one of

    corei7_sandy_bridge_2600k, corei7_ivy_bridge_3770k          AVX
    corei7_haswell_4770, broadwell_ult, ryzen, arrow_lake       AVX2, FMA
    corei7_skylake_x, corei7_icelake_u, tigerlake               AVX-512
    sapphire_rapids                                             AVX-512 with FP16 and BF16

or another x86-64 model of Bochs. Without --cpu it is the environment variable
SEPCONV_EMULATED_CPU, else sapphire_rapids. As cargo's runner:

    checks/levels/emulator/setup.sh
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="python3 $PWD/checks/levels/emulator/x86.py"
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
    export CARGO_TARGET_DIR=target/emulated
    cargo test --release --target x86_64-unknown-linux-gnu

The exit status is the program's, or 128 + the signal it would have died of, or 125 where the
runner itself cannot go on.

How it works. The CPU is the core of Bochs, from the package bochscpu-python. Only user mode is
emulated: there is one page table, no kernel runs in the machine, and a system call leaves it for
this file, which either serves it (memory, threads) or hands it on to the host's kernel with the
addresses translated (files, clocks). Threads are emulated too: there is one CPU, and it goes from
one thread to the next at system calls only. What shim.c puts in the place of some of the package's
functions makes it choose the model, and makes it faster.

Limits:
- The program must be static. It cannot start other programs.
- No signal is ever delivered: one that the program raises, or a fault, ends it.
- A thread that waits for another without system calls, spinning, waits for ever. One that waits
  in a read, say of a pipe, holds up all.
- No AMX.
- Bochs gets `_mm512_cvtne2ps_pbh` wrong, and is said to get merge-masked `vcvtneps2bf16` wrong.

Speed: 100 to 200 million simple instructions a second, or 200 million FMAs of an f32 lane. On a
model without FMA, where the C library computes each one by other instructions, far fewer of these.
"""

import ctypes
import errno
import mmap
import os
import signal
import struct
import sys
import time
import traceback
from array import array
from ctypes import CFUNCTYPE, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from pathlib import Path

DEFAULT_MODEL = "sapphire_rapids"
ROOT = Path(__file__).resolve().parents[3]
RUNNER_FAILED = 125

# The machine's memory. A program's addresses are physical addresses, and offsets in `Memory.bytes`.
PAGE = 4096
MIB = 1 << 20
GIB = 1 << 30
EXECUTABLE_START = 256 * MIB  # of a position-independent executable
MAPPINGS_START = 1 * GIB  # the heap (brk) ends here, too
STACK_SIZE = 8 * MIB
STACK_END = 16 * GIB - PAGE
STACK_START = STACK_END - STACK_SIZE
MAPPINGS_END = STACK_START - MIB
USER_END = 16 * GIB
# Above what the program can use: the four levels of the page table, from the last to the first,
# and the kernel's only page.
PAGE_TABLE = USER_END  # 8 bytes for each of the program's pages
PAGE_TABLE_SIZE = USER_END // PAGE * 8
DIRECTORIES = PAGE_TABLE + PAGE_TABLE_SIZE  # one for each GiB
KERNEL_DIRECTORY = DIRECTORIES + USER_END // GIB * PAGE
DIRECTORY_POINTERS = KERNEL_DIRECTORY + PAGE
TOP_TABLE = DIRECTORY_POINTERS + PAGE
KERNEL_CODE = TOP_TABLE + PAGE
MEMORY_END = PAGE_TABLE + 2 * PAGE_TABLE_SIZE

# Bits of page table entries.
PRESENT, WRITABLE, USER, LARGE, NO_EXECUTE = 1, 2, 4, 1 << 7, 1 << 63

# All that runs in kernel mode: turns on what of x87, SSE, AVX and AVX-512 the CPU has, then goes
# to user mode at the address in rdi. System calls enter at its last instruction.
KERNEL = bytes.fromhex(
    "b801000000"  # mov eax, 1
    "0fa2"  # cpuid
    "0fbae11a"  # bt ecx, 26 (XSAVE)
    "7320"  # jnc user
    "0f20e0"  # mov rax, cr4
    "0d00000400"  # or eax, 1 << 18 (OSXSAVE)
    "0f22e0"  # mov cr4, rax
    "b80d000000"  # mov eax, 13
    "31c9"  # xor ecx, ecx
    "0fa2"  # cpuid
    "25e7000000"  # and eax, 0xe7
    "31d2"  # xor edx, edx
    "31c9"  # xor ecx, ecx
    "0f01d1"  # xsetbv
    "31d2"  # user: xor edx, edx
    "4889f9"  # mov rcx, rdi
    "41bb02020000"  # mov r11d, 0x202 (the flags)
    "480f07"  # sysretq
)
SYSTEM_CALL_ENTRY = KERNEL_CODE + len(KERNEL) - 3

# Places in bochscpu's table of hooks, and the far branch that is a system call.
HOOK_COUNT, HOOK_FAR_BRANCH, HOOK_EXCEPTION = 40, 7, 10
FAR_BRANCH_SYSCALL = 17

# Exceptions of the CPU, and the signals that Linux makes of them.
EXCEPTIONS = {
    0: ("division error", signal.SIGFPE),
    3: ("breakpoint", signal.SIGTRAP),
    6: ("illegal instruction", signal.SIGILL),
    7: ("no floating point", signal.SIGILL),
    13: ("general protection fault", signal.SIGSEGV),
    14: ("page fault", signal.SIGSEGV),
    16: ("x87 error", signal.SIGFPE),
    17: ("unaligned access", signal.SIGBUS),
    19: ("SIMD floating-point error", signal.SIGFPE),
}
PAGE_FAULT = 14

# System calls that are served here, by the methods `sys_NAME` of `Process`.
SERVED = {
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "ioctl": 16,
    "readv": 19,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "clone": 56,
    "exit": 60,
    "kill": 62,
    "readlink": 89,
    "sigaltstack": 131,
    "prctl": 157,
    "arch_prctl": 158,
    "gettid": 186,
    "tkill": 200,
    "futex": 202,
    "sched_setaffinity": 203,
    "sched_getaffinity": 204,
    "set_tid_address": 218,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "tgkill": 234,
    "readlinkat": 267,
    "set_robust_list": 273,
    "preadv": 295,
    "pwritev": 296,
    "rseq": 334,
    "clone3": 435,
}

# System calls that the host's kernel serves, with their kinds of arguments: `i` is a number, `a`
# an address, `p` the address of a path.
FORWARDED = {
    "read": (0, "iai"),
    "write": (1, "iai"),
    "open": (2, "pii"),
    "close": (3, "i"),
    "stat": (4, "pa"),
    "fstat": (5, "ia"),
    "lstat": (6, "pa"),
    "poll": (7, "aii"),
    "lseek": (8, "iii"),
    "pread64": (17, "iaii"),
    "pwrite64": (18, "iaii"),
    "access": (21, "pi"),
    "dup": (32, "i"),
    "dup2": (33, "ii"),
    "getpid": (39, ""),
    "sendfile": (40, "iiai"),
    "uname": (63, "a"),
    "fcntl": (72, "iii"),
    "flock": (73, "ii"),
    "fsync": (74, "i"),
    "fdatasync": (75, "i"),
    "truncate": (76, "pi"),
    "ftruncate": (77, "ii"),
    "getcwd": (79, "ai"),
    "chdir": (80, "p"),
    "rename": (82, "pp"),
    "mkdir": (83, "pi"),
    "rmdir": (84, "p"),
    "link": (86, "pp"),
    "unlink": (87, "p"),
    "symlink": (88, "pp"),
    "chmod": (90, "pi"),
    "fchmod": (91, "ii"),
    "umask": (95, "i"),
    "gettimeofday": (96, "aa"),
    "getrlimit": (97, "ia"),
    "sysinfo": (99, "a"),
    "getuid": (102, ""),
    "getgid": (104, ""),
    "geteuid": (107, ""),
    "getegid": (108, ""),
    "getppid": (110, ""),
    "getdents64": (217, "iai"),
    "clock_gettime": (228, "ia"),
    "clock_getres": (229, "ia"),
    "openat": (257, "ipii"),
    "mkdirat": (258, "ipi"),
    "newfstatat": (262, "ipai"),
    "unlinkat": (263, "ipi"),
    "renameat": (264, "ipip"),
    "linkat": (265, "ipipi"),
    "symlinkat": (266, "pip"),
    "fchmodat": (268, "ipi"),
    "faccessat": (269, "ipi"),
    "utimensat": (280, "ipai"),
    "fallocate": (285, "iiii"),
    "dup3": (292, "iii"),
    "pipe2": (293, "ai"),
    "prlimit64": (302, "iiaa"),
    "renameat2": (316, "ipipi"),
    "getrandom": (318, "aii"),
    "copy_file_range": (326, "iaiaii"),
    "statx": (332, "ipiia"),
    "faccessat2": (439, "ipii"),
}

# What there is would tell of the runner and of the host's CPU, and so is not there.
OF_THE_HOST = (b"/proc/self/", b"/proc/cpuinfo", b"/sys/devices/system/cpu/")

# Arguments of system calls, by their names in Linux.
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
PROTECTION = PROT_READ | PROT_WRITE | PROT_EXEC
MAP_SHARED, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x1, 0x10, 0x20, 0x4000
MREMAP_MAYMOVE = 1
MADV_DONTNEED = 4
CLONE_THREAD, CLONE_SETTLS = 0x10000, 0x80000
CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x100000, 0x200000, 0x1000000
ARCH_SET_FS = 0x1002
FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET = 0, 1, 9, 10
FUTEX_CLOCK_REALTIME, FUTEX_COMMAND = 256, 0x7F
TIMER_ABSTIME = 1
PT_LOAD, PT_INTERP, PT_PHDR, PF_X, PF_W, PF_R, ET_DYN = 1, 3, 6, 1, 2, 4, 3
AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_CLKTCK = 3, 4, 5, 6, 9, 17
AT_PLATFORM, AT_RANDOM, AT_EXECFN = 15, 25, 31

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [c_uint64] * 7
libc.syscall.restype = ctypes.c_long
libc.madvise.argtypes = [c_void_p, c_size_t, c_int]


def say(message):
    """Prints a line about the run, beside what the program prints."""
    sys.stderr.write(f"x86.py: {message}\n")
    sys.stderr.flush()


def page_up(number):
    """The next multiple of a page's size."""
    return (number + PAGE - 1) & -PAGE


class Memory:
    """The machine's memory and its page table; which of the program's addresses are free."""

    def __init__(self):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        self.bytes = mmap.mmap(-1, MEMORY_END, flags=flags)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self.free = [(MAPPINGS_START, MAPPINGS_END)]  # sorted, apart from one another

        table = PRESENT | WRITABLE | USER
        self._entries(DIRECTORIES, range(PAGE_TABLE, DIRECTORIES, PAGE), table)
        self._entries(DIRECTORY_POINTERS, range(DIRECTORIES, DIRECTORY_POINTERS, PAGE), table)
        self._entries(TOP_TABLE, [DIRECTORY_POINTERS], table)
        large_pages = range(USER_END, MEMORY_END, 2 * MIB)
        self._entries(KERNEL_DIRECTORY, large_pages, PRESENT | WRITABLE | LARGE)
        self.bytes[KERNEL_CODE : KERNEL_CODE + len(KERNEL)] = KERNEL

    def _entries(self, at, pages, bits):
        entries = array("Q", [page | bits for page in pages]).tobytes()
        self.bytes[at : at + len(entries)] = entries

    def protect(self, start, size, protection):
        """Sets what the program may do with pages. The CPU must be told if it has seen them."""
        at = PAGE_TABLE + start // PAGE * 8
        if protection == 0:
            count = page_up(size) // PAGE
            self.bytes[at : at + count * 8] = bytes(count * 8)
            return
        bits = PRESENT | USER
        if protection & PROT_WRITE:
            bits |= WRITABLE
        if not protection & PROT_EXEC:
            bits |= NO_EXECUTE
        self._entries(at, range(start, start + page_up(size), PAGE), bits)

    def clear(self, start, size):
        """Makes pages zero."""
        libc.madvise(self.host + start, page_up(size), MADV_DONTNEED)

    def take(self, start, size):
        """Marks addresses as used."""
        end = start + size
        parts = []
        for low, high in self.free:
            parts += [(low, min(high, start)), (max(low, end), high)]
        self.free = [(low, high) for low, high in parts if low < high]

    def give(self, start, size):
        """Marks addresses as free."""
        start, end = max(start, MAPPINGS_START), min(start + size, MAPPINGS_END)
        if start >= end:
            return
        merged = []
        for low, high in sorted([*self.free, (start, end)]):
            if merged and low <= merged[-1][1]:
                before, after = merged.pop()
                low, high = before, max(after, high)
            merged.append((low, high))
        self.free = merged

    def find(self, size):
        """The start of free addresses, or None."""
        return next((low for low, high in self.free if high - low >= size), None)

    def is_free(self, start, size):
        """Whether all of these addresses are free."""
        return any(low <= start and start + size <= high for low, high in self.free)

    def unpack(self, layout, address):
        """Numbers in memory, by a format of `struct`."""
        return struct.unpack_from("<" + layout, self.bytes, address)

    def pack(self, layout, address, *values):
        """Writes numbers to memory, by a format of `struct`."""
        struct.pack_into("<" + layout, self.bytes, address, *values)

    def string(self, address):
        """The zero-terminated string at an address."""
        return self.bytes[address : address + PAGE].split(b"\0", 1)[0]


class Cpu:
    """The emulated CPU: Bochs, through the functions that bochscpu exports."""

    # More than bochscpu's struct of a CPU's state takes. It lacks the AVX-512 mask registers,
    # which no function keeps over a call, and so none over a system call.
    STATE_SIZE = 16384

    def __init__(self, model, target):
        shim = ctypes.CDLL(str(target / "shim.so"), mode=ctypes.RTLD_GLOBAL)
        sys.path.insert(0, str(target / "python"))
        import bochscpu
        import bochscpu.cpu

        self.package = bochscpu
        self.library = ctypes.CDLL(bochscpu._bochscpu.__file__)
        name = f"create_{model}_cpuid"
        try:
            constructor = getattr(self.library, f"_Z{len(name)}{name}P8BX_CPU_C")
        except AttributeError:
            raise ValueError(f"Bochs has no CPU model {model!r}") from None
        fma = self.library._Z10f32_mulAddjjjhP18softfloat_status_t
        for pointer, function in (("emulated_model", constructor), ("software_fma", fma)):
            c_void_p.in_dll(shim, pointer).value = ctypes.cast(function, c_void_p).value
        self.session = bochscpu.Session()

        self.handle = self._function("from", [c_uint32], c_void_p)(0)
        registers = ["rax", "rdi", "rsi", "rdx", "r10", "r8", "r9"]
        self._call = [self._function(name, [c_void_p], c_uint64) for name in registers]
        self._rip = self._function("rip", [c_void_p], c_uint64)
        self._cr2 = self._function("cr2", [c_void_p], c_uint64)
        self._set_rax = self._function("set_rax", [c_void_p, c_uint64])
        self._set_mode = self._function("set_mode", [c_void_p])
        self._state = self._function("state", [c_void_p, c_void_p])
        self._set_state = self._function("set_state_no_flush", [c_void_p, c_void_p])
        self._run = self._function("run", [c_void_p, c_void_p])
        self._stop = self._function("stop", [c_void_p])

    def _function(self, name, arguments, result=None):
        function = getattr(self.library, f"bochscpu_cpu_{name}")
        function.argtypes, function.restype = arguments, result
        return function

    def _segment(self, selector, attributes, base=0):
        segment = self.package.Segment()
        segment.present, segment.selector, segment.attr = True, selector, attributes
        segment.base, segment.limit = base, 0xFFFFFFFF
        return segment

    def boot(self, entry, stack):
        """Makes the CPU ready to run the kernel, which goes on to a program."""
        state = self.package.State()
        self.package.cpu.set_long_mode(state)
        state.cs, state.ss = self._segment(0x10, 0x209B), self._segment(0x18, 0xC093)
        state.ds = state.es = self._segment(0x2B, 0xC0F3)
        state.fs = state.gs = self._segment(0, 0xC0F3)
        state.cr0 = 0x80050033  # paging and protection, SSE allowed
        state.cr3 = TOP_TABLE
        state.cr4 = 0x620  # 8-byte page table entries, SSE with its exceptions
        state.efer = 0xD01  # long mode, no-execute pages, system calls
        state.star = 0x23 << 48 | 0x10 << 32  # code and stack segments of user and kernel mode
        state.lstar, state.sfmask = SYSTEM_CALL_ENTRY, 0x700
        state.xcr0, state.fpcw, state.fptw = 1, 0x37F, 0xFFFF
        state.mxcsr, state.mxcsr_mask = 0x1F80, 0xFFFF
        state.rip, state.rdi, state.rsp, state.rflags = KERNEL_CODE, entry, stack, 0x2
        self.session.cpu.state = state

    def call(self):
        """The number and arguments of the system call that was entered."""
        return [register(self.handle) for register in self._call]

    def set_result(self, value):
        """Sets what the system call gives back."""
        self._set_rax(self.handle, value & (1 << 64) - 1)

    def save(self):
        """A copy of all registers."""
        state = ctypes.create_string_buffer(self.STATE_SIZE)
        self._state(self.handle, state)
        return state

    def restore(self, state):
        """Goes on with other registers."""
        self._set_state(self.handle, state)

    def set_thread_pointer(self, address):
        """Sets the base of the segment fs."""
        self.session.cpu.fs = self._segment(0, 0xC0F3, address)

    def new_thread(self, stack, thread_pointer):
        """Changes the registers to those of a thread that was just made by this one."""
        state = self.session.cpu.state
        state.rax, state.rsp = 0, stack
        if thread_pointer is not None:
            state.fs = self._segment(0, 0xC0F3, thread_pointer)
        self.session.cpu.state = state

    def flush(self):
        """Forgets what the CPU remembers of the page table."""
        self._set_mode(self.handle)

    def fault(self):
        """The addresses of the instruction, and of the last access that failed."""
        return self._rip(self.handle), self._cr2(self.handle)

    def stop(self):
        """Makes `run` return."""
        self._stop(self.handle)

    def run(self, memory, on_system_call, on_exception):
        """Runs until `stop`."""

        def far_branch(_context, _cpu, what, _cs, _rip, _new_cs, _new_rip):
            if what == FAR_BRANCH_SYSCALL:
                on_system_call()

        def exception(_context, _cpu, vector, code):
            on_exception(vector, code)

        def missing_page(address):
            page = address & -PAGE
            insert(page, memory.host + page)

        insert = self.library.bochscpu_mem_page_insert
        insert.argtypes, insert.restype = [c_uint64, c_uint64], None
        missing_page = CFUNCTYPE(None, c_uint64)(missing_page)
        self.library.bochscpu_mem_missing_page(missing_page)

        far_branch = CFUNCTYPE(
            None, c_void_p, c_uint32, c_uint32, c_uint16, c_uint64, c_uint16, c_uint64
        )(far_branch)
        exception = CFUNCTYPE(None, c_void_p, c_uint32, c_uint32, c_uint32)(exception)
        hooks = (c_void_p * HOOK_COUNT)()
        hooks[HOOK_FAR_BRANCH] = ctypes.cast(far_branch, c_void_p)
        hooks[HOOK_EXCEPTION] = ctypes.cast(exception, c_void_p)
        self._run(self.handle, (c_void_p * 2)(ctypes.addressof(hooks), None))


class Program:
    """An executable in the machine's memory, with its stack as Linux makes it."""

    def __init__(self, memory, path, arguments):
        self.memory = memory
        image = Path(path).read_bytes()
        if image[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit ELF executable")
        kind = struct.unpack_from("<H", image, 16)[0]
        entry, headers_at = struct.unpack_from("<QQ", image, 24)
        header_size, header_count = struct.unpack_from("<HH", image, 54)
        self.base = EXECUTABLE_START if kind == ET_DYN else 0
        self.entry = self.base + entry
        self.end = 0
        headers = 0
        for index in range(header_count):
            header = struct.unpack_from("<IIQQQQQ", image, headers_at + index * header_size)
            segment, flags, offset, address, _, file_size, size = header
            address += self.base
            if segment == PT_INTERP:
                raise ValueError(
                    f"{path} is not static: build it with RUSTFLAGS='-C target-feature=+crt-static'"
                )
            if segment == PT_PHDR:
                headers = address
            if segment == PT_LOAD:
                self._load(image[offset : offset + file_size], address, size, flags)
                if offset == 0 and not headers:
                    headers = address + headers_at

        memory.protect(STACK_START, STACK_SIZE, PROT_READ | PROT_WRITE)
        self.stack = STACK_END
        vectors = {
            AT_PHDR: headers,
            AT_PHENT: header_size,
            AT_PHNUM: header_count,
            AT_PAGESZ: PAGE,
            AT_ENTRY: self.entry,
            AT_CLKTCK: 100,
            AT_PLATFORM: self._push(b"x86_64\0"),
            AT_RANDOM: self._push(os.urandom(16)),
            AT_EXECFN: self._push(os.fsencode(path) + b"\0"),
        }
        strings = [self._push(os.fsencode(text) + b"\0") for text in arguments]
        variables = [self._push(key + b"=" + value + b"\0") for key, value in os.environb.items()]
        words = [len(strings), *strings, 0, *variables, 0]
        words += [word for vector in vectors.items() for word in vector] + [0, 0]
        self.stack = (self.stack - 8 * len(words)) & -16
        memory.pack(f"{len(words)}Q", self.stack, *words)

    def _load(self, content, address, size, flags):
        protection = PROT_READ if flags & PF_R else 0
        protection |= PROT_WRITE if flags & PF_W else 0
        protection |= PROT_EXEC if flags & PF_X else 0
        start = address & -PAGE
        self.memory.protect(start, address + size - start, protection)
        self.memory.bytes[address : address + len(content)] = content
        self.end = max(self.end, page_up(address + size))

    def _push(self, content):
        self.stack -= len(content)
        self.memory.bytes[self.stack : self.stack + len(content)] = content
        return self.stack


class Thread:
    """A thread of the program. It waits for a futex, for a time, for either, or not at all."""

    def __init__(self, number):
        self.number = number
        self.state = None  # its registers, while another thread runs
        self.clear_at_exit = 0  # an address
        self.futex = None  # an address
        self.deadline = None
        self.late_result = 0  # of the system call in which it waits, if it is ended by the time

    def waits(self):
        """Whether it waits."""
        return self.futex is not None or self.deadline is not None

    def wake(self):
        """Ends its wait."""
        self.futex = self.deadline = None


class Process:
    """The running program: its threads, and its system calls."""

    def __init__(self, cpu, memory, program, path):
        self.cpu = cpu
        self.memory = memory
        self.program = program
        self.path = ctypes.create_string_buffer(os.fsencode(path))
        self.heap_start = self.heap_end = program.end
        self.thread = Thread(os.getpid())
        self.threads = [self.thread]
        self.last_number = self.thread.number
        self.unserved = set()
        self.fault = None
        self.status = None
        self.calls = {number: getattr(self, f"sys_{name}") for name, number in SERVED.items()}
        for number, kinds in FORWARDED.values():
            self.calls[number] = self._forwarder(number, kinds)

    def run(self):
        """Runs the program to its end, and gives its status."""
        self.cpu.boot(self.program.entry, self.program.stack)
        self.cpu.run(self.memory, self._system_call, self._exception)
        return self.status

    def _leave(self, status):
        self.status = status
        self.cpu.stop()

    def _system_call(self):
        if self.status is not None:
            return
        number, *arguments = self.cpu.call()
        call = self.calls.get(number)
        if call is None:
            if number not in self.unserved:
                self.unserved.add(number)
                say(f"system call {number} is not served")
            self.cpu.set_result(-errno.ENOSYS)
            return
        try:
            result = call(*arguments)
        except OSError as error:
            result = -error.errno
        except struct.error:  # numbers outside of the memory
            result = -errno.EFAULT
        except Exception:
            traceback.print_exc()
            self._leave(RUNNER_FAILED)
            return
        if result is not None:
            self.cpu.set_result(result)

    def _exception(self, vector, code):
        # The first time, the address of the instruction may already be the next one's. As there
        # are no handlers, the CPU then fails to call one, which is another exception, before
        # which it has gone back to the instruction.
        if self.fault is None:
            self.fault = vector, code
        elif self.status is None:
            self._report_fault(*self.fault)

    def _report_fault(self, vector, code):
        instruction, page = self.cpu.fault()
        name, number = EXCEPTIONS.get(vector, (f"exception {vector}", signal.SIGSEGV))
        message = f"{name} ({number.name}) at {instruction:#x}"
        if 0 < self.program.base <= instruction < self.program.end:
            message += f", in the file at {instruction - self.program.base:#x}"
        if vector == PAGE_FAULT:
            message += f", for address {page:#x}, code {code:#x}"
        if instruction < USER_END:
            message += f"; bytes {self.memory.bytes[instruction : instruction + 15].hex(' ')}"
        say(message)
        self._leave(128 + number)

    # Threads.

    def _switch(self, thread):
        if thread is self.thread:
            return
        if self.thread in self.threads:
            self.thread.state = self.cpu.save()
        self.thread = thread
        self.cpu.restore(thread.state)

    def _schedule(self):
        """Goes on with the next thread that can. The result of this one's call is already set."""
        if self.thread in self.threads:
            at = self.threads.index(self.thread) + 1
            order = self.threads[at:] + self.threads[:at]
        else:
            order = self.threads
        ready = next((thread for thread in order if not thread.waits()), None)
        timed = [thread for thread in order if thread.deadline is not None]
        first = min(timed, key=lambda thread: thread.deadline, default=None)
        if first and (ready is None or first.deadline <= time.monotonic()):
            time.sleep(max(0.0, first.deadline - time.monotonic()))
            first.wake()
            self._switch(first)
            self.cpu.set_result(first.late_result)
        elif ready:
            self._switch(ready)
        else:
            say(f"all of the program's {len(order)} threads wait for one another")
            self._leave(RUNNER_FAILED)

    def _wait(self, futex, deadline, late_result):
        self.thread.futex, self.thread.deadline = futex, deadline
        self.thread.late_result = late_result
        self.cpu.set_result(0)
        self._schedule()

    def _wake(self, futex, limit):
        woken = [thread for thread in self.threads if thread.futex == futex][:limit]
        for thread in woken:
            thread.wake()
        return len(woken)

    def _time(self, address):
        seconds, nanoseconds = self.memory.unpack("qq", address)
        return seconds + nanoseconds / 1e9

    def sys_sched_yield(self, *_):
        self.cpu.set_result(0)
        self._schedule()

    def sys_nanosleep(self, request, *_):
        self._wait(None, time.monotonic() + self._time(request), 0)

    def sys_clock_nanosleep(self, clock, flags, request, *_):
        duration = self._time(request)
        if flags & TIMER_ABSTIME:
            duration -= time.clock_gettime(clock)
        self._wait(None, time.monotonic() + duration, 0)

    def sys_futex(self, address, operation, value, timeout, *_):
        command = operation & FUTEX_COMMAND
        if command in (FUTEX_WAKE, FUTEX_WAKE_BITSET):
            return self._wake(address, value & 0x7FFFFFFF)
        if command not in (FUTEX_WAIT, FUTEX_WAIT_BITSET):
            say(f"futex operation {command} is not served")
            return -errno.ENOSYS
        if self.memory.unpack("I", address)[0] != value & 0xFFFFFFFF:
            return -errno.EAGAIN
        deadline = None
        if timeout:
            deadline = self._time(timeout)
            if command == FUTEX_WAIT:
                deadline += time.monotonic()
            elif operation & FUTEX_CLOCK_REALTIME:
                deadline += time.monotonic() - time.time()
        self._wait(address, deadline, -errno.ETIMEDOUT)
        return None

    def sys_clone(self, flags, stack, parent_number, child_number, thread_pointer, *_):
        if not flags & CLONE_THREAD:
            say("the program cannot start another")
            return -errno.ENOSYS
        self.last_number += 1
        thread = Thread(self.last_number)
        if flags & CLONE_PARENT_SETTID:
            self.memory.pack("I", parent_number, thread.number)
        if flags & CLONE_CHILD_SETTID:
            self.memory.pack("I", child_number, thread.number)
        if flags & CLONE_CHILD_CLEARTID:
            thread.clear_at_exit = child_number
        parent = self.cpu.save()
        self.cpu.new_thread(stack, thread_pointer if flags & CLONE_SETTLS else None)
        thread.state = self.cpu.save()
        self.cpu.restore(parent)
        self.threads.append(thread)
        return thread.number

    def sys_exit(self, status, *_):
        if len(self.threads) == 1:
            self._leave(status & 0xFF)
            return
        if self.thread.clear_at_exit:
            self.memory.pack("I", self.thread.clear_at_exit, 0)
            self._wake(self.thread.clear_at_exit, 1)
        self.threads.remove(self.thread)
        self._schedule()

    def sys_exit_group(self, status, *_):
        self._leave(status & 0xFF)

    def sys_gettid(self, *_):
        return self.thread.number

    def sys_set_tid_address(self, address, *_):
        self.thread.clear_at_exit = address
        return self.thread.number

    def sys_arch_prctl(self, operation, address, *_):
        if operation != ARCH_SET_FS:
            return -errno.EINVAL
        self.cpu.set_thread_pointer(address)
        return 0

    def sys_sched_getaffinity(self, _thread, size, mask, *_):
        if size < 8:
            return -errno.EINVAL
        self.memory.pack("Q", mask, 1)  # there is one CPU
        return 8

    def sys_sched_setaffinity(self, *_):
        return 0

    def sys_prctl(self, *_):
        return 0  # names of threads and of memory

    def sys_set_robust_list(self, *_):
        return 0

    def sys_rseq(self, *_):
        return -errno.ENOSYS

    def sys_clone3(self, *_):
        return -errno.ENOSYS  # the C library then does it by clone

    # Signals, none of which arrives.

    def sys_rt_sigaction(self, _signal, _new, old, *_):
        if old:
            self.memory.pack("4Q", old, 0, 0, 0, 0)
        return 0

    def sys_rt_sigprocmask(self, _how, _new, old, *_):
        if old:
            self.memory.pack("Q", old, 0)
        return 0

    def sys_sigaltstack(self, _new, old, *_):
        if old:
            self.memory.pack("3Q", old, 0, 0, 0)
        return 0

    def _raise(self, number):
        if number == 0:
            return 0
        say(f"the program raised {signal.Signals(number).name}")
        self._leave(128 + number)
        return None

    def sys_kill(self, _process, number, *_):
        return self._raise(number)

    def sys_tkill(self, _thread, number, *_):
        return self._raise(number)

    def sys_tgkill(self, _process, _thread, number, *_):
        return self._raise(number)

    # Memory.

    def sys_mmap(self, address, size, protection, flags, file, offset):
        size = page_up(size)
        if size == 0:
            return -errno.EINVAL
        anonymous = flags & MAP_ANONYMOUS
        if not anonymous and flags & MAP_SHARED and protection & PROT_WRITE:
            say("shared mappings of files are not served")
            return -errno.ENODEV
        if flags & MAP_FIXED:
            if address % PAGE or address + size > USER_END:
                return -errno.EINVAL
            self._unmap(address, size)
        else:
            address = self.memory.find(size)
            if address is None:
                return -errno.ENOMEM
        if not anonymous:
            content = os.pread(c_int(file).value, size, offset)
            self.memory.bytes[address : address + len(content)] = content
        self.memory.take(address, size)
        self.memory.protect(address, size, protection & PROTECTION)
        return address

    def _unmap(self, address, size):
        self.memory.protect(address, size, 0)
        self.memory.clear(address, size)
        self.memory.give(address, size)
        self.cpu.flush()

    def sys_munmap(self, address, size, *_):
        if address % PAGE or size == 0 or address + page_up(size) > USER_END:
            return -errno.EINVAL
        self._unmap(address, page_up(size))
        return 0

    def sys_mprotect(self, address, size, protection, *_):
        if address % PAGE or address + page_up(size) > USER_END:
            return -errno.EINVAL
        self.memory.protect(address, size, protection & PROTECTION)
        self.cpu.flush()
        return 0

    def sys_mremap(self, address, old_size, new_size, flags, *_):
        old_size, new_size = page_up(old_size), page_up(new_size)
        protection = PROT_READ | PROT_WRITE
        if flags & ~MREMAP_MAYMOVE:
            return -errno.EINVAL
        if new_size <= old_size:
            if new_size < old_size:
                self._unmap(address + new_size, old_size - new_size)
            return address
        end, growth = address + old_size, new_size - old_size
        if self.memory.is_free(end, growth):
            self.memory.take(end, growth)
            self.memory.protect(end, growth, protection)
            return address
        to = self.memory.find(new_size) if flags & MREMAP_MAYMOVE else None
        if to is None:
            return -errno.ENOMEM
        self.memory.take(to, new_size)
        self.memory.protect(to, new_size, protection)
        ctypes.memmove(self.memory.host + to, self.memory.host + address, old_size)
        self._unmap(address, old_size)
        return to

    def sys_brk(self, end, *_):
        if self.heap_start <= end < MAPPINGS_START:
            new, old = page_up(end), page_up(self.heap_end)
            if new > old:
                self.memory.protect(old, new - old, PROT_READ | PROT_WRITE)
            elif new < old:
                self._unmap(new, old - new)
            self.heap_end = end
        return self.heap_end

    def sys_madvise(self, address, size, advice, *_):
        if address % PAGE or address + page_up(size) > USER_END:
            return -errno.EINVAL
        if advice == MADV_DONTNEED:
            self.memory.clear(address, size)
        return 0

    # Files, and all else that the host's kernel does.

    def _host(self, number, *arguments):
        result = libc.syscall(number, *arguments, *[0] * (6 - len(arguments)))
        return -ctypes.get_errno() if result == -1 else result

    def _host_address(self, address):
        if address >= USER_END:
            raise OSError(errno.EFAULT, "not in the program's memory")
        return self.memory.host + address if address else 0

    def _is_own_link(self, address):
        return self.memory.string(address) == b"/proc/self/exe"

    def _host_path(self, address):
        if address == 0:
            return 0
        if self._is_own_link(address):
            return ctypes.addressof(self.path)
        if self.memory.string(address).startswith(OF_THE_HOST):
            raise FileNotFoundError(errno.ENOENT, "not emulated")
        return self._host_address(address)

    def _forwarder(self, number, kinds):
        translate = {"a": self._host_address, "p": self._host_path, "i": lambda value: value}
        translators = [translate[kind] for kind in kinds]

        def forward(*arguments):
            pairs = zip(translators, arguments)
            translated = [translator(argument) for translator, argument in pairs]
            return self._host(number, *translated)

        return forward

    def _vectored(self, name, file, vectors, count, *offset):
        words = list(self.memory.unpack(f"{2 * count}Q", vectors)) if 0 < count <= 1024 else []
        words[::2] = [self._host_address(address) for address in words[::2]]
        words = array("Q", words)
        return self._host(SERVED[name], file, words.buffer_info()[0], count, *offset)

    def sys_readv(self, *arguments):
        return self._vectored("readv", *arguments[:3])

    def sys_writev(self, *arguments):
        return self._vectored("writev", *arguments[:3])

    def sys_preadv(self, *arguments):
        return self._vectored("preadv", *arguments[:5])

    def sys_pwritev(self, *arguments):
        return self._vectored("pwritev", *arguments[:5])

    def _give_own_link(self, buffer, size):
        link = self.path.value[:size]
        self.memory.bytes[buffer : buffer + len(link)] = link
        return len(link)

    def sys_readlink(self, path, buffer, size, *_):
        if self._is_own_link(path):
            return self._give_own_link(buffer, size)
        path, buffer = self._host_path(path), self._host_address(buffer)
        return self._host(SERVED["readlink"], path, buffer, size)

    def sys_readlinkat(self, folder, path, buffer, size, *_):
        if self._is_own_link(path):
            return self._give_own_link(buffer, size)
        path, buffer = self._host_path(path), self._host_address(buffer)
        return self._host(SERVED["readlinkat"], folder, path, buffer, size)

    def sys_ioctl(self, *_):
        return -errno.ENOTTY  # what it is asked: is this a terminal?


def main():
    """Runs the program that the command line names, and gives its status."""
    model = os.environ.get("SEPCONV_EMULATED_CPU") or DEFAULT_MODEL
    arguments = sys.argv[1:]
    if len(arguments) > 1 and arguments[0] == "--cpu":
        model = arguments[1]
        arguments = arguments[2:]
    if not arguments or arguments[0].startswith("-"):
        say(__doc__.split("\n\n")[1])
        return RUNNER_FAILED

    target = Path(os.environ.get("SEPCONV_EMULATOR_DIR") or ROOT / "target" / "emulator")
    if not (target / "shim.so").exists():
        say(f"{target} lacks the emulator: run checks/levels/emulator/setup.sh")
        return RUNNER_FAILED
    # An interrupt ends the runner at once, which otherwise sees none while Bochs runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        path = os.path.realpath(arguments[0])
        cpu = Cpu(model, target)
        memory = Memory()
        program = Program(memory, path, arguments)
        process = Process(cpu, memory, program, path)
    except (OSError, ValueError, ImportError) as error:
        say(error)
        return RUNNER_FAILED
    return process.run()


if __name__ == "__main__":
    # Without Python's usual end, which would undo objects that Bochs still uses.
    os._exit(main())
