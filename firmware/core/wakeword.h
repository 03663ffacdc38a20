/* The commands that only the streaming wakeword of MLPerf Tiny has. Its sound comes over the line: no board has an audio input. */
#ifndef WAKEWORD_H
#define WAKEWORD_H
#include "mlperf.h"

#define WAKEWORD_HELP \
    "extract_uart_stream% run_model% start% stop% state% log% db getptr% db setptr N% db print_i16 N%\r\n"

/* False: it is none of them, and nothing was said. */
bool wakeword_command(mlperf *m, const benchmark *b, const char *word);
bool wakeword_db(mlperf *m, const char *word, char **rest); /* behind "db" */
#endif
