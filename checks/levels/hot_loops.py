#!/usr/bin/env python3
"""Checks the hot loops of the kernels by their instructions, where they can't be timed.

Builds the kernels as users get them, disassembles them, and looks at the innermost loop of each
that does the most work. Prints a table; the exit status is 1 if a bound is violated or a kernel is
missing.

    checks/levels/hot_loops.py --levels avx2,avx512    # any x86-64 build holds both
    checks/levels/hot_loops.py --levels neon

NEON needs a rustc that has the standard library of aarch64-unknown-linux-gnu: RUSTC names another,
best with a CARGO_TARGET_DIR of its own. Nothing is linked. OBJDUMP names another disassembler than
objdump and aarch64-linux-gnu-objdump.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
TARGETS = {"avx2": X86, "avx512": X86, "neon": ARM}
CRATE = "sepconv_kernels::"
ELEMENT = CRATE + "simd::element::"
GEMM = "gemm::micro_kernel::"
BLOCKS = "gemm::block_micro_kernel::BlockMicroKernel"
INT8_DEPTHWISE = "int8::depthwise::Depthwise"
K3X3 = "depthwise::k3x3::Depthwise3x3"
TAIL, MASKED = "depthwise::k3x3::Tail3x3", "rows::kernel::MaskedRowKernel"
ROWS, DEPTHWISE = "rows::kernel::RowKernel", CRATE + "depthwise::row::"
ACTIVATE = f"{CRATE}activation::activate::<"
TOKENS = {"avx2": "Avx2", "avx512": "Avx512", "neon": "Neon"}
# Fused multiply-adds, dot products of pairs of bf16, and those of 8-bit integers: of several instructions the one that
# is there once.
PRODUCTS = {
    False: r"vfmadd\d+ps|vdpbf16ps|vpdpbusd|vpmaddwd", True: "fmla|bfdot|bfmlal[bt]|sdot|smmla|sadalp"}
OBJDUMP = {X86: ["objdump", "-M", "intel"], ARM: ["aarch64-linux-gnu-objdump"]}


@dataclasses.dataclass
class Kernel:
    """A kernel that is expected, and the bounds of its main loop."""

    level: str
    name: str
    tile: str
    symbols: list  # kernels: types, below sepconv_kernels
    share: float = 0.0  # FMAs ÷ instructions, at least
    loads: float = float("inf")  # vectors loaded ÷ FMAs, at most
    spills: int = 0  # moves of vector registers to and from the stack, at most
    multiplies: bool = True
    token: str = ""  # what is added to the level's, if special instructions run it
    trait: str = "Simd"
    # Whether some of its outputs may have an activation that is no clamp: jumps to an address of a table, and calls of
    # the activations' kernel.
    switches: bool = False

    def functions(self):
        """The level's compiled functions of the kernels."""
        token = TOKENS[self.level] + self.token
        level = f"<{CRATE}simd::{self.level}::{token} as {CRATE}simd::{self.trait}>::entry"
        return [f"{level}::<{CRATE}{symbol}>" for symbol in self.symbols]


# Every bound, with its reason. Calls have none to themselves: but for panics there must be none
# anywhere in a kernel, in or out of loops. A helper without `inline(always)` shows as a call, and
# vectors then travel through memory.

