#ifndef SHA512_H
#define SHA512_H
#include <stdint.h>

void sha512(const uint8_t *data, uint32_t n, uint8_t digest[64]); /* FIPS 180-4, of data that lies in one piece */
#endif
