/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who reaches which physdev operation, and maps interrupts for whom.
 */

#include "physdev-ops.h"

static const int types[] = {
    INT_MIN, -1, MAP_PIRQ_TYPE_MSI, MAP_PIRQ_TYPE_GSI, MAP_PIRQ_TYPE_UNKNOWN,
    MAP_PIRQ_TYPE_MSI_SEG, MAP_PIRQ_TYPE_MULTI_MSI, 5, INT_MAX,
};

static bool is_type(int type)
{
    return type == MAP_PIRQ_TYPE_MSI || type == MAP_PIRQ_TYPE_GSI ||
           type == MAP_PIRQ_TYPE_MSI_SEG || type == MAP_PIRQ_TYPE_MULTI_MSI;
}

static const char *gate_without_name(void)
{
    for ( uint32_t op = 0; op <= 40; op++ )
    {
        bool named = false;

        for ( size_t i = 0; i < ARRAY_SIZE(physdev_ops); i++ )
            named |= physdev_ops[i].number == op;
        if ( !named )
            TRY(check_gate(op, WHO_NOBODY));
    }

    TRY(check_gate(INT32_MAX, WHO_NOBODY));
    TRY(check_gate((uint32_t)INT32_MIN, WHO_NOBODY));

    return check_gate(UINT32_MAX, WHO_NOBODY);
}

static const char *gate_flags(void)
{
    for ( uint32_t op = 0; op <= 40; op++ )
        for ( unsigned int bit = 0; bit < 32; bit++ )
        {
            int rc;

            if ( CALLER_ALL & (1u << bit) )
                continue;
            rc = xpt_physdev_gate(op, 1u << bit);
            REQUIRE(rc == -XEN_EINVAL, "%d for op %u, bit %u", rc, op, bit);
            rc = xpt_physdev_gate(op, CALLER_ALL | 1u << bit);
            REQUIRE(rc == -XEN_EINVAL, "%d for op %u, bit %u", rc, op, bit);
        }

    return NULL;
}

/* One row for each caller: what it gets for itself. */
static const struct caller
{
    const char *name;
    uint32_t flags;
    int gsi, message, nonsense, unmap;
} callers[] = {
#define PHYSICAL XPT_PIRQ_PHYSICAL, XPT_PIRQ_PHYSICAL, -XEN_EINVAL, \
                 XPT_PIRQ_PHYSICAL
#define EMULATED XPT_PIRQ_EMULATED, -XEN_EINVAL, -XEN_EINVAL, XPT_PIRQ_EMULATED
#define REFUSED(e) -(e), -(e), -(e), -(e)
    { "pv", 0, PHYSICAL },
    { "pv-with-pirqs", XPT_CALLER_PIRQS, PHYSICAL },
    { "pv-hardware-domain", XPT_CALLER_HARDWARE, PHYSICAL },
    { "pv-hardware-domain-with-pirqs", XPT_CALLER_HARDWARE | XPT_CALLER_PIRQS,
      PHYSICAL },
    { "hvm", XPT_CALLER_HVM, REFUSED(XEN_EPERM) },
    { "hvm-with-pirqs", XPT_CALLER_HVM | XPT_CALLER_PIRQS, EMULATED },
    { "hvm-hardware-domain", XPT_CALLER_HVM | XPT_CALLER_HARDWARE,
      REFUSED(XEN_EOPNOTSUPP) },
    { "hvm-hardware-domain-with-pirqs", CALLER_ALL, EMULATED },
};

static const char *for_itself(const struct caller *caller)
{
    for ( uint32_t target = 0; target <= TARGET_ALL; target++ )
    {
        int rc;

        if ( !(target & XPT_TARGET_SELF) )
            continue;

        for ( size_t i = 0; i < ARRAY_SIZE(types); i++ )
        {
            int want = types[i] == MAP_PIRQ_TYPE_GSI ? caller->gsi :
                       is_type(types[i]) ? caller->message : caller->nonsense;

            rc = xpt_map_pirq(caller->flags, target, types[i]);
            REQUIRE(rc == want, "%d for type %d", rc, types[i]);
        }

        rc = xpt_unmap_pirq(caller->flags, target);
        REQUIRE(rc == caller->unmap, "%d for an unmap", rc);
    }

    return NULL;
}

static const char *for_another(const struct caller *caller)
{
    for ( uint32_t target = 0; target <= TARGET_ALL; target++ )
    {
        int rc;

        if ( target & XPT_TARGET_SELF )
            continue;

        for ( size_t i = 0; i < ARRAY_SIZE(types); i++ )
        {
            int want = is_type(types[i]) ? XPT_PIRQ_PHYSICAL : -XEN_EINVAL;

            rc = xpt_map_pirq(caller->flags, target, types[i]);
            REQUIRE(rc == want, "%d for type %d, target %#x", rc, types[i],
                    target);
        }

        rc = xpt_unmap_pirq(caller->flags, target);
        REQUIRE(rc == XPT_PIRQ_PHYSICAL, "%d for an unmap", rc);
    }

    return NULL;
}

