/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Xen's public structs as a 32-bit caller has them. Compiled for one and never
 * run: layout.c reads the section.
 */

#include "layout.h"

__attribute__((section("layout32"), used))
const struct place places[] = { COMPAT(XEN_PLACE, XEN_SIZE) };

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