# The full tiles, as kernels/src/table/*.rs lists them.
# `blocks`: heights of the GEMM in the arithmetic bf16.
# `3x3`: columns of the 3×3 tiles for stride 1 and 2, widest first, of f32 and of 16 bits.
WIDE_3X3 = ((6, 5, 4, 3, 2, 1),) * 2, ((6, 4, 3, 1),) * 2
TILES = {
    "avx2": {"rows": (1, 2, 3, 4, 5, 6), "blocks": ((1, 1), (3, 3), (4, 2), (6, 3)), "vectors": 2, "lanes": 8, "3x3": (((3, 2, 1), (2, 1)), ((3, 2, 1),) * 2)},
    "avx512": {"rows": (1, 2, 3, 4, 6, 8, 9, 12), "blocks": ((1, 1), (2, 2), (4, 4), (6, 6), (9, 3), (12, 6)), "vectors": 2, "lanes": 16, "3x3": WIDE_3X3},
    "neon": {"rows": (1, 2, 3, 4, 5, 6, 8), "blocks": ((1, 1), (2, 2), (4, 4), (6, 3), (8, 4)), "vectors": 3, "lanes": 4, "3x3": WIDE_3X3},
}
# FMAs ÷ instructions of the full GEMM tile: packed, direct.
# AVX2: per k 12 FMAs, 2 loads of B, 6 broadcasts of A, 0.60 without the loop's own instructions.
# AVX-512: per k 24, 2 and 12, 0.63. With the broadcasts as operands of the FMAs, {1to16}, it would
# be 0.85 and more, but each twice: 26 loads for 24 FMAs, of which CPUs do two and two per cycle.
# 39 instructions for 24 FMAs fit those 12 cycles from 4 per cycle on.
# NEON: per 4 k 96 FMAs, 6 loads of A's 8 vectors (direct: 8), 16 of B (ldp + ldr per k and half of
# the rows), 0.81 (0.80).
GEMM_SHARE = {"avx2": (0.57, 0.55), "avx512": (0.60, 0.57), "neon": (0.75, 0.75)}
# What widens 16-bit weights itself (a GEMM of few pixels): bf16 by two instructions per vector of B in addition, on
# NEON by one, and again for the second half of the rows.
SMALL_M_SHARE = {"avx2": 0.50, "avx512": 0.56, "neon": 0.63}
# Of the arithmetic bf16, with weights of f32 and of bf16: of both chains registers hold half the rows at a time, and per
# FMA there are more loads.
BLOCKS_SHARE = {"avx2": (0.52, 0.44), "avx512": (0.57, 0.52), "neon": (0.75, 0.63)}
# Vectors loaded ÷ FMAs: for 9·P FMAs a 3×3 tile of P columns loads 9 weights and the columns of a row,
# P + 2, or with stride 2 of two rows, 2·(2·P + 1).
# AVX2, P = 3: 14 of 27. Stride 2, P = 2: 19 of 18, twice, and what keeps that from spilling also has the weights of the
# outermost columns loaded twice. AVX-512 and NEON, P = 6: 17 and 35 of 54.
LOADS_3X3 = {
    "avx2": (14 / 27, 49 / 36), "avx512": (17 / 54, 35 / 54), "neon": (17 / 54, 35 / 54)}
# Inputs of 16 bits: the bound of the input and what converts it want registers; some of what has none in a dense kernel
# comes from the stack. (The input itself is half as many bytes.)
HALF_LOADS, HALF_DENSE_LOADS, HALF_DENSE_SPILLS = 4 / 54, 7 / 40, {"avx2": 12, "avx512": 0, "neon": 2}
# Parts of vectors of 16 bits go through integers where there are no masks, with what is in registers on the stack.
TAIL_SPILLS = {"avx2": 34, "avx512": 0, "neon": 34}
# Kernel width and stride. For k·P FMAs the row of a dense kernel of P pixels loads k weights and (P − 1)·stride + k
# columns.
DENSE = {(k, s): (7, 4, 2, 1) for k, s in ((3, 1), (5, 1), (5, 2), (7, 1), (7, 2))}
DENSE_AVX2 = {k: (4, 2, 1) if k[1] == 2 else tiles for k, tiles in DENSE.items() if k != (7, 1)}
# Of any width: P weights and a column for P FMAs.
LONG_LOADS = 8 / 7
# Pixel by pixel: a weight and 8 columns for 8 FMAs.
ANY_LOADS = 9 / 8
# 8-bit integers, by what multiplies them: rows of the micro-tiles; products ÷ instructions of the full one, and its
# spills. Dot products take the place of FMAs. Those of 16 bits are two instructions, and weights are widened as they are
# loaded: on AVX2 12 products, 12 additions, 2 loads, 6 broadcasts and the loop's two, 0.35. Those that every AArch64 has
# are five, with the copy of a lane of A to all lanes; 24 sums, 4 rows of A, 3 vectors of B and 2 for a product are
# a register more than there are.
INT8 = {
    "avx2": (("Vnni", "vnni", (1, 2, 3, 6), 0.57, 0), ("Words", "words", (1, 2, 3, 6), 0.35, 0)),
    "avx512": (("Vnni", "vnni", (1, 2, 4, 5, 6, 7, 12), 0.60, 0), ("Words", "words", (1, 2, 4, 5, 6, 7, 12), 0.37, 0)),
    "neon": (("Dot", "dot", (1, 2, 3, 4, 8), 0.75, 0), ("Words", "words", (1, 2, 3, 4, 8), 0.18, 22)),
}
# Vectors loaded ÷ dot products of their 3×3 kernels: for two outputs, of each of four vectors, 4 columns, 3 weights, a
# bias and a multiplier to 6 products; where a group has two taps, on x86, 6, 7, 1 and 1 to 10. Besides, constants for
# rounding: up to five are on the stack, as the code around the loop has others, and are loaded for each output.
INT8_LOADS = {"neon": 42 / 24, "vnni": 42 / 24, "words": 66 / 40}
INT8_SPILLS = {"avx2": 10, "avx512": 8, "neon": 10}
# What Armv8.6 adds. Products of matrices: per 16 k 48 of two rows and two columns, 8 vectors of A (ldr: others lie between
# them), 12 of B (ldp), 0.77 without the loop's own and a prefetch. Multiply-adds of bf16: those of one chain of 8 k, as
# many as of FMAs of 4 k.
MATRIX_ROWS, MATRIX_SHARE, PAIR_SHARE = (1, 2, 4, 6, 8), 0.68, 0.75
# The yardstick: 12 FMAs, or twice that, and a counter.
PEAK_SHARE = 0.85


