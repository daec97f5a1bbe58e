/* Preloaded into measure.py and sepconv by `--level avx2`, see as_avx2.py: answers their CPUID
 * instructions as a CPU with AVX2 and without AVX-512 would, and looks whether any of its code runs
 * anyway.
 *
 * as_avx2.py has overwritten each CPUID (0F A2) of the copied libraries and program by CE A2: INTO,
 * which doesn't exist in 64-bit mode and which no compiler writes. It raises SIGILL. The handler
 * executes the real CPUID, clears bits in what it says and goes on behind the instruction. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#define BIT(n) (1u << (n))

/* Read by as_avx2.py. */
unsigned long as_avx2_answered; /* CPUIDs */
unsigned long as_avx2_samples;  /* instructions looked at, */
unsigned long as_avx2_beyond;   /* and how many of them AVX2 hasn't got */

static void mask(unsigned leaf, unsigned subleaf, unsigned r[4]) /* EAX, EBX, ECX, EDX */
{
    if (leaf == 7 && subleaf == 0) {
        /* F, DQ, IFMA, PF, ER, CD, BW, VL */
        r[1] &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        r[2] &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        /* 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, AVX512-FP16, AMX-TILE, AMX-INT8 */
        r[3] &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
    } else if (leaf == 7 && subleaf == 1) {
        /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA */
        r[0] &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
        /* AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX, AVX-VNNI-INT16, AVX10 */
        r[3] &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19));
    } else if (leaf == 0xd && subleaf == 0) {
        /* state that XSAVE knows: mask registers, both kinds of ZMM, both of AMX */
        r[0] &= ~(BIT(5) | BIT(6) | BIT(7) | BIT(17) | BIT(18));
    } else if (leaf == 0x24) { /* AVX10 */
        memset(r, 0, 4 * sizeof *r);
    }
}

static void on_sigill(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (memcmp((const void *)regs[REG_RIP], "\xce\xa2", 2) != 0) {
        signal(signal_number, SIG_DFL); /* not ours: raised again, and fatal, on return */
        return;
    }
    unsigned leaf = regs[REG_RAX], subleaf = regs[REG_RCX], r[4];
    __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
    mask(leaf, subleaf, r);
    regs[REG_RAX] = r[0];
    regs[REG_RBX] = r[1];
    regs[REG_RCX] = r[2];
    regs[REG_RDX] = r[3];
    regs[REG_RIP] += 2;
    __atomic_fetch_add(&as_avx2_answered, 1, __ATOMIC_RELAXED);
}

/* In 64-bit mode an instruction that begins with 62 is EVEX-encoded, of whatever vector length. The
 * others that the handler hides are VEX-encoded (C4), in map 0F38: tiles (49, 4B, 5C, 5E; 6C is
 * AMX-COMPLEX's), AVX-VNNI and its kin (50 to 53, D2, D3), AVX-NE-CONVERT (72, B0, B1) and AVX-IFMA
 * (B4, B5). AVX2 and FMA have other opcodes there. */
static int beyond_avx2(const unsigned char *code)
{
    static const unsigned char opcodes[] = {
        0x49, 0x4b, 0x50, 0x51, 0x52, 0x53, 0x5c, 0x5e, 0x6c, 0x72, 0xb0, 0xb1, 0xb4, 0xb5, 0xd2, 0xd3,
    };
    if (code[0] == 0xc4 && (code[1] & 0x1f) == 2)
        return memchr(opcodes, code[3], sizeof opcodes) != NULL;
    return code[0] == 0x62;
}

static void on_sigprof(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)info;
    const unsigned char *code = (void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    __atomic_fetch_add(&as_avx2_samples, 1, __ATOMIC_RELAXED);
    if (beyond_avx2(code))
        __atomic_fetch_add(&as_avx2_beyond, 1, __ATOMIC_RELAXED);
}

/* Samples what runs, each millisecond of CPU time or as often as the kernel can; 0 ends it. */
void as_avx2_sample(int on)
{
    struct itimerval every = {{0, on ? 1000 : 0}, {0, on ? 1000 : 0}};
    setitimer(ITIMER_PROF, &every, NULL);
}

__attribute__((constructor)) static void install(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = on_sigill;
    sigaction(SIGILL, &action, NULL);
    action.sa_sigaction = on_sigprof;
    sigaction(SIGPROF, &action, NULL);
}
