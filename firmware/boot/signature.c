/* The curve is Monocypher's (pyedge/host/monocypher.py fetches it); a hash for it the caller has to bring. libsodium's would be
 * 28 KB on rv32. */
#include "signature.h"

#include "mem.h"
#include "monocypher.h"
#include "sha512.h"

bool signature_good(const uint8_t signature[SIGNATURE_BYTES], const uint8_t key[32], const uint8_t digest[32])
{
    uint8_t message[96], hash[64], h[32]; /* R, A, M */
    memcpy(message, signature, 32);
    memcpy(message + 32, key, 32);
    memcpy(message + 64, digest, 32);
    sha512(message, sizeof message, hash);
    crypto_eddsa_reduce(h, hash);
    return crypto_eddsa_check_equation(signature, key, h) == 0;
}
