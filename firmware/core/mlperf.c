#include "mlperf.h"

#include "bound.h"
#include "mem.h"
#include "text.h"
#include "upload.h"
#include "wakeword.h"

/* Source: mlcommons/tiny, benchmark/api/internally_implemented.cpp, and each model's submitter_implemented.cpp. */

enum { COMMAND = 80, LINE = 8, WARMUP = 10, MAX_RUNS = 100000 };

/* By the number of elements that their model takes. */
static const benchmark BENCHMARKS[] = {
    {.id = "kws01", .elements = 490, .element_bytes = 1},
    {.id = "ic01", .elements = 32 * 32 * 3, .element_bytes = 1, .offset = 128},
    {.id = "vww01", .elements = 96 * 96 * 3, .element_bytes = 1, .offset = 128},
    {.id = "ad01", .elements = 640, .element_bytes = 4, .error = true},
    {.id = "sww01", .elements = 30 * 40, .element_bytes = 1},
};

/* -- time ------------------------------------------------------------------------------------------------------------ */

/* Of the board's counter; where that counts instructions, as if one took a nanosecond. */
static uint32_t rate(const mlperf *m)
{
    return m->s->port->hz ? m->s->port->hz : 1000000000;
}

void say_timestamp(const mlperf *m, uint64_t count)
{
    uint32_t hz = rate(m);
    if (!m->energy)
        say_line("m-lap-us-", count / hz * 1000000 + count % hz * 1000000 / hz, "");
}

void pulse(const mlperf *m, uint32_t pin, bool high)
{
    port_pin(pin, !high); /* whatever it was before: a run by frames ends low */
    port_pin(pin, high);
    for (uint64_t start = port_count(NULL); port_count(NULL) - start <= rate(m) / 1000000;) {
    }
    port_pin(pin, !high);
}

uint64_t timestamp(const mlperf *m)
{
    if (!m->energy)
        return port_count(NULL);
    pulse(m, PIN_MARK, false);
    return 0;
}

/* -- the plan and the buffer ----------------------------------------------------------------------------------------- */

/* Takes the plan in flash into use if there is none. */
static bool take_plan(server *s)
{
    fault f = {.what = ""};
    int slot;
    uint32_t bytes;
    if (s->session.plan)
        return true;
    const uint8_t *plan = plan_in_flash(s, &bytes, &slot);
    if (s->upload.target == UPLOAD_POOL) /* the arena takes its place */
        s->upload.target = UPLOAD_NONE;
    return plan && bind_plan(s, plan, bytes, slot, &f);
}

/* Which benchmark the plan in use is; false: none. */
static bool recognise(const server *s, benchmark *b)
{
    const pe_session *session = &s->session;
    uint32_t in = pe_entry_input_tensor(session, ENTRY, 0), out = pe_entry_output_tensor(session, ENTRY, 0);
    if (in == PE_NONE || out == PE_NONE || pe_entry_input_tensor(session, ENTRY, 1) != PE_NONE)
        return false;
    const pe_tensor *x = pe_tensor_at(session, in), *y = pe_tensor_at(session, out);
    *b = (benchmark){.id = "sww01", .in = in, .out = out, .elements = x->bytes / 2, .element_bytes = 2, .stream = true};
    if (x->kind != PE_TENSOR_ARENA)
        return false;
    if (x->dtype == PE_S16 && x->bytes && y->dtype == PE_S8 && y->bytes && plan_header(s)->state_bytes)
        return true;
    uint32_t size = x->dtype == PE_F32 ? sizeof(float) : 1;
    for (uint32_t i = 0; i < sizeof BENCHMARKS / sizeof BENCHMARKS[0]; i++) {
        *b = BENCHMARKS[i];
        b->in = in;
        b->out = out;
        bool types = (x->dtype == PE_S8 || (x->dtype == PE_F32 && (b->offset || b->error))) &&
                     (y->dtype == PE_S8 || y->dtype == PE_F32);
        bool like = !b->error || y->bytes == b->elements * (y->dtype == PE_F32 ? sizeof(float) : 1);
        if (x->bytes == b->elements * size && types && like)
            return true;
    }
    return false;
}

