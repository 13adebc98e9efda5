"""A target that is not OpenSSH: asyncssh's server, which trusts the user CA for one principal, and says what it hears.

    server.py PORT HOST_KEY USER_CA PRINCIPAL

The certificate of HOST_KEY stands beside it. OpenSSH's sshd takes signals from nobody who logs in as root, and tells
nobody of a break.
"""

import asyncio
import pathlib
import sys

import asyncssh


class Session(asyncssh.SSHServerSession):
    def connection_made(self, chan):
        self.chan = chan

    def pty_requested(self, term_type, term_size, term_modes):
        return True

    def exec_requested(self, command):
        self.command = command
        return True

    def session_started(self):
        self.chan.write(f"{self.command}\n")
        if self.command == "nonsense":
            self.connection.create_task(self.open_nonsense())

    async def open_nonsense(self):
        """What nobody serves is refused once: asyncssh hangs up on a second refusal of the same channel."""
        for kind in [b"nonsense@example.org", b"session"]:
            channel = asyncssh.SSHTCPChannel(self.connection, asyncio.get_running_loop(), None, "strict", 1 << 20, 1 << 15)
            try:
                await channel._open(kind)
                self.chan.write(f"opened {kind}\n")
            except asyncssh.ChannelOpenError as error:
                self.chan.write(f"refused {error.code}\n")
        self.chan.exit(3)

    def eof_received(self):
        # There may be more to say.
        return True

    def signal_received(self, signal):
        self.chan.write(f"signal {signal}\n")

    def break_received(self, msec):
        self.chan.write(f"break {msec}\n")
        return True


class Server(asyncssh.SSHServer):
    def connection_made(self, conn):
        self.connection = conn

    def session_requested(self):
        session = Session()
        session.connection = self.connection
        return session


async def main(port, host_key, user_ca, principal):
    authority = pathlib.Path(user_ca).read_text().strip()
    keys = asyncssh.import_authorized_keys(f'cert-authority,principals="{principal}" {authority}\n')
    certificate = f"{host_key}-cert.pub"
    listener = await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_factory=Server,
        server_host_keys=[(host_key, certificate)],
        authorized_client_keys=keys,
    )
    await listener.wait_closed()


asyncio.run(main(*sys.argv[1:]))