def expected(level):
    """The kernels of a level."""
    tile = TILES[level]
    heights, vectors = tile["rows"], tile["vectors"]
    rows = heights[-1]
    full = f"{rows}×{vectors * tile['lanes']}"
    for direct, name, share in zip(("false", "true"), ("gemm", "gemm, direct"), GEMM_SHARE[level]):
        yield Kernel(level, name, full, [f"{GEMM}MicroKernel<{ELEMENT}F32, {rows}, {vectors}, {direct}>"], share=share)
        yield Kernel(level, "gemm, all", "smaller", [
            f"{GEMM}MicroKernel<{ELEMENT}F32, {m}, {n}, {direct}>" for m in heights
            for n in range(1, vectors + 1) if (m, n) != (rows, vectors)])
    for x, kind in (("F16", "f16"), ("Bf16", "bf16")):
        yield Kernel(level, f"gemm, {kind}", full, [f"{GEMM}MicroKernel<{ELEMENT}{x}, {rows}, {vectors}, false>"],
                     share=SMALL_M_SHARE[level])
        yield Kernel(level, "gemm, all", "smaller", [
            f"{GEMM}MicroKernel<{ELEMENT}{x}, {m}, {vectors}, false>" for m in heights[:-1]])
    # In the arithmetic bf16: heights, and the rows whose two chains are in registers, of weights widened before or as
    # they are loaded.
    *shorter, (_, at_once) = tile["blocks"]
    for x, kind, share in zip(("F32", "Bf16"), ("f32", "bf16"), BLOCKS_SHARE[level]):
        yield Kernel(level, f"gemm, blocks {kind}", full, [f"{BLOCKS}<{ELEMENT}{x}, {rows}, {vectors}, {at_once}>"],
                     share=share)
        yield Kernel(level, "gemm, all", "smaller", [
            f"{BLOCKS}<{ELEMENT}{x}, {m}, {vectors}, {r}>" for m, r in shorter])
    if level == "avx512":
        # Tile instructions multiply, in one block of assembly; what makes their rows of panels.
        for integers, name in (("false", "gemm, amx"), ("true", "gemm, amx int8")):
            yield Kernel(level, name, "32×32", [f"gemm::tile_micro_kernel::TileMicroKernel<{integers}>"],
                         multiplies=False)
        yield Kernel(level, "gemm, amx", "rows", ["gemm::tile_rows::TileRows"], multiplies=False)
        yield Kernel(level, "gemm, amx", "pack", [
            f"gemm::pack_tiles::PackTiles<{ELEMENT}{x}>" for x in ("F32", "F16", "Bf16")], multiplies=False)
    if level != "avx2":
        yield Kernel(level, "gemm, dot bf16", full, [f"{GEMM}Bf16MicroKernel<{rows}, {vectors}>"],
                     share=GEMM_SHARE[level][0], token="Bf16", trait="Bf16Dot")
        yield Kernel(level, "gemm, all", "smaller", [
            f"{GEMM}Bf16MicroKernel<{m}, {n}>" for m in heights for n in range(1, vectors + 1)
            if (m, n) != (rows, vectors)], token="Bf16", trait="Bf16Dot")
    # Element types of the input and what is done to it on load, of which f32 kernels have two.
    for x, prologue, kind in (("F32", "AsIs", ""), ("F32", "Relu", ", relu"), ("F16", "Bounded", ", f16"),
                              ("Bf16", "Bounded", ", bf16")):
        x, load, bounded = ELEMENT + x, f"{CRATE}epilogue::{prologue}", f"{CRATE}epilogue::Bounded"
        half = prologue == "Bounded"
        # Where the input as it is and its ReLU have one: see kernels/src/table/avx512.rs and avx2.rs.
        for_both = bounded if half or level == "avx512" else load
        long = bounded if half or level == "avx2" else load
        tiles_3x3 = tile["3x3"][half]
        for stride, (tile_3x3, *smaller), loads in zip((1, 2), tiles_3x3, LOADS_3X3[level]):
            if half:
                loads += HALF_LOADS
            name = f"3×3{kind}" if kind else f"3×3 s{stride}"
            yield Kernel(level, name, f"{tile_3x3} px", [f"{K3X3}<{x}, {for_both}, {tile_3x3}, {stride}>"],
                         loads=loads)
            yield Kernel(level, "3×3, all", "smaller", [
                f"{K3X3}<{x}, {for_both}, {p}, {stride}>" for p in smaller])
        dense = DENSE_AVX2 if level == "avx2" else DENSE
        for (k, stride), (pixels, *smaller) in dense.items():
            smaller = [p for p in smaller if not half or p != 2]
            symbol = f"{ROWS}<{DEPTHWISE}DenseTaps<{k}, {stride}>, {x}, {{}}, {{}}>"
            wide = for_both if stride > 1 or k == 3 else load
            loads = ((pixels - 1) * stride + 2 * k) / (k * pixels)
            name, size = f"dense k{k} s{stride}", f"{pixels} px"
            if kind:
                name, size = f"dense{kind}", "full"
            spills = 0
            if half:
                loads, spills = loads + HALF_DENSE_LOADS, HALF_DENSE_SPILLS[level]
            # A loss: widening f16 takes so many registers that tiles load weights for each pixel, and wide ones spill.
            few = level == "neon" and kind == ", f16"
            if few:
                loads, spills = 1.3, 6
            yield Kernel(level, name, size, [symbol.format(wide, pixels)], loads=loads, spills=spills)
            # One pixel has the instance of stride 1 for all.
            yield Kernel(level, "dense, all", "smaller", [
                symbol.format(wide if p > 2 else bounded, p) for p in smaller if p > 1 or stride == 1],
                spills=2 if few else 0)
        pixels, smaller = 7, [p for p in (4, 2, 1) if not half or p != 2]
        symbol = f"{ROWS}<{DEPTHWISE}LongTaps, {x}, {{}}, {{}}>"
        yield Kernel(level, f"long{kind}", f"{pixels} px", [symbol.format(long, pixels)], loads=LONG_LOADS)
        yield Kernel(level, "dense, all", "smaller", [symbol.format(long if p > 2 else bounded, p) for p in smaller])
        yield Kernel(level, f"any kernel{kind}", "8 px",
                     [f"{ROWS}<{DEPTHWISE}AnyTaps, {x}, {for_both}, 8>"], loads=ANY_LOADS)
        if prologue != "Relu":
            yield Kernel(level, f"pack{kind}", "", [f"gemm::pack::Pack<{x}>"], multiplies=False)
            # Channels that fill no vector, which all bound their input.
            pixels = (1, 2) if tile["lanes"] == 16 else (1,)
            spills = TAIL_SPILLS[level] if half else 0
            yield Kernel(level, "tails", "", [f"{TAIL}<{x}, {p}, {s}>" for p in pixels for s in (1, 2)],
                         spills=spills)
            # Of f32 each width has its own.
            taps = [("AnyTaps", p) for p in pixels if half and p > 1]
            if not half:
                taps += [(f"DenseTaps<{k}, {s}>", p) for k, s in dense for p in pixels if p > 1 or s == 1]
                taps += [("LongTaps", p) for p in pixels]
            yield Kernel(level, "tails", "", [
                f"{MASKED}<{DEPTHWISE}{of}, {x}, {bounded}, {p}>" for of, p in [*taps, ("AnyTaps", 1)]],
                         spills=spills)
    for token, kind, heights, share, spills in INT8[level]:
        int8 = {"token": token, "trait": "int8::Int8"}
        yield Kernel(level, f"gemm, int8 {kind}", full, [f"{GEMM}Int8MicroKernel<{heights[-1]}, {vectors}>"],
                     share=share, spills=spills, **int8)
        yield Kernel(level, "gemm, all", "smaller", [f"{GEMM}Int8MicroKernel<{m}, {vectors}>" for m in heights[:-1]],
                     **int8)
        # 3×3 to integers. Other kernels' outputs, of the same function, can have an activation that a table chooses.
        yield Kernel(level, f"depthwise, int8 {kind}", "3×3", [INT8_DEPTHWISE],
                     loads=INT8_LOADS["neon" if level == "neon" else kind], spills=INT8_SPILLS[level], switches=True,
                     **int8)
    if level == "neon":
        matrix = {"token": "I8mm", "trait": "int8::Int8Matrix"}
        symbol = "gemm::matrix_micro_kernel::MatrixMicroKernel<{}, {}, 3>"
        yield Kernel(level, "gemm, int8 i8mm", full, [symbol.format(8, 8)], share=MATRIX_SHARE, **matrix)
        yield Kernel(level, "gemm, all", "smaller", [
            symbol.format(m, m + m % 2) for m in MATRIX_ROWS[:-1]], **matrix)
        yield Kernel(level, "gemm, int8 i8mm", "pairs", ["gemm::pair_rows::PairRows"], multiplies=False, **matrix)
        pairs = {"token": "Bf16", "trait": "Bf16Fma"}
        symbol = "gemm::block_micro_kernel::PairMicroKernel<{}, 3, {}>"
        yield Kernel(level, "gemm, blocks bfmlal", full, [symbol.format(rows, at_once)], share=PAIR_SHARE, **pairs)
        yield Kernel(level, "gemm, all", "smaller", [symbol.format(*m) for m in shorter], **pairs)
    yield Kernel(level, "FMA peak", "", ["fma_loop::FmaLoop"], share=PEAK_SHARE)


