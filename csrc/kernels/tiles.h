/* Which tile of a list serves a row of pixels. */
#ifndef PE_TILES_H
#define PE_TILES_H
#include "plan.h"

/* mr pixels by nr vectors of channels. */
typedef struct pe_tile {
    uint8_t mr, nr;
} pe_tile;

/* Number of the tile for n >= 1 pixels of nr vectors: the smallest that needs as few tiles as the largest would. Tiles of
 * one nr stand together in ascending mr, from mr 1 on. */
static inline size_t pe_tile_for(const pe_tile *tiles, size_t count, size_t n, uint32_t nr)
{
    size_t most = 1, best = 0;
    for (size_t i = 0; i < count; i++)
        most = tiles[i].nr == nr && tiles[i].mr > most ? tiles[i].mr : most;
    const size_t wanted = (n - 1) / ((n - 1) / most + 1) + 1;
    for (size_t i = 0; i < count; i++) {
        if (tiles[i].nr != nr || tiles[i].mr > n)
            continue;
        best = i;
        if (tiles[i].mr >= wanted)
            break;
    }
    return best;
}
#endif
