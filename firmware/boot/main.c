/* The boot loader: chooses a slot and starts it. Linked in place of the firmware, behind the same start-up code and port. */
#include "boot.h"
#include "firmware.h"
#include "mem.h"

_Noreturn void firmware_main(void)
{
    static const char none[] = "pyedge boot: no firmware\r\n";
    const port_slots *slots = port_firmware();
    image i;
    const int slot = boot_choose(&i, slots, boot_key());
    if (slot >= 0)
        port_start(slot, slot_data(slots, slot) + i.payload, i.bytes - i.payload);
    static port_info port;
    port_init(&port);
    port_tx((const uint8_t *)none, sizeof none); /* with its 0, the end mark of a frame */
    for (;;)
        port_rx(port.buf, port.buf_bytes);
}
