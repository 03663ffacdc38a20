"""Every time-out and retry count of the link, in one place. Seconds are wall time."""

# One request. The overall deadline is COMMAND_S + the time that its bytes and its work take.
COMMAND_S = 4.0
ANSWER_S = 0.25  # first repeat of a request after this, and each later one after ANSWER_GROWTH times as long:
ANSWER_GROWTH = 1.25  # 8 tries in COMMAND_S, so that one answer in two may be lost on the way
ANSWER_MAX_S = 5.0
BEHIND_S = 60.0  # the most that a board is granted for repeats of a request that it has answered already
RUN_S = 120.0  # deadline of one repeat of an entry, unless the caller names one: nobody knows a board's speed,
SLOWEST_MACS_PER_S = 50_000  # but a large model or batch may take this much longer
FLASH_BYTES_PER_S = 2_000  # slowest erase and write: QEMU's NOR model (one host write a word) on a busy computer
ERASE_S = 5.0  # what the first chunk into a slot may take, longer if the slot is large

# A line that only carries noise: another baud rate, other firmware.
GARBAGE_S = 4.0
GARBAGE_BYTES = 256  # or a quarter of what the line carries in that time, if that is less

# Uploads.
STALLS = 10  # answers in a row that don't move the offset on
RESTARTS = 10  # times that the board falls back, as after a reset
CHUNK_BYTES = (
    1024  # of data in the first frames: half as many after a repeat, down to CHUNK_LEAST_BYTES, and twice as many
)
CHUNK_LEAST_BYTES = 256  # after CHUNK_GOOD answers at once, up to what the board takes
CHUNK_GOOD = 16
UPLOADS = 3  # whole uploads whose hash was wrong

# A board or an emulator that starts.
BOOT_S = 10.0
SSH_S = 30.0  # log-in and start of Python on a small board
POLL_S = 0.05  # how long one read of a port blocks
WRITE_S = 5.0
STOP_S = 2.0


def run_s(macs: int) -> float:
    """Deadline of one run of so many multiply-accumulates."""
    return RUN_S + macs / SLOWEST_MACS_PER_S


def wire_s(data_bytes: int, baud: int) -> float:
    """Time of that many bytes on a serial line of 8N1, half as much again for adapters and forwarded lines."""
    return 1.5 * 10 * data_bytes / baud


def garbage_bytes(baud: int) -> int:
    """So many bytes without a frame among them are noise."""
    return min(GARBAGE_BYTES, int(baud / 10 * GARBAGE_S / 4))
