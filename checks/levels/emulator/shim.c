// Loaded, with its symbols global, before the extension module of bochscpu-python, which then finds
// these functions in place of its own or of the C library's.
#include <stdarg.h>

// The module wants two functions of glibc >= 2.38 that older systems lack. No header declares what
// they call, as newer ones turn `strtoull` itself into `__isoc23_strtoull`.

extern unsigned long long strtoull(const char *text, char **end, int base);
extern int vsscanf(const char *text, const char *format, va_list arguments);

unsigned long long __isoc23_strtoull(const char *text, char **end, int base) {
    return strtoull(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int count = vsscanf(text, format, arguments);
    va_end(arguments);
    return count;
}

// The module always creates its default CPU model, a Core i3 Cannon Lake. Here that model's
// constructor hands on to the one that x86.py has stored, which is one of Bochs':
// `bx_cpuid_t *create_<model>_cpuid(BX_CPU_C *cpu)`.

void *(*emulated_model)(void *cpu);

void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *cpu) {
    return emulated_model(cpu);
}

// The module's hooks of events that x86.py has no use for, which would walk through a list at each
// instruction and access of memory.
void bx_instr_before_execution(void) {}
void bx_instr_after_execution(void) {}
void bx_instr_repeat_iteration(void) {}
void bx_instr_lin_access(void) {}
void bx_instr_phy_access(void) {}
void bx_instr_cnear_branch_taken(void) {}
void bx_instr_cnear_branch_not_taken(void) {}
void bx_instr_ucnear_branch(void) {}

// Bochs computes in integers, which takes most of the time of a convolution. Its function for the
// FMA of f32 lanes is replaced by one that computes in double precision where the operands and the
// result are zeros or normal numbers, and calls Bochs' own, at `software_fma`, for the others. It
// gives the same bits and flags.

struct softfloat_status_t {
    unsigned char rounding;
    int flags;
    // ... and more, which is of no use here.
};

enum { ROUND_TO_NEAREST = 0, FLAG_INEXACT = 32, NEGATE_C = 1, NEGATE_PRODUCT = 2 };

typedef unsigned fma_function(
    unsigned a, unsigned b, unsigned c, unsigned char op, struct softfloat_status_t *status
);

fma_function *software_fma;

static int is_zero_or_normal(unsigned bits) {
    unsigned exponent = bits >> 23 & 0xff;
    return (exponent != 0 && exponent != 0xff) || bits << 1 == 0;
}

static double to_double(unsigned bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

unsigned _Z10f32_mulAddjjjhP18softfloat_status_t(
    unsigned a, unsigned b, unsigned c, unsigned char op, struct softfloat_status_t *status
) {
    if (status->rounding != ROUND_TO_NEAREST || !is_zero_or_normal(a) || !is_zero_or_normal(b)
        || !is_zero_or_normal(c)) {
        return software_fma(a, b, c, op, status);
    }
    double product = to_double(a) * to_double(b); // exact
    double addend = to_double(c);
    product = op & NEGATE_PRODUCT ? -product : product;
    addend = op & NEGATE_C ? -addend : addend;

    // The sum and, exactly, what is lost by rounding it. Where something is, the sum is rounded to
    // the neighbour whose last bit is 1, so that rounding it again, to 24 bits, is right.
    double sum = product + addend;
    double part = sum - product;
    double lost = (product - (sum - part)) + (addend - part);
    if (lost != 0) {
        unsigned long long bits;
        __builtin_memcpy(&bits, &sum, sizeof bits);
        if (bits % 2 == 0) {
            bits += (lost > 0) == (sum > 0) ? 1 : -1;
        }
        __builtin_memcpy(&sum, &bits, sizeof sum);
    }

    float result = (float)sum;
    unsigned bits;
    __builtin_memcpy(&bits, &result, sizeof bits);
    unsigned exponent = bits >> 23 & 0xff;
    // The smallest normal numbers, too, may count as underflows.
    if ((exponent <= 1 && sum != 0) || exponent == 0xff) {
        return software_fma(a, b, c, op, status);
    }
    if (lost != 0 || result != sum) {
        status->flags |= FLAG_INEXACT;
    }
    return bits;
}
