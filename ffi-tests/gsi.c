/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GSIs of a hardware domain, performed as Xen's side of the border does.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"

#define MODE_ALL (XPT_GSI_LEVEL | XPT_GSI_ACTIVE_LOW)
#define LEVEL_LOW MODE_ALL
#define EDGE_HIGH 0

enum event
{
    SETUP = 1,
    UNMASK,
    UNMAP,
};

static void begin(enum event event, const struct xpt_gsi_table *table,
                  struct xpt_gsi_pin *pin, uint32_t mode,
                  struct xpt_gsi_action *act)
{
    memset(act, 0xa5, sizeof(*act));
    if ( event == SETUP )
        xpt_gsi_setup(table, pin, mode, act);
    else if ( event == UNMASK )
        xpt_gsi_unmask(table, pin, mode, act);
    else
        xpt_gsi_unmap(table, pin, act);
}

static void complete(const struct xpt_gsi_table *table, struct xpt_gsi_pin *pin,
                     int rc, struct xpt_gsi_action *act)
{
    memset(act, 0xa5, sizeof(*act));
    xpt_gsi_complete(table, pin, rc, act);
}

static const char *expect(const struct xpt_gsi_action *act, enum xpt_gsi kind,
                          uint32_t mode, int rc)
{
    REQUIRE(act->kind == kind && act->mode == mode && act->rc == rc,
            "action %d, mode %#x, rc %d instead of %d, %#x, %d", act->kind,
            act->mode, act->rc, kind, mode, rc);

    return NULL;
}

static bool has_mode(enum xpt_gsi kind)
{
    return kind == XPT_GSI_REGISTER || kind == XPT_GSI_REPROGRAM;
}

/*
 * Stories: events in turn, for each the steps that C is asked for with what
 * they give, up to XPT_GSI_DONE with the outcome.
 */
struct story
{
    const char *name;
    struct call
    {
        enum event event;
        uint32_t mode;
        struct
        {
            enum xpt_gsi kind;
            int rc;
        } steps[5];
    } calls[5];
};

#define DONE(rc) { XPT_GSI_DONE, rc }
#define REGISTER(rc) { XPT_GSI_REGISTER, rc }
#define REPROGRAM(rc) { XPT_GSI_REPROGRAM, rc }
#define MAP(rc) { XPT_GSI_MAP, rc }
#define BIND(rc) { XPT_GSI_BIND, rc }
#define UNBIND(rc) { XPT_GSI_UNBIND, rc }
#define UNMAP(rc) { XPT_GSI_UNMAP, rc }

