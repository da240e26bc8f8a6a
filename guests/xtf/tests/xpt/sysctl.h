/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen says about itself: on its console, when one of its debug keys is
 * pressed, and by HYPERVISOR_sysctl.
 */
#ifndef XPT_SYSCTL_H
#define XPT_SYSCTL_H

#include "xpt.h"

/*
 * What Xen prints when @key is pressed, up to the next call: as much as the
 * console's ring holds, which is 16 KiB without Xen's option conring_size.
 */
const char *xpt_debug_key(char key);

/* What comes after @what in @text, NULL if it is not there. */
const char *xpt_after(const char *text, const char *what);

/* How often @what is in @text. */
unsigned int xpt_count(const char *text, const char *what);

/* Pages of the host which nobody has, 0 if Xen does not tell. */
unsigned long xpt_free_pages(void);

#endif /* XPT_SYSCTL_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
