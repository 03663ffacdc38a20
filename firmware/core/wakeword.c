#include "wakeword.h"

#include "mem.h"
#include "text.h"

/* Source: mlcommons/tiny, the reference's sww_ref_util.c. */

enum { VALUES = 16, SECOND = 16000 };

/* -- numbers --------------------------------------------------------------------------------------------------------- */

/* The i-th of a list of numbers, of which a line has 16. */
static void say_item(uint32_t i, int32_t v)
{
    say(i == 0 ? "[" : i % VALUES ? ", " : ",\r\n");
    say_int(v);
}

static void end_list(uint32_t n)
{
    say(n ? "]\r\n" : "[]\r\n");
}

/* An int8 tensor in one line, each with its sign, three characters wide. */
static void say_codes(const char *before, const pe_session *session, uint32_t tensor)
{
    const int8_t *codes = pe_tensor_data(session, tensor);
    say(before);
    for (uint32_t i = 0; i < pe_tensor_at(session, tensor)->bytes; i++) {
        say(i ? ", " : "");
        say(codes[i] > -10 && codes[i] < 10 ? " " : "");
        say(codes[i] < 0 ? "" : "+");
        say_int(codes[i]);
    }
    say("]\r\n");
}

/* -- the buffer ------------------------------------------------------------------------------------------------------ */

static void print_i16(const mlperf *m, uint32_t most)
{
    const uint8_t *data = input_buffer(m);
    uint32_t n = data ? m->got / (uint32_t)sizeof(int16_t) : 0;
    if (most && most < n)
        n = most;
    for (uint32_t i = 0; i < n; i++) {
        int16_t v;
        memcpy(&v, data + i * sizeof v, sizeof v);
        say_item(i, v);
    }
    end_list(n);
}

bool wakeword_db(mlperf *m, const char *word, char **rest)
{
    if (same(word, "getptr")) {
        say_line("m-buff-ptr-", m->got, "");
    } else if (same(word, "setptr")) {
        uint32_t n = number(next_word(rest), UINT32_MAX);
        if (n <= m->want)
            m->got = n;
        else
            say_line("e-[Command 'db setptr' takes 0 to ", m->want, "]");
    } else if (same(word, "print_i16")) {
        print_i16(m, number(next_word(rest), 0));
    } else {
        return false;
    }
    return true;
}

/* -- the model ------------------------------------------------------------------------------------------------------- */

/* Between start and stop: as many as there is room for, as in the reference. */
static void keep_activation(mlperf *m, const benchmark *b)
{
    m->samples += b->elements;
    m->activations++;
    if (input_buffer(m))
        m->s->port->pool[m->s->port->pool_bytes - m->activations] =
            *(const uint8_t *)pe_tensor_data(&m->s->session, b->out);
    else
        m->activations--;
}

/* The chunk that was loaded goes through the plan, whose states go on; lap: when it began and ended, or NULL. False
 * after an e- line. */
static bool run_chunk(mlperf *m, const benchmark *b, uint64_t *lap)
{
    pe_session *session = &m->s->session;
    const uint8_t *data = loaded_input(m, b);
    if (!data)
        return false;
    m->s->last.valid = false; /* of group 70 */
    fill_input(session, b, data);
    if (lap)
        lap[0] = timestamp(m);
    pe_run(session, ENTRY, NULL);
    if (lap)
        lap[1] = timestamp(m);
    m->ran = true;
    if (m->listening == LISTEN_STREAM)
        keep_activation(m, b);
    return true;
}

static void cmd_extract(mlperf *m, const benchmark *b)
{
    const pe_session *session = &m->s->session;
    if (!run_chunk(m, b, NULL)) /* without marks: those of start and stop frame what is measured */
        return;
    const uint32_t features = pe_entry_output_tensor(session, ENTRY, 1);
    if (features != PE_NONE && pe_tensor_at(session, features)->dtype == PE_S8)
        say_codes("m-features-[", session, features);
    say_codes("m-activations-[", session, b->out);
}

static void cmd_run_model(mlperf *m, const benchmark *b)
{
    uint64_t lap[2];
    if (!run_chunk(m, b, lap))
        return;
    say_timestamp(m, lap[0]);
    say_timestamp(m, lap[1]);
    say_codes("Output = [", &m->s->session, b->out);
}

/* -- sound ----------------------------------------------------------------------------------------------------------- */

/* The buffer is for n samples of the port; false after an e- line: there is no room. */
static bool take_buffer(mlperf *m, uint32_t n)
{
    m->want = n < UINT32_MAX / sizeof(int16_t) ? n * (uint32_t)sizeof(int16_t) : UINT32_MAX;
    m->got = m->activations = m->samples = 0;
    m->ran = false;
    if (!input_buffer(m)) {
        say_no_room(m);
        m->want = 0;
        return false;
    }
    return true;
}

