#include "firmware.h"

#include "frame.h"
#include "mlperf.h"
#include "port.h"
#include "server.h"

_Noreturn void firmware_main(void)
{
    /* Static, so that the RAM it takes is known when the firmware is linked. */
    static port_info port;
    static server smp;
    static const uint8_t end_mark = 0;

    port_init(&port);
    server_init(&smp, &port);
    mlperf text = {.s = &smp};
    frame_rx rx = {.buf = port.buf, .capacity = port.buf_bytes + 2};
    for (;;) {
        uint8_t bytes[16];
        uint32_t n = port_rx(bytes, sizeof bytes);
        if (n == 0)
            mlperf_hear(&text);
        for (uint32_t i = 0; i < n; i++) {
            if (mlperf_put(&text, bytes[i])) {
                frame_put(&rx, end_mark); /* it was no frame */
                continue;
            }
            uint32_t message = frame_put(&rx, bytes[i]);
            uint32_t answer = message ? server_handle(&smp, message) : 0;
            if (answer && text.spoke)
                port_tx(&end_mark, 1); /* the text before is no part of the frame */
            if (answer) {
                text.spoke = false;
                frame_send(port.buf, answer);
            }
            if (smp.reset)
                port_reset();
        }
    }
}
