#include "mlperf.h"

#include "bound.h"
#include "mem.h"
#include "upload.h"

/* Source: mlcommons/tiny, benchmark/api/internally_implemented.cpp, and each model's submitter_implemented.cpp. */

enum { COMMAND = 80, LINE = 8, WARMUP = 10, MAX_RUNS = 100000, ENTRY = 0 };

/* The benchmarks by the number of elements that their model takes. */
typedef struct benchmark {
    const char *id;
    uint32_t elements;
    uint8_t element_bytes; /* on the wire: 1 or, of little-endian floats, 4 */
    uint8_t offset;        /* what is subtracted from a byte for an int8 tensor */
    bool error;            /* the result is the mean squared error between input and output */
} benchmark;

static const benchmark BENCHMARKS[] = {
    {"kws01", 490, 1, 0, false}, {"ic01", 32 * 32 * 3, 1, 128, false}, {"vww01", 96 * 96 * 3, 1, 128, false},
    {"ad01", 640, 4, 0, true},   {"sww01", 30 * 40, 1, 0, false},
};

/* -- lines ----------------------------------------------------------------------------------------------------------- */

static void say(const char *text)
{
    port_tx((const uint8_t *)text, (uint32_t)strlen(text));
}

static void say_uint(uint64_t n)
{
    char digits[20];
    uint32_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    port_tx((const uint8_t *)digits + i, (uint32_t)sizeof digits - i);
}

static void say_hex(uint8_t byte)
{
    port_tx((const uint8_t *)"0123456789abcdef" + (byte >> 4), 1);
    port_tx((const uint8_t *)"0123456789abcdef" + (byte & 15), 1);
}

/* Three decimals, as in the reference; values that need more than 7 digits before them are cut to that. */
static void say_float(float v)
{
    if (v != v) {
        say("nan");
        return;
    }
    const float most = 2e6f;
    float size = v < 0 ? -v : v;
    uint32_t thousandths = (uint32_t)((size < most ? size : most) * 1000.0f + 0.5f);
    if (v < 0 && thousandths)
        say("-");
    say_uint(thousandths / 1000);
    say(".");
    say_uint(thousandths / 100 % 10);
    say_uint(thousandths / 10 % 10);
    say_uint(thousandths % 10);
}

static void say_line(const char *before, uint64_t n, const char *after)
{
    say(before);
    say_uint(n);
    say(after);
    say("\r\n");
}

/* Microseconds of the board's counter; where that counts instructions, as if one took a nanosecond. */
static void say_timestamp(const server *s, uint64_t count)
{
    uint32_t hz = s->port->hz ? s->port->hz : 1000000000;
    say_line("m-lap-us-", count / hz * 1000000 + count % hz * 1000000 / hz, "");
}

/* A port without a pin for marks has none of its own, and info.marks is false. */
__attribute__((weak)) void port_mark(void)
{
}

/* The beginning or end of a measured window: the count, or in energy mode a mark for the power meter. */
static uint64_t timestamp(const mlperf *m)
{
    if (!m->energy)
        return port_count(NULL);
    port_mark();
    return 0;
}

/* -- the plan and the buffer ----------------------------------------------------------------------------------------- */

/* The benchmark of the plan in use, or of the one in flash; NULL after an e- line. *in, *out: numbers of its tensors. */
static const benchmark *find_benchmark(server *s, uint32_t *in, uint32_t *out)
{
    fault f = {.what = ""};
    int slot;
    uint32_t bytes;
    if (!s->session.plan) {
        const uint8_t *plan = plan_in_flash(s, &bytes, &slot);
        if (s->upload.target == UPLOAD_POOL) /* the arena takes its place */
            s->upload.target = UPLOAD_NONE;
        if (!plan || !bind_plan(s, plan, bytes, slot, &f)) {
            say("e-[No plan on the board]\r\n");
            return NULL;
        }
    }
    *in = pe_entry_input_tensor(&s->session, ENTRY, 0);
    *out = pe_entry_output_tensor(&s->session, ENTRY, 0);
    if (*in != PE_NONE && *out != PE_NONE && pe_entry_input_tensor(&s->session, ENTRY, 1) == PE_NONE) {
        const pe_tensor *x = pe_tensor_at(&s->session, *in), *y = pe_tensor_at(&s->session, *out);
        uint32_t size = x->dtype == PE_F32 ? sizeof(float) : 1;
        for (uint32_t i = 0; i < sizeof BENCHMARKS / sizeof BENCHMARKS[0]; i++) {
            const benchmark *b = &BENCHMARKS[i];
            bool whole = x->kind == PE_TENSOR_ARENA && x->bytes == b->elements * size;
            bool types = (x->dtype == PE_S8 || (x->dtype == PE_F32 && (b->offset || b->error))) &&
                         (y->dtype == PE_S8 || y->dtype == PE_F32);
            bool like = !b->error || y->bytes == b->elements * (y->dtype == PE_F32 ? sizeof(float) : 1);
            if (whole && types && like)
                return b;
        }
    }
    say("e-[The plan on the board is none of MLPerf Tiny]\r\n");
    return NULL;
}

