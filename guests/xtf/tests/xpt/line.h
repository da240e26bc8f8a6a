/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interrupt lines of the machine's two `edu` devices, from the register
 * which raises INTx by way of the domain's IO-APIC to a handler of our own.
 */
#ifndef XPT_LINE_H
#define XPT_LINE_H

#include "pci.h"

#define XPT_EDGE        0
#define XPT_LEVEL       1
#define XPT_HIGH        0
#define XPT_LOW         1

#define VIOAPIC_BASE    0xfec00000ul
#define VIOAPIC_REGSEL  0x00
#define VIOAPIC_IOWIN   0x10
#define VIOAPIC_VERSION 0x01
#define VIOAPIC_RTE(pin) (0x10 + 2 * (pin))
#define  VIOAPIC_LOW            0x02000
#define  VIOAPIC_LEVEL          0x08000
#define  VIOAPIC_MASKED         0x10000

#define VIOAPIC_LEVEL_LOW       (VIOAPIC_LEVEL | VIOAPIC_LOW)
#define VIOAPIC_EDGE_HIGH       0

struct xpt_line {
    uint8_t devfn, gsi, vector;
    uint32_t mode;              /* VIOAPIC_{LEVEL_LOW,EDGE_HIGH} */
    unsigned long edu;
    volatile unsigned int hits;
};

extern struct xpt_line xpt_slot5, xpt_slot7;

/* Both lines, masked; interrupts are on afterwards.  False: no such device. */
bool xpt_lines_init(void);

/* After which interrupts are off. */
void xpt_lines_done(void);

static inline void vioapic_select(unsigned int reg)
{
    xpt_write32(VIOAPIC_BASE + VIOAPIC_REGSEL, reg);
}

static inline void vioapic_write(unsigned int reg, uint32_t val)
{
    vioapic_select(reg);
    xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN, val);
}

static inline uint32_t vioapic_read(unsigned int reg)
{
    vioapic_select(reg);

    return xpt_read32(VIOAPIC_BASE + VIOAPIC_IOWIN);
}

static inline unsigned int vioapic_nr_pins(void)
{
    return ((vioapic_read(VIOAPIC_VERSION) >> 16) & 0xff) + 1;
}

/* Program the line's pin with its mode, masked or not. */
void xpt_line_mask(const struct xpt_line *line, bool mask);

/* Raise the device's INTx: "arrived", "lost" or "arrived <n> times". */
const char *xpt_line_raise(const struct xpt_line *line);

/* The same as a check, and after the pin was masked and unmasked. */
void xpt_check_raise(const char *name, const struct xpt_line *line);
void xpt_check_remask(const char *name, const struct xpt_line *line);

#endif /* XPT_LINE_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
