/* The text protocol of MLPerf Tiny, performance, accuracy and energy modes, on the same line as the frames (docs/link.md, "Text"). */
#ifndef MLPERF_H
#define MLPERF_H
#include "server.h"

typedef struct mlperf {
    server *s;
    uint32_t chars;       /* of the command that is coming; it lies at the end of the link's buffer */
    uint32_t want, got;   /* bytes of input that the host has announced, and has sent */
    uint32_t activations; /* of a wakeword since start, kept at the end of the pool, the newest first */
    uint32_t samples;     /* that these were computed from */
    uint8_t listening;    /* LISTEN_... */
    bool frame;           /* what is coming is no text: wait for the end mark */
    bool spoke;           /* text was sent since the last frame */
    bool ran;             /* there are results of what was loaded last */
    bool energy;          /* timestamps are marks on a pin */
} mlperf;

/* Takes each byte from the wire. True: it ended a command, which has been answered. */
#ifdef PE_WITH_MLPERF
bool mlperf_put(mlperf *m, uint8_t byte);
void mlperf_hear(mlperf *m); /* samples have come */
#else
static inline bool mlperf_put(mlperf *m, uint8_t byte)
{
    (void)m, (void)byte;
    return false;
}

static inline void mlperf_hear(mlperf *m)
{
    (void)m;
}
#endif

/* -- what the commands share ----------------------------------------------------------------------------------------- */

enum { ENTRY = 0 };
enum { LISTEN_NOT = 0, LISTEN_CAPTURE = 1, LISTEN_STREAM = 2 }; /* the reference's numbers: idle, i2scap, start */

typedef struct benchmark {
    const char *id;
    uint32_t in, out; /* numbers of the plan's tensors */
    uint32_t elements;
    uint8_t element_bytes; /* on the wire: 1, 2 of samples, or 4 of floats; little-endian */
    uint8_t offset;        /* what is subtracted from a byte for an int8 tensor */
    bool error;            /* the result is the mean squared error between input and output */
    bool stream;           /* a wakeword in sound: the input are new samples, states hold those before */
} benchmark;

/* Where the input is collected: behind what the plan needs of the pool. NULL: there is no room for all of it. */
uint8_t *input_buffer(const mlperf *m);
const uint8_t *loaded_input(const mlperf *m, const benchmark *b); /* NULL after an e- line: it isn't whole */
void fill_input(const pe_session *session, const benchmark *b, const uint8_t *data);
float real_value(const pe_session *session, uint32_t tensor, uint32_t i); /* of an int8 or float32 tensor */
void say_no_room(const mlperf *m);                                        /* for m->want bytes */

/* The beginning or end of a measured window: the count, or in energy mode a mark for the power meter, and no line. */
uint64_t timestamp(const mlperf *m);
void say_timestamp(const mlperf *m, uint64_t count);
void pulse(const mlperf *m, uint32_t pin, bool high); /* at that level for 1 us or more, from the other one and back */
#endif
