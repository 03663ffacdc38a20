/* The SMP server: groups 0, 1 and 70 of docs/link.md over the runtime, the store and the port. */
#ifndef SERVER_H
#define SERVER_H
#include <stdbool.h>
#include <stdint.h>

#include "port.h"
#include "pyedge.h"
#include "store.h"

/* A plan on its way to the board. Only one is under way; one that begins takes the place of the other. */
typedef struct upload {
    uint8_t target; /* enum in server.c */
    int8_t slot;
    bool good; /* complete, and accepted */
    uint32_t bytes, off;
    uint8_t sha[32];
#ifdef PE_WITH_SLOTS
    uint32_t held; /* after a reset the slot may hold so many bytes of it; more than off */
#endif
} upload;

typedef struct server {
    const port_info *port;
    store store;
#ifdef PE_WITH_SLOTS
    store firmware; /* for an upload into the firmware's slots */
#endif
    bool store_open, reset; /* reset: when the answer is sent */
    int8_t slot;            /* of the plan in use; STORE_NONE: it is in the pool */
    bool counted;           /* counts are those of the last run */
    pe_session session;     /* session.plan is NULL without a plan */
    uint32_t plan_bytes;
    uint64_t *counts; /* one per op of the plan, NULL if the pool has no room for them */
    upload upload;
    struct reservoir *kept; /* in the pool, behind the counts; NULL: none is open */
    struct {
        bool valid;
        uint32_t id, crc;
        uint64_t count;
    } last; /* the run before, for a host that asks again */
} server;

void server_init(server *s, const port_info *port);

/* Handles the message buf[n] of the port and puts the answer in its place. Returns its length, or 0 for no answer. */
uint32_t server_handle(server *s, uint32_t n);
#endif
