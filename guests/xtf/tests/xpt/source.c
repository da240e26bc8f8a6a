/* SPDX-License-Identifier: GPL-2.0-only */
#include "source.h"

bool xpt_source_init(struct xpt_source *src)
{
    if ( xpt_pci_read32(src->bdf, PCI_ID) != src->id )
    {
        xtf_error("Error: no %s\n", src->name);
        return false;
    }

    xpt_pci_command(src->bdf,
                    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                    PCI_COMMAND_INTX_DISABLE, 0);
    src->bar = xpt_bar_read(src->bdf, PCI_BAR0);
    if ( !src->init(src) )
    {
        xtf_error("Error: %s does not get ready\n", src->name);
        return false;
    }

    return true;
}

int xpt_source_raise(struct xpt_source *src, unsigned int n, uint8_t first,
                     uint8_t last, bool expected)
{
    int vector;

    src->raise(src, n);
    vector = xpt_irq_take_any(first, last, expected);
    src->lower(src, n);

    return vector;
}

/*
 * edu
 */
bool xpt_edu_init(struct xpt_source *src)
{
    return xpt_read32(src->bar + EDU_IDENT) == EDU_IDENT_VALUE;
}

void xpt_edu_raise(struct xpt_source *src, unsigned int n)
{
    xpt_write32(src->bar + EDU_RAISE, 1u << n);
}

void xpt_edu_lower(struct xpt_source *src, unsigned int n)
{
    xpt_write32(src->bar + EDU_ACK, 1u << n);
}

/*
 * rocker: a register raises the entry of MSI-X whose number is written.
 */
bool xpt_rocker_init(struct xpt_source *src)
{
    return xpt_read32(src->bar + ROCKER_BOGUS) == ROCKER_BOGUS_VALUE;
}

void xpt_rocker_raise(struct xpt_source *src, unsigned int n)
{
    xpt_write32(src->bar + ROCKER_RAISE, n);
}

/* There is no level. */
void xpt_rocker_lower(struct xpt_source *src, unsigned int n)
{
    (void)src;
    (void)n;
}

/*
 * ioh3420, a root port: any write of its slot's control register is a command,
 * complete at once.
 */
#define EXP_SLTCTL              0x18
#define  EXP_SLTCTL_CCIE        0x0010
#define  EXP_SLTCTL_HPIE        0x0020
#define EXP_SLTSTA              0x1a
#define  EXP_SLTSTA_CC          0x0010

bool xpt_ioh3420_init(struct xpt_source *src)
{
    return xpt_pci_cap(src->bdf, PCI_CAP_ID_EXP);
}

void xpt_ioh3420_raise(struct xpt_source *src, unsigned int n)
{
    uint8_t reg = xpt_pci_cap(src->bdf, PCI_CAP_ID_EXP) + EXP_SLTCTL;

    (void)n; /* There is one. */

    xpt_pci_write16(src->bdf, reg,
                    xpt_pci_read16(src->bdf, reg) |
                    EXP_SLTCTL_CCIE | EXP_SLTCTL_HPIE);
}

void xpt_ioh3420_lower(struct xpt_source *src, unsigned int n)
{
    (void)n; /* There is one. */

    xpt_pci_write16(src->bdf,
                    xpt_pci_cap(src->bdf, PCI_CAP_ID_EXP) + EXP_SLTSTA,
                    EXP_SLTSTA_CC);
}

/*
 * xhci: an interrupter is raised by handing it back an event which is not the
 * last one that it has got.
 */
#define XHCI_USBCMD             0x40
#define  XHCI_USBCMD_RESET      0x2
#define  XHCI_USBCMD_INTE       0x4
#define XHCI_IMAN(n)            (0x1020 + 0x20 * (n))
#define  XHCI_IMAN_PENDING      0x1
#define  XHCI_IMAN_ENABLE       0x2
#define XHCI_ERSTSZ(n)          (XHCI_IMAN(n) + 0x08)
#define XHCI_ERSTBA(n)          (XHCI_IMAN(n) + 0x10)
#define XHCI_ERDP(n)            (XHCI_IMAN(n) + 0x18)
#define  XHCI_ERDP_BUSY         0x8

#define XHCI_NR_EVENTS          16
#define XHCI_EVENT_SIZE         16

static uint8_t xhci_events[XHCI_NR_EVENTS * XHCI_EVENT_SIZE]
    __attribute__((__aligned__(64)));

/* The one segment of every interrupter's ring. */
static struct {
    uint64_t base;
    uint32_t size, rsvd;
} xhci_segment __attribute__((__aligned__(64)));

bool xpt_xhci_init(struct xpt_source *src)
{
    unsigned int i;

    xpt_write32(src->bar + XHCI_USBCMD, XHCI_USBCMD_RESET);

    xhci_segment.base = _u(xhci_events);
    xhci_segment.size = XHCI_NR_EVENTS;

    for ( i = 0; i < src->nr; ++i )
    {
        xpt_write32(src->bar + XHCI_ERSTSZ(i), 1);
        xpt_write32(src->bar + XHCI_ERDP(i), _u(xhci_events));
        xpt_write32(src->bar + XHCI_ERDP(i) + 4, 0);
        xpt_write32(src->bar + XHCI_ERSTBA(i), _u(&xhci_segment));
        xpt_write32(src->bar + XHCI_ERSTBA(i) + 4, 0);
    }

    xpt_write32(src->bar + XHCI_USBCMD, XHCI_USBCMD_INTE);

    return xpt_read32(src->bar + XHCI_USBCMD) == XHCI_USBCMD_INTE;
}

void xpt_xhci_raise(struct xpt_source *src, unsigned int n)
{
    /* It has to find MSI-X enabled to use it. */
    xpt_write32(src->bar + XHCI_IMAN(n), XHCI_IMAN_ENABLE);
    xpt_write32(src->bar + XHCI_ERDP(n),
                (_u(xhci_events) + XHCI_EVENT_SIZE) | XHCI_ERDP_BUSY);
    xpt_write32(src->bar + XHCI_ERDP(n) + 4, 0);
}

void xpt_xhci_lower(struct xpt_source *src, unsigned int n)
{
    xpt_write32(src->bar + XHCI_IMAN(n),
                XHCI_IMAN_ENABLE | XHCI_IMAN_PENDING);
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