static const struct story stories[] = {
    { "unmask-of-a-new-pin-registers-maps-and-binds",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } } } },
    { "unmask-after-setup-binds",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmask-of-a-bound-pin-does-nothing",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } } } },
    { "unmask-of-a-bound-pin-with-another-mode-is-EBUSY-and-keeps-the-first",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { DONE(-XEN_EBUSY) } },
        { UNMASK, XPT_GSI_LEVEL, { DONE(-XEN_EBUSY) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } } } },
    { "unmask-of-a-bound-pin-registered-elsewhere-does-nothing",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(-XEN_EEXIST), MAP(0), BIND(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } },
        { UNMASK, EDGE_HIGH, { DONE(0) } } } },
    { "unmask-of-a-registered-pin-with-another-mode-reprograms-and-binds",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(0), MAP(0), BIND(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { DONE(0) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EBUSY) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmask-of-a-mapped-pin-with-another-mode-reprograms-and-binds",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(-XEN_ESRCH),
            DONE(-XEN_EBUSY) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(0), BIND(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { DONE(-XEN_EBUSY) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmask-that-cannot-reprogram-a-registered-pin-keeps-the-old-mode",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(-XEN_EBUSY), DONE(-XEN_EBUSY) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(-XEN_EEXIST), DONE(-XEN_EEXIST) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EBUSY) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmask-that-cannot-reprogram-a-mapped-pin-keeps-the-old-mode",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(-XEN_ESRCH),
            DONE(-XEN_EBUSY) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(-XEN_EBUSY), DONE(-XEN_EBUSY) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(-XEN_ENODEV), DONE(-XEN_ENODEV) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { BIND(0), DONE(0) } } } },
    { "reprogrammed-pin-keeps-its-mode-when-the-map-fails",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMASK, EDGE_HIGH,
          { REPROGRAM(0), MAP(-XEN_ENOMEM), DONE(-XEN_ENOMEM) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EBUSY) } },
        { UNMASK, EDGE_HIGH, { MAP(0), BIND(0), DONE(0) } } } },
    { "reprogrammed-pin-keeps-its-mode-when-the-bind-fails",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMASK, EDGE_HIGH,
          { REPROGRAM(0), MAP(0), BIND(-XEN_ENOMEM), UNMAP(0),
            DONE(-XEN_ENOMEM) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { REPROGRAM(0), MAP(0), BIND(0), DONE(0) } } } },
    { "unmap-of-a-bound-pin-unbinds-and-unmaps",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(0), DONE(0) } },
        { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmap-of-a-mapped-pin-unmaps",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(-XEN_ESRCH),
            DONE(-XEN_EBUSY) } },
        { UNMAP, 0, { UNMAP(0), DONE(0) } },
        { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmap-of-a-new-pin-is-EINVAL-and-leaves-it-new",
      { { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { SETUP, EDGE_HIGH, { REGISTER(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmap-of-a-registered-pin-is-EINVAL-and-leaves-it-registered",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmap-of-a-gsi-that-xen-uses-is-EINVAL",
      { { UNMASK, LEVEL_LOW, { REGISTER(-XEN_EBUSY), DONE(0) } },
        { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { UNMASK, EDGE_HIGH, { REGISTER(-XEN_EBUSY), DONE(0) } } } },
    { "unmap-after-a-bind-that-failed-is-EINVAL",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(0),
            DONE(-XEN_EBUSY) } },
        { UNMAP, 0, { DONE(-XEN_EINVAL) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmap-that-cannot-unbind-leaves-the-pin-bound",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(-XEN_ENOENT), DONE(-XEN_ENOENT) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } },
        { UNMAP, 0, { UNBIND(-XEN_EEXIST), DONE(-XEN_EEXIST) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(0), DONE(0) } } } },
    { "unmap-that-cannot-unmap-is-tried-again-from-the-unmap",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(-XEN_EBUSY), DONE(-XEN_EBUSY) } },
        { UNMAP, 0, { UNMAP(-XEN_EEXIST), DONE(-XEN_EEXIST) } },
        { UNMAP, 0, { UNMAP(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "pirq-that-an-unmap-left-is-bound-by-the-next-unmask",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(-XEN_EPERM), DONE(-XEN_EPERM) } },
        { UNMASK, LEVEL_LOW, { BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(0), DONE(0) } } } },
    { "unmapped-pin-can-be-unmasked-with-another-mode",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { DONE(-XEN_EBUSY) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(0), MAP(0), BIND(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmapped-pin-registered-elsewhere-is-not-reprogrammed",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(-XEN_EEXIST), MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(0), DONE(0) } },
        { UNMASK, EDGE_HIGH, { MAP(0), BIND(0), DONE(0) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } } } },
    { "setup-of-a-bound-pin-is-EEXIST",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } } } },
    { "setup-of-a-bound-pin-with-another-mode-is-EBUSY",
      { { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EBUSY) } } } },
    { "setup-again-is-EEXIST",
      { { SETUP, LEVEL_LOW, { REGISTER(0), DONE(0) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } } } },
    { "setup-again-with-another-mode-is-EBUSY-and-keeps-the-first",
      { { SETUP, EDGE_HIGH, { REGISTER(0), DONE(0) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EBUSY) } },
        { SETUP, XPT_GSI_LEVEL, { DONE(-XEN_EBUSY) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "setup-that-fails-leaves-a-new-pin",
      { { SETUP, LEVEL_LOW, { REGISTER(-XEN_ENODEV), DONE(-XEN_ENODEV) } },
        { SETUP, EDGE_HIGH, { REGISTER(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmask-that-cannot-register-leaves-a-new-pin",
      { { UNMASK, LEVEL_LOW, { REGISTER(-XEN_ENOMEM), DONE(-XEN_ENOMEM) } },
        { UNMASK, EDGE_HIGH, { REGISTER(0), MAP(0), BIND(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "setup-of-a-pin-registered-elsewhere-is-EEXIST-whatever-the-mode",
      { { SETUP, LEVEL_LOW, { REGISTER(-XEN_EEXIST), DONE(-XEN_EEXIST) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } },
        { UNMASK, EDGE_HIGH, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmask-of-a-pin-registered-elsewhere-binds",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(-XEN_EEXIST), MAP(0), BIND(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "unmask-of-a-gsi-that-xen-uses-leaves-it-to-xen",
      { { UNMASK, LEVEL_LOW, { REGISTER(-XEN_EBUSY), DONE(0) } },
        { UNMASK, EDGE_HIGH, { REGISTER(-XEN_EBUSY), DONE(0) } } } },
    { "setup-of-a-gsi-that-xen-uses-is-EEXIST",
      { { SETUP, LEVEL_LOW, { REGISTER(-XEN_EBUSY), DONE(-XEN_EEXIST) } },
        { SETUP, EDGE_HIGH, { REGISTER(-XEN_EBUSY), DONE(-XEN_EEXIST) } } } },
    { "unmask-that-cannot-map-is-tried-again-from-the-map",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(-XEN_ENOSPC), DONE(-XEN_ENOSPC) } },
        { SETUP, LEVEL_LOW, { DONE(-XEN_EEXIST) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "unmask-that-cannot-bind-unmaps-and-gives-the-first-error",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EINVAL), UNMAP(0),
            DONE(-XEN_EINVAL) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "pirq-that-stays-mapped-is-bound-by-the-next-unmask",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(-XEN_ESRCH),
            DONE(-XEN_EBUSY) } },
        { UNMASK, LEVEL_LOW, { BIND(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { DONE(0) } } } },
    { "each-rollback-gives-its-own-error",
      { { UNMASK, LEVEL_LOW,
          { REGISTER(0), MAP(0), BIND(-XEN_EBUSY), UNMAP(0),
            DONE(-XEN_EBUSY) } },
        { UNMASK, LEVEL_LOW,
          { MAP(0), BIND(-XEN_ENOMEM), UNMAP(-XEN_EPERM), DONE(-XEN_ENOMEM) } },
        { UNMASK, LEVEL_LOW, { BIND(-XEN_EIO), UNMAP(0), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW, { MAP(0), BIND(0), DONE(0) } } } },
    { "step-that-gives-a-positive-number-has-succeeded",
      { { SETUP, LEVEL_LOW, { REGISTER(1), DONE(0) } },
        { UNMASK, LEVEL_LOW, { MAP(17), BIND(INT_MAX), DONE(0) } },
        { UNMAP, 0, { UNBIND(1), UNMAP(INT_MAX), DONE(0) } },
        { UNMASK, EDGE_HIGH, { REPROGRAM(1), MAP(0), BIND(0), DONE(0) } },
        { SETUP, EDGE_HIGH, { DONE(-XEN_EEXIST) } } } },
    { "step-that-gives-an-unknown-error-has-failed-with-EIO",
      { { UNMASK, LEVEL_LOW, { REGISTER(-4095), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(INT_MIN), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW,
          { MAP(0), BIND(-257), UNMAP(-256), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW, { BIND(0), DONE(0) } } } },
    { "reprogram-or-unmap-that-gives-an-unknown-error-has-failed-with-EIO",
      { { SETUP, EDGE_HIGH, { REGISTER(0), DONE(0) } },
        { UNMASK, LEVEL_LOW, { REPROGRAM(-256), DONE(-XEN_EIO) } },
        { UNMASK, EDGE_HIGH, { MAP(0), BIND(0), DONE(0) } },
        { UNMAP, 0, { UNBIND(INT_MIN), DONE(-XEN_EIO) } },
        { UNMAP, 0, { UNBIND(0), UNMAP(-4095), DONE(-XEN_EIO) } } } },
};

static const char *tell(const struct story *story)
{
    struct xpt_gsi_table *table = guarded(sizeof(*table));
    struct xpt_gsi_pin *pins = guarded(3 * sizeof(*pins)), *pin = &pins[2];
    static const struct xpt_gsi_pin untouched;
    struct xpt_gsi_action act;

    for ( unsigned int i = 0; i < ARRAY_SIZE(story->calls); i++ )
    {
        const struct call *call = &story->calls[i];

        if ( !call->event )
            break;

        begin(call->event, table, pin, call->mode, &act);
        for ( unsigned int j = 0; ; j++ )
        {
            enum xpt_gsi kind = call->steps[j].kind;
            int rc = call->steps[j].rc;

            REQUIRE(act.kind == kind,
                    "action %d instead of %d in call %u, step %u", act.kind,
                    kind, i, j);
            TRY(expect(&act, kind, has_mode(kind) ? call->mode : 0,
                       kind == XPT_GSI_DONE ? rc : 0));
            if ( kind == XPT_GSI_DONE )
                break;
            complete(table, pin, rc, &act);
        }
    }

    REQUIRE(!memcmp(&pins[1], &untouched, sizeof(untouched)), "its neighbour");
    REQUIRE(!table->opaque, "%#x: the lock", table->opaque);
    unguard(table, sizeof(*table));
    unguard(pins, 3 * sizeof(*pins));

    return NULL;
}

static const char *register_mode(void)
{
    for ( enum event event = SETUP; event <= UNMASK; event++ )
        for ( uint32_t mode = 0; mode <= MODE_ALL; mode++ )
        {
            struct xpt_gsi_table table = {};
            struct xpt_gsi_pin pin = {};
            struct xpt_gsi_action act;

            begin(event, &table, &pin, mode, &act);
            TRY(expect(&act, XPT_GSI_REGISTER, mode, 0));
        }

    return NULL;
}

static const char *recorded_mode(void)
{
    for ( uint32_t first = 0; first <= MODE_ALL; first++ )
        for ( uint32_t second = 0; second <= MODE_ALL; second++ )
        {
            struct xpt_gsi_table table = {};
            struct xpt_gsi_pin pin = {};
            struct xpt_gsi_action act;

            begin(SETUP, &table, &pin, first, &act);
            complete(&table, &pin, 0, &act);
            begin(SETUP, &table, &pin, second, &act);
            TRY(expect(&act, XPT_GSI_DONE, 0,
                       first == second ? -XEN_EEXIST : -XEN_EBUSY));
        }

    return NULL;
}

/* Pins with one step in flight each: events that then complete with these. */
static const struct flight
{
    struct
    {
        enum event event;
        uint32_t mode;
        unsigned int nr;
        int rcs[4];
    } calls[3];
    enum xpt_gsi kind;
} flights[] = {
#define BOUND { UNMASK, LEVEL_LOW, 3, {} }
#define LEFT_MAPPED { UNMAP, 0, 2, { 0, -XEN_EPERM } }
    { { { SETUP, LEVEL_LOW, 0, {} } }, XPT_GSI_REGISTER },
    { { { UNMASK, LEVEL_LOW, 0, {} } }, XPT_GSI_REGISTER },
    { { { UNMASK, LEVEL_LOW, 1, { 0 } } }, XPT_GSI_MAP },
    { { { UNMASK, LEVEL_LOW, 2, { 0, 0 } } }, XPT_GSI_BIND },
    { { { UNMASK, LEVEL_LOW, 3, { 0, 0, -XEN_EBUSY } } }, XPT_GSI_UNMAP },
    { { { SETUP, LEVEL_LOW, 1, { 0 } }, { UNMASK, EDGE_HIGH, 0, {} } },
      XPT_GSI_REPROGRAM },
    { { BOUND, LEFT_MAPPED, { UNMASK, EDGE_HIGH, 0, {} } }, XPT_GSI_REPROGRAM },
    { { BOUND, { UNMAP, 0, 0, {} } }, XPT_GSI_UNBIND },
    { { BOUND, { UNMAP, 0, 1, { 0 } } }, XPT_GSI_UNMAP },
    { { BOUND, LEFT_MAPPED, { UNMAP, 0, 0, {} } }, XPT_GSI_UNMAP },
};

static const char *take_off(const struct flight *flight,
                            const struct xpt_gsi_table *table,
                            struct xpt_gsi_pin *pin)
{
    struct xpt_gsi_action act = {};

    for ( unsigned int i = 0; i < ARRAY_SIZE(flight->calls); i++ )
    {
        if ( !flight->calls[i].event )
            break;

        begin(flight->calls[i].event, table, pin, flight->calls[i].mode, &act);
        for ( unsigned int j = 0; j < flight->calls[i].nr; j++ )
            complete(table, pin, flight->calls[i].rcs[j], &act);
    }
    REQUIRE(act.kind == flight->kind, "action %d", act.kind);

    return NULL;
}

/* A pin of this mode that was unmasked up to before this step. */
static const char *halfway(enum xpt_gsi kind, uint32_t mode,
                           const struct xpt_gsi_table *table,
                           struct xpt_gsi_pin *pin)
{
    struct xpt_gsi_action act;

    begin(SETUP, table, pin, mode, &act);
    complete(table, pin, 0, &act);
    if ( kind != XPT_GSI_MAP )
    {
        begin(UNMASK, table, pin, mode, &act);
        complete(table, pin, 0, &act);
        complete(table, pin, 0, &act);
    }
    if ( kind == XPT_GSI_BIND )
    {
        begin(UNMAP, table, pin, 0, &act);
        complete(table, pin, 0, &act);
        complete(table, pin, -XEN_EPERM, &act);
    }
    REQUIRE(act.kind == XPT_GSI_DONE, "action %d", act.kind);

    return NULL;
}

static const char *unmask_mode(void)
{
    /* What is left to do, of a pin registered, mapped, bound. */
    static const enum xpt_gsi kinds[] = { XPT_GSI_MAP, XPT_GSI_BIND,
                                          XPT_GSI_DONE };

    for ( size_t i = 0; i < ARRAY_SIZE(kinds); i++ )
        for ( uint32_t first = 0; first <= MODE_ALL; first++ )
            for ( uint32_t second = 0; second <= MODE_ALL; second++ )
            {
                bool bound = kinds[i] == XPT_GSI_DONE;
                struct xpt_gsi_table table = {};
                struct xpt_gsi_pin pin = {}, before;
                struct xpt_gsi_action act;

                TRY(halfway(kinds[i], first, &table, &pin));
                before = pin;
                begin(UNMASK, &table, &pin, second, &act);
                if ( first != second && bound )
                {
                    TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EBUSY));
                    REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "changed");
                    continue;
                }
                if ( first != second )
                {
                    TRY(expect(&act, XPT_GSI_REPROGRAM, second, 0));
                    complete(&table, &pin, -XEN_EBUSY, &act);
                    TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EBUSY));
                    REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "changed");
                    begin(UNMASK, &table, &pin, second, &act);
                    TRY(expect(&act, XPT_GSI_REPROGRAM, second, 0));
                    complete(&table, &pin, 0, &act);
                }
                TRY(expect(&act, kinds[i], 0, 0));

                while ( act.kind != XPT_GSI_DONE )
                    complete(&table, &pin, 0, &act);
                for ( uint32_t mode = 0; mode <= MODE_ALL; mode++ )
                {
                    begin(SETUP, &table, &pin, mode, &act);
                    TRY(expect(&act, XPT_GSI_DONE, 0,
                               mode == second ? -XEN_EEXIST : -XEN_EBUSY));
                }
            }

    return NULL;
}

static const char *in_flight(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(flights); i++ )
        for ( enum event event = SETUP; event <= UNMAP; event++ )
            for ( uint32_t mode = 0; mode <= MODE_ALL; mode++ )
            {
                struct xpt_gsi_table table = {};
                struct xpt_gsi_pin pin = {}, before;
                struct xpt_gsi_action act;

                TRY(take_off(&flights[i], &table, &pin));
                before = pin;
                begin(event, &table, &pin, mode, &act);
                TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
                REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "flight %zu", i);
            }

    return NULL;
}

static const char *after_waiting(void)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    begin(SETUP, &table, &pin, LEVEL_LOW, &act);
    begin(UNMASK, &table, &pin, LEVEL_LOW, &act);
    TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
    complete(&table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, 0));
    begin(UNMASK, &table, &pin, LEVEL_LOW, &act);
    TRY(expect(&act, XPT_GSI_MAP, 0, 0));
    begin(UNMAP, &table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
    complete(&table, &pin, 0, &act);
    complete(&table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, 0));
    begin(UNMAP, &table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_UNBIND, 0, 0));
    begin(UNMASK, &table, &pin, EDGE_HIGH, &act);
    TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
    complete(&table, &pin, 0, &act);
    complete(&table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, 0));
    begin(UNMASK, &table, &pin, EDGE_HIGH, &act);
    TRY(expect(&act, XPT_GSI_REPROGRAM, EDGE_HIGH, 0));

    return NULL;
}

