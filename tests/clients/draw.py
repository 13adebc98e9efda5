"""A program that draws: it begins as X begins, with the cookie that xauth was given, and shows what the screen answers.

    draw.py COOKIE
"""

import os
import pathlib
import socket
import struct
import sys


def main(cookie):
    # The last line that adds one.
    adds = [line.split() for line in pathlib.Path(cookie).read_text().splitlines() if line.startswith("add ")]
    protocol, data = adds[-1][2].encode(), bytes.fromhex(adds[-1][3])
    number = os.environ["DISPLAY"].rpartition(":")[2].partition(".")[0]
    padded = [part.ljust(-(-len(part) // 4) * 4, b"\0") for part in (protocol, data)]
    head = struct.pack("<cxHHHHxx", b"l", 11, 0, len(protocol), len(data))
    with socket.create_connection(("127.0.0.1", 6000 + int(number))) as screen:
        screen.sendall(head + b"".join(padded))
        print(screen.makefile().readline(), end="")


main(*sys.argv[1:])