@dataclasses.dataclass
class Instruction:
    address: int
    mnemonic: str
    operands: list
    text: str
    symbol: str = ""  # of its relocation


@dataclasses.dataclass
class Count:
    """Instructions of a loop or of a path through one."""

    instructions: int = 0
    fmas: int = 0
    loads: int = 0
    spills: int = 0

    def __add__(self, other):
        mine, its = dataclasses.astuple(self), dataclasses.astuple(other)
        return Count(*(a + b for a, b in zip(mine, its)))


def split_operands(text):
    """`v3.4s, [x0, #16]` in two: commas within brackets separate nothing."""
    return [o.strip() for o in re.split(r",(?![^\[{]*[\]}])", text) if o.strip()]


def disassemble(path, target):
    """Instructions of each function by its demangled name."""
    program, *options = OBJDUMP[target]
    command = [os.environ.get("OBJDUMP", program), *options, "-d", "-r", "-C", "--no-show-raw-insn"]
    # An archive's member without code or of the compiler's own metadata draws a complaint.
    text = subprocess.run([*command, path], check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    functions, body = {}, []
    for line in text.splitlines():
        if head := re.fullmatch(r"[0-9a-f]+ <(.*)>:", line):
            # Some compilers leave out that a level's multiply-adds are fused, which is the default.
            body = functions.setdefault(re.sub(r"(::(?:Avx2|Avx512|Neon))<true>", r"\1", head[1]), [])
        elif reloc := re.match(r"\t\t\t[0-9a-f]+: R_\S+\s+(.*)", line):
            body[-1].symbol = re.sub(r"-0x\w+$", "", reloc[1])
        elif found := re.match(r"\s+([0-9a-f]+):\t(.*)", line):
            code = re.split(r"\s+(?:#|//) |\s+<", found[2])[0].strip()
            words = re.sub(r"^((?:bnd|notrack|data16|cs|rep\w*|lock|\{vex\}) )+", "", code).split(None, 1)
            operands = split_operands(words[1]) if len(words) > 1 else []
            body.append(Instruction(int(found[1], 16), words[0], operands, code))
    return functions


def whole_register(name):
    """The 64-bit register of which an integer register is a part."""
    if found := re.fullmatch(r"w(\d+)|(r\d+)[dwb]|e(\w\w)", name):
        return f"x{found[1]}" if found[1] else found[2] or f"r{found[3]}"
    return name


class Function:
    """A function's control flow and what its instructions do."""

    def __init__(self, instructions, target):
        self.code, self.arm = instructions, target == ARM
        self.stack = self.stack_registers()
        self.calls = [i.symbol or i.text for i in self.code if self.is_call(i)]
        # Their targets are unknown, hence the loops too.
        self.indirect = [i.text for i in self.code if self.is_indirect(i)]
        self.build_blocks()
        self.find_loops()

    # Instructions.

    def jump_target(self, i):
        """Address that a direct jump goes to, None for other instructions."""
        jumps = r"b|b\.\w+|cbn?z|tbn?z" if self.arm else r"j\w+"
        if not re.fullmatch(jumps, i.mnemonic) or not i.operands:
            return None
        found = re.match(r"([0-9a-f]+)( <|$)", i.operands[-1])
        return int(found[1], 16) if found else None

    def is_inside(self, address):
        return self.code[0].address <= address <= self.code[-1].address

    def is_call(self, i):
        if i.mnemonic in ("call", "bl", "blr"):
            return True
        # A tail call. One to another section shows as a jump to itself with a relocation.
        target = self.jump_target(i)
        return target is not None and (bool(i.symbol) or not self.is_inside(target))

    def is_indirect(self, i):
        if i.mnemonic == "br":
            return True
        return i.mnemonic == "jmp" and self.jump_target(i) is None

    def falls_through(self, i):
        return i.mnemonic not in ("b", "ret", "br", "brk", "udf", "jmp", "ud2")

    def is_vector(self, operand):
        return re.search(r"\b[vqd]\d+\b|\bs\d+\b" if self.arm else r"\b[xyz]mm\d+\b", operand)

    def stack_registers(self):
        """Registers that hold addresses on the stack: its pointer, and what is only ever set to a
        sum of one of these and a constant."""
        stack = {"sp"} if self.arm else {"rsp"}
        for _ in range(2):
            sums, others = set(), set()
            for i in self.code:
                # Instructions that write no register first; pop and ldp from the stack restore.
                if re.match(r"st|cmp|cmn|tst|cb|tb|test|push|pop|prf", i.mnemonic):
                    continue
                if i.mnemonic in ("ldp", "ldr") and "[sp" in i.text:
                    continue
                written = i.operands[:2] if i.mnemonic == "ldp" else i.operands[:1]
                terms = re.findall(r"\b[a-z]\w*", " ".join(i.operands[1:]))
                is_sum = i.mnemonic in ("mov", "add", "sub", "lea") and len(terms) == 1
                is_sum = is_sum and terms[0] in stack and "PTR" not in i.text
                (sums if is_sum else others).update(whole_register(o) for o in written)
            stack |= sums - others
        return stack

    def loads(self, i):
        """Vectors that an instruction loads."""
        memory = next((o for o in i.operands if re.search(r"(^|\s)\[", o)), None)
        if memory is None or not any(self.is_vector(o) for o in i.operands if o is not memory):
            return 0
        if self.arm:
            if i.mnemonic in ("ldr", "ldur"):
                return 1
            if i.mnemonic == "ldp":
                return 2
            return len(re.findall(r"v\d+", i.operands[0])) if i.mnemonic.startswith("ld1") else 0
        return int(i.operands[0] is not memory)

    def count(self, instructions):
        total = Count(instructions=len(instructions))
        for i in instructions:
            fma = re.fullmatch(PRODUCTS[self.arm], i.mnemonic)
            total.fmas += bool(fma)
            total.loads += self.loads(i)
            used = re.findall(r"\b[a-z]\w*", " ".join(re.findall(r"\[([^\]]*)\]", i.text)))
            # Not d8 to d15 of AArch64, which a function saves at its start.
            moved = any(self.is_vector(o) and not re.fullmatch(r"d\d+", o) for o in i.operands)
            total.spills += moved and not self.stack.isdisjoint(used)
        return total

    # Control flow.

    def build_blocks(self):
        """Basic blocks, by index in address order, and their successors."""
        starts = {self.code[0].address}
        for i, after in zip(self.code, self.code[1:] + [None]):
            target = self.jump_target(i)
            if target is not None and not i.symbol and self.is_inside(target):
                starts.add(target)
            if after and (target is not None or not self.falls_through(i)):
                starts.add(after.address)
        self.blocks = []
        for i in self.code:
            if i.address in starts:
                self.blocks.append([])
            self.blocks[-1].append(i)
        index = {block[0].address: n for n, block in enumerate(self.blocks)}
        self.next = []
        for n, block in enumerate(self.blocks):
            target = None if block[-1].symbol else self.jump_target(block[-1])
            after = [index[target]] if target in index else []
            if self.falls_through(block[-1]) and n + 1 < len(self.blocks):
                after.append(n + 1)
            self.next.append(after)

    def find_loops(self):
        """Natural loops, {header: blocks}: of each edge to a block that dominates the edge's start.
        (By addresses alone, blocks put elsewhere would look like loops.)"""
        count = len(self.blocks)
        before = [[] for _ in range(count)]
        for n, after in enumerate(self.next):
            for a in after:
                before[a].append(n)
        # Blocks that can't be reached keep all dominators and make no loops.
        dominators = [{0}] + [set(range(count)) for _ in range(count - 1)]
        reached, work = {0}, [0]
        while work:
            for a in self.next[work.pop()]:
                if a not in reached:
                    reached.add(a)
                    work.append(a)
        changed = True
        while changed:
            changed = False
            for n in sorted(reached - {0}):
                new = set.intersection(*(dominators[b] for b in before[n] if b in reached)) | {n}
                changed |= new != dominators[n]
                dominators[n] = new
        self.loops = {}
        for n in sorted(reached):
            for header in self.next[n]:
                if header in dominators[n]:
                    body, work = self.loops.setdefault(header, {header}), [n]
                    while work:
                        block = work.pop()
                        if block not in body:
                            body.add(block)
                            work.extend(b for b in before[block] if b in reached)

    def innermost(self):
        """Loops without another one inside, (header, blocks); the whole if no loop multiplies."""
        loops = [(h, body) for h, body in self.loops.items() if not (body & set(self.loops)) - {h}]
        if not any(self.count(self.flat(body)).fmas for _, body in loops):
            loops.append((0, set(range(len(self.blocks)))))
        return loops

    def main_loop(self, multiplies):
        """The innermost loop that does the most work, once through it: of whole vectors, as the
        loop over a masked one has as many FMAs and more instructions. Spills: of all of it."""
        best = None
        for header, body in self.innermost():
            path = self.heaviest_path(header, body)
            path.spills = self.count(self.flat(body)).spills
            key = (path.fmas if multiplies else path.loads, -path.instructions)
            if best is None or key > best[0]:
                best = key, path
        return best[1]

    def flat(self, blocks):
        return [i for n in sorted(blocks) for i in self.blocks[n]]

    def heaviest_path(self, header, body):
        """Of all ways once through a loop the one with the most FMAs, the shortest of them: what is
        run in the middle of a picture, without what is optional."""
        best = {}

        def from_block(n):
            if n not in best:
                best[n] = Count()  # cuts inner loops, which only a whole function has
                ways = [from_block(a) for a in self.next[n] if a in body and a != header]
                if header in self.next[n] or not ways:
                    ways.append(Count())
                rest = max(ways, key=lambda c: (c.fmas, -c.instructions))
                best[n] = self.count(self.blocks[n]) + rest
            return best[n]

        return from_block(header)


def build(target, arguments):
    """The kernels' library: release, and names with their const parameters."""
    command = ["cargo", *arguments.split(), "--release", "--target", target, "--message-format=json-render-diagnostics"]
    flags = f"CARGO_TARGET_{target.upper().replace('-', '_')}_RUSTFLAGS"
    # checks/levels/common.sh sets the same, and more that doesn't matter here.
    env = {flags: "-C symbol-mangling-version=v0", **os.environ}
    out = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=ROOT, env=env).stdout
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "sepconv_kernels":
            for path in message.get("filenames", []):
                if path.endswith(".rlib"):
                    return path
    sys.exit("hot_loops: cargo names no library")


