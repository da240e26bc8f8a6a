/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of the device, as INTx by the emulated IO-APIC, as MSI and MSI-X.
 */
#include "guest.h"

#define PCI_INT_PIN             0x3d
#define PCI_STATUS_INTX         0x0008

/*
 * The local APIC's timer ends a halt, so that waiting takes no processor.  How
 * long a tick is does not matter: some milliseconds.
 */
#define VECTOR_TICK             0x90
#define LAPIC_LVT_TIMER         0x320
#define  LAPIC_LVT_PERIODIC     0x20000
#define LAPIC_TIMER_COUNT       0x380
#define LAPIC_TIMER_DIVIDE      0x3e0
#define  LAPIC_DIVIDE_BY_1      0xb
#define TICK                    200000

volatile unsigned int irq_hits[256], irq_spurious, irq_hold;

void irq_handler(unsigned long vector);
extern char irq_entries[], irq_tick[];

#define STR_(x) #x
#define STR(x)  STR_(x)

/* A stub of 16 bytes for each vector. */
asm ( ".p2align 4\n"
      ".globl irq_entries\n"
      "irq_entries:\n\t"
      ".set irq_vector, " STR(VECTOR_FIRST) "\n\t"
      ".rept " STR(NR_DEVICES) " * " STR(NR_VECTORS) "\n\t"
      ".p2align 4\n\t"
      "push %rdi\n\t"
      "mov $irq_vector, %edi\n\t"
      "jmp irq_common\n\t"
      ".set irq_vector, irq_vector + 1\n\t"
      ".endr\n"
      "irq_common:\n\t"
      "push %rax; push %rcx; push %rdx; push %rsi\n\t"
      "push %r8; push %r9; push %r10; push %r11\n\t"
      "cld\n\t"
      "call irq_handler\n\t"
      "pop %r11; pop %r10; pop %r9; pop %r8\n\t"
      "pop %rsi; pop %rdx; pop %rcx; pop %rax\n\t"
      "pop %rdi\n\t"
      "iretq\n"
      "irq_tick:\n\t"
      "push %rax\n\t"
      "mov $0xfee000b0, %eax\n\t"       /* LAPIC_BASE + LAPIC_EOI */
      "movl $0, (%rax)\n\t"
      "pop %rax\n\t"
      "iretq" );

void irq_handler(unsigned long vector)
{
    struct device *dev = devices[(vector - VECTOR_FIRST) / NR_VECTORS];

    /*
     * A level may arrive once more than it was asked for: Xen lowers the line
     * of a guest which takes long, and finds it up again.  A message does not.
     */
    if ( vector != VECTOR_INTX(dev) )
    {
        ++irq_hits[vector];
        irq_spurious += !dev->ack(dev);
    }
    else if ( irq_hold )
    {
        ++irq_hits[vector];
        --irq_hold;
    }
    else if ( dev->ack(dev) )
        ++irq_hits[vector];
    else
        ++irq_spurious;

    xpt_write32(LAPIC_BASE + LAPIC_EOI, 0);
}

void irq_init(void)
{
    struct xtf_idte tick = { .addr = _u(irq_tick), .cs = __KERN_CS };
    unsigned int vector;

    for ( vector = VECTOR_FIRST; vector <= VECTOR_LAST; ++vector )
    {
        struct xtf_idte idte = {
            .addr = _u(irq_entries) + (vector - VECTOR_FIRST) * 16,
            .cs   = __KERN_CS,
        };

        xtf_set_idte(vector, &idte);
    }

    xtf_set_idte(VECTOR_TICK, &tick);
    xpt_lapic_enable();
    xpt_write32(LAPIC_BASE + LAPIC_TIMER_DIVIDE, LAPIC_DIVIDE_BY_1);
    xpt_write32(LAPIC_BASE + LAPIC_LVT_TIMER,
                VECTOR_TICK | LAPIC_LVT_PERIODIC);
    xpt_write32(LAPIC_BASE + LAPIC_TIMER_COUNT, TICK);
    asm volatile ( "sti" ::: "memory" );
}

/* Start the device; what arrives for that does not count. */
static bool start(struct device *dev, enum how how)
{
    unsigned int vector;

    irq_hold = 0;
    if ( !dev->start(dev, how) )
        return false;
    sleep_ms(NOTHING_MS);

    for ( vector = VECTOR_FIRST; vector <= VECTOR_LAST; ++vector )
        irq_hits[vector] = 0;
    irq_spurious = 0;

    return true;
}

unsigned int irq_total(void)
{
    unsigned int vector, total = 0;

    for ( vector = VECTOR_FIRST; vector <= VECTOR_LAST; ++vector )
        total += irq_hits[vector];

    return total;
}

