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

static void destroy(uint16_t domid)
{
    long rc = xpt_domain_destroy(domid);

    if ( rc )
        xtf_error("Error: destroying d%u: %ld\n", domid, rc);
}

static void test_map(const struct xpt_line *line)
{
    long domid = xpt_domain_create_guest();

    if ( domid < 0 )
        return;

    xpt_domain_take_pages(domid);
    xpt_check_rc("map-no-memory", -12, xpt_domain_take_rest(domid));

    xpt_line_mask(line, false);
    xpt_check("map-refused", "lost", "%s", xpt_line_raise(line));
    xpt_line_mask(line, true);
    xpt_domain_take_rest(domid);
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
