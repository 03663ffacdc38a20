#ifndef SHA512_H
#define SHA512_H
#include <stdint.h>

extern const uint64_t sha512_k[80]; /* whose upper halves are SHA-256's */

void sha512(const uint8_t *data, uint32_t n, uint8_t digest[64]); /* FIPS 180-4, of data that lies in one piece */
#endif