void wakeword_end(mlperf *m)
{
    if (m->listening && m->s->port->audio)
        port_listen(false);
    m->listening = LISTEN_NOT;
    m->activations = 0;
}

bool wakeword_listens(const mlperf *m, const char *word)
{
    return m->listening && m->s->port->audio &&
           (same(word, "db") || same(word, "infer") || same(word, "extract_uart_stream") || same(word, "run_model"));
}

void wakeword_hear(mlperf *m, const benchmark *b)
{
    const bool stream = m->listening == LISTEN_STREAM, first = m->samples == 0;
    if (stream && m->want != b->elements * b->element_bytes) { /* another plan of the kind */
        m->want = b->elements * b->element_bytes;
        m->got = 0;
    }
    uint8_t *data = input_buffer(m);
    if (!data) {
        wakeword_end(m);
        return;
    }
    m->got += (uint32_t)sizeof(int16_t) *
              port_samples((int16_t *)(data + m->got), (m->want - m->got) / (uint32_t)sizeof(int16_t));
    if (m->got < m->want)
        return;
    if (!stream) {
        port_listen(false);
        m->listening = LISTEN_NOT;
        return;
    }
    port_pin(PIN_BUSY, true);
    run_chunk(m, b, NULL);
    /* The first chunk is told as well, as in the reference: it says when the sound began. */
    if (first || real_value(&m->s->session, b->out, 0) > 0.5f)
        pulse(m, PIN_HEARD, false);
    port_pin(PIN_BUSY, false);
    m->got = 0;
}

static void cmd_start(mlperf *m, const benchmark *b)
{
    const bool audio = m->s->port->audio;
    if (m->listening) {
        say("Streaming currently in progress. Ignoring request\r\n");
        return;
    }
    if (audio && !take_buffer(m, b->elements))
        return;
    m->listening = LISTEN_STREAM;
    m->activations = m->samples = 0;
    pe_session_reset(&m->s->session);
    say(audio ? "Listening to the audio input\r\n"
              : "Listening: this board has no audio input, samples come by db and extract_uart_stream\r\n");
    say_timestamp(m, timestamp(m));
    if (audio) {
        port_pin(PIN_HEARD, true);
        pulse(m, PIN_BUSY, true); /* for instruments that see this pin alone */
        port_listen(true);
    }
}

static void cmd_capture(mlperf *m, uint32_t samples)
{
    if (!m->s->port->audio) {
        say("e-[This board has no audio input: send samples by db, then extract_uart_stream]\r\n");
    } else if (m->listening) {
        say("Streaming currently in progress. Ignoring request\r\n");
    } else if (samples < 1 || samples == UINT32_MAX) {
        say("e-[Command 'i2scap' takes a number of samples]\r\n");
    } else if (take_buffer(m, samples)) {
        m->listening = LISTEN_CAPTURE;
        say_line("Listening to the audio input for ", samples, " samples");
        port_listen(true);
    }
}

static void cmd_stop(mlperf *m)
{
    const uint8_t *at = m->s->port->pool + m->s->port->pool_bytes;
    if (!m->listening) {
        say("Streaming is already idle. Ignoring stop request\r\n");
        return;
    }
    if (m->listening == LISTEN_CAPTURE) {
        wakeword_end(m);
        say("Wav capture stopped.\r\n");
        return;
    }
    if (m->s->port->audio)
        port_listen(false);
    say_timestamp(m, timestamp(m));
    say("Streaming stopped.\r\ntarget activations: \r\n");
    for (uint32_t i = 0; i < m->activations; i++)
        say_item(i, (int8_t)*--at);
    end_list(m->activations);
    m->listening = LISTEN_NOT;
    m->activations = 0;
}

bool wakeword_command(mlperf *m, const benchmark *b, const char *word, char **rest)
{
    if (same(word, "extract_uart_stream")) {
        cmd_extract(m, b);
    } else if (same(word, "run_model")) {
        cmd_run_model(m, b);
    } else if (same(word, "start")) {
        cmd_start(m, b);
    } else if (same(word, "stop")) {
        cmd_stop(m);
    } else if (same(word, "state")) {
        say("g_i2s_state = ");
        say_uint(m->listening);
        say_line(", g_int16s_read=", m->listening == LISTEN_CAPTURE ? m->got / sizeof(int16_t) : m->samples, "");
    } else if (same(word, "log")) { /* in the reference what its audio input writes */
        say("Log contents[cp=0]:\r\n<>\r\n");
    } else if (same(word, "i2scap")) {
        cmd_capture(m, number(next_word(rest), SECOND));
    } else if (same(word, "extract") || same(word, "infer_wav")) {
        say("e-[This board has no stored sound: send samples by db, then extract_uart_stream]\r\n");
    } else {
        return false;
    }
    return true;
}
