/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What to do, as words in a text: the start info's first module, which is what
 * xl's bios_path_override names.
 */
#include "guest.h"

#define START_INFO_MAGIC        0x336ec578u
#define TEXT_MAX                1024

struct start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modules, cmdline, rsdp;
};

struct module {
    uint64_t addr, size, cmdline, rsvd;
};

struct orders orders = {
    .seed          = 1,
    .steps         = STEP_ALL,
    .rounds        = 1,
    .edu_factorial = 5,
    .nvme_write    = NO_LBA,
    .e1000e_arp    = { 10, 0, 2, 2 },
};

/* The value of @word if its key is @key. */
static const char *value_of(const char *word, const char *key)
{
    for ( ; *key; ++key, ++word )
        if ( *word != *key )
            return NULL;

    return *word == '=' ? word + 1 : NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Up to @end; NULL: there is no number, or it is above @max. */
static const char *number(const char *s, char end, uint32_t max, uint32_t *val)
{
    uint64_t n = 0;

    if ( !is_digit(*s) )
        return NULL;

    for ( ; is_digit(*s) && n <= max; ++s )
        n = n * 10 + *s - '0';
    if ( *s != end || n > max )
        return NULL;

    *val = n;

    return *s ? s + 1 : s;
}

static bool address(const char *s, uint8_t ip[4])
{
    unsigned int i;
    uint32_t val;

    for ( i = 0; i < 4; ++i )
    {
        s = number(s, i < 3 ? '.' : '\0', 255, &val);
        if ( !s )
            return false;
        ip[i] = val;
    }

    return true;
}

static const char *const steps[] = {
    "compute", "intx", "msi", "msix", "dma", "pirq", NULL
};
static const char *const thens[] = {
    [THEN_HALT]  = "halt",
    [THEN_OFF]   = "off",
    [THEN_QUIET] = "quiet",
    [THEN_STORM] = "storm",
    [THEN_REMAP] = "remap",
    NULL
};

static int index_of(const char *const *names, const char *name)
{
    int i;

    for ( i = 0; names[i]; ++i )
        if ( !strcmp(names[i], name) )
            return i;

    return -1;
}

/* Separated by commas, which it overwrites. */
static bool step_list(char *s, uint32_t *mask)
{
    char *end;
    int step;

    *mask = 0;
    for ( ; *s; s = end )
    {
        for ( end = s; *end && *end != ','; ++end )
            ;
        if ( *end )
            *end++ = '\0';

        step = index_of(steps, s);
        if ( step < 0 )
            return false;
        *mask |= 1u << step;
    }

    return true;
}

static bool obey(char *word)
{
    static const struct {
        const char *key;
        uint32_t *val;
    } numbers[] = {
        { "seed",          &orders.seed },
        { "rounds",        &orders.rounds },
        { "seconds",       &orders.seconds },
        { "edu.factorial", &orders.edu_factorial },
        { "nvme.lba",      &orders.nvme_lba },
        { "nvme.write",    &orders.nvme_write },
    };
    const char *val;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(numbers); ++i )
        if ( (val = value_of(word, numbers[i].key)) )
            return number(val, '\0', NO_LBA - 1, numbers[i].val);

    if ( (val = value_of(word, "steps")) )
        return step_list(word + (val - word), &orders.steps);

    if ( (val = value_of(word, "then")) )
    {
        int then = index_of(thens, val);

        orders.then = then;

        return then >= 0;
    }

    if ( (val = value_of(word, "e1000e.arp")) )
        return address(val, orders.e1000e_arp);

    if ( !strcmp(word, "hotplug") )
        return orders.hotplug = true;

    return false;
}

bool orders_read(void)
{
    static char text[TEXT_MAX], shown[64];
    const struct start_info *info = runtime_start_info;
    const struct module *module;
    size_t i = 0;

    if ( info->magic != START_INFO_MAGIC || !info->nr_modules )
    {
        say_error("orders", "none: bios_path_override names no file");
        return false;
    }

    module = _p(info->modules);
    if ( module->size >= sizeof(text) )
    {
        say_error("orders", "longer than %u bytes", TEXT_MAX - 1);
        return false;
    }
    memcpy(text, _p(module->addr), module->size);

    while ( text[i] )
    {
        char *word = text + i;

        for ( ; text[i] > ' '; ++i )
            ;
        if ( text + i == word )
        {
            ++i;
            continue;
        }
        if ( text[i] )
            text[i++] = '\0';

        snprintf(shown, sizeof(shown), "%s", word);
        if ( !obey(word) )
        {
            say_error("orders", "unknown %s", shown);
            return false;
        }
    }

    return true;
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
