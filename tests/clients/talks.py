"""Talks to greeter.py through whatever lies in between, and says whether all came back.

    talks.py ADDRESS PORT SHAPE

The shapes are the keys of SHAPES: how many at a time, and how long each talk is.
"""

import concurrent.futures
import random
import socket
import sys
import threading

# Ten wait at most to be taken in by sshuttle, and the eleventh is forgotten.
AT_ONCE = 8

SHAPES = {
    # Many small frames, interleaved.
    "many": [(number * 97) % 4000 for number in range(300)],
    # Bursts in both directions at once, larger than any window in between.
    "large": [8 << 20, 12 << 20, 4 << 20],
    "single": [1],
    # Does anybody answer at all?
    "knock": [0],
}

# How long anything may take, in seconds.
PATIENCE = 60
PATIENCE_OF_A_KNOCK = 1


def say(stream, data, each):
    for start in range(0, len(data), each):
        stream.sendall(data[start : start + each])
    # What is sent back has to arrive behind this.
    stream.shutdown(socket.SHUT_WR)


def talk(address, port, patience, seed, length):
    """What was wrong, if anything."""
    # Another content for each, so that nothing that is mixed up looks right.
    data = random.Random(seed).randbytes(length)
    try:
        with socket.create_connection((address, port), timeout=patience) as stream:
            file = stream.makefile("rb")
            greeting = file.readline()
            each = 100 if length < 10_000 else 1 << 20
            speaker = threading.Thread(target=say, args=(stream, data, each), daemon=True)
            speaker.start()
            heard = file.read()
            speaker.join()
        if (greeting, heard) != (b"hello\n", data + b"bye %d\n" % length):
            return f"{length}: {greeting!r} and {len(heard)} bytes, {heard[-20:]!r}"
    except OSError as error:
        return f"{length}: {error}"


def main(address, port, shape):
    patience = PATIENCE_OF_A_KNOCK if shape == "knock" else PATIENCE
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        talks = [pool.submit(talk, address, int(port), patience, *one) for one in enumerate(SHAPES[shape])]
    sys.exit("\n".join(wrong for wrong in map(concurrent.futures.Future.result, talks) if wrong) or None)


main(*sys.argv[1:])
