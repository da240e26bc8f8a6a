/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NVMe controller, as far as it takes to make it raise an interrupt.
 */
#ifndef XPT_NVME_H
#define XPT_NVME_H

#include "msi.h"

/*
 * Start the controller whose registers are at @bar, have it complete one
 * admin command, which it fetches from our memory, and stop it.  MSI-X is on,
 * its entry 0 programmed with @vector and bus mastering on.
 *
 * "arrived"; "lost" where the command was completed; or what else went wrong.
 */
const char *xpt_nvme_interrupt(unsigned long bar, uint8_t vector);

#endif /* XPT_NVME_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
