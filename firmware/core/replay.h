/* Learning from samples that are kept in flash, without a host: docs/link.md, "Reservoir". Of a plan in flash, the newest one
 * there. A firmware that is trimmed to a plan without states leaves this out. */
#ifndef REPLAY_H
#define REPLAY_H
#include "request.h"
#include "server.h"

void open_replay(server *s, const request *q, cbor_writer *w, fault *f);
void remember(server *s, const request *q, cbor_writer *w, fault *f);
void learn(server *s, const request *q, cbor_writer *w, fault *f);
void read_sample_kept(server *s, const request *q, cbor_writer *w, fault *f);
#endif
