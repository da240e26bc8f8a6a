/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Compares two traces of the twin test.
 *
 *   compare ROWS UPSTREAM OURS
 *
 * ROWS is docs/twin.md, with one row for each way in which the traces may
 * differ. A difference that no row's rule takes fails, as does a row that has
 * no rule, a rule that has no row, and a row that no script shows any more.
 *
 * A trace is made of scripts, a script of segments, and a segment of steps,
 * each with what follows from one access of the guest, and of the state at its
 * end, when nothing is left to be done:
 *
 *   script 7 seed 1007
 *   step 12 vcpu 0 write 01 004 2 0006      what the guest did
 *   cfg 01 004 2 0006                       a config write reached the device
 *   mem w e0302008 4 0                      so did an access to its memory
 *   pirq 3 bind vector 31 flags 10000       a call to Xen's interrupt code
 *   read 00000006                           what the guest read
 *   sync                                    all is done; the state:
 *   dev 01 command 0006 ...
 *   p2m e0000-e000f -> e0000
 *   end
 *   done                                    the end of the script
 */

#include <inttypes.h>

#include "check.h"

/* Less than that has not been compared. */
#define MIN_STEPS 20000
/* Of that many scripts with a difference the segment is printed. */
#define MAX_SHOWN 5
/* And of that many one line. */
#define MAX_LINES 30

struct trace
{
    const char *name;
    char *text;
    char **lines;
    size_t nr, at;
};

/* Lines from @start to before @end. */
struct range
{
    size_t start, end;
};

#define MAX_SEGMENT_STEPS 256
#define MAX_DEVICES 16

struct segment
{
    struct range steps[MAX_SEGMENT_STEPS];
    unsigned int nr;
    struct range state;
};

enum side { UPSTREAM, OURS };

static struct trace traces[2];
static struct segment segments[2];
static char *script;
static unsigned int steps_compared, differences, wrong_scripts;

