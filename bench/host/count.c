/* Runs each entry of a plan twice and counts the second: count PLAN INPUTS LEVEL, under valgrind --tool=callgrind
 * --collect-atstart=no. INPUTS: a file of the inputs of all entries, one behind the other. LEVEL: "portable", or "best" for
 * what the CPU has, of which valgrind shows AVX2 at most.
 *
 * Callgrind writes a file for each entry, in order. Prints "entry kernel" lines: the layer kernel of the entry's first op, or
 * "-". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "kernels/cpu.h"
#include "pyedge.h"

static void *aligned(size_t align, size_t bytes)
{
    void *p = aligned_alloc(align, (bytes + align) / align * align);
    if (!p) {
        fputs("count: no memory\n", stderr);
        exit(1);
    }
    return memset(p, 0, bytes);
}

static void *read_file(const char *name, size_t *bytes)
{
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END) || (*bytes = (size_t)ftell(file)) == 0) {
        perror(name);
        exit(1);
    }
    void *data = aligned(PE_PLAN_ALIGN, *bytes);
    rewind(file);
    if (fread(data, 1, *bytes, file) != *bytes) {
        perror(name);
        exit(1);
    }
    fclose(file);
    return data;
}

/* Copies an entry's inputs from x; returns what follows them. */
static const uint8_t *feed(const pe_session *s, uint32_t entry, const uint8_t *x, const uint8_t *end)
{
    for (uint32_t i = 0; i < pe_entry_at(s, entry)->input_count; i++) {
        const uint32_t tensor = pe_entry_input_tensor(s, entry, i), bytes = pe_tensor_at(s, tensor)->bytes;
        if ((size_t)(end - x) < bytes) {
            fputs("count: too few inputs\n", stderr);
            exit(1);
        }
        memcpy(pe_tensor_data(s, tensor), x, bytes);
        x += bytes;
    }
    return x;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: count PLAN INPUTS portable|best\n", stderr);
        return 2;
    }
    size_t bytes, input_bytes;
    const void *plan = read_file(argv[1], &bytes);
    const uint8_t *x = read_file(argv[2], &input_bytes), *end = x + input_bytes;
    const uint32_t features = strcmp(argv[3], "best") ? 0 : pe_cpu_features();
    pe_error error;
    if (pe_plan_verify(plan, bytes, 0, &error) != PE_OK) {
        fprintf(stderr, "count: %s: %s\n", argv[1], error.text);
        return 1;
    }
    pe_pack *pack = aligned(PE_PLAN_ALIGN, pe_pack_bytes(plan, features));
    pe_session session;
    if (pe_pack_init(pack, plan, features) != PE_OK ||
        pe_session_init_packed(&session, pack, aligned(64, pe_pack_arena_bytes(pack)), pe_pack_arena_bytes(pack))) {
        fputs("count: no session\n", stderr);
        return 1;
    }
    for (uint32_t entry = 0; entry < pe_entry_count(&session); entry++) {
        const char *layer = pe_pack_layer(pack, pe_entry_at(&session, entry)->first_op);
        printf("%u %s\n", entry, layer ? layer : "-");
        feed(&session, entry, x, end);
        pe_run(&session, entry, NULL);
        x = feed(&session, entry, x, end);
        CALLGRIND_TOGGLE_COLLECT;
        pe_run(&session, entry, NULL);
        CALLGRIND_TOGGLE_COLLECT;
        CALLGRIND_DUMP_STATS;
    }
    return 0;
}
