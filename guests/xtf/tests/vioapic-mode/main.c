/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trigger mode and polarity of the hardware domain's interrupts.
 *
 * What the domain's own pin says when it is unmasked counts, also when
 * PHYSDEVOP_setup_gsi has said something else before.  Once the GSI is bound
 * its mode stays.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.  A GSI is bound once
 * until the host reboots, hence one for each story, and not in `vioapic-gsi`.
 */
#include "../xpt/line.h"

const char test_title[] = "Modes of a PVH hardware domain's GSIs";
const char xpt_test[] = "vioapic-mode";

/* Unmask the pin in another mode, then program it back. */
static void unmask_otherwise(struct xpt_line *line, uint32_t other)
{
    uint32_t mode = line->mode;

    xpt_line_mask(line, true);
    line->mode = other;
    xpt_line_mask(line, true);
    xpt_line_mask(line, false);
    xpt_line_mask(line, true);
    line->mode = mode;
    xpt_line_mask(line, true);
    xpt_line_mask(line, false);
}

void test_main(void)
{
    struct xpt_line *slot5 = &xpt_slot5, *slot7 = &xpt_slot7;

    if ( !xpt_lines_init() )
        return;

    /* Edge triggered. */
    slot5->mode = VIOAPIC_EDGE_HIGH;
    xpt_line_mask(slot5, true);
    xpt_line_mask(slot5, false);
    xpt_check_raise("edge-unmask", slot5);
    xpt_check_raise("edge-unmask-second", slot5);
    xpt_check_remask("edge-unmask-remask", slot5);

    /* Another mode of what is bound. */
    unmask_otherwise(slot5, VIOAPIC_LEVEL_LOW);
    xpt_check_raise("edge-bound-unmask-level", slot5);
    xpt_check_rc("edge-bound-setup-level", -16,
                 xpt_setup_gsi(slot5->gsi, XPT_LEVEL, XPT_LOW));
    xpt_check_rc("edge-bound-setup", -17,
                 xpt_setup_gsi(slot5->gsi, XPT_EDGE, XPT_HIGH));
    xpt_check_raise("edge-bound-setup-raise", slot5);

    /* Registered in another mode than the pin then has. */
    xpt_check_rc("setup-edge", 0,
                 xpt_setup_gsi(slot7->gsi, XPT_EDGE, XPT_HIGH));
    xpt_line_mask(slot7, false);
    xpt_check_raise("setup-edge-unmask-level", slot7);
    xpt_check_raise("setup-edge-unmask-level-second", slot7);
    xpt_check_remask("setup-edge-unmask-level-remask", slot7);

    /* The mode which it was registered with at first counts no longer. */
    xpt_check_rc("level-bound-setup-edge", -16,
                 xpt_setup_gsi(slot7->gsi, XPT_EDGE, XPT_HIGH));
    xpt_check_rc("level-bound-setup", -17,
                 xpt_setup_gsi(slot7->gsi, XPT_LEVEL, XPT_LOW));
    unmask_otherwise(slot7, VIOAPIC_EDGE_HIGH);
    xpt_check_raise("level-bound-unmask-edge", slot7);

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
