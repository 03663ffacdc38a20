/* What hangs on the host port besides its link: pins that are lines in a file, and sound from a file or a pipe. */
#ifndef INSTRUMENTS_H
#define INSTRUMENTS_H
#include <stdbool.h>

_Noreturn void host_die(const char *what); /* with errno's words; of port.c */

/* An edge is a line there: nanoseconds of port_count, the pin's name, its level. */
void host_open_pins(const char *path);
bool host_has_pins(void);

/* Samples are int16, as the machine has them. A pipe's come as fast as they are written; a file's at their rate, from its first
 * one on whenever the firmware begins to listen. */
void host_open_audio(const char *path);
bool host_has_audio(void);
int host_audio_fd(void); /* to wait for, or -1 */
int host_audio_ms(void); /* how long to wait at most */
bool host_sound_has_come(bool readable);
#endif
