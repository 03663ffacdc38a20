/* The link under libFuzzer: frames, CBOR, server and store, over a port of RAM. An input is a list of steps, each on the board
 * that the steps before have left:
 *
 *     0 n bytes[n]          bytes on the wire as they are
 *     1 c n16 body[n16]     a request of command c with this body; header, CRC and COBS are made right
 *     2 t n16 plan[n16]     a whole upload, target t: length and SHA-256 are made right, so the plan reaches the verifier
 *     3                     a reset; the flash stays
 *
 * Each answer has to be a frame of a well-formed CBOR map that fits. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbor.h"
#include "frame.h"
#include "plan.h"
#include "server.h"
#include "sha256.h"

enum { BUF = 512, POOL = 4096, SECTOR = 256, SLOT = 1024, UNIT = 4, STORE = 2 * SECTOR + 2 * SLOT };
enum { RUN_BUDGET = 1000 /* runs of the plan in an input, as n may ask for four billion */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(64) uint8_t flash[STORE], pool[POOL];
static uint8_t wire[2 * BUF];
static uint32_t wire_bytes;
static uint32_t counts;
static jmp_buf out_of_budget;
static uint8_t *link_buf; /* of exactly BUF + 2 bytes */
static server smp;
static frame_rx rx;
static const port_store store_of_ram = {flash, SECTOR, SLOT, UNIT};
static port_info port;

static struct {
    unsigned long inputs, messages, answers, refusals, plans_bound, runs;
} reached;

static void report(void)
{
    fprintf(stderr, "inputs %lu; messages %lu, answers %lu, refusals %lu, plans bound %lu, runs %lu\n", reached.inputs,
            reached.messages, reached.answers, reached.refusals, reached.plans_bound, reached.runs);
}

static void require(int condition)
{
    if (!condition)
        abort();
}

uint64_t port_count(void *ctx)
{
    (void)ctx;
    if (++counts > 2 * RUN_BUDGET)
        longjmp(out_of_budget, 1);
    return counts;
}

void port_tx(const uint8_t *data, uint32_t n)
{
    require(wire_bytes + n <= sizeof wire);
    if (n)
        memcpy(wire + wire_bytes, data, n);
    wire_bytes += n;
}

int port_erase(uint32_t offset)
{
    require(offset % SECTOR == 0 && offset < STORE);
    memset(flash + offset, 0xFF, SECTOR);
    return 0;
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    require(offset % UNIT == 0 && n % UNIT == 0 && offset + n <= STORE);
    for (uint32_t i = 0; i < n; i++) {
        require(flash[offset + i] == 0xFF);
        flash[offset + i] = data[i];
    }
    return 0;
}

static void start(void)
{
    server_init(&smp, &port);
    rx = (frame_rx){.buf = link_buf, .capacity = BUF + 2};
}

static void check_answer(uint32_t n)
{
    require(n >= 8 && n <= BUF && (uint32_t)(link_buf[2] << 8 | link_buf[3]) == n - 8);
    cbor_reader r = {link_buf + 8, link_buf + n};
    cbor_item map;
    require(cbor_next(&r, &map) && map.type == CBOR_MAP);
    /* cbor_skip refuses numbers of 64 bits, which counts may be. */
    require((link_buf[7] == 4 || link_buf[7] == 6) || (cbor_skip(&r, &map) && r.p == r.end));
    reached.refusals += n > 11 && memcmp(link_buf + 9, "brc", 3) == 0;
}

/* The loop of main.c. */
static void feed(uint8_t byte)
{
    uint32_t message = frame_put(&rx, byte);
    if (!message)
        return;
    reached.messages++;
    const uint8_t *bound = smp.session.plan;
    uint32_t runs = counts;
    uint32_t answer = server_handle(&smp, message);
    reached.plans_bound += smp.session.plan && !bound;
    reached.runs += (counts - runs) / 2;
    if (answer) {
        reached.answers++;
        check_answer(answer);
        wire_bytes = 0;
        frame_send(link_buf, answer);
    }
    if (smp.reset)
        start();
}

/* Sends a message to the board through COBS and CRC. */
static void request(uint8_t op, uint16_t group, uint8_t id, const uint8_t *body, uint32_t n)
{
    uint8_t message[8 + BUF + 2] = {op, 0, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)(group >> 8), (uint8_t)group, 0, id};
    static uint8_t sent[sizeof wire];
    memcpy(message + 8, body, n);
    wire_bytes = 0;
    frame_send(message, 8 + n);
    uint32_t bytes = wire_bytes;
    memcpy(sent, wire, bytes);
    for (uint32_t i = 0; i < bytes; i++)
        feed(sent[i]);
}

static void send_plan(uint16_t group, const uint8_t *plan, uint32_t bytes)
{
    uint8_t sha[32];
    sha256(plan, bytes, sha);
    for (uint32_t off = 0; off < bytes;) {
        uint8_t body[BUF - 8];
        uint32_t n = bytes - off < 384 ? bytes - off : 384;
        cbor_writer w = {body, body + sizeof body, false};
        cbor_map(&w, off ? 2 : 4);
        cbor_text(&w, "off");
        cbor_uint(&w, off);
        if (!off) {
            cbor_text(&w, "len");
            cbor_uint(&w, bytes);
            cbor_text(&w, "sha");
            cbor_bytes(&w, sha, sizeof sha);
        }
        cbor_text(&w, "data");
        cbor_bytes(&w, plan + off, n);
        require(!w.full);
        request(2, group, 1, body, (uint32_t)(w.p - body));
        off += n;
    }
}

