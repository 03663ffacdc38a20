/* Lines of text out, words of a command in: what the text protocol is made of. */
#ifndef TEXT_H
#define TEXT_H
#include <stdbool.h>
#include <stdint.h>

void say(const char *text);
void say_uint(uint64_t n);
void say_int(int32_t n);
void say_hex(uint8_t byte);
void say_float(float v); /* three decimals */
void say_line(const char *before, uint64_t n, const char *after);

char *next_word(char **text); /* ends the next word of *text there, and goes behind it; NULL: there is none */
bool same(const char *a, const char *b);
uint32_t number(const char *word,
                uint32_t absent); /* decimal, `absent` for NULL; UINT32_MAX: more than 9 digits, or none */
int hex_digit(char c);            /* negative: it is none */
#endif
