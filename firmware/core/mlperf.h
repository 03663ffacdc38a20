/* The text protocol of MLPerf Tiny, performance, accuracy and energy modes, on the same line as the frames (docs/link.md, "Text"). */
#ifndef MLPERF_H
#define MLPERF_H
#include "server.h"

typedef struct mlperf {
    server *s;
    uint32_t chars;     /* of the command that is coming; it lies at the end of the link's buffer */
    uint32_t want, got; /* bytes of input that the host has announced, and has sent */
    bool frame;         /* what is coming is no text: wait for the end mark */
    bool spoke;         /* text was sent since the last frame */
    bool ran;           /* there are results of what was loaded last */
    bool energy;        /* timestamps are marks on a pin */
} mlperf;

/* Takes each byte from the wire. True: it ended a command, which has been answered. */
#ifdef PE_WITH_MLPERF
bool mlperf_put(mlperf *m, uint8_t byte);
#else
static inline bool mlperf_put(mlperf *m, uint8_t byte)
{
    (void)m, (void)byte;
    return false;
}
#endif
#endif