/* The benchmark of the plan in use, or of the one in flash; false after an e- line. */
static bool find_benchmark(server *s, benchmark *b)
{
    if (!take_plan(s))
        say("e-[No plan on the board]\r\n");
    else if (!recognise(s, b))
        say("e-[The plan on the board is none of MLPerf Tiny]\r\n");
    else
        return true;
    return false;
}

uint8_t *input_buffer(const mlperf *m)
{
    uint32_t from = (pool_used(m->s) + 3) & ~3u, taken = m->want + m->activations, all = m->s->port->pool_bytes;
    return from <= all && taken <= all - from ? m->s->port->pool + from : NULL;
}

const uint8_t *loaded_input(const mlperf *m, const benchmark *b)
{
    const uint32_t bytes = b->elements * b->element_bytes;
    const uint8_t *data = input_buffer(m);
    if (data && m->got == m->want && m->want == bytes)
        return data;
    say_line("e-[The input is not loaded: it has ", bytes, " bytes]");
    return NULL;
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

float real_value(const pe_session *session, uint32_t tensor, uint32_t i)
{
    const pe_tensor *t = pe_tensor_at(session, tensor);
    const void *data = pe_tensor_data(session, tensor);
    if (t->dtype == PE_F32)
        return ((const float *)data)[i];
    return (float)(((const int8_t *)data)[i] - t->zero_point) * t->scale;
}

void fill_input(const pe_session *session, const benchmark *b, const uint8_t *data)
{
    const pe_tensor *t = pe_tensor_at(session, b->in);
    void *x = pe_tensor_data(session, b->in);
    if (b->stream) {
        memcpy(x, data, t->bytes);
        return;
    }
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

static void cmd_results(mlperf *m, const benchmark *b)
{
    const pe_session *session = &m->s->session;
    const pe_tensor *t = pe_tensor_at(session, b->out);
    const uint8_t *data = input_buffer(m);
    uint32_t n = t->dtype == PE_F32 ? t->bytes / (uint32_t)sizeof(float) : t->bytes;
    if (!m->ran || !data || m->want != b->elements * b->element_bytes) {
        say("e-[No results]\r\n");
        return;
    }
    say("m-results-[");
    if (b->error) {
        float sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            float d = real_value(session, b->out, i) - wire_float(data, i);
            sum += d * d;
        }
        say_float(sum / (float)n);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            if (i)
                say(",");
            say_float(real_value(session, b->out, i));
        }
    }
    say("]\r\n");
}

/* What was loaded into the input, and initial values into the states. */
static void begin(server *s, const benchmark *b, const uint8_t *data)
{
    pe_session_reset(&s->session);
    fill_input(&s->session, b, data);
}

static void cmd_infer(mlperf *m, char *rest)
{
    server *s = m->s;
    uint32_t runs = number(next_word(&rest), 1), warm = number(next_word(&rest), WARMUP);
    benchmark b;
    if (runs < 1 || runs > MAX_RUNS || warm > MAX_RUNS) {
        say("e-[Inferences and warm-ups are 1 and 0 to 100000]\r\n");
        return;
    }
    const uint8_t *data = find_benchmark(s, &b) ? loaded_input(m, &b) : NULL;
    if (!data)
        return;
    s->last.valid = false; /* of group 70 */
    begin(s, &b, data);
    say_line("m-warmup-start-", warm, "");
    for (uint32_t i = 0; i < warm; i++)
        pe_run(&s->session, ENTRY, NULL);
    say("m-warmup-done\r\n");
    say_line("m-infer-start-", runs, "");
    uint64_t start = timestamp(m);
    for (uint32_t i = 0; i < runs; i++)
        pe_run(&s->session, ENTRY, NULL);
    uint64_t end = timestamp(m);
    say_timestamp(m, start);
    say_timestamp(m, end);
    say("m-infer-done\r\n");
    if (runs + warm > 1) { /* a run may write over its inputs: the results are those of what was loaded */
        begin(s, &b, data);
        pe_run(&s->session, ENTRY, NULL);
    }
    m->ran = true;
    cmd_results(m, &b);
}

