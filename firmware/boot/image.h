/* A firmware image as MCUboot's imgtool writes it: header, payload, TLVs (MCUboot, docs/design.md, "Image format"). What no
 * field of it says, and what MCUboot could skip, makes it a damaged one: so no bit of an image can be another unnoticed. */
#ifndef IMAGE_H
#define IMAGE_H
#include <stdbool.h>
#include <stdint.h>

enum { IMAGE_HEADER = 32, IMAGE_HASH = 32, IMAGE_KEY = 32 };

typedef enum image_fault {
    IMAGE_GOOD,
    IMAGE_NONE,      /* no header */
    IMAGE_DAMAGED,   /* lengths, TLVs or hash */
    IMAGE_KIND,      /* encrypted, compressed, not bootable, or for RAM */
    IMAGE_UNSIGNED,  /* no Ed25519 signature, and a key asks for one */
    IMAGE_SIGNATURE, /* by another key, or none at all */
    IMAGE_ROLLBACK,  /* its security counter is below the floor */
    IMAGE_ADDRESS    /* linked for the other slot */
} image_fault;

typedef struct image {
    uint32_t payload; /* offset of what is executed */
    uint32_t bytes;   /* header, payload and TLVs */
    uint32_t address; /* that the slot must have, 0: any */
    uint32_t counter; /* security counter, 0 without */
    uint8_t major, minor;
    uint16_t revision;
    uint32_t build;
    const uint8_t *hash; /* of header, payload and protected TLVs */
} image;

bool image_begins(const uint8_t *data, uint32_t n); /* has the magic number of a header */

/* Checks the image at the start of data. key: the Ed25519 public key that must have signed it, NULL: none need have. */
image_fault image_check(image *i, const uint8_t *data, uint32_t room, const uint8_t *key, uint32_t floor);

const char *image_fault_text(image_fault fault);
#endif
