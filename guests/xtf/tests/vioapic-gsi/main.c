/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of the hardware domain's own devices by way of its IO-APIC.
 *
 * Xen binds a GSI to the hardware domain when the pin is unmasked first.  That
 * has to work whether or not PHYSDEVOP_setup_gsi came before, and nothing the
 * domain may ask for afterwards undoes it.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0: it raises its INTx on
 * a register write.
 */
#include "../xpt/xpt.h"

const char test_title[] = "GSIs of a PVH hardware domain";
const char xpt_test[] = "vioapic-gsi";

#define VIOAPIC_BASE    0xfec00000ul
#define VIOAPIC_REGSEL  0x00
#define VIOAPIC_IOWIN   0x10
#define VIOAPIC_RTE(pin) (0x10 + 2 * (pin))
#define  VIOAPIC_LOW            0x02000
#define  VIOAPIC_LEVEL          0x08000
#define  VIOAPIC_MASKED         0x10000

#define LEVEL           1
#define LOW             1

/* An interrupt on its way takes far fewer turns. */
#define WAIT_TURNS      8000

/* More than a test makes: the line is stuck. */
#define MAX_HITS        100

struct line {
    uint8_t devfn, gsi, vector;
    unsigned long edu;
    volatile unsigned int hits;
};

extern char irq_entry_5[], irq_entry_7[];

/* Not static, as the entries below name them. */
struct line slot5 = { .devfn = XPT_DEVFN(5), .gsi = 21, .vector = 0x51 };
struct line slot7 = { .devfn = XPT_DEVFN(7), .gsi = 23, .vector = 0x52 };

void irq_handler(struct line *line);

/* The processor's five words and our nine keep the stack aligned for C. */
asm ( ".macro irq_entry name, line\n\t"
      ".globl \\name\n"
      "\\name:\n\t"
      "push %rdi\n\t"
      "mov $\\line, %edi\n\t"
      "jmp irq_common\n\t"
      ".endm\n\t"
      "irq_entry irq_entry_5, slot5\n\t"
      "irq_entry irq_entry_7, slot7\n"
      "irq_common:\n\t"
      "push %rax; push %rcx; push %rdx; push %rsi\n\t"
      "push %r8; push %r9; push %r10; push %r11\n\t"
      "cld\n\t"
      "call irq_handler\n\t"
      "pop %r11; pop %r10; pop %r9; pop %r8\n\t"
      "pop %rsi; pop %rdx; pop %rcx; pop %rax\n\t"
      "pop %rdi\n\t"
      "iretq" );

void irq_handler(struct line *line)
{
    xpt_write32(line->edu + EDU_ACK, xpt_read32(line->edu + EDU_STATUS));

    /* Without an EOI a line which does not go down stays silent. */
    if ( ++line->hits < MAX_HITS )
        xpt_write32(LAPIC_BASE + LAPIC_EOI, 0);
}

static void vioapic_write(unsigned int reg, uint32_t val)
{
    xpt_write32(VIOAPIC_BASE + VIOAPIC_REGSEL, reg);
    xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN, val);
}

static void pin_mask(const struct line *line, bool mask)
{
    vioapic_write(VIOAPIC_RTE(line->gsi),
                  line->vector | VIOAPIC_LEVEL | VIOAPIC_LOW |
                  (mask ? VIOAPIC_MASKED : 0));
}

static bool line_init(struct line *line, char *entry)
{
    struct xtf_idte idte = { .addr = _u(entry), .cs = __KERN_CS };

    if ( xpt_pci_read32(line->devfn, PCI_ID) != EDU_ID )
        return false;

    xpt_pci_write16(line->devfn, PCI_COMMAND,
                    xpt_pci_read16(line->devfn, PCI_COMMAND) |
                    PCI_COMMAND_MEMORY);
    line->edu = xpt_pci_read32(line->devfn, PCI_BAR0) & ~0xful;

    xtf_set_idte(line->vector, &idte);
    pin_mask(line, true);
    vioapic_write(VIOAPIC_RTE(line->gsi) + 1,
                  xpt_read32(LAPIC_BASE + LAPIC_ID) & 0xff000000u);

    return true;
}

/* Raise the device's INTx, and see whether it comes once. */
static void check_raise(const char *name, const struct line *line)
{
    unsigned int before = line->hits, turns, hits;

    xpt_write32(line->edu + EDU_RAISE, 1);

    for ( turns = 0; turns < WAIT_TURNS && line->hits == before; ++turns )
        hypercall_yield();

    /* Time for one too many. */
    for ( turns = 0; turns < WAIT_TURNS / 20; ++turns )
        hypercall_yield();

    hits = line->hits - before;
    if ( !hits )
        /* Lower the line: it is level triggered, the next check needs it. */
        xpt_write32(line->edu + EDU_ACK, 1);

    if ( hits > 1 )
        xpt_check(name, "arrived", "arrived %u times", hits);
    else
        xpt_check(name, "arrived", "%s", hits ? "arrived" : "lost");
}

static void check_remask(const char *name, const struct line *line)
{
    pin_mask(line, true);
    pin_mask(line, false);
    check_raise(name, line);
}

void test_main(void)
{
    if ( !line_init(&slot5, irq_entry_5) || !line_init(&slot7, irq_entry_7) )
        return xtf_error("Error: no edu at 00:05.0 and 00:07.0\n");

    xpt_lapic_enable();
    asm volatile ( "sti" ::: "memory" );

    /* Unmasking alone. */
    pin_mask(&slot5, false);
    check_raise("unmask", &slot5);
    check_raise("unmask-second", &slot5);
    check_remask("unmask-remask", &slot5);

    /* A setup first. */
    xpt_check_rc("setup", 0, xpt_setup_gsi(slot7.gsi, LEVEL, LOW));
    pin_mask(&slot7, false);
    check_raise("setup-unmask", &slot7);
    check_raise("setup-unmask-second", &slot7);
    check_remask("setup-unmask-remask", &slot7);

    /* A setup of what is bound already. */
    xpt_check_rc("setup-bound", -17, xpt_setup_gsi(slot5.gsi, LEVEL, LOW));
    check_raise("setup-bound-raise", &slot5);

    /* Last, as a Xen which lets the domain do this to itself may not live. */
    xpt_check_rc("self-unmap", -95, xpt_unmap_pirq(DOMID_SELF, slot5.gsi));
    check_raise("self-unmap-raise", &slot5);
    check_remask("self-unmap-remask", &slot5);

    asm volatile ( "cli" ::: "memory" );

    xpt_done();
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