static const char *neighbours(void)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pins[2] = {};
    struct xpt_gsi_action act;

    begin(UNMASK, &table, &pins[0], LEVEL_LOW, &act);
    begin(UNMASK, &table, &pins[1], EDGE_HIGH, &act);
    TRY(expect(&act, XPT_GSI_REGISTER, EDGE_HIGH, 0));

    return NULL;
}

static const char *bad_modes(void)
{
    for ( enum event event = SETUP; event <= UNMASK; event++ )
        for ( unsigned int bit = 0; bit < 32; bit++ )
        {
            static const struct xpt_gsi_pin fresh;
            struct xpt_gsi_table table = {};
            struct xpt_gsi_pin pin = {}, before;
            struct xpt_gsi_action act;
            uint32_t mode = 1u << bit;

            if ( mode & MODE_ALL )
                continue;

            begin(event, &table, &pin, mode, &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
            begin(event, &table, &pin, mode | MODE_ALL, &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
            begin(event, &table, &pin, UINT32_MAX, &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
            REQUIRE(!memcmp(&pin, &fresh, sizeof(pin)), "bit %u", bit);

            /* A pin in flight stays so. */
            TRY(take_off(&flights[2], &table, &pin));
            before = pin;
            begin(event, &table, &pin, mode, &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
            REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "bit %u", bit);
        }

    return NULL;
}

static const char *nulls(void)
{
    static const struct xpt_gsi_table unlocked;
    static const struct xpt_gsi_pin fresh;
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    for ( unsigned int i = 0; i < 3; i++ )
    {
        const struct xpt_gsi_table *t = i == 0 ? &table : NULL;
        struct xpt_gsi_pin *p = i == 1 ? &pin : NULL;

        begin(SETUP, t, p, LEVEL_LOW, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        begin(UNMASK, t, p, LEVEL_LOW, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        begin(UNMAP, t, p, 0, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        complete(t, p, 0, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        complete(t, p, -XEN_EPERM, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        xpt_gsi_setup(t, p, LEVEL_LOW, NULL);
        xpt_gsi_unmask(t, p, LEVEL_LOW, NULL);
        xpt_gsi_unmap(t, p, NULL);
        xpt_gsi_complete(t, p, 0, NULL);
    }

    REQUIRE(!memcmp(&pin, &fresh, sizeof(pin)), "the pin");
    REQUIRE(!memcmp(&table, &unlocked, sizeof(table)), "the lock");

    return NULL;
}

static const char *null_action(void)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {};
    struct xpt_gsi_action act;

    xpt_gsi_unmask(&table, &pin, LEVEL_LOW, NULL);
    begin(UNMASK, &table, &pin, LEVEL_LOW, &act);
    TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
    xpt_gsi_complete(&table, &pin, 0, NULL);
    xpt_gsi_complete(&table, &pin, 0, NULL);
    xpt_gsi_complete(&table, &pin, 0, NULL);
    begin(UNMASK, &table, &pin, LEVEL_LOW, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, 0));

    xpt_gsi_unmap(&table, &pin, NULL);
    begin(UNMAP, &table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_WAIT, 0, 0));
    xpt_gsi_complete(&table, &pin, 0, NULL);
    xpt_gsi_complete(&table, &pin, 0, NULL);
    begin(UNMAP, &table, &pin, 0, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));

    return NULL;
}

static const char *idle_complete(void)
{
    static const int rcs[] = { 0, 1, -XEN_EPERM, -XEN_EEXIST, INT_MIN };
    /* New, registered, bound, left mapped, registered again. */
    static const enum event events[] = { SETUP, UNMASK, UNMAP, UNMAP, SETUP };
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {}, before;
    struct xpt_gsi_action act;

    for ( unsigned int stage = 0; stage < ARRAY_SIZE(events); stage++ )
    {
        before = pin;
        for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
        {
            complete(&table, &pin, rcs[i], &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EIO));
            REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "stage %u", stage);
        }
        begin(events[stage], &table, &pin, LEVEL_LOW, &act);
        while ( act.kind != XPT_GSI_DONE )
            complete(&table, &pin, stage == 2 && act.kind == XPT_GSI_UNMAP ?
                                   -XEN_EPERM : 0, &act);
    }
    TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EEXIST));

    return NULL;
}

