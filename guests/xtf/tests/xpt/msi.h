/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message signalled interrupts, up to the domain's local APIC.
 */
#ifndef XPT_MSI_H
#define XPT_MSI_H

#include "pci.h"

#define MSI_CTRL                2
#define  MSI_CTRL_ENABLE        (1u << 0)
#define  MSI_CTRL_QMASK         (7u << 1)
#define  MSI_CTRL_QSIZE         (7u << 4)
#define  MSI_CTRL_64BIT         (1u << 7)
#define  MSI_CTRL_MASKBIT       (1u << 8)
#define MSI_ADDR                4

/* Of a capability with a 64-bit address or without. */
#define MSI_DATA(is_64bit)      ((is_64bit) ? 12 : 8)
#define MSI_MASK(is_64bit)      ((is_64bit) ? 16 : 12)
#define MSI_PENDING(is_64bit)   ((is_64bit) ? 20 : 16)

#define MSIX_CTRL               2
#define  MSIX_CTRL_SIZE         0x7ff   /* One less than the entries. */
#define  MSIX_CTRL_MASKALL      (1u << 14)
#define  MSIX_CTRL_ENABLE       (1u << 15)
#define MSIX_TABLE              4
#define MSIX_PBA                8
#define  MSIX_BIR               7

#define MSIX_ENTRY_SIZE         16
#define MSIX_ENTRY_ADDR         0
#define MSIX_ENTRY_DATA         8
#define MSIX_ENTRY_CTRL         12
#define  MSIX_ENTRY_CTRL_MASKED 1

/* Messages to the first vCPU. */
#define XPT_MSI_ADDR            0xfee00000u

/* Address and data.  The device's MSI stays as it is, on or off. */
void xpt_msi_program(uint16_t bdf, uint8_t vector);
void xpt_msi_enable(uint16_t bdf, bool enable);
bool xpt_msi_enabled(uint16_t bdf);

unsigned int xpt_msix_nr_entries(uint16_t bdf);

/* Address of the table or the PBA, which are there while decode is on. */
unsigned long xpt_msix_table(uint16_t bdf);
unsigned long xpt_msix_pba(uint16_t bdf);

/* An entry of the table at @table: address, data and mask bit. */
void xpt_msix_program(unsigned long table, unsigned int entry, uint8_t vector,
                      bool masked);
bool xpt_msix_masked(unsigned long table, unsigned int entry);

/* The control register's enable and function mask bits. */
void xpt_msix_control(uint16_t bdf, uint16_t set, uint16_t clear);
bool xpt_msix_enabled(uint16_t bdf);

/*
 * Interrupts are off on our vCPU: one which arrives stays pending, where it
 * can be seen.  xpt_irq_init() turns the local APIC on and makes @vector known.
 * xpt_irq_take() waits until it is pending and accepts it, so that the next
 * one can be seen; false: it is lost.  xpt_irq_take_any() answers which one of
 * several it was, or -1 for none, sooner where none is expected.
 * xpt_irq_pending() does not wait.
 */
void xpt_irq_init(uint8_t vector);
bool xpt_irq_pending(uint8_t vector);
bool xpt_irq_take(uint8_t vector);
int xpt_irq_take_any(uint8_t first, uint8_t last, bool expected);

#endif /* XPT_MSI_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