static const char *line(enum side side, size_t at)
{
    return traces[side].lines[at];
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static void load(struct trace *trace, const char *name)
{
    FILE *file = fopen(name, "r");
    long size;
    char *at;

    if ( !file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 )
    {
        perror(name);
        exit(1);
    }
    rewind(file);

    trace->name = name;
    trace->text = malloc(size + 1);
    if ( fread(trace->text, 1, size, file) != (size_t)size )
    {
        perror(name);
        exit(1);
    }
    trace->text[size] = '\0';
    fclose(file);

    for ( at = trace->text; *at; at++ )
        trace->nr += *at == '\n';
    trace->lines = malloc(trace->nr * sizeof(*trace->lines));
    at = trace->text;
    for ( size_t i = 0; i < trace->nr; i++ )
    {
        trace->lines[i] = at;
        at = strchr(at, '\n');
        *at++ = '\0';
    }
}

#define COMMAND 0x004
#define COMMAND_MEMORY 0x0002
#define STATUS 0x006
/* What of status is cleared by writing ones, and what else a device has there. */
#define STATUS_CLEARS 0xf900
#define STATUS_CAPS 0x0010
#define BAR_FIRST 0x010
#define BAR_LAST 0x024
/* Where main.c puts it. */
#define MSIX_CONTROL 0x062
#define ROM 0x030
#define ROM_BRIDGE 0x038
/* Those of the largest ROM; what a device keeps is compared as its state. */
#define ROM_BITS 0xffff0001
#define ROM_ENABLE 0x00000001

/* A config write. */
struct write
{
    unsigned int dev, reg, size, val, step;
};

static bool parse_write(const char *event, struct write *write)
{
    return sscanf(event, "cfg %x %x %u %x", &write->dev, &write->reg,
                  &write->size, &write->val) == 4;
}

/*
 * The registers that are written when an operation on the p2m is done, or when
 * it is queued: the command register, and the ROM BAR at either place.
 */
static bool is_deferred(const char *event, struct write *write)
{
    return parse_write(event, write) &&
           (write->reg == COMMAND || write->reg == ROM ||
            write->reg == ROM_BRIDGE);
}

/* The next line of a step that is compared there and then, or the end. */
static size_t next_event(enum side side, size_t at, size_t end)
{
    struct write write;

    while ( at < end && (is_deferred(line(side, at), &write) ||
                         !strcmp(line(side, at), "retry") ||
                         starts(line(side, at), "fails ")) )
        at++;

    return at;
}

/* The writes of a segment to a register that is deferred, in their order. */
#define MAX_WRITES 64

struct writes
{
    struct write writes[MAX_WRITES];
    unsigned int nr;
};

static void find_writes(enum side side, unsigned int dev, unsigned int reg,
                        struct writes *found)
{
    const struct segment *segment = &segments[side];

    found->nr = 0;
    for ( unsigned int i = 0; i < segment->nr; i++ )
        for ( size_t at = segment->steps[i].start; at < segment->steps[i].end;
              at++ )
        {
            struct write write = { .step = i };

            if ( is_deferred(line(side, at), &write) && write.dev == dev &&
                 write.reg == reg && found->nr < MAX_WRITES )
                found->writes[found->nr++] = write;
        }
}

/* Whether a side has a line in a segment that starts with @what. */
static bool says(enum side side, const char *what)
{
    const struct segment *segment = &segments[side];

    for ( unsigned int i = 0; i < segment->nr; i++ )
        for ( size_t at = segment->steps[i].start; at < segment->steps[i].end;
              at++ )
            if ( starts(line(side, at), what) )
                return true;

    return false;
}

static bool both_say(const char *what)
{
    return says(UPSTREAM, what) && says(OURS, what);
}

/* The p2m in the state of a segment. */
static bool is_mapped(enum side side, unsigned long gfn)
{
    const struct range *state = &segments[side].state;

    for ( size_t at = state->start; at < state->end; at++ )
    {
        unsigned long start, end;

        if ( sscanf(line(side, at), "p2m %lx-%lx", &start, &end) == 2 &&
             gfn >= start && gfn <= end )
            return true;
    }

    return false;
}

/* How many pages only one side has mapped. */
static unsigned int pages_of_one(enum side side)
{
    const struct range *state = &segments[side].state;
    unsigned int nr = 0;

    for ( size_t at = state->start; at < state->end; at++ )
    {
        unsigned long start, end;

        if ( sscanf(line(side, at), "p2m %lx-%lx", &start, &end) == 2 )
            for ( ; start <= end; start++ )
                nr += !is_mapped(!side, start);
    }

    return nr;
}

/* Whether a write of ours had to wait in a segment, or came before theirs. */
static bool in_flight;

/* Where in a segment the two differ. */
struct diff
{
    enum { EVENTS, WRITES, STEPS, DEVICE, P2M } kind;
    /* As many as there are for the state at the end. */
    unsigned int step;
    /* Of WRITES and DEVICE, which of them. */
    unsigned int dev, reg;
    /* The lines, for the reader. */
    const char *lines[2];
};

#define MAX_DIFFS 32

static struct diff diffs[MAX_DIFFS];
static unsigned int nr_diffs;

static void add_diff(const struct diff *diff)
{
    unsigned int at = nr_diffs;

    if ( nr_diffs == MAX_DIFFS )
        return;

    /* In the order of the steps. */
    for ( nr_diffs++; at && diffs[at - 1].step > diff->step; at-- )
        diffs[at] = diffs[at - 1];
    diffs[at] = *diff;
}

/*
 * Whether two sequences of writes are the same in the bits of @mask, and each of
 * ours not later than theirs.
 */
static bool are_same(const struct writes *upstream, const struct writes *ours,
                     unsigned int mask)
{
    if ( upstream->nr != ours->nr )
        return false;

    for ( unsigned int i = 0; i < ours->nr; i++ )
        if ( ((upstream->writes[i].val ^ ours->writes[i].val) & mask) ||
             upstream->writes[i].step < ours->writes[i].step )
            return false;

    return true;
}

/* Both sides' writes to the register that a difference is about. */
static struct writes upstream_writes, our_writes;

static bool is_in_writes(const struct diff *diff, bool rom)
{
    if ( diff->kind != WRITES || (diff->reg != COMMAND) != rom )
        return false;

    find_writes(UPSTREAM, diff->dev, diff->reg, &upstream_writes);
    find_writes(OURS, diff->dev, diff->reg, &our_writes);

    return true;
}

/*
 * The rules, one for each row: whether the row takes a difference.
 *
 * Registers that change when an operation is queued, or when it is done: the
 * same writes, and ours are not later.
 */
static bool queue_time(const struct diff *diff)
{
    return (is_in_writes(diff, false) || is_in_writes(diff, true)) &&
           are_same(&upstream_writes, &our_writes, ~0U);
}

/* The ROM register: the same but for bits that the device does not keep. */
static bool rom_reserved(const struct diff *diff)
{
    return is_in_writes(diff, true) &&
           are_same(&upstream_writes, &our_writes, ROM_BITS);
}

/*
 * A mapped ROM that is disabled and moved by one write: we disable it where it
 * is, and have the write made again when it is unmapped. Drops the former.
 */
static bool drop_moves(void)
{
    unsigned int nr = 0, all = our_writes.nr;

    for ( unsigned int i = 0; i < all; i++ )
    {
        const struct write *write = &our_writes.writes[i];

        if ( i + 1 == all || write[1].step != write->step ||
             (write->val & ROM_ENABLE) )
            our_writes.writes[nr++] = *write;
    }
    our_writes.nr = nr;

    return nr < all;
}

static bool rom_moves(const struct diff *diff)
{
    return is_in_writes(diff, true) && drop_moves() &&
           are_same(&upstream_writes, &our_writes, ROM_BITS);
}

/*
 * The bytes of accesses to a device's memory in a step, as one number each, and
 * how many accesses they are.
 */
#define MAX_BYTES 32

static unsigned int find_bytes(enum side side, unsigned int step,
                               uint64_t found[MAX_BYTES], unsigned int *pieces)
{
    const struct range *range = &segments[side].steps[step];
    unsigned int nr = 0;

    *pieces = 0;
    for ( size_t at = range->start; at < range->end; at++ )
    {
        uint64_t addr, val = 0;
        unsigned int size;
        char dir = 0;
        int fields = sscanf(line(side, at), "mem %c %" SCNx64 " %u %" SCNx64,
                            &dir, &addr, &size, &val);

        if ( fields != (dir == 'w' ? 4 : 3) )
            continue;
        ++*pieces;
        for ( ; size-- && nr < MAX_BYTES; addr++, val >>= 8 )
            found[nr++] = addr << 16 | (uint64_t)(dir == 'w') << 8 |
                          (val & 0xff);
    }

    return nr;
}

/* Accesses near an MSI-X table: the same bytes in order, in fewer pieces. */
static bool unaligned(const struct diff *diff)
{
    uint64_t upstream[MAX_BYTES], ours[MAX_BYTES];
    unsigned int nr, their_pieces, our_pieces;

    if ( diff->kind != EVENTS )
        return false;

    nr = find_bytes(UPSTREAM, diff->step, upstream, &their_pieces);
    if ( nr != find_bytes(OURS, diff->step, ours, &our_pieces) ||
         our_pieces >= their_pieces ||
         !starts(diff->lines[UPSTREAM], "mem ") ||
         !starts(diff->lines[OURS], "mem ") )
        return false;

    return !memcmp(upstream, ours, nr * sizeof(upstream[0]));
}

/* An access that begins beside pending bits: only they have bytes of it. */
static bool pending_edge(const struct diff *diff)
{
    uint64_t bytes[MAX_BYTES];
    unsigned int nr, pieces, none;

    if ( diff->kind != EVENTS )
        return false;

    nr = find_bytes(UPSTREAM, diff->step, bytes, &pieces);

    return nr && nr == pieces && nr < 4 &&
           !find_bytes(OURS, diff->step, bytes, &none) &&
           (!strcmp(diff->lines[OURS], "(nothing)") ||
            !strcmp(diff->lines[OURS], "read ffffffff"));
}

/* Status: the same bits get cleared, by a write to all of the register. */
static bool status(const struct diff *diff)
{
    struct write upstream, ours;

    return diff->kind == EVENTS &&
           parse_write(diff->lines[UPSTREAM], &upstream) &&
           parse_write(diff->lines[OURS], &ours) &&
           upstream.dev == ours.dev && ours.reg == STATUS && ours.size == 2 &&
           upstream.reg >= STATUS &&
           upstream.reg + upstream.size <= STATUS + ours.size &&
           !(ours.val & ~(STATUS_CLEARS | STATUS_CAPS)) &&
           ((upstream.val << (upstream.reg - STATUS) * 8) & STATUS_CLEARS) ==
           (ours.val & STATUS_CLEARS);
}

/* Whether the events of a step are the same but for one that only we have. */
static bool is_one_more(const struct diff *diff)
{
    const struct range *upstream = &segments[UPSTREAM].steps[diff->step];
    const struct range *ours = &segments[OURS].steps[diff->step];
    size_t u = next_event(UPSTREAM, upstream->start, upstream->end);
    size_t o = next_event(OURS, ours->start, ours->end);
    unsigned int more = 0;

    for ( ; o < ours->end; o = next_event(OURS, o + 1, ours->end) )
        if ( u < upstream->end && !strcmp(line(UPSTREAM, u), line(OURS, o)) )
            u = next_event(UPSTREAM, u + 1, upstream->end);
        else
            more++;

    return more == 1 && u == upstream->end;
}

/* A device with MSI-X starts with MSI-X off. */
static bool attach_msix(const struct diff *diff)
{
    struct write write;

    return diff->kind == EVENTS && is_one_more(diff) &&
           strstr(line(OURS, segments[OURS].steps[diff->step].start),
                  " assign ") &&
           parse_write(diff->lines[OURS], &write) &&
           write.reg == MSIX_CONTROL && write.size == 2 && !write.val;
}

/* MSI that is on stays without interrupts: we write what it came to. */
static bool msi_reenable(const struct diff *diff)
{
    struct write write;

    return diff->kind == EVENTS && both_say("pirq - map ") &&
           is_one_more(diff) && parse_write(diff->lines[OURS], &write) &&
           write.size == 2 &&
           !(write.val & 1);
}

/*
 * Whether ours is the last write to the command register of a segment, which
 * turns decode off, after one that had turned it on. @alone: upstream has none.
 */
static bool is_undone(const struct diff *diff, bool alone)
{
    const struct write *ours = our_writes.writes;

    return is_in_writes(diff, false) && our_writes.nr == 2 &&
           upstream_writes.nr == !alone && (ours[0].val & COMMAND_MEMORY) &&
           ours[1].val == (ours[0].val & ~COMMAND_MEMORY) &&
           (alone || upstream_writes.writes[0].val == ours[1].val);
}

/* Whether a segment has one write to the command register, of ours alone. */
static bool is_only_ours(const struct diff *diff)
{
    return is_in_writes(diff, false) && !upstream_writes.nr &&
           our_writes.nr == 1;
}

/* Whether upstream leaves pages mapped, and has all that we have. */
static bool leaves_pages(const struct diff *diff)
{
    return diff->kind == P2M && pages_of_one(UPSTREAM) && !pages_of_one(OURS);
}

static bool map_fails(const struct diff *diff)
{
    return both_say("fails map ") &&
           (is_undone(diff, false) || leaves_pages(diff));
}

/* On 4.17 such a BAR is not mapped, as any other, and that is all. */
static bool hole_fails(const struct diff *diff)
{
    if ( !says(UPSTREAM, "fails hole ") )
        return false;

    return is_only_ours(diff) || is_undone(diff, true) || leaves_pages(diff) ||
           diff->kind == DEVICE;
}

/*
 * Another device's MSI-X table has made holes where a BAR is to be unmapped, for
 * which that fails. 4.17 then drops the device's vPCI, and that shows anywhere.
 */
static bool unmap_hole(const struct diff *diff)
{
    return says(UPSTREAM, "fails unmapped ") &&
           (XEN_MINOR == 17 || leaves_pages(diff) ||
            (diff->kind == P2M && in_flight));
}

/*
 * 4.17 takes a ROM that is disabled by a write of an address where no BAR may be
 * for one that is still mapped, and ignores what enables it.
 */
static bool rom_stuck(const struct diff *diff)
{
    if ( !is_in_writes(diff, true) )
        return false;

    drop_moves();
    for ( unsigned int i = 0; i < our_writes.nr; i++ )
        if ( i >= upstream_writes.nr ||
             ((upstream_writes.writes[i].val ^ our_writes.writes[i].val) &
              ROM_BITS) )
            return our_writes.writes[i].val & ROM_ENABLE;

    return false;
}

/*
 * BARs of two devices overlap, and both are on their way: upstream takes from one
 * what the other had when it was queued, we what it has when it is done.
 */
static bool overlap(const struct diff *diff)
{
    return in_flight && diff->kind == P2M && pages_of_one(OURS) &&
           !pages_of_one(UPSTREAM);
}

/* What the script says that it is about to do, last of all. */
static bool is_about(const char *what)
{
    const struct segment *segment = &segments[OURS];
    unsigned int number, vcpu;
    char text[64];

    return segment->nr &&
           sscanf(line(OURS, segment->steps[0].start),
                  "step %u vcpu %u %63[a-zA-Z ]", &number, &vcpu, text) == 3 &&
           starts(text, what);
}

/* After a failed unmap a write is dropped, for the unmap is tried again first. */
static bool unmap_fails(const struct diff *diff)
{
    if ( !is_about("unmaps again") )
        return false;
    if ( !is_in_writes(diff, false) )
        return diff->kind == DEVICE || leaves_pages(diff);

    return upstream_writes.nr == 1 && !our_writes.nr &&
           (upstream_writes.writes[0].val & COMMAND_MEMORY);
}

/*
 * Nothing changes for upstream. We find out when the register has changed: decode
 * that was to be turned on is turned off again.
 */
static bool no_memory(const struct diff *diff)
{
    return is_about("no memory") && says(UPSTREAM, "fails memory") &&
           (is_undone(diff, true) || is_only_ours(diff) ||
            diff->kind == DEVICE);
}

/* 4.20 unmaps a disabled ROM where another BAR of the device is mapped. */
static bool rom_overlap(const struct diff *diff)
{
    return is_about("ROM overlaps") && diff->kind == P2M &&
           pages_of_one(OURS) && !pages_of_one(UPSTREAM);
}

/* What our side does in a step that upstream does not: a write to a BAR. */
static bool is_bar_write(const struct diff *diff)
{
    const struct range *ours = &segments[OURS].steps[diff->step];
    const struct range *upstream = &segments[UPSTREAM].steps[diff->step];
    struct write write;

    for ( size_t at = upstream->start; at < upstream->end; at++ )
        if ( parse_write(line(UPSTREAM, at), &write) )
            return false;
    for ( size_t at = ours->start; at < ours->end; at++ )
        if ( parse_write(line(OURS, at), &write) && write.reg >= BAR_FIRST &&
             write.reg <= BAR_LAST )
            return true;

    return false;
}

/*
 * A device that was reset and does not say so: upstream refuses to write BARs
 * that it takes for mapped, and has them mapped. We look, and believe the device.
 */
static bool heals(const struct diff *diff)
{
    if ( !is_about("reset by itself") )
        return false;

    return diff->kind == EVENTS ? is_bar_write(diff)
                                : diff->kind == DEVICE || leaves_pages(diff);
}

/*
 * A reset that is announced: upstream makes the vPCI anew, with BARs sized, and
 * leaves pages mapped and interrupts bound; or has lost it.
 */
static bool reset(const struct diff *diff)
{
    if ( !is_about("reset") || !says(OURS, "result 0") )
        return false;
    if ( is_in_writes(diff, true) || is_in_writes(diff, false) )
        return !our_writes.nr;

    return diff->kind == EVENTS || leaves_pages(diff);
}

/*
 * Memory decode of a hidden device: 4.17 has the register written and nothing
 * mapped, 4.20 is not asked.
 */
static bool hidden(const struct diff *diff)
{
    return is_about("hidden") &&
           (XEN_MINOR == 20 && diff->kind != P2M
            ? is_only_ours(diff) || diff->kind == DEVICE
            : diff->kind == P2M && pages_of_one(OURS) &&
              !pages_of_one(UPSTREAM));
}

/* An address in the middle of a BAR, of which the device keeps the start. */
static bool bar_size(const struct diff *diff)
{
    return is_about("part of a BAR") && diff->kind == P2M;
}

/* What becomes of a script after a difference. */
enum then
{
    GOES_ON,
    /* The rest is not compared: the same write may now mean something else. */
    IS_CUT,
    /* The script has nothing more: its end is what provokes the difference. */
    ENDS,
};

enum { WAITS };

static struct row
{
    const char *name;
    enum then then;
    /* Of one version only, or 0. */
    unsigned int minor;
    bool (*takes)(const struct diff *diff);
    bool documented;
    unsigned int seen;
} rows[] = {
    /* Counted by compare_events(). */
    [WAITS] = { .name = "waits", .then = GOES_ON },
    { .name = "queue-time", .then = GOES_ON, .takes = queue_time },
    { .name = "unaligned", .then = GOES_ON, .takes = unaligned },
    { .name = "rom-reserved", .then = GOES_ON, .takes = rom_reserved },
    { .name = "rom-moves", .then = GOES_ON, .takes = rom_moves },
    { .name = "status", .then = GOES_ON, .minor = 17, .takes = status },
    { .name = "attach-msix", .then = GOES_ON, .takes = attach_msix },
    { .name = "msi-reenable", .then = IS_CUT, .takes = msi_reenable },
    { .name = "rom-stuck", .then = IS_CUT, .minor = 17, .takes = rom_stuck },
    { .name = "overlap", .then = IS_CUT, .takes = overlap },
    { .name = "unmap-hole", .then = IS_CUT, .takes = unmap_hole },
    { .name = "map-fails", .then = ENDS, .takes = map_fails },
    { .name = "hole-fails", .then = ENDS, .takes = hole_fails },
    { .name = "unmap-fails", .then = ENDS, .takes = unmap_fails },
    { .name = "no-memory", .then = ENDS, .takes = no_memory },
    { .name = "heals", .then = ENDS, .takes = heals },
    { .name = "reset", .then = ENDS, .takes = reset },
    { .name = "hidden", .then = ENDS, .takes = hidden },
    { .name = "bar-size", .then = ENDS, .takes = bar_size },
    { .name = "pending-edge", .then = ENDS, .takes = pending_edge },
    { .name = "rom-overlap", .then = ENDS, .minor = 20, .takes = rom_overlap },
};

/* Whether the table has the rows that there are rules for, and no others. */
static const char *check_rows(const char *file)
{
    FILE *doc = fopen(file, "r");
    char text[4096], name[64];

    REQUIRE(doc, "%s", file);
    while ( fgets(text, sizeof(text), doc) )
    {
        unsigned int i;

        if ( sscanf(text, "| `%63[^`]` |", name) != 1 )
            continue;
        for ( i = 0; i < ARRAY_SIZE(rows); i++ )
            if ( !strcmp(rows[i].name, name) )
                break;
        REQUIRE(i < ARRAY_SIZE(rows), "row %s has no rule", name);
        REQUIRE(!rows[i].documented, "row %s is there twice", name);
        rows[i].documented = true;
    }
    fclose(doc);

    for ( unsigned int i = 0; i < ARRAY_SIZE(rows); i++ )
        REQUIRE(rows[i].documented, "rule %s has no row", rows[i].name);

    return NULL;
}

static void show(enum side side, const struct range *range)
{
    for ( size_t i = range->start; i < range->end; i++ )
        printf("    %s: %s\n", side == UPSTREAM ? "upstream" : "ours",
               line(side, i));
}

/* Says where, gives what is wrong. */
static const char *differ(unsigned int step, const char *upstream,
                          const char *ours)
{
    if ( ++differences <= MAX_SHOWN )
    {
        printf("  in %s:\n", script);
        for ( enum side side = UPSTREAM; side <= OURS; side++ )
        {
            const struct segment *segment = &segments[side];

            for ( unsigned int i = 0; i < segment->nr && i <= step; i++ )
                show(side, &segment->steps[i]);
            if ( step >= segment->nr )
                show(side, &segment->state);
        }
    }

    return wrong("%s, \"%s\": upstream \"%s\", ours \"%s\"", script,
                 step < segments[UPSTREAM].nr
                 ? line(UPSTREAM, segments[UPSTREAM].steps[step].start)
                 : "state", upstream, ours);
}

/*
 * A write that waits is made again, with all that is before it in the same
 * access: what comes after counts, if it has what was before.
 */
static void skip_waiting(struct range *events)
{
    size_t start = events->start;

    for ( size_t at = events->start; at < events->end; at++ )
        if ( !strcmp(line(OURS, at), "retry") )
        {
            rows[WAITS].seen++;
            in_flight = true;
            start = at;
        }

    for ( size_t at = next_event(OURS, events->start, start); at < start;
          at = next_event(OURS, at + 1, start) )
    {
        size_t again = start;

        while ( again < events->end &&
                strcmp(line(OURS, at), line(OURS, again)) )
            again++;
        if ( again == events->end )
            return;
    }

    events->start = start;
}

static void compare_events(unsigned int step)
{
    struct range upstream = segments[UPSTREAM].steps[step];
    struct range ours = segments[OURS].steps[step];

    /* The steps themselves are the same. */
    upstream.start++;
    ours.start++;
    skip_waiting(&ours);
    for ( ; ; )
    {
        size_t u = next_event(UPSTREAM, upstream.start, upstream.end);
        size_t o = next_event(OURS, ours.start, ours.end);
        const char *l = u < upstream.end ? line(UPSTREAM, u) : "(nothing)";
        const char *r = o < ours.end ? line(OURS, o) : "(nothing)";

        if ( strcmp(l, r) )
        {
            add_diff(&(struct diff){ EVENTS, step, .lines = { l, r } });
            return;
        }
        if ( u == upstream.end )
            return;
        upstream.start = u + 1;
        ours.start = o + 1;
    }
}

/* One difference for each register whose writes, or their steps, differ. */
static void compare_writes(unsigned int dev, unsigned int reg)
{
    static struct writes upstream, ours;

    find_writes(UPSTREAM, dev, reg, &upstream);
    find_writes(OURS, dev, reg, &ours);

    for ( unsigned int i = 0; i < upstream.nr || i < ours.nr; i++ )
    {
        static char text[2][32];
        struct diff diff = { WRITES, .dev = dev, .reg = reg };
        const struct write *u = i < upstream.nr ? &upstream.writes[i] : NULL;
        const struct write *o = i < ours.nr ? &ours.writes[i] : NULL;

        if ( u && o && u->val == o->val && u->step == o->step )
            continue;

        diff.step = !o || (u && u->step < o->step) ? u->step : o->step;
        snprintf(text[UPSTREAM], sizeof(text[UPSTREAM]), "%03x = %08x", reg,
                 u ? u->val : 0);
        snprintf(text[OURS], sizeof(text[OURS]), "%03x = %08x", reg,
                 o ? o->val : 0);
        diff.lines[UPSTREAM] = u ? text[UPSTREAM] : "(nothing)";
        diff.lines[OURS] = o ? text[OURS] : "(nothing)";
        add_diff(&diff);
        return;
    }
}

static void compare_state(unsigned int step)
{
    struct range upstream = segments[UPSTREAM].state;
    struct range ours = segments[OURS].state;
    unsigned int dev;

    for ( ; upstream.start < upstream.end && ours.start < ours.end;
          upstream.start++, ours.start++ )
    {
        const char *l = line(UPSTREAM, upstream.start);
        const char *r = line(OURS, ours.start);

        if ( !strcmp(l, r) )
            continue;
        if ( sscanf(l, "dev %x", &dev) != 1 || !starts(r, "dev ") )
        {
            add_diff(&(struct diff){ P2M, step, .lines = { l, r } });
            return;
        }
        add_diff(&(struct diff){ DEVICE, step, dev, .lines = { l, r } });
    }
}

static bool takes(const struct row *row, const struct diff *diff)
{
    return (!row->minor || row->minor == XEN_MINOR) && row->takes &&
           row->takes(diff);
}

static bool is_at_end(void)
{
    const struct trace *trace = &traces[OURS];

    return trace->at < trace->nr && !strcmp(trace->lines[trace->at], "done");
}

/* Whether a row that cuts the script, or ends it, takes what is left. */
static bool is_over(void)
{
    for ( unsigned int i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        unsigned int taken = 0;

        if ( rows[i].then == GOES_ON )
            continue;
        while ( taken < nr_diffs && takes(&rows[i], &diffs[taken]) )
            taken++;
        if ( rows[i].then == IS_CUT ? taken
                                    : taken == nr_diffs && is_at_end() )
        {
            rows[i].seen++;
            return true;
        }
    }

    return false;
}

/* NULL, or what is wrong; @over if nothing more of the script is compared. */
static const char *compare_segment(bool *over)
{
    const struct segment *upstream = &segments[UPSTREAM];
    const struct segment *ours = &segments[OURS];
    unsigned int steps;

    nr_diffs = 0;
    in_flight = false;
    for ( steps = 0; steps < upstream->nr && steps < ours->nr; steps++ )
    {
        /* What a device holds differs, and with it what the script does. */
        if ( strcmp(line(UPSTREAM, upstream->steps[steps].start),
                    line(OURS, ours->steps[steps].start)) )
            break;
        compare_events(steps);
        steps_compared++;
    }
    for ( unsigned int dev = 0; dev < MAX_DEVICES; dev++ )
    {
        compare_writes(dev, COMMAND);
        compare_writes(dev, ROM);
        compare_writes(dev, ROM_BRIDGE);
    }
    if ( steps < upstream->nr || steps < ours->nr )
        add_diff(&(struct diff){ STEPS, steps, .lines = {
            steps < upstream->nr ? line(UPSTREAM, upstream->steps[steps].start)
                                 : "(nothing)",
            steps < ours->nr ? line(OURS, ours->steps[steps].start)
                             : "(nothing)" } });
    else
        compare_state(steps);

    for ( unsigned int i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        unsigned int left = 0;

        if ( rows[i].then != GOES_ON )
            continue;
        for ( unsigned int j = 0; j < nr_diffs; j++ )
            if ( takes(&rows[i], &diffs[j]) )
            {
                rows[i].seen++;
                in_flight |= rows[i].takes == queue_time;
            }
            else
                diffs[left++] = diffs[j];
        nr_diffs = left;
    }

    /* See unmap_hole(). */
    *over = nr_diffs ? is_over()
                     : XEN_MINOR == 17 && says(UPSTREAM, "fails unmapped ");
    if ( *over || !nr_diffs )
        return NULL;

    return differ(diffs[0].step, diffs[0].lines[UPSTREAM],
                  diffs[0].lines[OURS]);
}

/* Reads up to the next "end"; false at the end of the script or of the trace. */
static bool read_segment(enum side side)
{
    struct trace *trace = &traces[side];
    struct segment *segment = &segments[side];
    struct range *range = NULL;

    segment->nr = 0;
    segment->state = (struct range){ trace->at, trace->at };

    for ( ; trace->at < trace->nr; trace->at++ )
    {
        const char *text = line(side, trace->at);

        if ( !strcmp(text, "done") || starts(text, "script ") )
            break;
        if ( starts(text, "step ") || !strcmp(text, "sync") )
        {
            if ( range )
                range->end = trace->at;
            range = *text == 's' && text[1] == 'y'
                    ? &segment->state : &segment->steps[segment->nr++];
            if ( segment->nr == MAX_SEGMENT_STEPS )
            {
                fprintf(stderr, "%s: too many steps\n", trace->name);
                exit(1);
            }
            range->start = trace->at;
        }
        if ( !strcmp(text, "end") )
        {
            segment->state.end = ++trace->at;
            return true;
        }
    }

    /* Steps without a state are what a program leaves that does not end. */
    if ( range )
    {
        range->end = trace->at;
        segment->state = (struct range){ trace->at, trace->at };
    }

    return segment->nr;
}

static const char *compare_script(void)
{
    bool more[2], over = false;

    for ( ; ; )
    {
        for ( enum side side = UPSTREAM; side <= OURS; side++ )
            more[side] = read_segment(side);
        if ( !more[UPSTREAM] && !more[OURS] )
            break;
        TRY(compare_segment(&over));
        if ( over )
            return NULL;
    }

    for ( enum side side = UPSTREAM; side <= OURS; side++ )
        REQUIRE(traces[side].at < traces[side].nr &&
                !strcmp(line(side, traces[side].at), "done"),
                "%s: %s does not come to its end", script, traces[side].name);

    return NULL;
}

/* Moves on to the next script; false if there is none. */
static bool next_script(enum side side)
{
    struct trace *trace = &traces[side];

    while ( trace->at < trace->nr && !starts(line(side, trace->at), "script ") )
        trace->at++;

    return trace->at < trace->nr;
}

static const char *compare_all(void)
{
    const char *first = NULL;
    static char text[256];

    while ( next_script(UPSTREAM) & next_script(OURS) )
    {
        const char *why;

        script = traces[UPSTREAM].lines[traces[UPSTREAM].at];
        REQUIRE(!strcmp(script, line(OURS, traces[OURS].at)),
                "not the same scripts");
        traces[UPSTREAM].at++;
        traces[OURS].at++;

        why = compare_script();
        if ( why && ++wrong_scripts <= MAX_LINES )
            printf("  %s\n", why);
        if ( why && !first )
        {
            snprintf(text, sizeof(text), "%s", why);
            first = text;
        }
    }
    REQUIRE(!next_script(UPSTREAM) && !next_script(OURS),
            "one has more scripts than the other");

    return first;
}

/* What a program says before it gives up: an assertion of Xen's, or a signal. */
static const char *find_bugs(void)
{
    for ( enum side side = UPSTREAM; side <= OURS; side++ )
    {
        const char *last = "(no script)";

        for ( size_t at = 0; at < traces[side].nr; at++ )
        {
            if ( starts(line(side, at), "script ") )
                last = line(side, at);
            REQUIRE(!starts(line(side, at), "bug "), "%s, %s: %s",
                    traces[side].name, last, line(side, at));
        }
    }

    return NULL;
}

int main(int argc, char *argv[])
{
    const char *why;

    start();
    if ( argc != 4 )
    {
        fprintf(stderr, "usage: %s ROWS UPSTREAM OURS\n", argv[0]);
        return 2;
    }
    load(&traces[UPSTREAM], argv[2]);
    load(&traces[OURS], argv[3]);

    report("every-row-has-a-rule", check_rows(argv[1]));
    report("comes-to-its-end", find_bugs());
    report("no-other-difference", compare_all());
    why = steps_compared < MIN_STEPS
          ? wrong("%u, should be %u", steps_compared, MIN_STEPS) : NULL;
    report("enough-accesses", why);
    for ( unsigned int i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        char name[80];

        if ( rows[i].minor && rows[i].minor != XEN_MINOR )
            continue;
        snprintf(name, sizeof(name), "row-seen:%s", rows[i].name);
        report(name, rows[i].seen ? NULL : "no script shows it");
        printf("  %s: %u times\n", rows[i].name, rows[i].seen);
    }
    printf("  %u accesses compared\n", steps_compared);

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