/* Goes on to the end with steps that succeed. */
static const char *lands(const struct xpt_gsi_table *table,
                         struct xpt_gsi_pin *pin, struct xpt_gsi_action *act)
{
    unsigned int steps = 0;

    while ( act->kind != XPT_GSI_DONE )
    {
        REQUIRE((unsigned int)act->kind < XPT_GSI_WAIT, "%d", act->kind);
        REQUIRE(act->mode <= (has_mode(act->kind) ? MODE_ALL : 0), "%#x",
                act->mode);
        REQUIRE(++steps < 8, "does not end");
        complete(table, pin, 0, act);
    }
    REQUIRE(!act->mode && act->rc <= 0 && act->rc >= -4095, "%#x, %d",
            act->mode, act->rc);

    return NULL;
}

static const char *any_pin(const struct xpt_gsi_pin *start, unsigned int event,
                           uint32_t mode, int rc)
{
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = *start;
    struct xpt_gsi_action act;

    if ( event )
        begin(event, &table, &pin, mode, &act);
    else
        complete(&table, &pin, rc, &act);

    if ( act.kind == XPT_GSI_WAIT )
    {
        /* For a step that is in flight, and that can be completed. */
        REQUIRE(!memcmp(&pin, start, sizeof(pin)), "changed");
        complete(&table, &pin, rc, &act);
    }
    TRY(lands(&table, &pin, &act));

    /* Nothing is in flight now. */
    begin(UNMASK, &table, &pin, mode, &act);
    TRY(lands(&table, &pin, &act));
    begin(UNMAP, &table, &pin, 0, &act);

    return lands(&table, &pin, &act);
}

