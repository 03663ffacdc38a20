/* The firmware's own slots, group 1 of the link: its images are those that begin as MCUboot's do; all others are plans. Only in
 * firmware that a boot loader starts (PE_WITH_SLOTS). */
#ifndef IMAGES_H
#define IMAGES_H
#include "request.h"
#include "server.h"

enum { FIRMWARE_IMAGE = 0, PLAN_IMAGE = 1 }; /* SMP's "image" in the state */

#ifdef PE_WITH_SLOTS
bool is_firmware(const server *s, const request *q); /* whether the chunk belongs to an image of firmware */
bool begin_firmware(server *s, const request *q, fault *f);
bool accept_firmware(server *s, fault *f); /* the whole image is in its slot */

uint32_t count_firmware(void);
void put_firmware(cbor_writer *w);
bool set_state(const request *q, fault *f); /* test or confirm */
#endif
#endif
