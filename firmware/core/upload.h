/* Uploads, to the pool and to the store. Whatever is repeated, lost or begun anew, the answer says where the board stands. */
#ifndef UPLOAD_H
#define UPLOAD_H
#include "request.h"
#include "server.h"

enum { UPLOAD_NONE = 0, UPLOAD_POOL = 1, UPLOAD_STORE = 2, UPLOAD_FIRMWARE = 3 };

void receive_chunk(server *s, const request *q, cbor_writer *w, fault *f, uint8_t target);
#endif