/* Where the input is collected: behind what the plan needs of the pool. NULL: not so many bytes are left. */
static uint8_t *buffer(const server *s, uint32_t bytes)
{
    uint32_t from = (pool_used(s) + 3) & ~3u;
    return from <= s->port->pool_bytes && bytes <= s->port->pool_bytes - from ? s->port->pool + from : NULL;
}

static float wire_float(const uint8_t *data, uint32_t i)
{
    float v;
    memcpy(&v, data + i * sizeof v, sizeof v);
    return v;
}

static int8_t quantize(float v, const pe_tensor *t)
{
    float q = v / t->scale + (float)t->zero_point;
    if (!(q > -128.0f)) /* NaN as well */
        return -128;
    return q >= 127.0f ? 127 : (int8_t)(int32_t)(q < 0 ? q - 0.5f : q + 0.5f);
}

static float value(const pe_session *session, uint32_t tensor, uint32_t i)
{
    const pe_tensor *t = pe_tensor_at(session, tensor);
    const void *data = pe_tensor_data(session, tensor);
    if (t->dtype == PE_F32)
        return ((const float *)data)[i];
    return (float)(((const int8_t *)data)[i] - t->zero_point) * t->scale;
}

static void fill(const pe_session *session, const benchmark *b, uint32_t in, const uint8_t *data)
{
    const pe_tensor *t = pe_tensor_at(session, in);
    void *x = pe_tensor_data(session, in);
    for (uint32_t i = 0; i < b->elements; i++) {
        float v = b->element_bytes == 4 ? wire_float(data, i) : (float)data[i];
        if (t->dtype == PE_F32)
            ((float *)x)[i] = v;
        else if (b->element_bytes == 4)
            ((int8_t *)x)[i] = quantize(v, t);
        else
            ((uint8_t *)x)[i] = (uint8_t)(data[i] - b->offset);
    }
}

/* -- commands -------------------------------------------------------------------------------------------------------- */

/* The next word of *text, which is ended there; NULL: there is none. */
static char *next_word(char **text)
{
    char *word = *text;
    while (*word == ' ')
        word++;
    char *end = word;
    while (*end && *end != ' ')
        end++;
    *text = end + (*end != 0);
    *end = 0;
    return *word ? word : NULL;
}

static bool same(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && memcmp(a, b, strlen(a)) == 0;
}

/* A decimal number of up to 9 digits, `absent` without a word; UINT32_MAX if it is none. */
static uint32_t number(const char *word, uint32_t absent)
{
    uint32_t n = 0;
    if (!word)
        return absent;
    if (strlen(word) > 9)
        return UINT32_MAX;
    for (; *word; word++) {
        if (*word < '0' || *word > '9')
            return UINT32_MAX;
        n = 10 * n + (uint32_t)(*word - '0');
    }
    return n;
}

static void cmd_results(mlperf *m, const benchmark *b, uint32_t out)
{
    const pe_session *session = &m->s->session;
    const pe_tensor *t = pe_tensor_at(session, out);
    const uint8_t *data = buffer(m->s, m->want);
    uint32_t n = t->dtype == PE_F32 ? t->bytes / (uint32_t)sizeof(float) : t->bytes;
    if (!m->ran || !data || m->want != b->elements * b->element_bytes) {
        say("e-[No results]\r\n");
        return;
    }
    say("m-results-[");
    if (b->error) {
        float sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            float d = value(session, out, i) - wire_float(data, i);
            sum += d * d;
        }
        say_float(sum / (float)n);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            if (i)
                say(",");
            say_float(value(session, out, i));
        }
    }
    say("]\r\n");
}

static void cmd_infer(mlperf *m, char *rest)
{
    server *s = m->s;
    uint32_t runs = number(next_word(&rest), 1), warm = number(next_word(&rest), WARMUP), in, out;
    if (runs < 1 || runs > MAX_RUNS || warm > MAX_RUNS) {
        say("e-[Inferences and warm-ups are 1 and 0 to 100000]\r\n");
        return;
    }
    const benchmark *b = find_benchmark(s, &in, &out);
    if (!b)
        return;
    const uint8_t *data = buffer(s, m->want);
    if (!data || m->got != m->want || m->want != b->elements * b->element_bytes) {
        say_line("e-[The input is not loaded: it has ", b->elements * b->element_bytes, " bytes]");
        return;
    }
    s->last.valid = false; /* of group 70 */
    fill(&s->session, b, in, data);
    say_line("m-warmup-start-", warm, "");
    for (uint32_t i = 0; i < warm; i++)
        pe_run(&s->session, ENTRY, NULL);
    say("m-warmup-done\r\n");
    say_line("m-infer-start-", runs, "");
    uint64_t start = timestamp(m);
    for (uint32_t i = 0; i < runs; i++)
        pe_run(&s->session, ENTRY, NULL);
    uint64_t end = timestamp(m);
    if (!m->energy) {
        say_timestamp(s, start);
        say_timestamp(s, end);
    }
    say("m-infer-done\r\n");
    if (runs + warm > 1) { /* a run may write over its inputs: the results are those of what was loaded */
        fill(&s->session, b, in, data);
        pe_run(&s->session, ENTRY, NULL);
    }
    m->ran = true;
    cmd_results(m, b, out);
}

