/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Structs and numbers of Xen's public headers, against the library's.
 */

#include "layout.h"
#include "physdev-ops.h"

struct ours
{
    const char *name;
    struct place place;
};

#define OUR_PLACE(s, m, ours, first, last)                              \
    { #s "." #m,                                                        \
      { offsetof(struct ours, first),                                   \
        offsetof(struct ours, last) + sizeof(MEMBER(ours, last)) -      \
        offsetof(struct ours, first),                                   \
        IS_SIGNED(ours, first) } },
#define OUR_SIZE(s, ours) { #s, { 0, sizeof(struct ours), 0 } },

static const struct place xen_native[] = { NATIVE(XEN_PLACE, XEN_SIZE) };
static const struct ours our_native[] = { NATIVE(OUR_PLACE, OUR_SIZE) };
static const struct ours our_compat[] = { COMPAT(OUR_PLACE, OUR_SIZE) };

static void compare(const char *prefix, const struct ours *ours,
                    const struct place *xen)
{
    const struct place *our = &ours->place;
    const char *why = NULL;
    char name[96];

    snprintf(name, sizeof(name), "%s%s-is-laid-out-as-in-the-header", prefix,
             ours->name);
    if ( memcmp(our, xen, sizeof(*xen)) )
        why = wrong("%u bytes at %u, %ssigned; "
                    "the header has %u at %u, %ssigned",
                    our->size, our->offset, our->is_signed ? "" : "un",
                    xen->size, xen->offset, xen->is_signed ? "" : "un");
    report(name, why);
}

static void layouts(const char *file32)
{
    struct place xen_compat[ARRAY_SIZE(our_compat) + 1];
    FILE *file = fopen(file32, "rb");
    size_t nr = 0;

    if ( file )
    {
        nr = fread(xen_compat, sizeof(*xen_compat), ARRAY_SIZE(xen_compat),
                   file);
        fclose(file);
    }

    for ( size_t i = 0; i < ARRAY_SIZE(our_native); i++ )
        compare("", &our_native[i], &xen_native[i]);

    report("32-bit-headers-were-read",
           nr == ARRAY_SIZE(our_compat) ? NULL : wrong("%zu rows", nr));
    for ( size_t i = 0; i < nr && i < ARRAY_SIZE(our_compat); i++ )
        compare("32-bit-", &our_compat[i], &xen_compat[i]);
}

/* The library sees what the header's struct was filled with. */

static const char *setup_gsi_fields(void)
{
    const struct physdev_setup_gsi arg = {
        .gsi = 0x1234, .triggering = 1, .polarity = 0,
    };
    const struct physdev_setup_gsi low = {
        .gsi = 0x1234, .triggering = 0, .polarity = 1,
    };
    struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(&arg, 0x1235);

    REQUIRE(!call.rc && call.gsi == 0x1234 && call.mode == XPT_GSI_LEVEL,
            "%d %#x %#x", call.rc, call.gsi, call.mode);
    call = xpt_setup_gsi_parse(&low, 0x1235);
    REQUIRE(!call.rc && call.gsi == 0x1234 && call.mode == XPT_GSI_ACTIVE_LOW,
            "%d %#x %#x", call.rc, call.gsi, call.mode);

    return NULL;
}

#ifdef PHYSDEVOP_pci_device_reset
static const char *device_reset_fields(void)
{
    struct pci_device_reset arg = {
        .dev = { .seg = 0x1234, .bus = 0x56, .devfn = 0x78 },
    };
    uint32_t sbdf = 0, flags = UINT32_MAX;
    int rc = xpt_pci_device_reset_parse(&arg, &sbdf, &flags);

    REQUIRE(!rc && sbdf == 0x12345678 && !flags, "%d %#x %#x", rc, sbdf, flags);

    return NULL;
}

static const char *device_reset_kinds(void)
{
    static const uint32_t kinds[] = {
        PCI_DEVICE_RESET_COLD, PCI_DEVICE_RESET_WARM, PCI_DEVICE_RESET_HOT,
        PCI_DEVICE_RESET_FLR,
    };
    struct pci_device_reset arg = {};
    uint32_t sbdf, flags;
    unsigned int i;
    int rc;

    for ( i = 0; i < ARRAY_SIZE(kinds); i++ )
    {
        arg.flags = kinds[i];
        rc = xpt_pci_device_reset_parse(&arg, &sbdf, &flags);
        REQUIRE(!rc && flags == kinds[i], "%d, %#x for flags %#x", rc, flags,
                arg.flags);
    }

    for ( i = 0; i < 32; i++ )
    {
        int want = (1u << i) & PCI_DEVICE_RESET_MASK ? 0 : -XEN_EINVAL;

        arg.flags = 1u << i;
        rc = xpt_pci_device_reset_parse(&arg, &sbdf, &flags);
        REQUIRE(rc == want, "%d for flags %#x", rc, arg.flags);
    }

    return NULL;
}
#endif