static const char *refuses(uint32_t caller, uint32_t target)
{
    int rc;

    for ( size_t i = 0; i < ARRAY_SIZE(types); i++ )
    {
        rc = xpt_map_pirq(caller, target, types[i]);
        REQUIRE(rc == -XEN_EINVAL, "%d for caller %#x, target %#x, type %d", rc,
                caller, target, types[i]);
    }

    rc = xpt_unmap_pirq(caller, target);
    REQUIRE(rc == -XEN_EINVAL, "%d for caller %#x, target %#x", rc, caller,
            target);

    return NULL;
}

static const char *verdict_flags(void)
{
    for ( unsigned int bit = 0; bit < 32; bit++ )
        for ( uint32_t caller = 0; caller <= CALLER_ALL; caller++ )
            for ( uint32_t target = 0; target <= TARGET_ALL; target++ )
            {
                uint32_t flag = 1u << bit;

                if ( !(CALLER_ALL & flag) )
                    TRY(refuses(caller | flag, target));
                if ( !(TARGET_ALL & flag) )
                    TRY(refuses(caller, target | flag));
                if ( !((CALLER_ALL | TARGET_ALL) & flag) )
                    TRY(refuses(caller | flag, target | flag));
            }

    return NULL;
}

static const int accesses[] = { 1, 2, 0x100, -1, INT_MAX, INT_MIN };

static const char *permission_granted(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(accesses); i++ )
    {
        int rc = xpt_gsi_permission(1, accesses[i]);

        REQUIRE(rc == 1, "%d for access %d", rc, accesses[i]);
    }

    return NULL;
}

static const char *permission_revoked(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(accesses); i++ )
    {
        int rc = xpt_gsi_permission(0, accesses[i]);

        REQUIRE(!rc, "%d for access %d", rc, accesses[i]);
    }

    return NULL;
}

static const char *permission_refused(void)
{
    for ( uint32_t grant = 0; grant < 2; grant++ )
    {
        int rc = xpt_gsi_permission(grant, 0);

        REQUIRE(rc == -XEN_EPERM, "%d for grant %u", rc, grant);
    }

    return NULL;
}

static const char *permission_numbers(void)
{
    for ( unsigned int bit = 1; bit < 32; bit++ )
        for ( uint32_t low = 0; low < 2; low++ )
            for ( int access = 0; access < 2; access++ )
            {
                int rc = xpt_gsi_permission(1u << bit | low, access);

                REQUIRE(rc == -XEN_EINVAL, "%d for bit %u, access %d", rc, bit,
                        access);
            }

    REQUIRE(xpt_gsi_permission(UINT32_MAX, 1) == -XEN_EINVAL, "all bits");

    return NULL;
}

static const struct check checks[] = {
    { "gate-is-closed-to-numbers-without-a-name", gate_without_name },
    { "gate-refuses-unknown-flags", gate_flags },
    { "verdicts-refuse-unknown-flags", verdict_flags },
    { "permission-is-given-by-callers-that-have-access", permission_granted },
    { "permission-is-taken-by-callers-that-have-access", permission_revoked },
    { "permission-is-EPERM-to-callers-without-access", permission_refused },
    { "permission-refuses-unknown-numbers", permission_numbers },
};

int main(void)
{
    char name[96];

    start();

    for ( size_t i = 0; i < ARRAY_SIZE(physdev_ops); i++ )
    {
        static const char *const whom[] = {
            [WHO_NOBODY] = "closed",
            [WHO_PIRQS] = "open-to-callers-with-pirqs",
            [WHO_HARDWARE] = "open-to-the-hardware-domain",
            [WHO_ANYBODY] = "open",
        };

        snprintf(name, sizeof(name), "gate-of-%s-is-%s", physdev_ops[i].name,
                 whom[physdev_ops[i].who]);
        report(name, check_gate(physdev_ops[i].number, physdev_ops[i].who));
    }

    for ( size_t i = 0; i < ARRAY_SIZE(callers); i++ )
    {
        snprintf(name, sizeof(name), "verdicts-on-%s-for-itself",
                 callers[i].name);
        report(name, for_itself(&callers[i]));
        snprintf(name, sizeof(name), "verdicts-on-%s-for-another",
                 callers[i].name);
        report(name, for_another(&callers[i]));
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
