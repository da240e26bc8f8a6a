/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU devices which raise a message signalled interrupt when told to.
 */
#ifndef XPT_SOURCE_H
#define XPT_SOURCE_H

#include "msi.h"

struct xpt_source {
    const char *name;
    uint16_t bdf;
    uint32_t id;                /* Vendor and device. */
    unsigned int nr;            /* Interrupts which it can tell apart. */
    unsigned long bar;          /* BAR0, since xpt_source_init(). */

    bool (*init)(struct xpt_source *src);
    void (*raise)(struct xpt_source *src, unsigned int n);
    void (*lower)(struct xpt_source *src, unsigned int n);
};

/* Operations, with which a test fills in its devices. */
#define XPT_SOURCE(name_, bdf_, dev, id_, nr_) {        \
    .name  = name_,                                     \
    .bdf   = bdf_,                                      \
    .id    = id_,                                       \
    .nr    = nr_,                                       \
    .init  = xpt_ ## dev ## _init,                      \
    .raise = xpt_ ## dev ## _raise,                     \
    .lower = xpt_ ## dev ## _lower,                     \
}

#define XPT_SOURCE_OPS(dev)                                             \
bool xpt_ ## dev ## _init(struct xpt_source *src);                      \
void xpt_ ## dev ## _raise(struct xpt_source *src, unsigned int n);     \
void xpt_ ## dev ## _lower(struct xpt_source *src, unsigned int n)

XPT_SOURCE_OPS(edu);            /* One interrupt. */
XPT_SOURCE_OPS(ioh3420);        /* One: a command of its slot has completed. */
XPT_SOURCE_OPS(rocker);         /* Four, by MSI-X. */
XPT_SOURCE_OPS(xhci);           /* Sixteen. */

/*
 * Memory decode and bus mastering on, INTx off, and the device ready: once at
 * first and after each reset of the device.  False, with an error reported:
 * there is no such device.
 */
bool xpt_source_init(struct xpt_source *src);

/*
 * Raise interrupt @n and accept the vector out of @first to @last which
 * arrives.  -1: none does.
 */
int xpt_source_raise(struct xpt_source *src, unsigned int n, uint8_t first,
                     uint8_t last, bool expected);

#endif /* XPT_SOURCE_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
