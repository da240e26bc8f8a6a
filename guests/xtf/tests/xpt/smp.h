/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The second vCPU.
 */
#ifndef XPT_SMP_H
#define XPT_SMP_H

#include "xpt.h"

/*
 * Start vCPU 1 in @fn, with interrupts off and this vCPU's page tables.  It
 * halts when @fn returns.  Answers what Xen does.
 */
long xpt_cpu1_start(void (*fn)(void));

/*
 * Both vCPUs leave it at the same moment.  False: the other one has not come
 * for long, and never will.
 */
bool xpt_meet(void);

static inline void xpt_relax(void)
{
    asm volatile ( "pause" ::: "memory" );
}

#endif /* XPT_SMP_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