#ifdef XEN_DOMCTL_gsi_permission
static const char *gsi_permission_fields(void)
{
    struct xen_domctl_gsi_permission arg = {
        .gsi = 0x12345678, .flags = XEN_DOMCTL_GSI_GRANT,
    };
    uint32_t gsi = 0, grant = 0;
    int rc = xpt_gsi_permission_parse(&arg, &gsi, &grant);

    REQUIRE(!rc && gsi == 0x12345678 && grant == 1, "%d %#x %#x", rc, gsi,
            grant);
    arg.flags = XEN_DOMCTL_GSI_REVOKE;
    rc = xpt_gsi_permission_parse(&arg, &gsi, &grant);
    REQUIRE(!rc && gsi == 0x12345678 && !grant, "%d %#x %#x", rc, gsi, grant);

    return NULL;
}

static const char *gsi_permission_flags(void)
{
    struct xen_domctl_gsi_permission arg = {};
    uint32_t gsi, grant;

    for ( unsigned int i = 0; i < 32; i++ )
    {
        int want = (1u << i) & XEN_DOMCTL_GSI_ACTION_MASK ? 0 : -XEN_EINVAL;
        int rc;

        arg.flags = 1u << i;
        rc = xpt_gsi_permission_parse(&arg, &gsi, &grant);
        REQUIRE(rc == want, "%d for flags %#x", rc, arg.flags);
    }

    return NULL;
}
#endif

/* Only a GSI can be told from the others: one that Xen emulates. */
static const char *map_types(void)
{
    static const struct
    {
        int type;
        int physical;
        int emulated;
    } rows[] = {
        { MAP_PIRQ_TYPE_MSI, XPT_PIRQ_PHYSICAL, -XEN_EINVAL },
        { MAP_PIRQ_TYPE_GSI, XPT_PIRQ_PHYSICAL, XPT_PIRQ_EMULATED },
        { MAP_PIRQ_TYPE_UNKNOWN, -XEN_EINVAL, -XEN_EINVAL },
        { MAP_PIRQ_TYPE_MSI_SEG, XPT_PIRQ_PHYSICAL, -XEN_EINVAL },
        { MAP_PIRQ_TYPE_MULTI_MSI, XPT_PIRQ_PHYSICAL, -XEN_EINVAL },
        { MAP_PIRQ_TYPE_MULTI_MSI + 1, -XEN_EINVAL, -XEN_EINVAL },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        int rc = xpt_map_pirq(0, XPT_TARGET_SELF, rows[i].type);

        REQUIRE(rc == rows[i].physical, "%d for type %d", rc, rows[i].type);
        rc = xpt_map_pirq(XPT_CALLER_HVM | XPT_CALLER_PIRQS, XPT_TARGET_SELF,
                          rows[i].type);
        REQUIRE(rc == rows[i].emulated, "%d for type %d", rc, rows[i].type);
    }

    return NULL;
}

static const struct
{
    const char *name;
    int number;
} errnos[] = {
#define __XEN__
#define XEN_ERRNO(name, value) { #name, value },
#include <public/errno.h>
#undef __XEN__
};

static bool has_errno(int number)
{
    for ( size_t i = 0; i < ARRAY_SIZE(errnos); i++ )
        if ( errnos[i].number == number )
            return true;

    return false;
}

/* What comes out of the library when a step of C's failed with this. */
static int through_gsi(int rc)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    /* Mapping: some outcomes of registering have a meaning of their own. */
    xpt_gsi_unmask(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, rc, &act);

    return act.kind == XPT_GSI_DONE ? act.rc : INT_MAX;
}

/* The same, of one that the library kept while C took the step back. */
static int through_rollback(int rc)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    xpt_gsi_unmask(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, rc, &act);
    if ( act.kind != XPT_GSI_UNMAP )
        return INT_MAX;
    xpt_gsi_complete(&table, &pin, 0, &act);

    return act.kind == XPT_GSI_DONE ? act.rc : INT_MAX;
}

/* The same, of giving a pin another mode. */
static int through_reprogram(int rc)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    xpt_gsi_setup(&table, &pin, 0, &act);
    xpt_gsi_complete(&table, &pin, 0, &act);
    xpt_gsi_unmask(&table, &pin, XPT_GSI_LEVEL, &act);
    if ( act.kind != XPT_GSI_REPROGRAM )
        return INT_MAX;
    xpt_gsi_complete(&table, &pin, rc, &act);

    return act.kind == XPT_GSI_DONE ? act.rc : INT_MAX;
}