static const struct {
    uint8_t op, group, id;
} COMMANDS[] = {{2, 0, 0},  {2, 0, 5},  {0, 0, 6},  {0, 1, 0},  {2, 1, 1},   {0, 70, 0},
                {2, 70, 1}, {0, 70, 2}, {2, 70, 3}, {2, 70, 4}, {0, 70, 5},  {0, 70, 6},
                {0, 70, 7}, {2, 70, 8}, {1, 70, 0}, {0, 70, 9}, {0, 70, 10}, {2, 70, 11}};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0] };

/* A plan of one copy op, so that inputs, runs and outputs do something before the fuzzer has found a plan of its own. */
static uint32_t make_plan(uint8_t *plan)
{
    static const char strings[] = "\0x\0y\0main\0copy";
    struct {
        pe_plan_header header;
        pe_tensor tensors[2];
        pe_op op;
        pe_entry entry;
        uint32_t index[4];
        char strings[16];
        uint8_t pad[64 - (104 + 96 + 32 + 28 + 16 + 16) % 64];
    } p = {0};
#define SECTION(member) {(uint32_t)((uint8_t *)&p.member - (uint8_t *)&p), (uint32_t)sizeof p.member}
    pe_section end = {sizeof p, 0};
    p.header = (pe_plan_header){.magic = PE_PLAN_MAGIC,
                                .major = PE_PLAN_MAJOR,
                                .file_bytes = sizeof p,
                                .arena_bytes = 64,
                                .tensors = SECTION(tensors),
                                .ops = SECTION(op),
                                .entries = SECTION(entry),
                                .index = SECTION(index),
                                .params = end,
                                .strings = SECTION(strings),
                                .meta = end,
                                .signature = end,
                                .consts = end};
    for (int i = 0; i < 2; i++)
        p.tensors[i] = (pe_tensor){.name = (uint32_t)(1 + 2 * i),
                                   .dtype = PE_S8,
                                   .kind = PE_TENSOR_ARENA,
                                   .rank = 1,
                                   .dims = {32, 1, 1, 1, 1, 1},
                                   .offset = (uint32_t)(32 * i),
                                   .bytes = 32};
    p.op = (pe_op){.kind = PE_OP_COPY, .inputs = 1, .outputs = 1, .name = 10, .kind_name = 10};
    p.entry = (pe_entry){.name = 5, .op_count = 1, .inputs = 2, .input_count = 1, .outputs = 3, .output_count = 1};
    p.index[1] = p.index[3] = 1; /* op: 0, 1; entry's input: 0, output: 1 */
    memcpy(p.strings, strings, sizeof strings);
    p.header.crc32 = pe_crc32(0, (uint8_t *)&p + 16, sizeof p - 16);
    memcpy(plan, &p, sizeof p);
    return sizeof p;
}

static void run_steps(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 4) {
        uint8_t kind = p[0] & 3, what = p[1];
        uint32_t n = kind == 0 ? what : kind == 3 ? 0 : (uint32_t)(p[2] << 8 | p[3]);
        p += kind == 0 ? 2 : kind == 3 ? 1 : 4;
        n = n < (size_t)(end - p) ? n : (uint32_t)(end - p);
        if (kind == 0)
            for (uint32_t i = 0; i < n; i++)
                feed(p[i]);
        else if (kind == 1)
            request(COMMANDS[what % COMMAND_COUNT].op, COMMANDS[what % COMMAND_COUNT].group,
                    COMMANDS[what % COMMAND_COUNT].id, p, n = n < BUF - 8 ? n : BUF - 8);
        else if (kind == 2)
            send_plan(what & 1 ? 70 : 1, p, n);
        else
            start();
        p += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static server with_plan; /* the state that each input begins in: a plan in the pool, an empty store */
    static uint8_t pool_with_plan[POOL];
    if (!reached.inputs) {
        link_buf = malloc(BUF + 2);
        port = (port_info){.board = "fuzz",
                           .unit = "ns",
                           .boot = 1,
                           .buf = link_buf,
                           .buf_bytes = BUF,
                           .pool = pool,
                           .pool_bytes = POOL,
                           .store = &store_of_ram};
        uint8_t plan[512];
        start();
        send_plan(70, plan, make_plan(plan));
        require(smp.session.plan != NULL);
        with_plan = smp;
        memcpy(pool_with_plan, pool, POOL);
        atexit(report);
    }
    reached.inputs++;
    counts = 0;
    memset(flash, 0xFF, sizeof flash);
    memcpy(pool, pool_with_plan, POOL);
    start();
    smp = with_plan;
    if (!setjmp(out_of_budget))
        run_steps(data, data + size);
    return 0;
}
