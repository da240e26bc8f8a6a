/* SPDX-License-Identifier: GPL-2.0-only */
#include "line.h"

/* An interrupt on its way takes far fewer turns. */
#define WAIT_TURNS      8000

/* More than a test makes of one raise: the line is stuck. */
#define MAX_STREAK      100

extern char xpt_irq_slot5[], xpt_irq_slot7[];

struct xpt_line xpt_slot5 = {
    .devfn  = XPT_DEVFN(5),
    .gsi    = 21,
    .vector = 0x51,
    .mode   = VIOAPIC_LEVEL_LOW,
};
struct xpt_line xpt_slot7 = {
    .devfn  = XPT_DEVFN(7),
    .gsi    = 23,
    .vector = 0x52,
    .mode   = VIOAPIC_LEVEL_LOW,
};

/* Of the raise which is being waited for. */
static volatile unsigned int streak;

void xpt_irq_handler(struct xpt_line *line);

/* The processor's five words and our nine keep the stack aligned for C. */
asm ( ".macro xpt_irq_entry name, line\n\t"
      ".globl \\name\n"
      "\\name:\n\t"
      "push %rdi\n\t"
      "mov $\\line, %edi\n\t"
      "jmp xpt_irq_common\n\t"
      ".endm\n\t"
      "xpt_irq_entry xpt_irq_slot5, xpt_slot5\n\t"
      "xpt_irq_entry xpt_irq_slot7, xpt_slot7\n"
      "xpt_irq_common:\n\t"
      "push %rax; push %rcx; push %rdx; push %rsi\n\t"
      "push %r8; push %r9; push %r10; push %r11\n\t"
      "cld\n\t"
      "call xpt_irq_handler\n\t"
      "pop %r11; pop %r10; pop %r9; pop %r8\n\t"
      "pop %rsi; pop %rdx; pop %rcx; pop %rax\n\t"
      "pop %rdi\n\t"
      "iretq" );

void xpt_irq_handler(struct xpt_line *line)
{
    xpt_write32(line->edu + EDU_ACK, xpt_read32(line->edu + EDU_STATUS));
    ++line->hits;

    /* Without an EOI a line which does not go down stays silent. */
    if ( ++streak < MAX_STREAK )
        xpt_write32(LAPIC_BASE + LAPIC_EOI, 0);
}

void xpt_line_mask(const struct xpt_line *line, bool mask)
{
    vioapic_write(VIOAPIC_RTE(line->gsi),
                  line->vector | line->mode | (mask ? VIOAPIC_MASKED : 0));
}

static bool line_init(struct xpt_line *line, char *entry)
{
    struct xtf_idte idte = { .addr = _u(entry), .cs = __KERN_CS };

    if ( xpt_pci_read32(line->devfn, PCI_ID) != EDU_ID )
        return false;

    xpt_pci_write16(line->devfn, PCI_COMMAND,
                    xpt_pci_read16(line->devfn, PCI_COMMAND) |
                    PCI_COMMAND_MEMORY);
    line->edu = xpt_pci_read32(line->devfn, PCI_BAR0) & ~0xful;

    xtf_set_idte(line->vector, &idte);
    xpt_line_mask(line, true);
    vioapic_write(VIOAPIC_RTE(line->gsi) + 1,
                  xpt_read32(LAPIC_BASE + LAPIC_ID) & 0xff000000u);

    return true;
}

bool xpt_lines_init(void)
{
    if ( !line_init(&xpt_slot5, xpt_irq_slot5) ||
         !line_init(&xpt_slot7, xpt_irq_slot7) )
    {
        xtf_error("Error: no edu at 00:05.0 and 00:07.0\n");
        return false;
    }

    xpt_lapic_enable();
    asm volatile ( "sti" ::: "memory" );

    return true;
}

void xpt_lines_done(void)
{
    asm volatile ( "cli" ::: "memory" );
}

const char *xpt_line_raise(const struct xpt_line *line)
{
    static char times[24];
    unsigned int before = line->hits, turns, hits;

    streak = 0;
    xpt_write32(line->edu + EDU_RAISE, 1);

    for ( turns = 0; turns < WAIT_TURNS && line->hits == before; ++turns )
        hypercall_yield();

    /* Time for one too many. */
    for ( turns = 0; turns < WAIT_TURNS / 20; ++turns )
        hypercall_yield();

    hits = line->hits - before;
    if ( !hits )
        /* Lower the line: the next raise needs it. */
        xpt_write32(line->edu + EDU_ACK, 1);

    if ( hits > 1 )
    {
        snprintf(times, sizeof(times), "arrived %u times", hits);
        return times;
    }

    return hits ? "arrived" : "lost";
}

void xpt_check_raise(const char *name, const struct xpt_line *line)
{
    xpt_check(name, "arrived", "%s", xpt_line_raise(line));
}

void xpt_check_remask(const char *name, const struct xpt_line *line)
{
    xpt_line_mask(line, true);
    xpt_line_mask(line, false);
    xpt_check_raise(name, line);
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
