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
};

static void begin(enum event event, const struct xpt_gsi_table *table,
                  struct xpt_gsi_pin *pin, uint32_t mode,
                  struct xpt_gsi_action *act)
{
    memset(act, 0xa5, sizeof(*act));
    if ( event == SETUP )
        xpt_gsi_setup(table, pin, mode, act);
    else
        xpt_gsi_unmask(table, pin, mode, act);
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
    } calls[4];
};

#define DONE(rc) { XPT_GSI_DONE, rc }
#define REGISTER(rc) { XPT_GSI_REGISTER, rc }
#define MAP(rc) { XPT_GSI_MAP, rc }
#define BIND(rc) { XPT_GSI_BIND, rc }
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
        { UNMASK, EDGE_HIGH, { DONE(0) } } } },
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
        { UNMASK, LEVEL_LOW, { MAP(17), BIND(INT_MAX), DONE(0) } } } },
    { "step-that-gives-an-unknown-error-has-failed-with-EIO",
      { { UNMASK, LEVEL_LOW, { REGISTER(-4095), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW, { REGISTER(0), MAP(INT_MIN), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW,
          { MAP(0), BIND(-257), UNMAP(-256), DONE(-XEN_EIO) } },
        { UNMASK, LEVEL_LOW, { BIND(0), DONE(0) } } } },
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
            TRY(expect(&act, kind, kind == XPT_GSI_REGISTER ? call->mode : 0,
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

/* Pins with one step in flight each: begin, then complete with these. */
static const struct flight
{
    enum event event;
    unsigned int nr;
    int rcs[3];
    enum xpt_gsi kind;
} flights[] = {
    { SETUP, 0, {}, XPT_GSI_REGISTER },
    { UNMASK, 0, {}, XPT_GSI_REGISTER },
    { UNMASK, 1, { 0 }, XPT_GSI_MAP },
    { UNMASK, 2, { 0, 0 }, XPT_GSI_BIND },
    { UNMASK, 3, { 0, 0, -XEN_EBUSY }, XPT_GSI_UNMAP },
};

static const char *take_off(const struct flight *flight,
                            const struct xpt_gsi_table *table,
                            struct xpt_gsi_pin *pin)
{
    struct xpt_gsi_action act;

    begin(flight->event, table, pin, LEVEL_LOW, &act);
    for ( unsigned int i = 0; i < flight->nr; i++ )
        complete(table, pin, flight->rcs[i], &act);
    REQUIRE(act.kind == flight->kind, "action %d", act.kind);

    return NULL;
}

static const char *in_flight(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(flights); i++ )
        for ( enum event event = SETUP; event <= UNMASK; event++ )
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
        complete(t, p, 0, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        complete(t, p, -XEN_EPERM, &act);
        TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EINVAL));
        xpt_gsi_setup(t, p, LEVEL_LOW, NULL);
        xpt_gsi_unmask(t, p, LEVEL_LOW, NULL);
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

    return NULL;
}

static const char *idle_complete(void)
{
    static const int rcs[] = { 0, 1, -XEN_EPERM, -XEN_EEXIST, INT_MIN };
    struct xpt_gsi_table table = {};
    struct xpt_gsi_pin pin = {}, before;
    struct xpt_gsi_action act;

    for ( unsigned int stage = 0; stage < 3; stage++ )
    {
        before = pin;
        for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
        {
            complete(&table, &pin, rcs[i], &act);
            TRY(expect(&act, XPT_GSI_DONE, 0, -XEN_EIO));
            REQUIRE(!memcmp(&pin, &before, sizeof(pin)), "stage %u", stage);
        }
        begin(stage ? UNMASK : SETUP, &table, &pin, LEVEL_LOW, &act);
        while ( act.kind != XPT_GSI_DONE )
            complete(&table, &pin, 0, &act);
    }

    return NULL;
}

/* Whatever is in a record, C is asked for something it knows, and it ends. */
static const char *any_record(void)
{
    for ( unsigned int bytes = 0; bytes < 0x10000; bytes++ )
        for ( unsigned int event = 0; event < 3; event++ )
        {
            struct xpt_gsi_table table = {};
            struct xpt_gsi_pin pin = {
                .stage = bytes, .step = bytes >> 8, .mode = bytes * 7,
                .error = bytes * 13,
            };
            struct xpt_gsi_action act;
            unsigned int steps = 0;

            if ( event )
                begin(event, &table, &pin, LEVEL_LOW, &act);
            else
                complete(&table, &pin, -XEN_EBUSY, &act);
            while ( act.kind != XPT_GSI_DONE && act.kind != XPT_GSI_WAIT )
            {
                REQUIRE((unsigned int)act.kind < XPT_GSI_WAIT, "%d", act.kind);
                REQUIRE(++steps < 8, "stage %u, step %u", bytes & 0xff,
                        bytes >> 8);
                complete(&table, &pin, 0, &act);
            }
            REQUIRE(act.rc <= 0 && act.rc >= -4095, "%d", act.rc);
        }

    return NULL;
}

/* Two CPUs. */

#define NR_PINS 10000
#define SLOW_PIN(gsi) (!((gsi) % 16))

static struct xpt_gsi_table race_table;
static struct xpt_gsi_pin race_pins[NR_PINS];
static atomic_uint race_count[NR_PINS][XPT_GSI_WAIT];
static atomic_uint race_waits[NR_PINS];
static atomic_uint race_arrived;
static bool race_bind_fails;

struct racer
{
    enum event event;
    int rcs[NR_PINS];
};

static int race_execute(unsigned int gsi, const struct xpt_gsi_action *act)
{
    unsigned int before = atomic_fetch_add(&race_count[gsi][act->kind], 1);

    /* Keep the pin until the other CPU has come upon it. */
    if ( act->kind == XPT_GSI_REGISTER && SLOW_PIN(gsi) )
        while ( !atomic_load(&race_waits[gsi]) )
            sched_yield();

    return act->kind == XPT_GSI_BIND && race_bind_fails && !before ? -XEN_EBUSY
                                                                   : 0;
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

        for ( ; ; )
        {
            begin(racer->event, &race_table, pin, LEVEL_LOW, &act);
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

static const char *race(enum event first, enum event second, bool bind_fails)
{
    pthread_t threads[2];

    memset(race_pins, 0, sizeof(race_pins));
    memset(race_count, 0, sizeof(race_count));
    memset(race_waits, 0, sizeof(race_waits));
    atomic_store(&race_arrived, 0);
    race_bind_fails = bind_fails;
    race_first.event = first;
    race_second.event = second;

    REQUIRE(!pthread_create(&threads[0], NULL, race_run, &race_first), "0");
    REQUIRE(!pthread_create(&threads[1], NULL, race_run, &race_second), "1");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);

    return NULL;
}

static const char *counted(unsigned int gsi, unsigned int registered,
                           unsigned int mapped, unsigned int bound,
                           unsigned int unmapped)
{
    const atomic_uint *n = race_count[gsi];

    REQUIRE(n[XPT_GSI_REGISTER] == registered, "%u of pin %u",
            n[XPT_GSI_REGISTER], gsi);
    REQUIRE(n[XPT_GSI_MAP] == mapped, "%u of pin %u", n[XPT_GSI_MAP], gsi);
    REQUIRE(n[XPT_GSI_BIND] == bound, "%u of pin %u", n[XPT_GSI_BIND], gsi);
    REQUIRE(n[XPT_GSI_UNMAP] == unmapped, "%u of pin %u", n[XPT_GSI_UNMAP],
            gsi);
    REQUIRE(!SLOW_PIN(gsi) || race_waits[gsi], "pin %u", gsi);

    return NULL;
}

static const char *two_unmasks(void)
{
    TRY(race(UNMASK, UNMASK, false));
    for ( unsigned int gsi = 0; gsi < NR_PINS; gsi++ )
    {
        TRY(counted(gsi, 1, 1, 1, 0));
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

        TRY(counted(gsi, 1, 1, 1, 0));
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
        TRY(counted(gsi, 1, 0, 0, 0));
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
        TRY(counted(gsi, 1, 2, 2, 1));
        REQUIRE(race_first.rcs[gsi] + race_second.rcs[gsi] == -XEN_EBUSY &&
                (!race_first.rcs[gsi] || !race_second.rcs[gsi]), "%d, %d",
                race_first.rcs[gsi], race_second.rcs[gsi]);
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

static const struct check checks[] = {
    { "register-is-given-the-mode-of-the-event", register_mode },
    { "setup-tells-every-mode-from-every-other", recorded_mode },
    { "any-event-waits-while-a-step-is-in-flight", in_flight },
    { "event-that-waited-goes-on-from-where-the-pin-got", after_waiting },
    { "pin-in-flight-does-not-hold-up-another", neighbours },
    { "unknown-mode-bits-are-EINVAL-and-change-nothing", bad_modes },
    { "null-pointers-are-EINVAL-and-change-nothing", nulls },
    { "null-action-is-not-written", null_action },
    { "completion-that-nothing-waits-for-is-EIO-and-changes-nothing",
      idle_complete },
    { "record-of-any-bytes-comes-to-an-end", any_record },
    { "two-cpus-that-unmask-one-pin-register-map-and-bind-it-once",
      two_unmasks },
    { "two-cpus-that-set-up-and-unmask-one-pin-register-it-once",
      setup_and_unmask },
    { "two-cpus-that-set-up-one-pin-get-one-EEXIST", two_setups },
    { "two-cpus-that-unmask-one-pin-get-one-error-of-one-failed-bind",
      bind_fails_once },
    { "two-cpus-never-have-a-step-of-one-pin-at-once", one_at_a_time },
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