static void load_bytes(mlperf *m, const char *digits, bool stream)
{
    uint8_t *data = m->s->session.plan ? input_buffer(m) : NULL;
    for (; *digits; digits += 2) {
        int high = hex_digit(digits[0]), low = digits[1] ? hex_digit(digits[1]) : -1;
        if (!digits[1]) {
            say("e-[Insufficent number of hex digits]\r\n"); /* spelt so in the reference */
            return;
        }
        if (high < 0 || low < 0) {
            say("e-[Invalid hex digit '");
            port_tx((const uint8_t *)digits, 2);
            say("']\r\n");
            return;
        }
        if (!data || m->got >= m->want) /* what comes behind the end is passed over */
            continue;
        data[m->got++] = (uint8_t)(high << 4 | low);
        if (m->got == m->want)
            say("m-load-done\r\n");
    }
    if (stream && m->got < m->want)
        say_line("", m->got, " bytes received");
}

void say_no_room(const mlperf *m)
{
    say_line("e-[No room for ", m->want, " bytes beside the plan]");
}

static void cmd_db(mlperf *m, char *rest, bool stream)
{
    const char *word = next_word(&rest);
    if (!word) {
        say("e-[Command 'db' requires a subcommand]\r\n");
    } else if (same(word, "load")) {
        uint32_t n = number(next_word(&rest), 0);
        benchmark b;
        m->want = m->got = 0;
        m->ran = false;
        if (n == 0 || n == UINT32_MAX) {
            say("e-[Command 'db load' must be >0 bytes]\r\n");
        } else if (find_benchmark(m->s, &b)) {
            m->want = n;
            if (input_buffer(m)) {
                say_line("m-[Expecting ", n, " bytes]");
            } else {
                say_no_room(m);
                m->want = 0;
            }
        }
    } else if (same(word, "print")) {
        const uint8_t *data = m->s->session.plan ? input_buffer(m) : NULL;
        for (uint32_t i = 0; data && i < m->got; i++) {
            if (i % LINE == 0)
                say(i ? "\r\nm-buffer" : "m-buffer");
            say("-");
            say_hex(data[i]);
        }
        say("\r\n");
    } else if (!stream || !wakeword_db(m, word, &rest)) {
        load_bytes(m, word, stream);
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
        port_pin(PIN_MARK, energy); /* timestamps are falling edges */
        say(energy ? "m-timestamp-mode-energy\r\n" : "m-timestamp-mode-performance\r\n");
    }
}

static void command(mlperf *m, char *text)
{
    server *s = m->s;
    benchmark b;
    /* Looking for a wakeword must not end an upload into the pool, whose place a plan takes. */
    bool stream = (s->session.plan || s->upload.target != UPLOAD_POOL) && take_plan(s) && recognise(s, &b) && b.stream;
    if (stream) {
        say("Received command: ");
        say(text);
        say("\r\n");
    } else {
        wakeword_end(m);
    }
    const char *word = next_word(&text);
    if (!word) {
        /* an empty command */
    } else if (same(word, "name")) {
        say("m-name-dut-[pyedge ");
        say(s->port->board);
        say("]\r\n");
    } else if (same(word, "profile")) {
        say("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\n");
        if (find_benchmark(s, &b)) {
            say("m-model-[");
            say(b.id);
            say("]\r\n");
        }
    } else if (same(word, "help")) {
        say("name% profile% timestamp% db load N% db HEX% db print% infer N W% results% mode energy%\r\n");
        if (stream)
            say(WAKEWORD_HELP);
    } else if (same(word, "mode")) {
        cmd_mode(m, text);
    } else if (same(word, "timestamp")) {
        say_timestamp(m, timestamp(m));
    } else if (stream && wakeword_listens(m, word)) {
        say("e-[Listening to the audio input: stop first]\r\n");
    } else if (same(word, "db")) {
        cmd_db(m, text, stream);
    } else if (same(word, "infer")) {
        cmd_infer(m, text);
    } else if (same(word, "results")) {
        if (find_benchmark(s, &b))
            cmd_results(m, &b);
    } else if (!stream || !wakeword_command(m, &b, word, &text)) {
        say("e-[Unknown command: ");
        say(word);
        say("]\r\n");
    }
    say("m-ready\r\n");
    m->spoke = true;
}

void mlperf_hear(mlperf *m)
{
    benchmark b;
    if (m->s->session.plan && recognise(m->s, &b) && b.stream)
        wakeword_hear(m, &b);
    else
        wakeword_end(m); /* another plan has taken its place */
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
