/* SPDX-License-Identifier: GPL-2.0-only */
#include "smp.h"

#define XPT_HYPERVISOR_vcpu_op  24
#define XPT_VCPUOP_initialise   0
#define XPT_VCPUOP_up           1

#define XPT_VCPU_HVM_MODE_64B   1

#define XPT_MSR_EFER            0xc0000080

/* Much longer than any hypercall takes, in turns of a `pause`. */
#define MEET_TURNS              50000000u

struct xpt_hvm_context {
    uint32_t mode, pad;
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, rip, rflags;
    uint64_t cr0, cr3, cr4, efer;
    uint8_t size[128]; /* More than the 32-bit form of the registers. */
};

static uint8_t stack[8192] __attribute__((__aligned__(16)));
static void (*entry)(void);

static unsigned int arrived, ready, round;

static void __noreturn cpu1(void)
{
    entry();

    for ( ;; )
        asm volatile ( "cli; hlt" );
}

long xpt_cpu1_start(void (*fn)(void))
{
    struct xpt_hvm_context ctx = {
        .mode   = XPT_VCPU_HVM_MODE_64B,
        /* As after a call, with nowhere to return to. */
        .rsp    = _u(stack) + sizeof(stack) - 8,
        .rip    = _u(cpu1),
        .rflags = 2,
    };
    uint32_t lo, hi;
    long rc;

    asm ( "mov %%cr0, %0" : "=r" (ctx.cr0) );
    asm ( "mov %%cr3, %0" : "=r" (ctx.cr3) );
    asm ( "mov %%cr4, %0" : "=r" (ctx.cr4) );
    asm ( "rdmsr" : "=a" (lo), "=d" (hi) : "c" (XPT_MSR_EFER) );
    ctx.efer = lo | ((uint64_t)hi << 32);

    entry = fn;
    barrier();

    rc = HYPERCALL3(long, XPT_HYPERVISOR_vcpu_op, XPT_VCPUOP_initialise, 1,
                    &ctx);
    if ( rc )
        return rc;

    return HYPERCALL3(long, XPT_HYPERVISOR_vcpu_op, XPT_VCPUOP_up, 1, 0);
}

bool xpt_meet(void)
{
    unsigned int now = __atomic_load_n(&round, __ATOMIC_ACQUIRE);
    unsigned int turns = 0;

    if ( __atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == 2 )
    {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&round, now + 1, __ATOMIC_RELEASE);
    }

    while ( __atomic_load_n(&round, __ATOMIC_ACQUIRE) == now )
    {
        if ( ++turns > MEET_TURNS )
            return false;
        xpt_relax();
    }

    /*
     * Whoever waited may still be in its `pause`, which is slow where it is
     * emulated.  The last steps are without.
     */
    __atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
    while ( __atomic_load_n(&ready, __ATOMIC_ACQUIRE) != 2 * (now + 1) )
        if ( ++turns > MEET_TURNS )
            return false;

    return true;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
