/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device's GSI is lent to a domain and given back: the hardware domain gets
 * its interrupt then, whether or not it had used the GSI before.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.
 */
#include "../xpt/domain.h"
#include "../xpt/line.h"

const char test_title[] = "GSIs lent to a domain and given back";
const char xpt_test[] = "gsi-lent";

#define GRANT           1
#define REVOKE          0

/* Where the firmware puts the timer's IRQ 0, which is nobody's but Xen's. */
#define GSI_TIMER       2

/* No device raises it. */
#define GSI_IDLE        22

/* Enough for an interrupt to reach the domain. */
#define UNSEEN_TURNS    2000

/* The device's slot in the domain which gets it. */
#define GUEST_SLOT      4

static void check_rc(const char *who, const char *what, long want, long rc)
{
    char name[40];

    snprintf(name, sizeof(name), "%s-%s", who, what);
    xpt_check_rc(name, want, rc);
}

/* Nothing but Xen's own lists shows what the domain has. */
static void check_access(const char *who, const char *what, const char *want,
                         uint16_t domid)
{
    char name[40];

    snprintf(name, sizeof(name), "%s-%s", who, what);
    xpt_check(name, want, "%s", xpt_domain_interrupts(domid));
}

static void test_permission(uint16_t domid, uint8_t gsi)
{
    xpt_check_rc("permission-flags-2", -22, xpt_gsi_permission(domid, gsi, 2));
    xpt_check_rc("permission-flags-ffffffff", -22,
                 xpt_gsi_permission(domid, gsi, ~0u));
    xpt_check_rc("permission-gsi-beyond", -34,
                 xpt_gsi_permission(domid, vioapic_nr_pins(), GRANT));
    xpt_check_rc("permission-gsi-ffffffff", -34,
                 xpt_gsi_permission(domid, ~0u, GRANT));
    xpt_check_rc("permission-gsi-timer", -22,
                 xpt_gsi_permission(domid, GSI_TIMER, GRANT));
    xpt_check_rc("permission-absent-domain", -3,
                 xpt_gsi_permission(XPT_DOMID_ABSENT, gsi, GRANT));

    check_access("permission", "granted-none", "{ }", domid);
    xpt_check_rc("permission-grant", 0, xpt_gsi_permission(domid, gsi, GRANT));
    check_access("permission", "granted", "{ 21 }", domid);
    xpt_check_rc("permission-grant-again", 0,
                 xpt_gsi_permission(domid, gsi, GRANT));
    check_access("permission", "granted-again", "{ 21 }", domid);
    xpt_check_rc("permission-revoke", 0,
                 xpt_gsi_permission(domid, gsi, REVOKE));
    check_access("permission", "revoked", "{ }", domid);
    xpt_check_rc("permission-revoke-again", 0,
                 xpt_gsi_permission(domid, gsi, REVOKE));
}

/* Only what the hardware domain has access to is its to give. */
static void test_own_permission(uint16_t domid)
{
    int pirq = -1;

    xpt_check_rc("own-revoke", 0, xpt_gsi_permission(0, GSI_IDLE, REVOKE));
    xpt_check_rc("own-revoked-grant", -1,
                 xpt_gsi_permission(domid, GSI_IDLE, GRANT));
    xpt_check_rc("own-revoked-map", -1,
                 xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, GSI_IDLE, &pirq));
    xpt_check_rc("own-grant", -1, xpt_gsi_permission(0, GSI_IDLE, GRANT));
    check_access("own", "others-unchanged", "{ }", domid);
}

/* As a toolstack does it for a device's legacy interrupt. */
static int lend(const char *who, uint16_t domid, uint8_t gsi)
{
    int pirq = -1;

    check_rc(who, "map", 0,
             xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, gsi, &pirq));
    check_rc(who, "grant", 0, xpt_gsi_permission(domid, gsi, GRANT));
    check_rc(who, "bind", 0, xpt_bind_pirq(domid, pirq, GUEST_SLOT));

    return pirq;
}

static void give_back(const char *who, uint16_t domid, uint8_t gsi, int pirq)
{
    check_rc(who, "unbind", 0, xpt_unbind_pirq(domid, pirq, GUEST_SLOT));
    check_rc(who, "unmap", 0, xpt_unmap_pirq(domid, pirq));
    check_rc(who, "revoke", 0, xpt_gsi_permission(domid, gsi, REVOKE));
}

/* An interrupt which the domain gets, and never finishes. */
static void raise_unseen(const struct xpt_line *line)
{
    unsigned int turns;

    xpt_write32(line->edu + EDU_RAISE, 1);
    for ( turns = 0; turns < UNSEEN_TURNS; ++turns )
        hypercall_yield();
    xpt_write32(line->edu + EDU_ACK, 1);
}

/*
 * @who: in whose hands the GSI was before; the pin is masked.  The second
 * time nobody tidies up: the domain goes away with an interrupt in service.
 */
static void test_lend(const char *who, const char *who_again,
                      const struct xpt_line *line)
{
    long domid = xpt_domain_create_guest();
    char name[40];
    long rc;

    if ( domid < 0 )
        return;

    give_back(who, domid, line->gsi, lend(who, domid, line->gsi));

    xpt_line_mask(line, false);
    snprintf(name, sizeof(name), "%s-given-back", who);
    xpt_check_raise(name, line);
    xpt_line_mask(line, true);

    lend(who_again, domid, line->gsi);
    raise_unseen(line);

    rc = xpt_domain_destroy(domid);
    if ( rc )
        return xtf_error("Error: destroying d%ld: %ld\n", domid, rc);

    xpt_line_mask(line, false);
    snprintf(name, sizeof(name), "%s-domain-gone", who_again);
    xpt_check_raise(name, line);
    xpt_line_mask(line, true);
}

void test_main(void)
{
    const struct xpt_line *slot5 = &xpt_slot5, *slot7 = &xpt_slot7;
    long domid;

    if ( !xpt_lines_init() )
        return;

    domid = xpt_domain_create_guest();
    if ( domid < 0 )
        return;
    test_permission(domid, slot5->gsi);
    test_own_permission(domid);
    xpt_domain_destroy(domid);

    /* In use by the hardware domain before. */
    xpt_line_mask(slot5, false);
    xpt_check_raise("used-before", slot5);
    xpt_line_mask(slot5, true);
    test_lend("used", "used-again", slot5);

    /* Only set up, as pciback does it when it takes a device. */
    xpt_check_rc("set-up-setup", 0,
                 xpt_setup_gsi(slot7->gsi, XPT_LEVEL, XPT_LOW));
    test_lend("set-up", "set-up-again", slot7);

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
