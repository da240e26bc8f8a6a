// SPDX-License-Identifier: GPL-2.0-only
// Prints what the kernel's privcmd says is the GSI of each device.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <sys/ioctl.h>

struct pcidev_get_gsi {
    uint32_t sbdf;
    uint32_t gsi;
};

#define PCIDEV_GET_GSI _IOC(_IOC_NONE, 'P', 10, sizeof(struct pcidev_get_gsi))

int main(int argc, char **argv)
{
    int fd = open("/dev/xen/privcmd", O_RDWR);

    for (int i = 1; i < argc; i++) {
        unsigned int seg, bus, dev, fn;
        struct pcidev_get_gsi arg = { 0 };

        if (sscanf(argv[i], "%x:%x:%x.%x", &seg, &bus, &dev, &fn) != 4)
            continue;
        arg.sbdf = seg << 16 | bus << 8 | dev << 3 | fn;
        if (fd < 0 || ioctl(fd, PCIDEV_GET_GSI, &arg) < 0)
            printf("%s %s\n", argv[i], strerror(errno));
        else
            printf("%s gsi %u\n", argv[i], arg.gsi);
    }
    return 0;
}
