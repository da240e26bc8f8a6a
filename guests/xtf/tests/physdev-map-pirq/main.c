/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PHYSDEVOP_map_pirq and PHYSDEVOP_unmap_pirq from a hardware domain without
 * PIRQs: for other domains they work whether or not those have PIRQs, towards
 * itself they are refused.
 */
#include "../xpt/domain.h"

const char test_title[] = "PHYSDEVOP_{map,unmap}_pirq";
const char xpt_test[] = "physdev-map-pirq";

#define DOMID_HW        0

#define GSI_SELF        18
#define GSI_OTHER       20

static void check(const char *who, const char *what, long want, long rc)
{
    char name[40];

    snprintf(name, sizeof(name), "%s-%s", who, what);
    xpt_check_rc(name, want, rc);
}

static long map(uint16_t domid, int type, int index)
{
    int pirq = -1;

    return xpt_map_pirq(domid, type, index, &pirq);
}

static void test_self(const char *who, uint16_t domid)
{
    int pirq = -1;
    long rc = xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, GSI_SELF, &pirq);

    check(who, "map", -95, rc);

    /* A Xen which maps it has to undo it for the next call to count. */
    check(who, "unmap", -95, xpt_unmap_pirq(domid, rc ? GSI_SELF : pirq));
}

static void test_other(const char *who, uint32_t emulation_flags)
{
    long domid = xpt_domain_create(emulation_flags, XPT_CDF_HVM_HAP);
    int pirq = -1;
    long rc;

    /* Before 4.20 an HVM guest without PIRQs can only be a PVH one. */
    if ( domid == -95 )
        domid = xpt_domain_create(XPT_EMU_LAPIC, XPT_CDF_HVM_HAP);
    if ( domid < 0 )
        return xtf_error("Error: no domain for '%s': %ld\n", who, domid);

    check(who, "map-type-99", -22, map(domid, 99, GSI_OTHER));
    check(who, "map-gsi-negative", -22, map(domid, XPT_MAP_PIRQ_TYPE_GSI, -1));
    check(who, "map-gsi-7fffffff", -22,
          map(domid, XPT_MAP_PIRQ_TYPE_GSI, 0x7fffffff));

    /* The refused calls took nothing which the good one needs. */
    rc = xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, GSI_OTHER, &pirq);
    check(who, "map", 0, rc);
    check(who, "unmap", 0, xpt_unmap_pirq(domid, pirq));
    check(who, "unmap-again", -22, xpt_unmap_pirq(domid, pirq));
    check(who, "unmap-negative", -22, xpt_unmap_pirq(domid, -1));
    check(who, "unmap-7fffffff", -22, xpt_unmap_pirq(domid, 0x7fffffff));

    /* Nor did unmapping. */
    pirq = -1;
    rc = xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, GSI_OTHER, &pirq);
    check(who, "map-once-more", 0, rc);
    check(who, "unmap-once-more", 0, xpt_unmap_pirq(domid, pirq));

    rc = xpt_domain_destroy(domid);
    if ( rc )
        xtf_error("Error: destroying d%ld: %ld\n", domid, rc);
}

void test_main(void)
{
    xpt_check_rc("map-bad-pointer", -14,
                 hypercall_physdev_op(XPT_PHYSDEVOP_map_pirq, XPT_BAD_PTR));
    xpt_check_rc("unmap-bad-pointer", -14,
                 hypercall_physdev_op(XPT_PHYSDEVOP_unmap_pirq, XPT_BAD_PTR));

    test_self("self", DOMID_SELF);
    test_self("own-domid", DOMID_HW);

    xpt_check_rc("absent-map", -3,
                 map(XPT_DOMID_ABSENT, XPT_MAP_PIRQ_TYPE_GSI, GSI_OTHER));
    xpt_check_rc("absent-unmap", -3,
                 xpt_unmap_pirq(XPT_DOMID_ABSENT, GSI_OTHER));

    test_other("hvm-pirq", XPT_EMU_HVM | XPT_EMU_USE_PIRQ);
    test_other("hvm-no-pirq", XPT_EMU_HVM);

    /* Mapping for others does not open the way to itself. */
    test_self("self-after", DOMID_SELF);

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
