/* The commands that only the streaming wakeword of MLPerf Tiny has. Its sound comes from the port, or over the line. */
#ifndef WAKEWORD_H
#define WAKEWORD_H
#include "mlperf.h"

#define WAKEWORD_HELP \
    "extract_uart_stream% run_model% start% stop% i2scap N% state% log% db getptr% db setptr N% db print_i16 N%\r\n"

/* False: it is none of them, and nothing was said. */
bool wakeword_command(mlperf *m, const benchmark *b, const char *word, char **rest);
bool wakeword_db(mlperf *m, const char *word, char **rest); /* behind "db" */

void wakeword_hear(mlperf *m, const benchmark *b); /* samples have come */
void wakeword_end(mlperf *m);                      /* no more of them, and what was kept is gone */

/* A command that needs the buffer, which samples are coming into. */
bool wakeword_listens(const mlperf *m, const char *word);
#endif
