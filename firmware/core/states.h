/* States of the plan in use: read over the link, kept in the store, and put back. A firmware that is trimmed to a plan without
 * states leaves this out. */
#ifndef STATES_H
#define STATES_H
#include "request.h"
#include "server.h"

#ifdef PE_WITH_STATES
void read_states(server *s, const request *q, cbor_writer *w, fault *f);
void keep_states(server *s, const request *q, cbor_writer *w, fault *f);
void restore_states(server *s); /* of a plan that was taken into use out of a slot: those that were kept, if any */
#else
static inline void restore_states(server *s)
{
    (void)s;
}
#endif
#endif
