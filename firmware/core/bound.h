/* The plan in use, and where plans lie. */
#ifndef BOUND_H
#define BOUND_H
#include "request.h"
#include "server.h"

const pe_plan_header *plan_header(const server *s); /* there must be a plan */
uint32_t plan_ops(const server *s);
uint32_t pool_used(const server *s); /* bytes of the pool that are taken */

/* Takes a plan into use, out of the one before. The pool holds the plan if slot is STORE_NONE, then the arena, then the
 * counts. A plan of the store begins with the states that were kept of it. False after fail(). */
bool bind_plan(server *s, const uint8_t *plan, uint32_t bytes, int slot, fault *f);
void release_plan(server *s);

/* What runs answers with the count and a CRC, and once for each id: a host that asks again gets the same. */
bool is_repeat(const server *s, const request *q);
void end_run(server *s, const request *q, uint64_t count, uint32_t crc);
uint32_t outputs_crc(const server *s, uint32_t entry);
void put_run(const server *s, cbor_writer *w);

const store *open_store(server *s); /* reads it at the first call: that hashes the plans */

/* The plan in flash: the store's active one, or else the one that was linked with the firmware; NULL without. */
const uint8_t *plan_in_flash(server *s, uint32_t *bytes, int *slot);
#endif
