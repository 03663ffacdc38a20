#include "text.h"

#include "mem.h"
#include "port.h"

void say(const char *text)
{
    port_tx((const uint8_t *)text, (uint32_t)strlen(text));
}

void say_uint(uint64_t n)
{
    char digits[20];
    uint32_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    port_tx((const uint8_t *)digits + i, (uint32_t)sizeof digits - i);
}

void say_int(int32_t n)
{
    if (n < 0)
        say("-");
    say_uint(n < 0 ? 0 - (uint32_t)n : (uint32_t)n);
}

void say_hex(uint8_t byte)
{
    port_tx((const uint8_t *)"0123456789abcdef" + (byte >> 4), 1);
    port_tx((const uint8_t *)"0123456789abcdef" + (byte & 15), 1);
}

/* Three decimals, as in the reference; values that need more than 7 digits before them are cut to that. */
void say_float(float v)
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

void say_line(const char *before, uint64_t n, const char *after)
{
    say(before);
    say_uint(n);
    say(after);
    say("\r\n");
}

char *next_word(char **text)
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

bool same(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && memcmp(a, b, strlen(a)) == 0;
}

uint32_t number(const char *word, uint32_t absent)
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

int hex_digit(char c)
{
    c |= c >= 'A' && c <= 'F' ? 0x20 : 0;
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