/* Whatever is in a record, C is asked for something it knows, and it ends. */
static const char *any_record(void)
{
    static const int rcs[] = { 0, -XEN_EBUSY, -XEN_EEXIST, INT_MIN };

    for ( unsigned int bytes = 0; bytes < 0x10000; bytes++ )
        for ( unsigned int event = 0; event <= UNMAP; event++ )
            for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
            {
                const struct xpt_gsi_pin pin = {
                    .stage = bytes, .step = bytes >> 8, .mode = bytes * 7,
                    .held = bytes * 13,
                };
                uint32_t mode = i % 2 ? LEVEL_LOW : EDGE_HIGH;
                const char *why = any_pin(&pin, event, mode, rcs[i]);
                char text[128];

                if ( !why )
                    continue;
                snprintf(text, sizeof(text), "%s", why);
                return wrong("%s: stage %u, step %u, event %u, rc %d", text,
                             pin.stage, pin.step, event, rcs[i]);
            }

    return NULL;
}

/* Any modes and any error kept, in the stages and steps that there are. */
static const char *any_mode(void)
{
    for ( unsigned int bytes = 0; bytes < 0x10000; bytes++ )
        for ( unsigned int stage = 0; stage < 4; stage++ )
            for ( unsigned int step = 0; step < 9; step++ )
            {
                const struct xpt_gsi_pin pin = {
                    .stage = stage, .step = step, .mode = bytes,
                    .held = bytes >> 8,
                };
                const char *why = any_pin(&pin, 0, bytes & MODE_ALL, 0);
                char text[128];

                if ( !why )
                    continue;
                snprintf(text, sizeof(text), "%s", why);
                return wrong("%s: stage %u, step %u, mode %#x, held %#x", text,
                             stage, step, pin.mode, pin.held);
            }

    return NULL;
}

/* Two CPUs. */

#define NR_PINS 10000
#define SLOW_PIN(gsi) (!((gsi) % 16))

static struct xpt_gsi_table race_table;
static struct xpt_gsi_pin race_pins[NR_PINS];
static atomic_uint race_count[NR_PINS][XPT_GSI_WAIT];
static atomic_uint race_actions[NR_PINS];
static atomic_uint race_waits[NR_PINS];
static atomic_uint race_arrived;
static bool race_bind_fails;

/* What Xen has of each pin, which only the one that is at work on it sees. */
static struct xen_pin
{
    atomic_uint inside;
    bool registered, mapped, bound;
    uint32_t mode;
} xen_pins[NR_PINS];
static atomic_uint xen_overlaps, xen_misuses;

struct racer
{
    enum event event;
    uint32_t mode;
    /* On slow pins: begins when the other one is at its first step. */
    bool late;
    int rcs[NR_PINS];
};

/* A step that fails changes nothing. */
static void xen_execute(struct xen_pin *pin, const struct xpt_gsi_action *act,
                        int rc)
{
    bool able = false;

    switch ( act->kind )
    {
    case XPT_GSI_REGISTER:
        able = !pin->registered;
        break;
    case XPT_GSI_REPROGRAM:
        able = pin->registered && !pin->bound && pin->mode != act->mode;
        break;
    case XPT_GSI_MAP:
        able = pin->registered && !pin->mapped;
        break;
    case XPT_GSI_BIND:
        able = pin->mapped && !pin->bound;
        break;
    case XPT_GSI_UNBIND:
        able = pin->bound;
        break;
    case XPT_GSI_UNMAP:
        able = pin->mapped && !pin->bound;
        break;
    default:
        break;
    }
    if ( !able )
        atomic_fetch_add(&xen_misuses, 1);

    if ( rc )
        return;
    if ( has_mode(act->kind) )
        pin->mode = act->mode;
    pin->registered |= act->kind == XPT_GSI_REGISTER;
    pin->mapped = act->kind == XPT_GSI_MAP ||
                  (pin->mapped && act->kind != XPT_GSI_UNMAP);
    pin->bound = act->kind == XPT_GSI_BIND ||
                 (pin->bound && act->kind != XPT_GSI_UNBIND);
}

static void xen_enter(struct xen_pin *pin)
{
    if ( atomic_fetch_add(&pin->inside, 1) )
        atomic_fetch_add(&xen_overlaps, 1);
}

static void xen_leave(struct xen_pin *pin)
{
    atomic_fetch_sub(&pin->inside, 1);
}

