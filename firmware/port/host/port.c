/* The whole firmware as a process: the link is a pty or an open file descriptor, the flash a file with the rules of NOR. For
 * tests, sanitizers, power cuts, and where there is no emulator. docs/link.md, "The host port". */
#define _GNU_SOURCE
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "boot/host.h"
#include "firmware.h"
#include "instruments/instruments.h"

enum {
    SECTOR = 64 * 1024,
    SLOT = 4 * 1024 * 1024,
    UNIT = 8,
    STORE = 2 * SECTOR + 2 * SLOT,
    POOL = 16 * 1024 * 1024,
    FLASH = (1 + HOST_SLOTS) * STORE, /* slots of firmware are as large as the store */
    CUT_EXIT = 9
};

static struct {
    char **argv;
    int fd;
    bool pty;
    int idle; /* -1, or where it tells how many bytes it has taken when it waits for more */
    uint64_t taken;
    uint8_t *flash;
    uint32_t buf_bytes;
    unsigned long cut_at, operations; /* power is cut at this flash operation, counted from 1; 0: never */
    char cut_how;                     /* n: before it, p: half done, r: half done and noise in the rest */
} host = {.fd = -1, .idle = -1, .buf_bytes = 4096};

_Noreturn void host_die(const char *what)
{
    fprintf(stderr, "pyedge host firmware: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void open_pty(void)
{
    host.fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (host.fd < 0 || grantpt(host.fd) || unlockpt(host.fd))
        host_die("pty");
    /* Our own end of the other side stays open: a client may come and go without an end of file here. */
    int other = open(ptsname(host.fd), O_RDWR | O_NOCTTY);
    struct termios raw;
    if (other < 0 || tcgetattr(other, &raw))
        host_die("pty");
    cfmakeraw(&raw);
    tcsetattr(other, TCSANOW, &raw);
    puts(ptsname(host.fd));
    fflush(stdout);
}

uint8_t *host_flash(void)
{
    return host.flash;
}

static void open_flash(const char *path)
{
    int fd = path ? open(path, O_RDWR | O_CREAT, 0666) : -1;
    struct stat st = {0};
    if (path && (fd < 0 || fstat(fd, &st) || (st.st_size < FLASH && ftruncate(fd, FLASH))))
        host_die(path);
    host.flash = mmap(NULL, FLASH, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (host.flash == MAP_FAILED)
        host_die("flash");
    if (st.st_size < FLASH)
        memset(host.flash + st.st_size, 0xFF, (size_t)(FLASH - st.st_size));
    if (path)
        close(fd);
}

void port_init(port_info *info)
{
    static port_store store = {.sector_bytes = SECTOR, .slot_bytes = SLOT, .write_bytes = UNIT};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    store.base = host.flash;
    *info = (port_info){
        .board = "host",
        .unit = "ns",
        .hz = 1000000000,
        .boot = (uint32_t)now.tv_sec * 1000003u ^ (uint32_t)now.tv_nsec ^ (uint32_t)getpid(),
        .buf = malloc(host.buf_bytes + 2),
        .buf_bytes = host.buf_bytes,
        .pool = aligned_alloc(64, POOL),
        .pool_bytes = POOL,
        .static_bytes = host.buf_bytes + 2,
        .store = &store,
        .marks = host_has_pins(),
        .audio = host_has_audio(),
    };
    if (!info->buf || !info->pool)
        host_die("memory");
}

/* Waits for bytes, or for sound. The process ends with the other side of the link, with standard input, or its parent. */
uint32_t port_rx(uint8_t *data, uint32_t n)
{
    pid_t parent = getppid();
    struct pollfd come = {.fd = host.fd, .events = POLLIN};
    if (host.idle >= 0 && poll(&come, 1, 0) == 0 && write(host.idle, &host.taken, sizeof host.taken) < 0)
        exit(0);
    for (;;) {
        struct pollfd wait[3] = {{.fd = host.fd, .events = POLLIN},
                                 {.fd = host.pty ? STDIN_FILENO : -1, .events = POLLIN},
                                 {.fd = host_audio_fd(), .events = POLLIN}};
        if (poll(wait, 3, host_audio_ms()) < 0 && errno != EINTR)
            host_die("poll");
        if (wait[0].revents) {
            ssize_t got = read(host.fd, data, n);
            if (got > 0) {
                host.taken += (uint64_t)got;
                return (uint32_t)got;
            }
            if (got == 0 || (errno != EINTR && errno != EAGAIN))
                exit(0);
        }
        if (host_sound_has_come((wait[2].revents & POLLIN) != 0))
            return 0;
        char ignored[64];
        if ((wait[1].revents && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) || getppid() != parent)
            exit(0);
    }
}

void port_tx(const uint8_t *data, uint32_t n)
{
    while (n) {
        ssize_t sent = write(host.fd, data, n);
        if (sent < 0 && errno != EINTR && errno != EAGAIN)
            exit(0);
        if (sent > 0) {
            data += sent;
            n -= (uint32_t)sent;
        }
    }
}

uint64_t port_count(void *ctx)
{
    struct timespec now;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

_Noreturn void host_start(int image)
{
    char fd[16];
    snprintf(fd, sizeof fd, "%d", host.fd);
    if (host.pty)
        setenv("PYEDGE_HOST_PTY", fd, 1);
    fexecve(image, host.argv, environ);
    host_die("reset");
}

_Noreturn void port_reset(void)
{
    const char *boot = getenv("PYEDGE_HOST_BOOT"); /* set by a boot loader */
    host_start(open(boot ? boot : "/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

/* Every erase and program passes here. want[n] is what the flash would hold after it. */
static int operate(uint32_t offset, const uint8_t *want, uint32_t n)
{
#ifdef PE_RELEASE
    memcpy(host.flash + offset, want, n);
    return 0;
#else
    if (++host.operations != host.cut_at) {
        memcpy(host.flash + offset, want, n);
        return 0;
    }
    uint32_t whole = host.cut_how == 'n' ? 0 : n / 2;
    memcpy(host.flash + offset, want, whole);
    if (host.cut_how == 'r') {
        srand((unsigned)host.cut_at);
        for (uint32_t i = whole; i < n; i++) { /* each bit as it was or as it should be */
            uint8_t mix = (uint8_t)(rand() >> 7);
            host.flash[offset + i] = (uint8_t)((host.flash[offset + i] & mix) | (want[i] & ~mix));
        }
    }
    _exit(CUT_EXIT);
#endif
}

int port_erase(uint32_t offset)
{
    static uint8_t erased[SECTOR];
    memset(erased, 0xFF, sizeof erased);
    return offset % SECTOR || offset >= FLASH ? -1 : operate(offset, erased, SECTOR);
}

int port_program(uint32_t offset, const uint8_t *data, uint32_t n)
{
    uint8_t *want = malloc(n);
    if (!want || (offset | n) % UNIT || offset > FLASH || n > FLASH - offset)
        host_die("bad program operation");
    for (uint32_t i = 0; i < n; i++)
        want[i] = data[i] & host.flash[offset + i]; /* programming only clears bits */
    int bad = operate(offset, want, n);
    free(want);
    return bad;
}

static _Noreturn void usage(void)
{
    fputs("usage: host [--flash FILE] [--fd N] [--idle N] [--pins FILE] [--audio FILE] [--buf BYTES]"
#ifndef PE_RELEASE
          " [--cut N:none|partial|noisy]"
#endif
          "\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    const char *flash = NULL;
    host.argv = argv;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        if (!value)
            usage();
        if (!strcmp(argv[i], "--flash")) {
            flash = value;
        } else if (!strcmp(argv[i], "--fd")) {
            host.fd = (int)strtol(value, &end, 10);
            if (*end || host.fd < 0)
                usage();
        } else if (!strcmp(argv[i], "--idle")) {
            host.idle = (int)strtol(value, &end, 10);
            if (*end || host.idle < 0)
                usage();
        } else if (!strcmp(argv[i], "--pins")) {
            host_open_pins(value);
        } else if (!strcmp(argv[i], "--audio")) {
            host_open_audio(value);
        } else if (!strcmp(argv[i], "--buf")) {
            host.buf_bytes = (uint32_t)strtoul(value, &end, 10);
            if (*end || host.buf_bytes < 256 || host.buf_bytes > 65535)
                usage();
#ifndef PE_RELEASE
        } else if (!strcmp(argv[i], "--cut")) {
            host.cut_at = strtoul(value, &end, 10);
            host.cut_how = !strcmp(end, ":none")      ? 'n'
                           : !strcmp(end, ":partial") ? 'p'
                           : !strcmp(end, ":noisy")   ? 'r'
                                                      : 0;
            if (!host.cut_how)
                usage();
#endif
        } else {
            usage();
        }
    }
    signal(SIGPIPE, SIG_IGN);
    const char *kept = getenv("PYEDGE_HOST_PTY"); /* set by a reset, across which the link stays open */
    host.pty = host.fd < 0;
    if (host.pty && kept)
        host.fd = atoi(kept);
    else if (host.pty)
        open_pty();
    open_flash(flash);
    firmware_main();
}
