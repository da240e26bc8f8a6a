/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of the hardware domain's own devices by way of its IO-APIC.
 *
 * Xen binds a GSI to the hardware domain when the pin is unmasked first.  That
 * has to work whether or not PHYSDEVOP_setup_gsi came before, and nothing the
 * domain may ask for afterwards undoes it.  A GSI which Xen itself uses stays
 * Xen's, and asking for it costs the domain nothing.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0: it raises its INTx on
 * a register write.  And a Xen whose console is the first serial port.
 */
#include "../xpt/domain.h"
#include "../xpt/line.h"

const char test_title[] = "GSIs of a PVH hardware domain";
const char xpt_test[] = "vioapic-gsi";

/* The first serial port's. */
#define GSI_XEN         4
#define VECTOR_XEN      0x53

/* What mapping Xen's GSI for a domain answers.  It is unmapped again. */
static long map_xen(uint16_t domid)
{
    int pirq = -1;
    long rc = xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, GSI_XEN, &pirq);

    if ( !rc )
        xpt_unmap_pirq(domid, pirq);

    return rc;
}

/*
 * A bind which fails is undone, and undoing must not take away the hardware
 * domain's right to map the GSI for others.
 */
static void test_xen(void)
{
    long domid = xpt_domain_create_guest();
    unsigned int i;
    long rc;

    if ( domid < 0 )
        return;

    rc = map_xen(domid);

    for ( i = 0; i < 3; ++i )
    {
        vioapic_write(VIOAPIC_RTE(GSI_XEN), VECTOR_XEN);
        vioapic_write(VIOAPIC_RTE(GSI_XEN), VECTOR_XEN | VIOAPIC_MASKED);
    }

    xpt_check_rc("xen-own-setup", -17,
                 xpt_setup_gsi(GSI_XEN, XPT_EDGE, XPT_HIGH));
    xpt_check_rc("xen-own-map-as-before", rc, map_xen(domid));

    rc = xpt_domain_destroy(domid);
    if ( rc )
        xtf_error("Error: destroying d%ld: %ld\n", domid, rc);
}

void test_main(void)
{
    const struct xpt_line *slot5 = &xpt_slot5, *slot7 = &xpt_slot7;

    if ( !xpt_lines_init() )
        return;

    /* Unmasking alone. */
    xpt_line_mask(slot5, false);
    xpt_check_raise("unmask", slot5);
    xpt_check_raise("unmask-second", slot5);
    xpt_check_remask("unmask-remask", slot5);

    /* A setup first. */
    xpt_check_rc("setup", 0, xpt_setup_gsi(slot7->gsi, XPT_LEVEL, XPT_LOW));
    xpt_line_mask(slot7, false);
    xpt_check_raise("setup-unmask", slot7);
    xpt_check_raise("setup-unmask-second", slot7);
    xpt_check_remask("setup-unmask-remask", slot7);

    /* A setup of what is bound already. */
    xpt_check_rc("setup-bound", -17,
                 xpt_setup_gsi(slot5->gsi, XPT_LEVEL, XPT_LOW));
    xpt_check_raise("setup-bound-raise", slot5);

    test_xen();

    /* Last, as a Xen which lets the domain do this to itself may not live. */
    xpt_check_rc("self-unmap", -95, xpt_unmap_pirq(DOMID_SELF, slot5->gsi));
    xpt_check_raise("self-unmap-raise", slot5);
    xpt_check_remask("self-unmap-remask", slot5);

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