/*
 * How many arrive at @vector, from when it had @before: at least @want are
 * waited for, and one too many.
 */
static unsigned int arrived(unsigned int vector, unsigned int before,
                            unsigned int want)
{
    (void)wait_for(irq_hits[vector] - before >= want, want ? COMES_MS : 0);
    sleep_ms(NOTHING_MS);

    return irq_hits[vector] - before;
}

/* Say as @fact how many arrive of one raise of interrupt @n. */
static void raise(struct device *dev, const char *fact, unsigned int n,
                  unsigned int vector, unsigned int want)
{
    unsigned int before = irq_hits[vector];

    dev->raise(dev, n);
    say(dev->name, fact, "%u", arrived(vector, before, want));
}

/* INTx of slots 0 to 31 is wired to pins 16 to 47. */
unsigned int intx_gsi(const struct device *dev)
{
    unsigned int slot = dev->bdf >> 3;
    unsigned int pin = xpt_pci_read8(dev->bdf, PCI_INT_PIN) - 1;

    return 16 + ((slot * 4 + slot / 8 + pin) & 31);
}

static void intx_mask(struct device *dev, bool mask)
{
    vioapic_write(VIOAPIC_RTE(intx_gsi(dev)),
                  VECTOR_INTX(dev) | VIOAPIC_LEVEL_LOW |
                  (mask ? VIOAPIC_MASKED : 0));
}

static unsigned int intx_status(const struct device *dev)
{
    return !!(xpt_pci_read16(dev->bdf, PCI_STATUS) & PCI_STATUS_INTX);
}

static bool intx_on(struct device *dev)
{
    intx_mask(dev, true);
    vioapic_write(VIOAPIC_RTE(intx_gsi(dev)) + 1,
                  xpt_read32(LAPIC_BASE + LAPIC_ID) & 0xff000000u);

    if ( !start(dev, HOW_INTX) )
        return false;

    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_INTX_DISABLE);
    intx_mask(dev, false);

    return true;
}

static void intx_off(struct device *dev)
{
    intx_mask(dev, true);
    xpt_pci_command(dev->bdf, PCI_COMMAND_INTX_DISABLE, 0);
    dev->stop(dev);
}

void irq_intx(struct device *dev)
{
    unsigned int before;

    if ( !xpt_pci_read8(dev->bdf, PCI_INT_PIN) )
        return;

    say(dev->name, "intx.gsi", "%u pins %u", intx_gsi(dev),
        vioapic_nr_pins());
    if ( !intx_on(dev) )
        return;

    raise(dev, "intx.first", 0, VECTOR_INTX(dev), 1);
    say(dev->name, "intx.status", "%u", intx_status(dev));
    raise(dev, "intx.second", 0, VECTOR_INTX(dev), 1);

    /* A level: it arrives until the device is served. */
    irq_hold = 2;
    raise(dev, "intx.held", 0, VECTOR_INTX(dev), 3);

    intx_mask(dev, true);
    raise(dev, "intx.masked", 0, VECTOR_INTX(dev), 0);
    before = irq_hits[VECTOR_INTX(dev)];
    intx_mask(dev, false);
    say(dev->name, "intx.unmasked", "%u", arrived(VECTOR_INTX(dev), before, 1));

    xpt_pci_command(dev->bdf, PCI_COMMAND_INTX_DISABLE, 0);
    raise(dev, "intx.disabled", 0, VECTOR_INTX(dev), 0);
    say(dev->name, "intx.pending", "%u", intx_status(dev));
    before = irq_hits[VECTOR_INTX(dev)];
    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_INTX_DISABLE);
    say(dev->name, "intx.enabled", "%u", arrived(VECTOR_INTX(dev), before, 1));

    intx_off(dev);
    say(dev->name, "intx.spurious", "%u others %u", irq_spurious,
        irq_total() - irq_hits[VECTOR_INTX(dev)]);
}

static bool msi_on(struct device *dev)
{
    xpt_msi_program(dev->bdf, VECTOR_MSI(dev));
    xpt_msi_enable(dev->bdf, true);

    return start(dev, HOW_MSI);
}

static void msi_off(struct device *dev)
{
    dev->stop(dev);
    xpt_msi_enable(dev->bdf, false);
}

