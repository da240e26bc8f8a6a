/* SPDX-License-Identifier: GPL-2.0-only */
#include "msi.h"

/*
 * Turns of a yield.  An interrupt on its way takes far fewer, and one which
 * should not come is there at the first of them, if it does.
 */
#define IRQ_TURNS       8000
#define IRQ_TURNS_NONE  500

extern char xpt_irq_accept[];

/* A displacement would be sign extended, hence the register. */
asm ( ".globl xpt_irq_accept\n"
      "xpt_irq_accept:\n\t"
      "push %rax\n\t"
      "mov $0xfee000b0, %eax\n\t"       /* LAPIC_BASE + LAPIC_EOI */
      "movl $0, (%rax)\n\t"
      "pop %rax\n\t"
      "iretq" );

void xpt_msi_program(uint16_t bdf, uint8_t vector)
{
    uint8_t cap = xpt_pci_cap(bdf, PCI_CAP_ID_MSI);
    bool is_64bit = xpt_pci_read16(bdf, cap + MSI_CTRL) & MSI_CTRL_64BIT;

    xpt_pci_write32(bdf, cap + MSI_ADDR, XPT_MSI_ADDR);
    if ( is_64bit )
        xpt_pci_write32(bdf, cap + MSI_ADDR + 4, 0);
    xpt_pci_write16(bdf, cap + MSI_DATA(is_64bit), vector);
}

static void set_control(uint16_t bdf, uint8_t id, uint16_t set, uint16_t clear)
{
    uint8_t reg = xpt_pci_cap(bdf, id) + MSI_CTRL;

    xpt_pci_write16(bdf, reg, (xpt_pci_read16(bdf, reg) & ~clear) | set);
}

static bool control_has(uint16_t bdf, uint8_t id, uint16_t bit)
{
    return xpt_pci_read16(bdf, xpt_pci_cap(bdf, id) + MSI_CTRL) & bit;
}

void xpt_msi_enable(uint16_t bdf, bool enable)
{
    set_control(bdf, PCI_CAP_ID_MSI, enable ? MSI_CTRL_ENABLE : 0,
                MSI_CTRL_ENABLE);
}

bool xpt_msi_enabled(uint16_t bdf)
{
    return control_has(bdf, PCI_CAP_ID_MSI, MSI_CTRL_ENABLE);
}

unsigned int xpt_msix_nr_entries(uint16_t bdf)
{
    uint8_t cap = xpt_pci_cap(bdf, PCI_CAP_ID_MSIX);

    return (xpt_pci_read16(bdf, cap + MSIX_CTRL) & MSIX_CTRL_SIZE) + 1;
}

static unsigned long in_bar(uint16_t bdf, uint8_t reg)
{
    uint32_t where = xpt_pci_read32(bdf, xpt_pci_cap(bdf, PCI_CAP_ID_MSIX) +
                                         reg);

    return xpt_bar_read(bdf, PCI_BAR(where & MSIX_BIR)) + (where & ~MSIX_BIR);
}

unsigned long xpt_msix_table(uint16_t bdf)
{
    return in_bar(bdf, MSIX_TABLE);
}

unsigned long xpt_msix_pba(uint16_t bdf)
{
    return in_bar(bdf, MSIX_PBA);
}

void xpt_msix_program(unsigned long table, unsigned int entry, uint8_t vector,
                      bool masked)
{
    unsigned long addr = table + entry * MSIX_ENTRY_SIZE;

    xpt_write32(addr + MSIX_ENTRY_ADDR, XPT_MSI_ADDR);
    xpt_write32(addr + MSIX_ENTRY_ADDR + 4, 0);
    xpt_write32(addr + MSIX_ENTRY_DATA, vector);
    xpt_write32(addr + MSIX_ENTRY_CTRL, masked ? MSIX_ENTRY_CTRL_MASKED : 0);
}

bool xpt_msix_masked(unsigned long table, unsigned int entry)
{
    return xpt_read32(table + entry * MSIX_ENTRY_SIZE + MSIX_ENTRY_CTRL) &
           MSIX_ENTRY_CTRL_MASKED;
}

void xpt_msix_control(uint16_t bdf, uint16_t set, uint16_t clear)
{
    set_control(bdf, PCI_CAP_ID_MSIX, set, clear);
}

bool xpt_msix_enabled(uint16_t bdf)
{
    return control_has(bdf, PCI_CAP_ID_MSIX, MSIX_CTRL_ENABLE);
}

void xpt_irq_init(uint8_t vector)
{
    struct xtf_idte idte = { .addr = _u(xpt_irq_accept), .cs = __KERN_CS };

    xtf_set_idte(vector, &idte);
    xpt_lapic_enable();
}

bool xpt_irq_pending(uint8_t vector)
{
    return xpt_read32(LAPIC_BASE + LAPIC_IRR(vector)) & (1u << (vector % 32));
}

/* The lowest vector pending out of @first to @last, -1 if none is. */
static int pending_any(uint8_t first, uint8_t last)
{
    unsigned int vector;
    uint32_t irr = 0;

    for ( vector = first; vector <= last; ++vector )
    {
        /* Each register is read once: that is slow. */
        if ( vector == first || !(vector % 32) )
            irr = xpt_read32(LAPIC_BASE + LAPIC_IRR(vector));
        if ( irr & (1u << (vector % 32)) )
            return vector;
    }

    return -1;
}

int xpt_irq_take_any(uint8_t first, uint8_t last, bool expected)
{
    unsigned int turns = expected ? IRQ_TURNS : IRQ_TURNS_NONE;
    int vector = pending_any(first, last);

    while ( vector < 0 && turns-- )
    {
        hypercall_yield();
        vector = pending_any(first, last);
    }

    /* The instruction after the one which turns them on is not interrupted. */
    if ( vector >= 0 )
        asm volatile ( "sti; nop; nop; cli" ::: "memory" );

    return vector;
}

bool xpt_irq_take(uint8_t vector)
{
    return xpt_irq_take_any(vector, vector, true) >= 0;
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
