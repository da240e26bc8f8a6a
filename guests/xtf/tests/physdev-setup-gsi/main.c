/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PHYSDEVOP_setup_gsi: what is refused, and that a refused call leaves the
 * pin as it was.
 *
 * Pins 16 to 19, which no device of the test machine uses: a pin is set up
 * once until the host reboots, hence one for each story.
 */
#include "../xpt/xpt.h"

const char test_title[] = "PHYSDEVOP_setup_gsi";
const char xpt_test[] = "physdev-setup-gsi";

#define EDGE    0
#define LEVEL   1
#define HIGH    0
#define LOW     1

void test_main(void)
{
    xpt_check_rc("bad-pointer", -14,
                 hypercall_physdev_op(XPT_PHYSDEVOP_setup_gsi, XPT_BAD_PTR));

    xpt_check_rc("gsi-negative", -22, xpt_setup_gsi(-1, LEVEL, LOW));
    xpt_check_rc("gsi-4096", -22, xpt_setup_gsi(4096, LEVEL, LOW));
    xpt_check_rc("gsi-7fffffff", -22, xpt_setup_gsi(0x7fffffff, LEVEL, LOW));

    /* A pin's first setup, the same again, and another mode. */
    xpt_check_rc("level-low", 0, xpt_setup_gsi(16, LEVEL, LOW));
    xpt_check_rc("level-low-again", -17, xpt_setup_gsi(16, LEVEL, LOW));
    xpt_check_rc("level-low-then-edge", -16, xpt_setup_gsi(16, EDGE, LOW));
    xpt_check_rc("level-low-then-high", -16, xpt_setup_gsi(16, LEVEL, HIGH));
    xpt_check_rc("level-low-kept", -17, xpt_setup_gsi(16, LEVEL, LOW));

    /* Values other than 0 and 1 take no pin. */
    xpt_check_rc("triggering-7", -22, xpt_setup_gsi(17, 7, LOW));
    xpt_check_rc("triggering-7-then-right", 0, xpt_setup_gsi(17, LEVEL, LOW));
    xpt_check_rc("polarity-255", -22, xpt_setup_gsi(18, LEVEL, 255));
    xpt_check_rc("polarity-255-then-right", 0, xpt_setup_gsi(18, LEVEL, LOW));
    xpt_check_rc("triggering-2", -22, xpt_setup_gsi(19, 2, HIGH));
    xpt_check_rc("triggering-2-then-edge", 0, xpt_setup_gsi(19, EDGE, HIGH));

    /* Nor do they pass for a repetition of a mode already set. */
    xpt_check_rc("edge-high-again", -17, xpt_setup_gsi(19, EDGE, HIGH));
    xpt_check_rc("edge-high-then-level", -16, xpt_setup_gsi(19, LEVEL, HIGH));
    xpt_check_rc("triggering-3-on-set-pin", -22, xpt_setup_gsi(16, 3, LOW));

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
