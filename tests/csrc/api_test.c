/* The C API on a plan file, as firmware uses it. Usage: api_test PLAN. The plan is gated_plan() of plan_image.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyedge.h"

#define CHECK(condition)                                   \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1);                                       \
        }                                                  \
    } while (0)

static uint64_t ticks;

static uint64_t now(void *ctx)
{
    CHECK(ctx == &ticks);
    return ++ticks;
}

/* The bytes of a file at an address that is a multiple of 64 plus offset, in a block of their own for ASan to guard. */
static uint8_t *at_offset(const uint8_t *data, size_t n, size_t offset, void **block)
{
    *block = aligned_alloc(64, (n + offset + 63) / 64 * 64);
    CHECK(*block);
    return memcpy((uint8_t *)*block + offset, data, n);
}

static void run_entry(pe_session *s, const char *name, const float *x, const float *expected)
{
    int32_t entry = pe_entry_find(s, name);
    CHECK(entry >= 0);
    uint32_t in = pe_entry_input_tensor(s, (uint32_t)entry, 0), out = pe_entry_output_tensor(s, (uint32_t)entry, 0);
    memcpy(pe_tensor_data(s, in), x, 6 * sizeof *x);
    CHECK(pe_run(s, (uint32_t)entry, NULL) == PE_OK);
    CHECK(memcmp(pe_tensor_data(s, out), expected, 6 * sizeof *x) == 0);
}

int main(int argc, char **argv)
{
    static uint8_t file[4096];
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    CHECK(f);
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);

    void *block, *arena_block;
    pe_error err;
    uint8_t *plan = at_offset(file, n, 16, &block); /* 16 is enough to run from */
    CHECK(pe_plan_verify(plan, n, 0, &err) == PE_OK && err.status == PE_OK && err.text);
    CHECK(pe_plan_verify(plan, n, 0, NULL) == PE_OK);

    void *odd;
    CHECK(pe_plan_verify(at_offset(file, n, 8, &odd), n, 0, &err) == PE_ERR_ALIGN);
    free(odd);

    uint32_t arena_bytes = pe_plan_arena_bytes(plan);
    uint8_t *arena = arena_block = aligned_alloc(64, (arena_bytes + 63) / 64 * 64);
    CHECK(arena);
    memset(arena, 0xA5, arena_bytes);
    pe_session s;
    CHECK(pe_session_init(&s, plan, arena + 4, arena_bytes) == PE_ERR_ALIGN);
    CHECK(pe_session_init(&s, plan, arena, arena_bytes - 1) == PE_ERR_ARENA);
    CHECK(pe_session_init(&s, plan, arena, arena_bytes) == PE_OK);

    CHECK(pe_entry_count(&s) == 2);
    CHECK(pe_entry_find(&s, "main") == 0 && pe_entry_find(&s, "tail") == 1);
    CHECK(pe_entry_find(&s, "mai") == PE_ERR_ENTRY && pe_entry_find(&s, "main2") == PE_ERR_ENTRY);
    CHECK(pe_entry_find(&s, "") == PE_ERR_ENTRY);
    CHECK(pe_entry_at(&s, 2) == NULL && pe_tensor_at(&s, 4) == NULL && pe_tensor_data(&s, PE_NONE) == NULL);
    CHECK(pe_entry_input_tensor(&s, 0, 1) == PE_NONE && pe_entry_output_tensor(&s, 2, 0) == PE_NONE);
    CHECK(strcmp(pe_plan_string(&s, pe_tensor_at(&s, 3)->name), "bias") == 0);
    CHECK(pe_plan_string(&s, PE_NONE)[0] == '\0');
    CHECK(pe_run(&s, 2, NULL) == PE_ERR_ENTRY);

    const float low[] = {0, 1, 2, -1, 0, 1}, added[] = {1, 3, 5, 1, 2, 4};
    const float high[] = {0, 1, 2, 9, 0, 1}, clipped[] = {0, 1, 2, 6, 0, 1};
    run_entry(&s, "main", low, added);    /* the gate stays closed: the addition runs */
    run_entry(&s, "main", high, clipped); /* the branch leaves early */
    run_entry(&s, "tail", low, (const float[]){1, 3, 5, 0, 2, 4});

    /* One reading before the first op and one after each; skipped ops count nothing. */
    uint64_t counts[4] = {0, 0, 0, 100};
    const pe_profile profile = {now, &ticks, counts};
    memcpy(pe_tensor_data(&s, 0), high, sizeof high);
    CHECK(pe_run(&s, 0, &profile) == PE_OK);
    CHECK(ticks == 4 && counts[0] == 1 && counts[1] == 1 && counts[2] == 1 && counts[3] == 100);

    /* A NaN leaves as the canonical one, whatever its payload was. */
    const uint32_t nan = 0xFFC12345, canonical = 0x7FC00000;
    memcpy(pe_tensor_data(&s, 0), &nan, sizeof nan);
    CHECK(pe_run(&s, 0, NULL) == PE_OK && memcmp(pe_tensor_data(&s, 1), &canonical, sizeof nan) == 0);

    for (int status = 1; status >= -17; status--)
        CHECK(pe_status_text(status)[0]);
    CHECK(pe_abi_version() == PE_ABI_VERSION);
    CHECK(pe_crc32(0, "123456789", 9) == 0xCBF43926);
    CHECK(pe_crc32(pe_crc32(0, "1234", 4), "56789", 5) == 0xCBF43926);
    free(block);
    free(arena_block);
    return 0;
}
