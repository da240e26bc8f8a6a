/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every pin of the hardware domain's IO-APIC: set up, unmasked and masked,
 * twice.  Nothing but a pin's own state counts, so that the devices get their
 * interrupts afterwards.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.
 */
#include "../xpt/line.h"

const char test_title[] = "Every GSI of a PVH hardware domain";
const char xpt_test[] = "gsi-every-pin";

#define NR_PINS         24
#define NR_ISA          16

#define VECTOR          0x60

/* An interrupt of a device which nobody looks after here. */
extern char spurious[];
asm ( "spurious:\n\t"
      "push %rax\n\t"
      "mov $0xfee000b0, %eax\n\t"       /* LAPIC_EOI */
      "movl $0, (%rax)\n\t"
      "pop %rax\n\t"
      "iretq" );

static bool is_isa(unsigned int gsi)
{
    return gsi < NR_ISA;
}

/* In the mode which the bus has, or in the other one. */
static long setup(unsigned int gsi, bool otherwise)
{
    return is_isa(gsi) != otherwise
           ? xpt_setup_gsi(gsi, XPT_EDGE, XPT_HIGH)
           : xpt_setup_gsi(gsi, XPT_LEVEL, XPT_LOW);
}

static void set_mask(unsigned int gsi, bool mask)
{
    vioapic_write(VIOAPIC_RTE(gsi),
                  VECTOR |
                  (is_isa(gsi) ? VIOAPIC_EDGE_HIGH : VIOAPIC_LEVEL_LOW) |
                  (mask ? VIOAPIC_MASKED : 0));
}

/*
 * Xen's own are GSIs 0 and 2, as the firmware moves ISA's IRQ 0, which is the
 * timer's, to pin 2, and GSI 4 of the console.
 */
static void all_pins(const char *name, const char *want, bool otherwise)
{
    unsigned int gsi, new = 0, again = 0, conflict = 0, invalid = 0;

    for ( gsi = 0; gsi < NR_PINS; ++gsi )
    {
        set_mask(gsi, true);

        switch ( setup(gsi, otherwise) )
        {
        case 0:   ++new;      break;
        case -17: ++again;    break;
        case -16: ++conflict; break;
        case -22: ++invalid;  break;
        }

        set_mask(gsi, false);
        set_mask(gsi, true);
    }

    xpt_check(name, want, "0 on %u, -17 on %u, -16 on %u, -22 on %u of %u",
              new, again, conflict, invalid, NR_PINS);
}

void test_main(void)
{
    struct xtf_idte idte = { .addr = _u(spurious), .cs = __KERN_CS };

    if ( !xpt_lines_init() )
        return;
    xtf_set_idte(VECTOR, &idte);

    if ( vioapic_nr_pins() != NR_PINS )
        return xtf_error("Error: %u pins\n", vioapic_nr_pins());

    all_pins("setup", "0 on 21, -17 on 3, -16 on 0, -22 on 0 of 24", false);
    all_pins("setup-again", "0 on 0, -17 on 24, -16 on 0, -22 on 0 of 24",
             false);
    all_pins("setup-otherwise", "0 on 0, -17 on 3, -16 on 21, -22 on 0 of 24",
             true);
    all_pins("setup-as-before", "0 on 0, -17 on 24, -16 on 0, -22 on 0 of 24",
             false);

    xpt_check_rc("setup-gsi-24", -22,
                 xpt_setup_gsi(NR_PINS, XPT_LEVEL, XPT_LOW));
    xpt_check_rc("setup-gsi-7fffffff", -22,
                 xpt_setup_gsi(0x7fffffff, XPT_LEVEL, XPT_LOW));
    xpt_check_rc("setup-gsi-negative", -22,
                 xpt_setup_gsi(-1, XPT_LEVEL, XPT_LOW));

    /* Pins which are not there. */
    set_mask(NR_PINS, false);
    set_mask(NR_PINS, true);
    xpt_check("unmask-gsi-24", "reads 0", "reads %x",
              vioapic_read(VIOAPIC_RTE(NR_PINS)));
    vioapic_write(0xff, 0);
    xpt_check("unmask-register-ff", "reads 0", "reads %x",
              vioapic_read(0xff));

    xpt_check_remask("slot5", &xpt_slot5);
    xpt_check_remask("slot7", &xpt_slot7);

    xpt_lines_done();

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