void irq_msi(struct device *dev)
{
    if ( !xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI) || !msi_on(dev) )
        return;

    say(dev->name, "msi.enable", "%u", xpt_msi_enabled(dev->bdf));
    raise(dev, "msi.first", 0, VECTOR_MSI(dev), 1);
    raise(dev, "msi.second", 0, VECTOR_MSI(dev), 1);

    /* INTx is disabled besides, so there is no way for it to come. */
    xpt_msi_enable(dev->bdf, false);
    raise(dev, "msi.off", 0, VECTOR_MSI(dev), 0);
    dev->ack(dev);
    xpt_msi_program(dev->bdf, VECTOR_MSI_NEW(dev));
    xpt_msi_enable(dev->bdf, true);
    raise(dev, "msi.moved", 0, VECTOR_MSI_NEW(dev), 1);

    msi_off(dev);
    say(dev->name, "msi.spurious", "%u others %u", irq_spurious,
        irq_total() - irq_hits[VECTOR_MSI(dev)] - irq_hits[VECTOR_MSI_NEW(dev)]);
}

static bool msix_on(struct device *dev)
{
    unsigned long table = xpt_msix_table(dev->bdf);
    unsigned int n;

    for ( n = 0; n < dev->nr_irqs; ++n )
        xpt_msix_program(table, n, VECTOR_MSIX(dev, n), false);
    xpt_msix_control(dev->bdf, MSIX_CTRL_ENABLE, MSIX_CTRL_MASKALL);

    return start(dev, HOW_MSIX);
}

static void msix_off(struct device *dev)
{
    dev->stop(dev);
    xpt_msix_control(dev->bdf, 0, MSIX_CTRL_ENABLE);
}

static void msix_mask(unsigned long table, bool mask)
{
    xpt_write32(table + MSIX_ENTRY_CTRL, mask ? MSIX_ENTRY_CTRL_MASKED : 0);
}

void irq_msix(struct device *dev)
{
    unsigned long table, pba;
    unsigned int before, expected;

    if ( !xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSIX) || !msix_on(dev) )
        return;

    table = xpt_msix_table(dev->bdf);
    pba = xpt_msix_pba(dev->bdf);

    say(dev->name, "msix.enable", "%u entries %u", xpt_msix_enabled(dev->bdf),
        xpt_msix_nr_entries(dev->bdf));
    raise(dev, "msix.first", 0, VECTOR_MSIX(dev, 0), 1);
    raise(dev, "msix.second", 0, VECTOR_MSIX(dev, 0), 1);
    raise(dev, "msix.entry1", 1, VECTOR_MSIX(dev, 1), 1);

    msix_mask(table, true);
    raise(dev, "msix.masked", 0, VECTOR_MSIX(dev, 0), 0);
    say(dev->name, "msix.pending", "0x%x", xpt_read32(pba));
    before = irq_hits[VECTOR_MSIX(dev, 0)];
    msix_mask(table, false);
    say(dev->name, "msix.unmasked", "%u", arrived(VECTOR_MSIX(dev, 0), before, 1));

    xpt_msix_control(dev->bdf, MSIX_CTRL_MASKALL, 0);
    raise(dev, "msix.allmasked", 0, VECTOR_MSIX(dev, 0), 0);
    before = irq_hits[VECTOR_MSIX(dev, 0)];
    xpt_msix_control(dev->bdf, 0, MSIX_CTRL_MASKALL);
    say(dev->name, "msix.allunmasked", "%u", arrived(VECTOR_MSIX(dev, 0), before, 1));

    msix_mask(table, true);
    xpt_msix_program(table, 0, VECTOR_MSIX_NEW(dev), false);
    raise(dev, "msix.moved", 0, VECTOR_MSIX_NEW(dev), 1);

    msix_off(dev);
    expected = irq_hits[VECTOR_MSIX(dev, 0)] +
               irq_hits[VECTOR_MSIX(dev, 1)] +
               irq_hits[VECTOR_MSIX_NEW(dev)];
    say(dev->name, "msix.spurious", "%u others %u", irq_spurious,
        irq_total() - expected);
}

enum how irq_on(struct device *dev)
{
    if ( (orders.steps & STEP_MSIX) &&
         xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSIX) )
        return msix_on(dev) ? HOW_MSIX : HOW_POLL;

    if ( (orders.steps & STEP_MSI) && xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI) )
        return msi_on(dev) ? HOW_MSI : HOW_POLL;

    return intx_on(dev) ? HOW_INTX : HOW_POLL;
}

void irq_off(struct device *dev, enum how how)
{
    switch ( how )
    {
    case HOW_POLL: dev->stop(dev); break;
    case HOW_INTX: intx_off(dev);  break;
    case HOW_MSI:  msi_off(dev);   break;
    case HOW_MSIX: msix_off(dev);  break;
    }
}

const char *how_name(enum how how)
{
    static const char *const names[] = {
        [HOW_POLL] = "poll",
        [HOW_INTX] = "intx",
        [HOW_MSI]  = "msi",
        [HOW_MSIX] = "msix",
    };

    return names[how];
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
