/* What a chip gives to the firmware: the contract of firmware/port/<chip>/. One thread, no interrupts needed. */
#ifndef PORT_H
#define PORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A NOR store: two journal sectors, then two slots (docs/link.md, "Journal and slots"). */
typedef struct port_store {
    const uint8_t *base;   /* readable as memory, 64-byte aligned */
    uint32_t sector_bytes; /* what one erase clears to 0xFF; a multiple of 64 */
    uint32_t slot_bytes;   /* a multiple of sector_bytes */
    uint32_t write_bytes;  /* programs cover whole, aligned units of this size, 1 .. 64; 0: read-only */
} port_store;

typedef struct port_info {
    const char *board;
    const char *unit;   /* of port_count: "instructions", "cycles" or "ns" */
    uint32_t hz;        /* rate of that unit, 0 if it has none */
    uint32_t boot;      /* differs after every reset, 0 if the board cannot */
    uint8_t *buf;       /* link buffer of buf_bytes + 2 (the CRC) */
    uint32_t buf_bytes; /* longest message, header and body; >= 256 */
    uint8_t *pool;      /* RAM for plan and arena, 64-byte aligned */
    uint32_t pool_bytes;
    uint32_t static_bytes; /* RAM of the firmware itself: no pool, no stack */
    const uint8_t *stack;  /* lowest address of the stack, painted with PORT_PAINT; NULL: unknown */
    uint32_t stack_bytes;
    const port_store *store; /* NULL: none */
    bool marks;              /* there is a PIN_MARK */
    bool audio;              /* there is a sound input */
} port_info;

enum { PORT_PAINT = 0xA5 };

void port_init(port_info *info);             /* fills all of info, brings up the link */
uint32_t port_rx(uint8_t *data, uint32_t n); /* waits until bytes have come: how many, 1 .. n; 0: samples have */
void port_tx(const uint8_t *data, uint32_t n);
uint64_t port_count(void *ctx);  /* never runs backwards; ctx is not used */
_Noreturn void port_reset(void); /* all that was sent before still arrives */

/* Pins for instruments, low after port_init; a port passes over those that it has not. MARK: high while runs are measured, or
 * a timestamp of MLPerf Tiny. BUSY: high while sound is computed. HEARD: falls when the wakeword was heard. */
enum { PIN_MARK, PIN_BUSY, PIN_HEARD };
#ifdef PE_WITH_PINS
void port_pin(uint32_t pin, bool high);
#else
static inline void port_pin(uint32_t pin, bool high)
{
    (void)pin, (void)high;
}
#endif

/* Sound, 16,000 samples a second of one channel, where info.audio. From port_listen(true) on port_rx also ends, with 0, when
 * samples have come; they are then to be taken. */
#ifdef PE_WITH_AUDIO
void port_listen(bool on);                           /* off and on: what came meanwhile is dropped */
uint32_t port_samples(int16_t *samples, uint32_t n); /* as many as have come, at most n; while it listens */
#else
static inline void port_listen(bool on)
{
    (void)on;
}

static inline uint32_t port_samples(int16_t *samples, uint32_t n)
{
    (void)samples, (void)n;
    return 0;
}
#endif

/* Offsets from the base of the store of plans. 0 or a negative number. Not called where write_bytes is 0. */
int port_erase(uint32_t offset); /* the sector that begins here */
int port_program(uint32_t offset, const uint8_t *data,
                 uint32_t n); /* whole units into erased bytes, in ascending order */

/* Chips whose firmware has slots of its own, behind a boot loader (firmware/boot): laid out as a store, two sectors of journal
 * and two slots, of which one runs. Erasing and programming must not need code that lies in the same flash. */
typedef struct port_slots {
    port_store flash;
    uint32_t at; /* flash.base, as an offset of port_erase and port_program */
} port_slots;

const port_slots *port_firmware(void);
int port_running(void); /* the slot that this firmware was started from */
_Noreturn void port_start(int slot, const uint8_t *code,
                          uint32_t n); /* for the boot loader: ends here, n bytes to run */
#endif
