/* The firmware's own slots, group 1 of the link: its images are those that begin as MCUboot's do; all others are plans. Only in
 * firmware that a boot loader starts (PE_WITH_SLOTS). */
#ifndef IMAGES_H
#define IMAGES_H
#include "request.h"
#include "server.h"

enum { FIRMWARE_IMAGE = 0, PLAN_IMAGE = 1 }; /* SMP's "image" in the state */

#ifdef PE_WITH_SLOTS
bool is_firmware(const server *s, const request *q); /* whether the chunk belongs to an image of firmware */

/* Goes on with the upload that a reset has broken off, if it is that one: behind the last sector that is whole, or where the
 * host says that it had come to if its CRC is that of the slot. */
bool begin_firmware(server *s, const request *q, fault *f);
void note_firmware(const server *s, uint32_t before); /* the upload has come from there to its off */
void forget_firmware(void);                           /* it arrived with another hash: the next one starts over */
bool accept_firmware(server *s, fault *f);            /* the whole image is in its slot */

uint32_t count_firmware(void);
void put_firmware(cbor_writer *w);
bool set_state(const request *q, fault *f); /* test or confirm */
#endif
#endif
