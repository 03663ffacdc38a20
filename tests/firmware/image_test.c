/* image.c over files: image_test KEY|none FLOOR FILE prints the fault and what the image says; with "bits" behind it, changes
 * each bit of the file in turn, and each byte after the end is cut off, none of which may pass; "noise N": N files of noise
 * behind its header. "sha512" alone: hashes standard input. */
#include <inttypes.h>
#include <string.h>

#include "image.h"
#include "sha512.h"
#include "unit.h"

enum { ROOM = 1 << 20 };
static uint8_t data[ROOM];

static void hash_input(void)
{
    uint8_t digest[64];
    sha512(data, (uint32_t)fread(data, 1, ROOM, stdin), digest);
    for (int i = 0; i < 64; i++)
        printf("%02x", digest[i]);
}

/* A copy of its own size, so that ASan sees a read behind its end. */
static image_fault check(const uint8_t *from, uint32_t n, const uint8_t *key, uint32_t floor)
{
    uint8_t *copy = malloc(n ? n : 1);
    image i;
    CHECK(copy);
    memcpy(copy, from, n);
    image_fault fault = image_check(&i, copy, n, key, floor);
    free(copy);
    return fault;
}

int main(int argc, char **argv)
{
    uint8_t key[IMAGE_KEY];
    if (argc == 2) {
        hash_input();
        return 0;
    }
    CHECK(argc >= 4);
    const uint8_t *wanted = strcmp(argv[1], "none") ? key : NULL;
    for (int i = 0; wanted && i < IMAGE_KEY; i++)
        CHECK(sscanf(argv[1] + 2 * i, "%2" SCNx8, &key[i]) == 1);
    const uint32_t floor = (uint32_t)strtoul(argv[2], NULL, 0);
    FILE *file = fopen(argv[3], "rb");
    CHECK(file);
    const uint32_t n = (uint32_t)fread(data, 1, ROOM, file);
    fclose(file);

    image i = {0};
    const image_fault fault = image_check(&i, data, n, wanted, floor);
    printf("%d %u %u %" PRIx32 " %u %u.%u.%u+%u\n", (int)fault, i.payload, i.bytes, i.address, i.counter, i.major,
           i.minor, i.revision, i.build);
    if (argc > 4 && !strcmp(argv[4], "bits")) {
        CHECK(fault == IMAGE_GOOD && i.bytes == n);
        for (uint32_t bit = 0; bit < 8 * n; bit++) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(check(data, n, wanted, floor) != IMAGE_GOOD);
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (uint32_t length = 0; length < n; length++)
            CHECK(check(data, length, wanted, floor) != IMAGE_GOOD);
        CHECK(check(data, n + 1, wanted, floor) ==
              IMAGE_GOOD); /* what lies behind an image in its slot is none of it */
        printf("%u bits\n", 8 * n);
    }
    if (argc > 5 && !strcmp(argv[4], "noise")) { /* lengths that lie, in every field */
        static uint8_t noise[512];
        for (int round = atoi(argv[5]); round > 0; round--) {
            memcpy(noise, data, sizeof noise);
            for (int change = 1 + rand() % 6; change > 0; change--)
                noise[4 + rand() % (rand() % 2 ? 28 : (int)sizeof noise - 4)] = (uint8_t)(rand() % 4 ? rand() : 255);
            check(noise, (uint32_t)(rand() % (int)sizeof noise), wanted, floor);
        }
    }
    return 0;
}
