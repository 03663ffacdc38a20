/* fuzz_plan without libFuzzer, for any compiler. Usage: replay_plan MUTATIONS PLAN...
 *
 * For each plan: every truncation, then that many mutations. Half of the mutated files keep their old CRC and must be
 * refused; the other half get a new one, and are verified with it before they go through the fuzz target. */
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyedge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static uint64_t state = 1;

static uint32_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* What the target's own mutator calls for unstructured changes: one to four random bytes. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)max_size;
    for (uint32_t n = 1 + next_random() % 4; n > 0 && size > 0; n--)
        data[next_random() % size] = (uint8_t)next_random();
    return size;
}

static void fail(const char *file, const char *what)
{
    printf("%s: %s\n", file, what);
    exit(1);
}

int main(int argc, char **argv)
{
    const size_t room = 1 << 22;
    uint8_t *plan = aligned_alloc(64, room), *changed = aligned_alloc(64, room);
    if (argc < 3 || !plan || !changed)
        return 2;
    unsigned long mutations = strtoul(argv[1], NULL, 10), truncations = 0, refused = 0;
    for (int i = 2; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f)
            fail(argv[i], "cannot be read");
        size_t n = fread(plan, 1, room, f);
        fclose(f);
        if (pe_plan_verify(plan, n, 0, NULL) != PE_OK)
            fail(argv[i], "is refused");

        /* In place: what was cut off is out of bounds for ASan. */
        for (size_t k = n; k-- > 0; truncations++) {
            __asan_poison_memory_region(plan + k, room - k);
            if (pe_plan_verify(plan, k, PE_VERIFY_SKIP_CRC, NULL) != PE_ERR_TRUNCATED)
                fail(argv[i], "a truncation is not refused as truncated");
        }
        __asan_unpoison_memory_region(plan, room);

        for (unsigned long m = 0; m < mutations; m++) {
            memcpy(changed, plan, n);
            LLVMFuzzerCustomMutator(changed, n, n, next_random());
            pe_plan_header *h = (pe_plan_header *)changed;
            if (m % 2) { /* bytes 0 .. 15 lie before what the CRC covers */
                if (memcmp(plan + 16, changed + 16, n - 16) != 0 && pe_plan_verify(changed, n, 0, NULL) == PE_OK)
                    fail(argv[i], "a change is not seen by the CRC");
                refused++;
                continue;
            }
            if (h->file_bytes >= 16 && h->file_bytes <= n)
                h->crc32 = pe_crc32(0, changed + 16, h->file_bytes - 16);
            if (pe_plan_verify(changed, n, 0, NULL) != pe_plan_verify(changed, n, PE_VERIFY_SKIP_CRC, NULL) &&
                h->file_bytes >= 16 && h->file_bytes <= n)
                fail(argv[i], "the CRC decides although it is right");
            LLVMFuzzerTestOneInput(changed, n);
        }
    }
    printf("truncations %lu, mutations with the old CRC %lu; of those with a new one:\n", truncations, refused);
    fflush(stdout);
    free(plan);
    free(changed);
    return 0;
}
