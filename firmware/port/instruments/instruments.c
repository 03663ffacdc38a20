#define _GNU_SOURCE
#include "instruments/instruments.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port.h"

enum { RATE = 16000, PART = RATE / 100 }; /* a file's samples come in parts of 10 ms */

static struct {
    int pins, audio; /* -1: none */
    bool played;     /* it is a file */
    bool listening;
    uint64_t start, samples; /* since it listens: when that began, and what has been taken */
    uint8_t half;            /* the first byte of a sample, whose second has not come */
    bool has_half;
} host = {.pins = -1, .audio = -1};

/* -- pins ------------------------------------------------------------------------------------------------------------ */

void host_open_pins(const char *path)
{
    host.pins = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (host.pins < 0)
        host_die(path);
}

bool host_has_pins(void)
{
    return host.pins >= 0;
}

void port_pin(uint32_t pin, bool high)
{
    static const char *const NAMES[] = {"mark", "busy", "heard"};
    static bool level[sizeof NAMES / sizeof NAMES[0]];
    if (host.pins >= 0 && high != level[pin] &&
        dprintf(host.pins, "%llu %s %d\n", (unsigned long long)port_count(NULL), NAMES[pin], high) < 0)
        exit(0);
    level[pin] = high;
}

/* -- sound ----------------------------------------------------------------------------------------------------------- */

void host_open_audio(const char *path)
{
    struct stat st;
    /* Of a pipe both ends, so that it has no end while nobody writes. */
    bool file = stat(path, &st) == 0 && S_ISREG(st.st_mode);
    host.audio = open(path, file ? O_RDONLY | O_CLOEXEC : O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (host.audio < 0)
        host_die(path);
    host.played = file;
}

bool host_has_audio(void)
{
    return host.audio >= 0;
}

/* How many samples of a file are due. */
static uint64_t due(void)
{
    return (port_count(NULL) - host.start) / (1000000000 / RATE) - host.samples;
}

int host_audio_fd(void)
{
    return host.listening && !host.played ? host.audio : -1;
}

int host_audio_ms(void)
{
    return host.listening && host.played ? 1000 * PART / RATE : 1000;
}

bool host_sound_has_come(bool readable)
{
    return host.listening && (host.played ? due() >= PART : readable);
}

void port_listen(bool on)
{
    uint8_t dropped[4096];
    host.listening = on;
    host.has_half = false;
    host.start = port_count(NULL);
    host.samples = 0;
    if (on && host.played)
        lseek(host.audio, 0, SEEK_SET);
    while (on && !host.played && read(host.audio, dropped, sizeof dropped) > 0) {
    }
}

uint32_t port_samples(int16_t *samples, uint32_t n)
{
    uint8_t *to = (uint8_t *)samples;
    if (host.played && due() < n)
        n = (uint32_t)due();
    if (n == 0)
        return 0;
    to[0] = host.half;
    ssize_t got = read(host.audio, to + host.has_half, 2 * (size_t)n - host.has_half);
    if (got == 0) /* a file's end */
        host.listening = false;
    uint32_t bytes = (got > 0 ? (uint32_t)got : 0) + host.has_half;
    host.has_half = bytes % 2;
    if (host.has_half)
        host.half = to[bytes - 1];
    host.samples += bytes / 2;
    return bytes / 2;
}