static int race_execute(unsigned int gsi, const struct xpt_gsi_action *act)
{
    unsigned int before = atomic_fetch_add(&race_count[gsi][act->kind], 1);
    int rc = act->kind == XPT_GSI_BIND && race_bind_fails && !before ?
             -XEN_EBUSY : 0;

    xen_enter(&xen_pins[gsi]);
    /* Keep the pin until the other CPU has come upon it. */
    if ( !atomic_fetch_add(&race_actions[gsi], 1) && SLOW_PIN(gsi) )
        while ( !atomic_load(&race_waits[gsi]) )
            sched_yield();
    xen_execute(&xen_pins[gsi], act, rc);
    xen_leave(&xen_pins[gsi]);

    return rc;
}

static void *race_run(void *arg)
{
    struct racer *racer = arg;

    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        struct xpt_gsi_pin *pin = &race_pins[gsi];
        struct xpt_gsi_action act;

        /* Both come to each pin at once. */
        atomic_fetch_add(&race_arrived, 1);
        while ( atomic_load(&race_arrived) < 2 * (gsi + 1) )
            sched_yield();
        if ( racer->late && SLOW_PIN(gsi) )
            while ( !atomic_load(&race_actions[gsi]) )
                sched_yield();

        for ( ; ; )
        {
            begin(racer->event, &race_table, pin, racer->mode, &act);
            if ( act.kind != XPT_GSI_WAIT )
                break;
            atomic_fetch_add(&race_waits[gsi], 1);
            sched_yield();
        }

        while ( act.kind != XPT_GSI_DONE )
            complete(&race_table, pin, race_execute(gsi, &act), &act);
        racer->rcs[gsi] = act.rc;
    }

    return NULL;
}

static struct racer race_first, race_second;

/* Before a race: every pin as this event leaves it. */
static void race_from(enum event event, uint32_t mode)
{
    memset(race_pins, 0, sizeof(race_pins));
    memset(xen_pins, 0, sizeof(xen_pins));
    for ( unsigned int gsi = 0; event && gsi < NR_PINS; gsi++ )
    {
        struct xpt_gsi_action act;

        begin(event, &race_table, &race_pins[gsi], mode, &act);
        while ( act.kind != XPT_GSI_DONE )
        {
            xen_execute(&xen_pins[gsi], &act, 0);
            complete(&race_table, &race_pins[gsi], 0, &act);
        }
    }
}

/* Both at once; where only the first has something to do, it comes first. */
static const char *race_on(enum event first, enum event second)
{
    pthread_t threads[2];

    memset(race_count, 0, sizeof(race_count));
    memset(race_actions, 0, sizeof(race_actions));
    memset(race_waits, 0, sizeof(race_waits));
    atomic_store(&race_arrived, 0);
    atomic_store(&xen_overlaps, 0);
    atomic_store(&xen_misuses, 0);
    race_first.event = first;
    race_second.event = second;
    race_second.late = first != second && (first == UNMAP || second == UNMAP);

    REQUIRE(!pthread_create(&threads[0], NULL, race_run, &race_first), "0");
    REQUIRE(!pthread_create(&threads[1], NULL, race_run, &race_second), "1");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);

    REQUIRE(!xen_overlaps, "%u", xen_overlaps);
    REQUIRE(!xen_misuses, "%u", xen_misuses);

    return NULL;
}

static const char *race(enum event first, enum event second, bool bind_fails)
{
    race_from(0, 0);
    race_bind_fails = bind_fails;
    race_first.mode = race_second.mode = LEVEL_LOW;

    return race_on(first, second);
}

static const char *counted(unsigned int gsi, unsigned int registered,
                           unsigned int mapped, unsigned int bound,
                           unsigned int unbound, unsigned int unmapped)
{
    const atomic_uint *n = race_count[gsi];

    REQUIRE(n[XPT_GSI_REGISTER] == registered, "%u of pin %u",
            n[XPT_GSI_REGISTER], gsi);
    REQUIRE(n[XPT_GSI_MAP] == mapped, "%u of pin %u", n[XPT_GSI_MAP], gsi);
    REQUIRE(n[XPT_GSI_BIND] == bound, "%u of pin %u", n[XPT_GSI_BIND], gsi);
    REQUIRE(n[XPT_GSI_UNBIND] == unbound, "%u of pin %u", n[XPT_GSI_UNBIND],
            gsi);
    REQUIRE(n[XPT_GSI_UNMAP] == unmapped, "%u of pin %u", n[XPT_GSI_UNMAP],
            gsi);
    REQUIRE(!SLOW_PIN(gsi) || race_waits[gsi], "pin %u", gsi);

    return NULL;
}

/* The record, as the events tell it, is what Xen has; ends with it unmapped. */
static const char *agrees(struct xpt_gsi_pin *pin, const struct xen_pin *xen)
{
    struct xpt_gsi_action act;

    begin(UNMASK, &race_table, pin, xen->mode, &act);
    TRY(expect(&act, !xen->registered ? XPT_GSI_REGISTER :
                     !xen->mapped ? XPT_GSI_MAP :
                     !xen->bound ? XPT_GSI_BIND : XPT_GSI_DONE,
               xen->registered ? 0 : xen->mode, 0));
    while ( act.kind != XPT_GSI_DONE )
        complete(&race_table, pin, 0, &act);
    begin(SETUP, &race_table, pin, xen->mode, &act);
    TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EEXIST));
    begin(UNMAP, &race_table, pin, 0, &act);
    while ( act.kind != XPT_GSI_DONE )
        complete(&race_table, pin, 0, &act);

    return expect(&act, XPT_GSI_DONE, 0, 0);
}

static const char *two_unmasks(void)
{
    TRY(race(UNMASK, UNMASK, false));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 1, 1, 1, 0, 0));
        REQUIRE(!race_first.rcs[gsi] && !race_second.rcs[gsi], "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
    }

    return NULL;
}

static const char *setup_and_unmask(void)
{
    TRY(race(SETUP, UNMASK, false));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        int rc = race_first.rcs[gsi];

        TRY(counted(gsi, 1, 1, 1, 0, 0));
        REQUIRE(!rc || rc == -XEN_EEXIST, "%d", rc);
        REQUIRE(!race_second.rcs[gsi], "%d", race_second.rcs[gsi]);
    }

    return NULL;
}

