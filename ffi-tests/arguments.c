/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arguments of hypercalls that name a device or a GSI.
 */

#include "check.h"

static const struct setup_gsi
{
    const char *name;
    struct xpt_physdev_setup_gsi arg;
    uint32_t nr_gsis;
    int rc;
    uint32_t mode;
} setup_gsis[] = {
    { "edge-high", { 16, 0, 0, 0 }, 24, 0, 0 },
    { "level-high", { 16, 1, 0, 0 }, 24, 0, XPT_GSI_LEVEL },
    { "edge-low", { 16, 0, 1, 0 }, 24, 0, XPT_GSI_ACTIVE_LOW },
    { "level-low", { 16, 1, 1, 0 }, 24, 0, XPT_GSI_LEVEL | XPT_GSI_ACTIVE_LOW },
    { "first-gsi", { 0, 1, 1, 0 }, 24, 0, XPT_GSI_LEVEL | XPT_GSI_ACTIVE_LOW },
    { "last-gsi", { 23, 0, 0, 0 }, 24, 0, 0 },
    { "largest-gsi", { INT_MAX, 0, 0, 0 }, UINT32_MAX, 0, 0 },
    { "padding-is-ignored", { 16, 0, 0, UINT16_MAX }, 24, 0, 0 },
    { "gsi-beyond-the-last", { 24, 0, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "gsi-of-a-host-without", { 0, 0, 0, 0 }, 0, -XEN_EINVAL, 0 },
    { "negative-gsi", { -1, 0, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "negative-gsi-below-any-limit", { -1, 0, 0, 0 }, UINT32_MAX, -XEN_EINVAL,
      0 },
    { "most-negative-gsi", { INT_MIN, 0, 0, 0 }, UINT32_MAX, -XEN_EINVAL, 0 },
    { "unknown-trigger", { 16, 2, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "largest-trigger", { 16, 255, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "unknown-polarity", { 16, 0, 2, 0 }, 24, -XEN_EINVAL, 0 },
    { "largest-polarity", { 16, 0, 255, 0 }, 24, -XEN_EINVAL, 0 },
};

#define UNTOUCHED 0xa5a5a5a5

/* Returns the argument at the end of accessible memory, not aligned. */
static void *at_odd_end(const void *arg, size_t size)
{
    char *mem = guarded(size + 1);

    memmove(mem + 1, arg, size);

    return mem + 1;
}

static const char *parsed_setup(const struct setup_gsi *row)
{
    size_t size = sizeof(row->arg);
    char *arg = at_odd_end(&row->arg, size);
    struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(arg, row->nr_gsis);

    REQUIRE(call.rc == row->rc, "%d instead of %d", call.rc, row->rc);
    REQUIRE(call.gsi == (call.rc ? 0 : (uint32_t)row->arg.gsi), "%#x",
            call.gsi);
    REQUIRE(call.mode == (call.rc ? 0 : row->mode), "%#x", call.mode);
    REQUIRE(!memcmp(arg, &row->arg, size), "changed");
    unguard(arg - 1, size + 1);

    return NULL;
}

static const char *setup_nulls(void)
{
    struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(NULL, 24);

    REQUIRE(call.rc == -XEN_EINVAL, "%d", call.rc);
    REQUIRE(!call.gsi && !call.mode, "%#x %#x", call.gsi, call.mode);

    return NULL;
}

static const struct gsi_permission
{
    const char *name;
    struct xpt_domctl_gsi_permission arg;
    int rc;
} gsi_permissions[] = {
    { "revoke", { 16, 0 }, 0 },
    { "grant", { 16, 1 }, 0 },
    { "revoke-of-the-first-gsi", { 0, 0 }, 0 },
    { "grant-of-the-first-gsi", { 0, 1 }, 0 },
    { "grant-of-the-largest-gsi", { UINT32_MAX, 1 }, 0 },
    { "revoke-of-the-largest-gsi", { UINT32_MAX, 0 }, 0 },
    { "unknown-flag", { 16, 2 }, -XEN_EINVAL },
    { "grant-with-an-unknown-flag", { 16, 3 }, -XEN_EINVAL },
    { "all-flags", { 16, UINT32_MAX }, -XEN_EINVAL },
};

static const char *parsed_permission(const struct gsi_permission *row)
{
    size_t size = sizeof(row->arg);
    char *arg = at_odd_end(&row->arg, size);
    uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;
    int rc = xpt_gsi_permission_parse(arg, &gsi, &grant);

    REQUIRE(rc == row->rc, "%d instead of %d", rc, row->rc);
    REQUIRE(gsi == (rc ? UNTOUCHED : row->arg.gsi), "%#x", gsi);
    REQUIRE(grant == (rc ? UNTOUCHED : row->arg.flags), "%#x", grant);
    REQUIRE(!memcmp(arg, &row->arg, size), "changed");
    unguard(arg - 1, size + 1);

    return NULL;
}

static const char *permission_flags(void)
{
    for ( unsigned int bit = 1; bit < 32; bit++ )
        for ( uint32_t action = 0; action < 2; action++ )
        {
            const struct xpt_domctl_gsi_permission arg = { 1,
                                                           1u << bit | action };
            uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;
            int rc = xpt_gsi_permission_parse(&arg, &gsi, &grant);

            REQUIRE(rc == -XEN_EINVAL, "%d for %#x", rc, arg.flags);
            REQUIRE(gsi == UNTOUCHED && grant == UNTOUCHED, "%#x, %#x", gsi,
                    grant);
        }

    return NULL;
}

static const char *permission_nulls(void)
{
    const struct xpt_domctl_gsi_permission good = { 1, 1 };
    uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;

    /* Every set of pointers but the whole. */
    for ( unsigned int set = 0; set < 7; set++ )
    {
        int rc = xpt_gsi_permission_parse(set & 1 ? &good : NULL,
                                          set & 2 ? &gsi : NULL,
                                          set & 4 ? &grant : NULL);

        REQUIRE(rc == -XEN_EINVAL, "%d for set %u", rc, set);
        REQUIRE(gsi == UNTOUCHED && grant == UNTOUCHED, "set %u", set);
    }

    return NULL;
}

static const char *parsed_reset(void)
{
    static const struct
    {
        struct xpt_pci_device_reset arg;
        uint32_t sbdf;
    } rows[] = {
        { { 0, 0, 0, 0 }, 0 },
        { { 0x1234, 0x56, 0x78, 1 }, 0x12345678 },
        { { 0xffff, 0xff, 0xff, 2 }, UINT32_MAX },
        { { 0x8000, 0, 0, 3 }, 0x80000000 },
        { { 0, 0x80, 0, 0 }, 0x8000 },
        { { 0, 0, 0x80, 0 }, 0x80 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        char *arg = at_odd_end(&rows[i].arg, sizeof(rows[i].arg));
        uint32_t sbdf = UNTOUCHED, flags = UNTOUCHED;
        int rc = xpt_pci_device_reset_parse(arg, &sbdf, &flags);

        REQUIRE(!rc && sbdf == rows[i].sbdf && flags == rows[i].arg.flags,
                "%d, %#x, %#x", rc, sbdf, flags);
        unguard(arg - 1, sizeof(rows[i].arg) + 1);
    }

    return NULL;
}

static const char *reset_flags(void)
{
    for ( unsigned int bit = 2; bit < 32; bit++ )
        for ( uint32_t kind = 0; kind < 4; kind++ )
        {
            const struct xpt_pci_device_reset arg = { 1, 2, 3,
                                                      1u << bit | kind };
            uint32_t sbdf = UNTOUCHED, flags = UNTOUCHED;
            int rc = xpt_pci_device_reset_parse(&arg, &sbdf, &flags);

            REQUIRE(rc == -XEN_EINVAL, "%d for %#x", rc, arg.flags);
            REQUIRE(sbdf == UNTOUCHED && flags == UNTOUCHED, "%#x, %#x", sbdf,
                    flags);
        }

    return NULL;
}

static const char *reset_nulls(void)
{
    const struct xpt_pci_device_reset good = {};
    uint32_t sbdf = UNTOUCHED, flags = UNTOUCHED;

    for ( unsigned int set = 0; set < 7; set++ )
    {
        int rc = xpt_pci_device_reset_parse(set & 1 ? &good : NULL,
                                            set & 2 ? &sbdf : NULL,
                                            set & 4 ? &flags : NULL);

        REQUIRE(rc == -XEN_EINVAL, "%d for set %u", rc, set);
        REQUIRE(sbdf == UNTOUCHED && flags == UNTOUCHED, "set %u", set);
    }

    return NULL;
}

static const struct check checks[] = {
    { "setup_gsi-without-a-pointer-is-EINVAL-and-writes-nothing", setup_nulls },
    { "gsi_permission-with-unknown-flags-is-EINVAL-and-writes-nothing",
      permission_flags },
    { "gsi_permission-without-a-pointer-is-EINVAL-and-writes-nothing",
      permission_nulls },
    { "pci_device_reset-packs-the-function", parsed_reset },
    { "pci_device_reset-with-unknown-flags-is-EINVAL-and-writes-nothing",
      reset_flags },
    { "pci_device_reset-without-a-pointer-is-EINVAL-and-writes-nothing",
      reset_nulls },
};

int main(void)
{
    char name[96];
    size_t i;

    start();

    run_checks(checks, ARRAY_SIZE(checks));

    for ( i = 0; i < ARRAY_SIZE(setup_gsis); i++ )
    {
        snprintf(name, sizeof(name), "setup_gsi-%s-is-%s", setup_gsis[i].name,
                 setup_gsis[i].rc ? "EINVAL-and-writes-nothing" : "read");
        report(name, parsed_setup(&setup_gsis[i]));
    }

    for ( i = 0; i < ARRAY_SIZE(gsi_permissions); i++ )
    {
        snprintf(name, sizeof(name), "gsi_permission-%s-is-%s",
                 gsi_permissions[i].name,
                 gsi_permissions[i].rc ? "EINVAL-and-writes-nothing" : "read");
        report(name, parsed_permission(&gsi_permissions[i]));
    }

    return finish();
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
