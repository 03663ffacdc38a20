/* Slots of the host port. What runs, and by which boot loader, goes along in the environment. */
#define _GNU_SOURCE
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port.h"

const port_slots *port_firmware(void)
{
    enum { SECTOR = 64 * 1024, SLOT = 4 * 1024 * 1024, AT = 2 * SECTOR + 2 * SLOT }; /* behind the store, and like it */
    static port_slots slots = {.flash = {.sector_bytes = SECTOR, .slot_bytes = SLOT, .write_bytes = 8}, .at = AT};
    slots.flash.base = host_flash() + AT;
    return &slots;
}

int port_running(void)
{
    const char *slot = getenv("PYEDGE_HOST_SLOT");
    return slot && *slot == '1';
}

_Noreturn void port_start(int slot, const uint8_t *code, uint32_t n)
{
    char self[4096] = "";
    int image = memfd_create("firmware", MFD_CLOEXEC);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 || image < 0 || write(image, code, n) != (ssize_t)n) {
        perror("pyedge host firmware: start");
        exit(1);
    }
    setenv("PYEDGE_HOST_BOOT", self, 1);
    setenv("PYEDGE_HOST_SLOT", slot ? "1" : "0", 1);
    host_start(image);
}