static const char *two_setups(void)
{
    TRY(race(SETUP, SETUP, false));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 1, 0, 0, 0, 0));
        REQUIRE(race_first.rcs[gsi] + race_second.rcs[gsi] == -XEN_EEXIST &&
                (!race_first.rcs[gsi] || !race_second.rcs[gsi]), "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
    }

    return NULL;
}

static const char *bind_fails_once(void)
{
    TRY(race(UNMASK, UNMASK, true));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 1, 2, 2, 0, 1));
        REQUIRE(race_first.rcs[gsi] + race_second.rcs[gsi] == -XEN_EBUSY &&
                (!race_first.rcs[gsi] || !race_second.rcs[gsi]), "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
    }

    return NULL;
}

static const char *unmask_and_unmap(void)
{
    TRY(race(UNMASK, UNMAP, false));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        int rc = race_second.rcs[gsi];

        /* The unmap comes after the unmask, or comes to nothing. */
        REQUIRE(!race_first.rcs[gsi], "%d", race_first.rcs[gsi]);
        REQUIRE(!rc || (rc == -XEN_EINVAL && !SLOW_PIN(gsi)), "%d", rc);
        TRY(counted(gsi, 1, 1, 1, !rc, !rc));
        TRY(agrees(&race_pins[gsi], &xen_pins[gsi]));
    }

    return NULL;
}

static const char *unmap_and_unmask(void)
{
    race_from(UNMASK, LEVEL_LOW);
    race_bind_fails = false;
    race_first.mode = race_second.mode = LEVEL_LOW;
    TRY(race_on(UNMAP, UNMASK));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        unsigned int again = race_count[gsi][XPT_GSI_MAP];

        /* The unmask comes after the unmap, or has nothing to do. */
        REQUIRE(!race_first.rcs[gsi] && !race_second.rcs[gsi], "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
        REQUIRE(again == 1 || (!again && !SLOW_PIN(gsi)), "%u", again);
        TRY(counted(gsi, 0, again, again, 1, 1));
        REQUIRE(xen_pins[gsi].bound == again, "pin %u", gsi);
        TRY(agrees(&race_pins[gsi], &xen_pins[gsi]));
    }

    return NULL;
}

static const char *two_unmaps(void)
{
    race_from(UNMASK, LEVEL_LOW);
    TRY(race_on(UNMAP, UNMAP));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 0, 0, 0, 1, 1));
        REQUIRE(race_first.rcs[gsi] + race_second.rcs[gsi] == -XEN_EINVAL &&
                (!race_first.rcs[gsi] || !race_second.rcs[gsi]), "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
        TRY(agrees(&race_pins[gsi], &xen_pins[gsi]));
    }

    return NULL;
}

static const char *unmap_and_failed_bind(void)
{
    TRY(race(UNMASK, UNMAP, true));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 1, 1, 1, 0, 1));
        REQUIRE(race_first.rcs[gsi] == -XEN_EBUSY, "%d", race_first.rcs[gsi]);
        REQUIRE(race_second.rcs[gsi] == -XEN_EINVAL, "%d",
                race_second.rcs[gsi]);
        TRY(agrees(&race_pins[gsi], &xen_pins[gsi]));
    }

    return NULL;
}

static const char *two_modes(void)
{
    race_from(SETUP, EDGE_HIGH);
    race_bind_fails = false;
    race_first.mode = LEVEL_LOW;
    race_second.mode = EDGE_HIGH;
    TRY(race_on(UNMASK, UNMASK));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        bool first = !race_first.rcs[gsi];

        TRY(counted(gsi, 0, 1, 1, 0, 0));
        REQUIRE(race_first.rcs[gsi] == (first ? 0 : -XEN_EBUSY) &&
                race_second.rcs[gsi] == (first ? -XEN_EBUSY : 0), "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
        REQUIRE(race_count[gsi][XPT_GSI_REPROGRAM] == first, "%u of pin %u",
                race_count[gsi][XPT_GSI_REPROGRAM], gsi);
        REQUIRE(xen_pins[gsi].mode == (first ? LEVEL_LOW : EDGE_HIGH), "%#x",
                xen_pins[gsi].mode);
        TRY(agrees(&race_pins[gsi], &xen_pins[gsi]));
    }

    return NULL;
}

/*
 * Many times the one pin, which never gets beyond a failed registration: for
 * long enough that the two do run side by side on a busy machine.
 */

#define HAMMER_SECONDS 1.0

static struct xpt_gsi_pin hammer_pin;
static atomic_uint hammer_arrived, hammer_inside, hammer_overlaps, hammer_wrong;

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *hammer_run(void *arg)
{
    double end;

    (void)arg;
    atomic_fetch_add(&hammer_arrived, 1);
    while ( atomic_load(&hammer_arrived) < 2 )
        sched_yield();

    end = now() + HAMMER_SECONDS;
    for ( unsigned int i = 0; ; i++ )
    {
        struct xpt_gsi_action act;

        if ( !(i % 1024) && now() > end )
            break;

        xpt_gsi_setup(&race_table, &hammer_pin, LEVEL_LOW, &act);
        if ( act.kind == XPT_GSI_WAIT )
            continue;
        if ( act.kind != XPT_GSI_REGISTER )
            atomic_fetch_add(&hammer_wrong, 1);

        if ( atomic_fetch_add(&hammer_inside, 1) )
            atomic_fetch_add(&hammer_overlaps, 1);
        atomic_fetch_sub(&hammer_inside, 1);

        xpt_gsi_complete(&race_table, &hammer_pin, -XEN_ENODEV, &act);
        if ( act.kind != XPT_GSI_DONE || act.rc != -XEN_ENODEV )
            atomic_fetch_add(&hammer_wrong, 1);
    }

    return NULL;
}

static const char *one_at_a_time(void)
{
    static const struct xpt_gsi_pin fresh;
    pthread_t threads[2];

    for ( unsigned int i = 0; i < 2; i++ )
        REQUIRE(!pthread_create(&threads[i], NULL, hammer_run, NULL), "thread");
    for ( unsigned int i = 0; i < 2; i++ )
        pthread_join(threads[i], NULL);

    REQUIRE(!hammer_overlaps, "%u", hammer_overlaps);
    REQUIRE(!hammer_wrong, "%u", hammer_wrong);
    REQUIRE(!memcmp(&hammer_pin, &fresh, sizeof(fresh)), "the pin");

    return NULL;
}

/* Many times the same few pins, with steps that fail now and then. */

#define NR_CHURNED 4

