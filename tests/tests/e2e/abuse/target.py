"""A hostile target: asyncssh's server, which lets the proxy in as a target does, and then keeps to no rule.

    target.py PORT HOST_KEY USER_CA PRINCIPAL

The certificate of HOST_KEY stands beside it. What it does is named by the command that it is asked to run.
"""

import asyncio
import os
import pathlib
import sys

import asyncssh
from asyncssh.packet import Boolean, String, UInt32

GLOBAL_REQUEST, OPEN, ADJUST, DATA, REQUEST = 80, 90, 93, 94, 98


class Session(asyncssh.SSHServerSession):
    def __init__(self, conn):
        self.conn = conn

    def connection_made(self, chan):
        self.chan = chan

    def exec_requested(self, command):
        self.command = command
        return True

    def session_started(self):
        getattr(self, self.command)()

    def send(self, kind, *parts):
        self.conn.send_packet(kind, *parts)

    @property
    def there(self):
        return UInt32(self.chan._send_chan)

    def stall(self):
        self.chan.pause_reading()

    def noise(self):
        self.conn._transport.write(os.urandom(1 << 20))

    def oversized(self):
        self.send(DATA, self.there, String(bytes(300 << 10)))

    def beyond_its_packet(self):
        self.send(DATA, self.there, UInt32(1 << 31), b"x")

    def without_its_end(self):
        self.send(REQUEST, self.there, UInt32(65535), b"exit")

    def a_status_without_a_number(self):
        self.send(REQUEST, self.there, String("exit-status"), Boolean(False), b"\0")

    def beyond_the_window(self):
        for _ in range(2048):
            self.send(DATA, self.there, String(bytes(32 << 10)))

    def a_window_beyond_all_bounds(self):
        for _ in range(3):
            self.send(ADJUST, self.there, UInt32(0xFFFFFFFF))
        self.chan.exit(7)

    def for_no_channel(self):
        self.send(DATA, UInt32(777), String(b"x"))
        self.chan.exit(7)

    def that_nobody_knows(self):
        self.send(192, String(b"x"))
        self.chan.exit(7)

    def openings(self):
        for at in range(5000):
            self.send(OPEN, String("session"), UInt32(at + 1000), UInt32(1 << 20), UInt32(32768))

    def requests(self):
        for _ in range(50_000):
            self.send(GLOBAL_REQUEST, String("keepalive@openssh.com"), Boolean(True))
            self.send(REQUEST, self.there, String("x@example.org"), Boolean(True))

    def another_key(self):
        key = asyncssh.load_keypairs([asyncssh.generate_private_key("ssh-ed25519")])[0]
        self.conn._server_host_keys = {key.algorithm: key}
        self.conn._server_host_key_algs = [key.algorithm]
        self.conn._send_kexinit()
        self.conn._kexinit_sent = True
        # Held back until the keys are changed.
        self.chan.write("BEHIND\n")
        self.chan.exit(0)


class Server(asyncssh.SSHServer):
    def connection_made(self, conn):
        self.conn = conn

    def session_requested(self):
        return self.conn.create_server_channel(window=4096), Session(self.conn)


async def main(port, host_key, user_ca, principal):
    authority = pathlib.Path(user_ca).read_text().strip()
    keys = asyncssh.import_authorized_keys(f'cert-authority,principals="{principal}" {authority}\n')
    listener = await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_factory=Server,
        server_host_keys=[(host_key, f"{host_key}-cert.pub")],
        authorized_client_keys=keys,
    )
    await listener.wait_closed()


asyncio.run(main(*sys.argv[1:]))
