/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One line per case: "ok NAME", or "FAIL NAME DETAIL".
 */

#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* With the numbers that never leave Xen, inside of which the library is. */
#define __XEN__
#include <public/errno.h>
#undef __XEN__

#include "xpt.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Longer than any program takes, and shorter than anyone waits for a lock. */
#define CHECK_SECONDS 240

struct check
{
    const char *name;
    /* NULL, or what is wrong. */
    const char *(*run)(void);
};

static unsigned int check_failed, check_count;

__attribute__((format(printf, 1, 2)))
static inline const char *wrong(const char *fmt, ...)
{
    static __thread char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    return text;
}

/* Leaves a function that gives NULL or what is wrong. */
#define REQUIRE(cond, ...) \
    do { if ( !(cond) ) return wrong(#cond ": " __VA_ARGS__); } while ( 0 )

/* The same for what another such function gives. */
#define TRY(call) \
    do { const char *why_ = (call); if ( why_ ) return why_; } while ( 0 )

static inline void report(const char *name, const char *why)
{
    check_count++;
    if ( why )
    {
        check_failed++;
        printf("FAIL %s/%s/%s %s\n", COMPILER, SUITE, name, why);
    }
    else
        printf("ok %s/%s/%s\n", COMPILER, SUITE, name);
}

static inline void run_checks(const struct check *checks, size_t nr)
{
    for ( size_t i = 0; i < nr; i++ )
        report(checks[i].name, checks[i].run());
}

/* A case that fails does not tidy up, and the library allocates nothing. */
__attribute__((used)) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static inline void start(void)
{
    /* Nothing that was printed gets lost when a case kills the program. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(CHECK_SECONDS);
}

static inline int finish(void)
{
    return check_count && !check_failed ? 0 : 3;
}

/*
 * Zeroed memory of which the byte after the last cannot be accessed: the
 * sanitizers of the C compiler do not see what the library does.
 */
static inline void *guarded(size_t size)
{
    size_t page = sysconf(_SC_PAGESIZE);
    size_t room = (size + page - 1) / page * page;
    char *mem = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if ( mem == MAP_FAILED || mprotect(mem + room, page, PROT_NONE) )
    {
        perror("guarded memory");
        exit(1);
    }

    return mem + room - size;
}

/* The other end of guarded(). */
static inline void unguard(void *mem, size_t size)
{
    size_t page = sysconf(_SC_PAGESIZE);
    size_t room = (size + page - 1) / page * page;

    munmap((char *)mem + size - room, room + page);
}

#endif /* CHECK_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
