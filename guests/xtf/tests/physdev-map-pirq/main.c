/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PHYSDEVOP_map_pirq and PHYSDEVOP_unmap_pirq from a hardware domain without
 * PIRQs: for other domains they work whether or not those have PIRQs, towards
 * itself they are refused.
 */
#include "../xpt/xpt.h"

const char test_title[] = "PHYSDEVOP_{map,unmap}_pirq";
const char xpt_test[] = "physdev-map-pirq";

#define DOMID_HW        0
#define DOMID_ABSENT    0x7000

#define GSI_SELF        18
#define GSI_OTHER       20

/* HYPERVISOR_domctl is not a stable ABI: its version decides the layout. */
#define DOMCTL_createdomain     1
#define DOMCTL_destroydomain    2

#define CDF_HVM_HAP     0x3

#define EMU_LAPIC       0x001   /* What a PVH guest has. */
#define EMU_HVM         0x1ff   /* A full HVM guest, without PIRQs. */
#define EMU_USE_PIRQ    0x200

struct domctl {
    uint32_t cmd, version;
    uint16_t domid, pad[3];
    union {
        struct {
            uint32_t ssidref;
            uint8_t handle[16];
            uint32_t flags, iommu_opts, max_vcpus, max_evtchn_port;
            int32_t max_grant_frames, max_maptrack_frames;
            uint32_t grant_opts;
            /*
             * 0x15: vmtrace_size, cpupool_id, emulation_flags, misc_flags.
             * 0x17: altp2m_opts before them.
             */
            uint32_t tail[5];
        } create;
        uint8_t size[128];
    } u;
};

static const struct {
    uint32_t version;
    unsigned int emulation_flags; /* Index into tail[]. */
} abis[] = {
    { 0x15, 2 }, /* 4.17 */
    { 0x17, 3 }, /* 4.20 */
};

static uint32_t domctl_version;

/* Returns the new domain's domid or a negative errno value. */
static long create_domain(uint32_t emulation_flags)
{
    unsigned int i;
    long rc = -1;

    for ( i = 0; i < ARRAY_SIZE(abis); ++i )
    {
        struct domctl op = {
            .cmd     = DOMCTL_createdomain,
            .version = abis[i].version,
            .u.create = {
                .flags               = CDF_HVM_HAP,
                .max_vcpus           = 1,
                .max_evtchn_port     = 1023,
                .max_grant_frames    = -1, /* The hypervisor's default. */
                .max_maptrack_frames = -1,
                .grant_opts          = 1,
            },
        };

        op.u.create.tail[abis[i].emulation_flags] = emulation_flags;

        rc = HYPERCALL1(long, __HYPERVISOR_domctl, &op);
        if ( rc == -13 ) /* Not this Xen's version. */
            continue;

        domctl_version = abis[i].version;

        return rc ? rc : op.domid;
    }

    return rc;
}

static long destroy_domain(uint16_t domid)
{
    struct domctl op = {
        .cmd     = DOMCTL_destroydomain,
        .version = domctl_version,
        .domid   = domid,
    };
    unsigned int tries = 1000;
    long rc;

    /* -85: not finished, Xen wants to be called again. */
    do {
        rc = HYPERCALL1(long, __HYPERVISOR_domctl, &op);
    } while ( rc == -85 && --tries );

    return rc;
}

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
    long domid = create_domain(emulation_flags);
    int pirq = -1;
    long rc;

    /* Before 4.20 an HVM guest without PIRQs can only be a PVH one. */
    if ( domid == -95 )
        domid = create_domain(EMU_LAPIC);
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

    rc = destroy_domain(domid);
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
                 map(DOMID_ABSENT, XPT_MAP_PIRQ_TYPE_GSI, GSI_OTHER));
    xpt_check_rc("absent-unmap", -3, xpt_unmap_pirq(DOMID_ABSENT, GSI_OTHER));

    test_other("hvm-pirq", EMU_HVM | EMU_USE_PIRQ);
    test_other("hvm-no-pirq", EMU_HVM);

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