@dataclasses.dataclass
class Row:
    """The main loops of one or several instances: of several the worst, value by value."""

    instances: int = 0
    instructions: int = 0
    fmas: int = 0
    share: float = 1.0
    ratio: float = 0.0
    calls: int = 0
    spills: int = 0
    fails: bool = False

    def include(self, path, calls):
        self.instances += 1
        if path.fmas:
            self.share = min(self.share, path.fmas / path.instructions)
            self.ratio = max(self.ratio, path.loads / path.fmas)
        self.instructions = max(self.instructions, path.instructions)
        self.fmas = max(self.fmas, path.fmas)
        self.calls += calls
        self.spills = max(self.spills, path.spills)

    def cells(self):
        most, least = ("≤ ", "≥ ") if self.instances > 1 else ("", "")
        loads = [f"{most}{self.fmas}", f"{least}{self.share:.2f}", f"{most}{self.ratio:.2f}"]
        return [f"{most}{self.instructions}", *(loads if self.fmas else ["", "", ""]),
                str(self.calls), f"{most if self.spills else ''}{self.spills}",
                "**fails**" if self.fails else "ok"]


def examine(kernel, functions, target, row):
    """Adds the kernel to the row and returns its violations."""
    wrong = []
    for symbol, name in zip(kernel.symbols, kernel.functions()):
        code = functions.get(name)
        if not code:
            wrong.append(f"{symbol} is not in the library")
            continue
        function = Function(code, target)
        path = function.main_loop(kernel.multiplies)
        calls = [c for c in function.calls if "panic" not in c and not (kernel.switches and ACTIVATE in c)]
        row.include(path, len(calls))
        wrong += [f"{symbol} calls {c}" for c in sorted(set(calls))]
        if not kernel.switches:
            wrong += [f"{symbol} jumps indirectly, its loops are unknown: {i}" for i in function.indirect]
        if path.spills > kernel.spills:
            wrong.append(f"{symbol} spills {path.spills} > {kernel.spills}")
        if kernel.multiplies and not path.fmas:
            wrong.append(f"{symbol} has no FMA")
        elif kernel.multiplies:
            share, ratio = path.fmas / path.instructions, path.loads / path.fmas
            if share < kernel.share:
                wrong.append(f"{symbol}: FMAs ÷ instructions {share:.3f} < {kernel.share:.3f}")
            if ratio > kernel.loads:
                wrong.append(f"{symbol}: loads ÷ FMAs {ratio:.3f} > {kernel.loads:.3f}")
    row.fails |= bool(wrong)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", default="avx2,avx512,neon", help="default: %(default)s")
    parser.add_argument("--build", default="build -p sepconv-kernels --lib", metavar="ARGUMENTS",
                        help="cargo's, for a build that is there already (default: %(default)s)")
    options = parser.parse_args()
    levels = options.levels.split(",")
    if unknown := set(levels) - set(TARGETS):
        parser.error(f"no such level: {', '.join(sorted(unknown))}")
    # A function is as many blocks deep.
    sys.setrecursionlimit(10_000)
    libraries = {t: disassemble(build(t, options.build), t) for t in dict.fromkeys(TARGETS[v] for v in levels)}
    rows, violations = {}, []
    for level in levels:
        for kernel in expected(level):
            row = rows.setdefault((level, kernel.name, kernel.tile), Row())
            wrong = examine(kernel, libraries[TARGETS[level]], TARGETS[level], row)
            violations += [f"{level}: {w}" for w in wrong]
    print("| level | kernel | tile | instructions | FMAs | share | loads/FMA | calls | spills | |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    # Stable: the smaller tiles of each level after the full ones.
    order = sorted(rows, key=lambda names: (levels.index(names[0]), names[2] == "smaller"))
    for names, row in ((names, rows[names]) for names in order):
        print("| " + " | ".join([*names, *row.cells()]) + " |")
    for violation in violations:
        print(f"hot_loops: {violation}", file=sys.stderr)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
