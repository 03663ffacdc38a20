#ifndef SHA256_H
#define SHA256_H
#include <stdint.h>

void sha256(const uint8_t *data, uint32_t n, uint8_t digest[32]); /* FIPS 180-4, of data that lies in one piece */
#endif
