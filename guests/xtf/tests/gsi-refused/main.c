/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A GSI which cannot be mapped or bound for the hardware domain when its pin
 * is unmasked, and can when it is unmasked again.
 *
 * Binding fails while a domain has the GSI, as the pin is edge triggered and
 * Xen does not share those.  Mapping fails while Xen has no memory.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.
 */
#include "../xpt/domain.h"
#include "../xpt/line.h"

const char test_title[] = "GSIs which cannot be bound at first";
const char xpt_test[] = "gsi-refused";

#define GUEST_SLOT      4

#define XPT_HYPERVISOR_memory_op            12
#define XPT_XENMEM_increase_reservation     0

/* Extents which are asked for at once. */
#define PORTION         16

struct xpt_memory_reservation {
    uint64_t extents;
    unsigned long nr_extents;
    uint32_t order, flags;
    uint16_t domid;
};

static void destroy(uint16_t domid)
{
    long rc = xpt_domain_destroy(domid);

    if ( rc )
        xtf_error("Error: destroying d%u: %ld\n", domid, rc);
}

/* Gives a domain pages without a place in it, until there are none. */
static void take_pages(uint16_t domid)
{
    static const unsigned int orders[] = { 9, 4, 0 };
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(orders); ++i )
    {
        struct xpt_memory_reservation res = {
            .nr_extents = PORTION,
            .order      = orders[i],
            .domid      = domid,
        };

        while ( HYPERCALL2(long, XPT_HYPERVISOR_memory_op,
                           XPT_XENMEM_increase_reservation, &res) == PORTION )
            ;
    }
}

/*
 * What Xen has in hand for small objects goes to a list of every other I/O
 * port.  Returns the last answer, which is to be -12.
 */
static long take_rest(uint16_t domid)
{
    unsigned int port;
    long rc = 0;

    for ( port = 0; port < 0x10000 && rc != -12; port += 2 )
    {
        struct xpt_domctl op = {
            .u.ioport_permission = {
                .first_port = port,
                .nr_ports   = 1,
                .allow      = 1,
            },
        };

        rc = xpt_domctl(XPT_DOMCTL_ioport_permission, domid, &op);
    }

    return rc;
}

static void test_map(const struct xpt_line *line)
{
    struct xpt_domctl op = { .u.max_memkb = 1ul << 30 };
    long domid = xpt_domain_create_guest();
    long rc;

    if ( domid < 0 )
        return;

    rc = xpt_domctl(XPT_DOMCTL_max_mem, domid, &op);
    if ( rc )
        return xtf_error("Error: memory for d%ld: %ld\n", domid, rc);

    take_pages(domid);
    xpt_check_rc("map-no-memory", -12, take_rest(domid));

    xpt_line_mask(line, false);
    xpt_check("map-refused", "lost", "%s", xpt_line_raise(line));
    xpt_line_mask(line, true);
    take_rest(domid);
    xpt_line_mask(line, false);
    xpt_check("map-refused-again", "lost", "%s", xpt_line_raise(line));

    destroy(domid);

    xpt_check_remask("map-retry", line);
    xpt_check_raise("map-retry-second", line);
}

static void test_bind(struct xpt_line *line)
{
    long domid = xpt_domain_create_guest();
    int pirq = -1;

    if ( domid < 0 )
        return;

    line->mode = VIOAPIC_EDGE_HIGH;
    xpt_line_mask(line, true);

    xpt_check_rc("bind-map", 0, xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI,
                                             line->gsi, &pirq));
    xpt_check_rc("bind-bind", 0, xpt_bind_pirq(domid, pirq, GUEST_SLOT));

    xpt_line_mask(line, false);
    xpt_check("bind-refused", "lost", "%s", xpt_line_raise(line));
    xpt_line_mask(line, true);
    xpt_line_mask(line, false);
    xpt_check("bind-refused-again", "lost", "%s", xpt_line_raise(line));

    /* Which needs the hardware domain's access to the interrupt. */
    xpt_check_rc("bind-unbind", 0, xpt_unbind_pirq(domid, pirq, GUEST_SLOT));
    xpt_check_rc("bind-unmap", 0, xpt_unmap_pirq(domid, pirq));

    xpt_check_remask("bind-retry", line);
    xpt_check_raise("bind-retry-second", line);

    destroy(domid);
}

void test_main(void)
{
    if ( !xpt_lines_init() )
        return;

    /* First, as a domain which is gone gives memory back for a while. */
    test_map(&xpt_slot7);
    test_bind(&xpt_slot5);

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