static atomic_uint churn_arrived, churn_wrong, churn_unmasks, churn_unmaps;

static uint32_t random32(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;

    return *state >> 16;
}

static int churn_execute(unsigned int gsi, const struct xpt_gsi_action *act,
                         int rc)
{
    xen_enter(&xen_pins[gsi]);
    xen_execute(&xen_pins[gsi], act, rc);
    xen_leave(&xen_pins[gsi]);
    if ( !rc )
        atomic_fetch_add(&race_count[gsi][act->kind], 1);

    return rc;
}

static void *churn_run(void *arg)
{
    enum event event = *(const enum event *)arg;
    uint64_t state = 0x9e3779b97f4a7c15 + event;
    double end;

    atomic_fetch_add(&churn_arrived, 1);
    while ( atomic_load(&churn_arrived) < 2 )
        sched_yield();

    end = now() + HAMMER_SECONDS;
    for ( unsigned int i = 0; i % 1024 || now() < end; i++ )
    {
        unsigned int gsi = random32(&state) % NR_CHURNED;
        uint32_t mode = random32(&state) % 2 ? LEVEL_LOW : EDGE_HIGH;
        struct xpt_gsi_action act;
        bool failed = false;

        begin(event, &race_table, &race_pins[gsi], mode, &act);
        if ( act.kind == XPT_GSI_WAIT )
            continue;

        while ( act.kind != XPT_GSI_DONE )
        {
            int rc = random32(&state) % 8 ? 0 : -XEN_ENOMEM;

            if ( act.mode != (has_mode(act.kind) ? mode : 0) )
                atomic_fetch_add(&churn_wrong, 1);
            failed |= rc;
            complete(&race_table, &race_pins[gsi],
                     churn_execute(gsi, &act, rc), &act);
        }

        if ( failed ? act.rc != -XEN_ENOMEM :
             act.rc && act.rc != (event == UNMAP ? -XEN_EINVAL : -XEN_EBUSY) )
            atomic_fetch_add(&churn_wrong, 1);
        if ( !act.rc )
            atomic_fetch_add(event == UNMAP ? &churn_unmaps : &churn_unmasks,
                             1);
    }

    return NULL;
}

static const char *churn(void)
{
    static const enum event events[] = { UNMASK, UNMAP };
    pthread_t threads[2];

    race_from(0, 0);
    memset(race_count, 0, sizeof(race_count));
    atomic_store(&xen_overlaps, 0);
    atomic_store(&xen_misuses, 0);
    for ( unsigned int i = 0; i < 2; i++ )
        REQUIRE(!pthread_create(&threads[i], NULL, churn_run,
                                (void *)&events[i]), "thread");
    for ( unsigned int i = 0; i < 2; i++ )
        pthread_join(threads[i], NULL);

    REQUIRE(!xen_overlaps, "%u", xen_overlaps);
    REQUIRE(!xen_misuses, "%u", xen_misuses);
    REQUIRE(!churn_wrong, "%u", churn_wrong);
    REQUIRE(churn_unmasks && churn_unmaps, "%u, %u", churn_unmasks,
            churn_unmaps);
    for ( unsigned int gsi = 0; gsi < NR_CHURNED; gsi++ )
    {
        const atomic_uint *n = race_count[gsi];
        const struct xen_pin *xen = &xen_pins[gsi];

        REQUIRE(n[XPT_GSI_REGISTER] == xen->registered, "%u of pin %u",
                n[XPT_GSI_REGISTER], gsi);
        REQUIRE(n[XPT_GSI_MAP] - n[XPT_GSI_UNMAP] == xen->mapped,
                "%u, %u of pin %u", n[XPT_GSI_MAP], n[XPT_GSI_UNMAP], gsi);
        REQUIRE(n[XPT_GSI_BIND] - n[XPT_GSI_UNBIND] == xen->bound,
                "%u, %u of pin %u", n[XPT_GSI_BIND], n[XPT_GSI_UNBIND], gsi);
        TRY(agrees(&race_pins[gsi], xen));
    }

    return NULL;
}

static const struct check checks[] = {
    { "register-is-given-the-mode-of-the-event", register_mode },
    { "setup-tells-every-mode-from-every-other", recorded_mode },
    { "unmask-of-any-stage-with-any-mode-after-any-other", unmask_mode },
    { "any-event-waits-while-a-step-is-in-flight", in_flight },
    { "event-that-waited-goes-on-from-where-the-pin-got", after_waiting },
    { "pin-in-flight-does-not-hold-up-another", neighbours },
    { "unknown-mode-bits-are-EINVAL-and-change-nothing", bad_modes },
    { "null-pointers-are-EINVAL-and-change-nothing", nulls },
    { "null-action-is-not-written", null_action },
    { "completion-that-nothing-waits-for-is-EIO-and-changes-nothing",
      idle_complete },
    { "record-of-any-bytes-comes-to-an-end", any_record },
    { "record-of-any-modes-comes-to-an-end", any_mode },
    { "two-cpus-that-unmask-one-pin-register-map-and-bind-it-once",
      two_unmasks },
    { "two-cpus-that-set-up-and-unmask-one-pin-register-it-once",
      setup_and_unmask },
    { "two-cpus-that-set-up-one-pin-get-one-EEXIST", two_setups },
    { "two-cpus-that-unmask-one-pin-get-one-error-of-one-failed-bind",
      bind_fails_once },
    { "two-cpus-that-unmask-and-unmap-one-new-pin-unmap-it-once-or-never",
      unmask_and_unmap },
    { "two-cpus-that-unmap-and-unmask-one-bound-pin-bind-it-again-or-not",
      unmap_and_unmask },
    { "two-cpus-that-unmap-one-pin-get-one-EINVAL", two_unmaps },
    { "two-cpus-that-unmask-and-unmap-one-pin-undo-one-failed-bind-once",
      unmap_and_failed_bind },
    { "two-cpus-that-unmask-one-pin-with-two-modes-get-one-EBUSY", two_modes },
    { "two-cpus-never-have-a-step-of-one-pin-at-once", one_at_a_time },
    { "two-cpus-that-unmask-and-unmap-for-long-keep-to-what-xen-has", churn },
};

int main(void)
{
    start();

    for ( size_t i = 0; i < ARRAY_SIZE(stories); i++ )
        report(stories[i].name, tell(&stories[i]));
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