static int digit(char c)
{
    c |= c >= 'A' && c <= 'F' ? 0x20 : 0;
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void cmd_db(mlperf *m, char *rest)
{
    const char *word = next_word(&rest);
    uint8_t *data = m->s->session.plan ? buffer(m->s, m->want) : NULL;
    if (!word) {
        say("e-[Command 'db' requires a subcommand]\r\n");
    } else if (same(word, "load")) {
        uint32_t n = number(next_word(&rest), 0), in, out;
        m->want = m->got = 0;
        m->ran = false;
        if (n == 0 || n == UINT32_MAX) {
            say("e-[Command 'db load' must be >0 bytes]\r\n");
        } else if (find_benchmark(m->s, &in, &out)) {
            if (buffer(m->s, n)) {
                m->want = n;
                say_line("m-[Expecting ", n, " bytes]");
            } else {
                say_line("e-[No room for ", n, " bytes beside the plan]");
            }
        }
    } else if (same(word, "print")) {
        for (uint32_t i = 0; data && i < m->got; i++) {
            if (i % LINE == 0)
                say(i ? "\r\nm-buffer" : "m-buffer");
            say("-");
            say_hex(data[i]);
        }
        say("\r\n");
    } else {
        for (; *word; word += 2) {
            int high = digit(word[0]), low = word[1] ? digit(word[1]) : -1;
            if (!word[1]) {
                say("e-[Insufficent number of hex digits]\r\n"); /* spelt so in the reference */
                return;
            }
            if (high < 0 || low < 0) {
                say("e-[Invalid hex digit '");
                port_tx((const uint8_t *)word, 2);
                say("']\r\n");
                return;
            }
            if (!data || m->got >= m->want) /* what comes behind the end is passed over */
                continue;
            data[m->got++] = (uint8_t)(high << 4 | low);
            if (m->got == m->want)
                say("m-load-done\r\n");
        }
    }
}

/* Our own: which mode is a matter of the build in the reference, of a command here. */
static void cmd_mode(mlperf *m, char *rest)
{
    const char *word = next_word(&rest);
    bool energy = word && same(word, "energy");
    if (!energy && !(word && same(word, "performance"))) {
        say("e-[The modes are performance and energy]\r\n");
    } else if (energy && !m->s->port->marks) {
        say("e-[This board has no pin for timestamps]\r\n");
    } else {
        m->energy = energy;
        say(energy ? "m-timestamp-mode-energy\r\n" : "m-timestamp-mode-performance\r\n");
    }
}

static void command(mlperf *m, char *text)
{
    server *s = m->s;
    uint32_t in, out;
    const benchmark *b;
    const char *word = next_word(&text);
    if (!word) {
        /* an empty command */
    } else if (same(word, "name")) {
        say("m-name-dut-[pyedge ");
        say(s->port->board);
        say("]\r\n");
    } else if (same(word, "profile")) {
        say("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\n");
        if ((b = find_benchmark(s, &in, &out))) {
            say("m-model-[");
            say(b->id);
            say("]\r\n");
        }
    } else if (same(word, "help")) {
        say("name% profile% timestamp% db load N% db HEX% db print% infer N W% results% mode energy%\r\n");
    } else if (same(word, "mode")) {
        cmd_mode(m, text);
    } else if (same(word, "timestamp")) {
        uint64_t now = timestamp(m);
        if (!m->energy)
            say_timestamp(s, now);
    } else if (same(word, "db")) {
        cmd_db(m, text);
    } else if (same(word, "infer")) {
        cmd_infer(m, text);
    } else if (same(word, "results")) {
        if ((b = find_benchmark(s, &in, &out)))
            cmd_results(m, b, out);
    } else {
        say("e-[Unknown command: ");
        say(word);
        say("]\r\n");
    }
    say("m-ready\r\n");
    m->spoke = true;
}

bool mlperf_put(mlperf *m, uint8_t byte)
{
    /* A frame is decoded into the front of the buffer, which has 256 bytes or more; its first two bytes are no text. */
    uint8_t *text = m->s->port->buf + m->s->port->buf_bytes - COMMAND;
    if (byte == 0) {
        m->frame = false;
        m->chars = 0;
    } else if (byte == '\r' || byte == '\n') {
        m->frame |= m->chars > 0;
    } else if (byte < ' ' || byte > '~') {
        m->frame = true;
    } else if (byte == '%' && !m->frame) {
        text[m->chars] = 0;
        m->chars = 0;
        command(m, (char *)text);
        return true;
    } else if (!m->frame) {
        m->chars -= m->chars == COMMAND; /* more are dropped onto the last place */
        text[m->chars++] = byte;
    }
    return false;
}
