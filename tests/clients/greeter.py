"""A server that speaks first, echoes what it is sent, and says at the end how much that was.

    greeter.py FOLDER [ADDRESS]

It listens on a free port of ADDRESS and on FOLDER/socket, says where in the way that an editor's server does, and ends
when its folder is gone.
"""

import os
import socket
import sys
import threading
import time


def greet(stream):
    with stream:
        try:
            stream.sendall(b"hello\n")
            count = 0
            while data := stream.recv(65536):
                count += len(data)
                stream.sendall(data)
            stream.sendall(b"bye %d\n" % count)
            stream.shutdown(socket.SHUT_WR)
        except OSError:
            # Whoever hangs up in the middle has heard enough.
            pass


def serve(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=greet, args=(stream,), daemon=True).start()


def main(folder, address="127.0.0.1"):
    path = f"{folder}/socket"
    tcp = socket.create_server((address, 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    unix.listen()
    for listener in (tcp, unix):
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
    # Whole or not at all, since somebody waits for it.
    with open(f"{folder}/ready.new", "w") as ready:
        ready.write(f"listeningOn=={tcp.getsockname()[1]}=={path}==\n")
    os.rename(f"{folder}/ready.new", f"{folder}/ready")
    while os.path.exists(folder):
        time.sleep(1)


main(*sys.argv[1:])
