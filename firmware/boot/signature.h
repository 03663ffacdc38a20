#ifndef SIGNATURE_H
#define SIGNATURE_H
#include <stdbool.h>
#include <stdint.h>

enum { SIGNATURE_BYTES = 64 };

/* Ed25519 (RFC 8032) over a 32-byte digest, which is what imgtool signs. */
bool signature_good(const uint8_t signature[SIGNATURE_BYTES], const uint8_t key[32], const uint8_t digest[32]);
#endif