/* The same, of either step of an unmap. */
static int through_unmap(int rc, enum xpt_gsi step)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    xpt_gsi_unmask(&table, &pin, 0, &act);
    for ( unsigned int i = 0; i < 3; i++ )
        xpt_gsi_complete(&table, &pin, 0, &act);
    xpt_gsi_unmap(&table, &pin, &act);
    if ( step == XPT_GSI_UNMAP )
        xpt_gsi_complete(&table, &pin, 0, &act);
    if ( act.kind != step )
        return INT_MAX;
    xpt_gsi_complete(&table, &pin, rc, &act);

    return act.kind == XPT_GSI_DONE ? act.rc : INT_MAX;
}

static int through_vpci(int rc)
{
    const uint64_t sizes[XPT_NR_BARS] = {};
    const struct xpt_snapshot snapshot = { .msi_pos = 0x50, .msi_vectors = 1 };
    struct xpt_device device;
    struct xpt_vpci_action act;

    /* A reset releases the vectors, which C could not. */
    if ( xpt_device_init(&device, &snapshot, &sizes) )
        return INT_MAX;
    xpt_device_attach(&device, XPT_OWNER_HARDWARE, &act);
    xpt_device_probed(&device, NULL, &snapshot, &act);
    device.msi.enabled = 1;
    xpt_device_reset(&device, NULL, 0, &act);
    if ( act.kind != XPT_VPCI_MSI_DISABLE )
        return INT_MAX;
    xpt_device_complete(&device, NULL, rc, &act);

    return act.kind == XPT_VPCI_DONE ? act.rc : INT_MAX;
}

static const char *errno_passes(int rc, int want)
{
    int got = through_gsi(rc);

    REQUIRE(got == want, "%d for %d through a GSI", got, rc);
    got = through_rollback(rc);
    REQUIRE(got == want, "%d for %d through a rollback", got, rc);
    got = through_reprogram(rc);
    REQUIRE(got == want, "%d for %d through a reprogram", got, rc);
    got = through_unmap(rc, XPT_GSI_UNBIND);
    REQUIRE(got == want, "%d for %d through an unbind", got, rc);
    got = through_unmap(rc, XPT_GSI_UNMAP);
    REQUIRE(got == want, "%d for %d through an unmap", got, rc);
    got = through_vpci(rc);
    REQUIRE(got == want, "%d for %d through a device", got, rc);

    return NULL;
}

static const char *named_errnos(void)
{
    REQUIRE(ARRAY_SIZE(errnos) > 50, "%zu", ARRAY_SIZE(errnos));
    for ( size_t i = 0; i < ARRAY_SIZE(errnos); i++ )
        TRY(errno_passes(-errnos[i].number, -errnos[i].number));

    return NULL;
}

static const char *nameless_errnos(void)
{
    TRY(errno_passes(INT_MIN, -XEN_EIO));
    for ( int number = 1; number <= 4096; number++ )
        if ( !has_errno(number) )
            TRY(errno_passes(-number, -XEN_EIO));

    return NULL;
}

static const struct check checks[] = {
    { "setup_gsi-is-read-by-the-headers-members", setup_gsi_fields },
#ifdef PHYSDEVOP_pci_device_reset
    { "pci_device_reset-is-read-by-the-headers-members", device_reset_fields },
    { "pci_device_reset-takes-the-headers-flags", device_reset_kinds },
#endif
#ifdef XEN_DOMCTL_gsi_permission
    { "gsi_permission-is-read-by-the-headers-members", gsi_permission_fields },
    { "gsi_permission-takes-the-headers-flags", gsi_permission_flags },
#endif
    { "map_pirq-takes-the-headers-types", map_types },
    { "error-numbers-of-the-header-come-back", named_errnos },
    { "error-numbers-of-no-header-come-back-as-EIO", nameless_errnos },
};

int main(int argc, char *argv[])
{
    start();

    if ( argc != 2 )
    {
        fprintf(stderr, "usage: %s LAYOUT32\n", argv[0]);
        return 2;
    }

    layouts(argv[1]);

    for ( size_t i = 0; i < ARRAY_SIZE(physdev_ops); i++ )
    {
        char name[64];

        snprintf(name, sizeof(name), "PHYSDEVOP_%s-has-the-headers-number",
                 physdev_ops[i].name);
        report(name, check_gate(physdev_ops[i].number, physdev_ops[i].who));
    }

    run_checks(checks, ARRAY_SIZE(checks));

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
