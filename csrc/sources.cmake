# The C sources of the runtime, one list for the Python extension and for every firmware. Paths are relative to this file.
set(PYEDGE_SOURCES
  runtime/crc32.c
  runtime/run.c
  runtime/verify.c
)
