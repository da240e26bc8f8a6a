/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What xpt-access.c uses and the emul.h of Xen's vPCI test (tools/tests/vpci)
 * does not have, for it is not in vpci.c: included before it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "xpt.h"

#define noinline __attribute__((__noinline__))
#define likely(x) (x)
#define unlikely(x) (x)

/* What the test hides of struct vpci, for accesses look at one member of it. */
#define __XEN__
typedef uint64_t paddr_t;
#define __iomem
struct rangeset;

/* The test has one domain, one device, and nobody to wait for. */
#define dom_xen NULL
#define xpt_read_lock(d) ((void)(d))
#define xpt_read_unlock(d) ((void)(d))
#define xpt_write_lock(d) ((void)(d))
#define xpt_write_unlock(d) ((void)(d))
#define xpt_may_write(pdev) ((void)(pdev), true)
#define xpt_may_write_raw(sbdf, reg, size, data) \
    ((void)(sbdf), (void)(reg), (void)(size), (void)(data), true)
#define xpt_repeats() false

#if XEN_MINOR < 20
#define is_hardware_domain(d) ((void)(d), false)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
