/* What the boot loader decides, apart from how a chip starts an image. */
#ifndef BOOT_H
#define BOOT_H
#include "image.h"
#include "state.h"

const uint8_t *slot_data(const port_slots *slots, int slot);

/* image_check() of a slot, and whether the image is for this slot's address. */
image_fault slot_check(image *i, const port_slots *slots, int slot, const uint8_t *key, uint32_t floor);

/* The slot to start, its image in *i; -1: none may run. Follows an update, undoes one that was tried and not confirmed, and
 * writes down what it did before the image gets to run. */
int boot_choose(image *i, const port_slots *slots, const uint8_t *key);

/* For the firmware that runs. Each writes one record, and nothing if that is what the state is already. False: the flash failed,
 * or there is no such image to confirm. */
bool boot_try(const port_slots *slots, int slot, bool permanent); /* at the next boot */
bool boot_confirm(const port_slots *slots, int running);
bool boot_receive(const port_slots *slots, const boot_upload *upload); /* what waited to be started is given up */

/* The key that images must be signed by, as the build gives it; NULL: none need be. */
const uint8_t *boot_key(void);
#endif
