/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the tests of PCI passthrough for a PVH hardware domain: the form
 * of the answers, and the parts of Xen's interface which XTF's headers lack.
 */
#ifndef XPT_H
#define XPT_H

#include <xtf.h>

/* Name of the test's directory, provided by each test. */
extern const char xpt_test[];

/*
 * Report one check on a line of its own.  The answer is formatted from @fmt
 * and the check holds when it equals @want.
 */
void xpt_check(const char *name, const char *want, const char *fmt, ...)
    __printf(3, 4);

/* The same where @holds decides, and @want says in words what should. */
void xpt_check_if(const char *name, const char *want, bool holds,
                  const char *fmt, ...)
    __printf(4, 5);

/* For the answer of a hypercall. */
void xpt_check_rc(const char *name, long want, long rc);

/* Report the status of the whole test. */
void xpt_done(void);

/* A linear address which neither XTF nor our runtime maps. */
#define XPT_BAD_PTR     _p(0x700000000000ul)

/* HYPERVISOR_physdev_op: numbers and arguments are Xen's stable ABI. */
#define XPT_PHYSDEVOP_map_pirq          13
#define XPT_PHYSDEVOP_unmap_pirq        14
#define XPT_PHYSDEVOP_setup_gsi         21
#define XPT_PHYSDEVOP_pci_device_add    25
#define XPT_PHYSDEVOP_pci_device_remove 26
#define XPT_PHYSDEVOP_pci_device_reset  32

#define XPT_MAP_PIRQ_TYPE_GSI           1

struct xpt_map_pirq {
    uint16_t domid;
    int32_t type, index, pirq, bus, devfn, entry_nr;
    uint64_t table_base;
};

struct xpt_unmap_pirq {
    uint16_t domid;
    int32_t pirq;
};

struct xpt_setup_gsi {
    int32_t gsi;
    uint8_t triggering;         /* 0 edge, 1 level */
    uint8_t polarity;           /* 0 active high, 1 active low */
};

/* @pirq: in the one to ask for or -1, out the one given. */
long xpt_map_pirq(uint16_t domid, int type, int index, int *pirq);
long xpt_unmap_pirq(uint16_t domid, int pirq);
long xpt_setup_gsi(int gsi, uint8_t triggering, uint8_t polarity);

static inline uint32_t xpt_read32(unsigned long addr)
{
    return *(volatile uint32_t *)addr;
}

static inline void xpt_write32(unsigned long addr, uint32_t val)
{
    *(volatile uint32_t *)addr = val;
}

static inline uint64_t xpt_rdtsc(void)
{
    uint32_t lo, hi;

    asm volatile ( "rdtsc" : "=a" (lo), "=d" (hi) :: "memory" );

    return lo | ((uint64_t)hi << 32);
}

/* The local APIC, which has to be on for an interrupt to arrive. */
#define LAPIC_BASE              0xfee00000ul
#define LAPIC_ID                0x020
#define LAPIC_EOI               0x0b0
#define LAPIC_SPIV              0x0f0
#define  LAPIC_SPIV_ENABLE      0x100
#define LAPIC_IRR(vec)          (0x200 + (vec) / 32 * 0x10)

static inline void xpt_lapic_enable(void)
{
    xpt_write32(LAPIC_BASE + LAPIC_SPIV, LAPIC_SPIV_ENABLE | 0xff);
}

#endif /* XPT_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
