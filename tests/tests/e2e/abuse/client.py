"""A client that keeps to no rule once it is logged in: asyncssh, with packets of our own under its keys.

    client.py ROUTE VERB

ROUTE is JSON: host, port, user, key, certificate and known_hosts. The verbs are the functions at the end; what they print
is for the test. Whatever waits for the proxy waits for so many seconds and no more.
"""

import asyncio
import json
import os
import socket
import sys

import asyncssh
from asyncssh.packet import Boolean, Byte, String, UInt32

SOON = 60
LINGER = "exec tail -f /dev/null --pid=$PPID"
# The messages of RFC 4250, section 4.1.2.
IGNORE, SERVICE_REQUEST, SERVICE_ACCEPT, NEWKEYS, USERAUTH_REQUEST, GLOBAL_REQUEST, OPEN, OPENED, ADJUST, DATA, CLOSE, REQUEST = (
    2, 5, 6, 21, 50, 80, 90, 91, 93, 94, 97, 98)
ODD = ["web%1", "web@1", "a@b%c", "\x1b[2J\x07", "\r\nweb1", "web1\0", "w\u202eeb", "", " ", "a+b", "%n%n%s", "x" * 65536]


def connect(route, user=None, **more):
    class Client(asyncssh.SSHClient):
        def connection_made(self, conn):
            # asyncssh itself refuses to send control characters.
            conn._username = user or conn._username

    return asyncssh.connect(
        route["host"], route["port"], username=route["user"], known_hosts=route["known_hosts"], agent_path=None,
        config=None, client_keys=[(route["key"], route["certificate"])], client_factory=Client, **more)


def packet(ssh, kind, *parts):
    """One packet as it goes over the wire: asyncssh's own would bring a second one."""
    payload = Byte(kind) + b"".join(parts)
    padding = -(ssh._send_enchdrlen + len(payload)) % ssh._send_blocksize
    padding += ssh._send_blocksize if padding < 4 else 0
    body = Byte(padding) + payload + os.urandom(padding)
    whole, tag = ssh._send_encryption.encrypt_packet(ssh._send_seq, UInt32(len(body)), body)
    ssh._send_seq = (ssh._send_seq + 1) & 0xFFFFFFFF
    return whole + tag


async def flood(ssh, most, *packets):
    """Sends these again and again; says how many, and whether the proxy stopped to take them."""
    wire = ssh._transport
    for sent in range(0, most, 500):
        if ssh.is_closed() or wire.is_closing():
            return f"closed after {sent}"
        wire.write(b"".join(packet(ssh, *packets[at % len(packets)]) for at in range(500)))
        waited = 0
        while wire.get_write_buffer_size() > 0 and not wire.is_closing():
            await asyncio.sleep(0.05)
            waited += 1
            if waited > 100:
                return f"not taken after {sent}"
    return f"sent {most}"


async def outcome(ssh):
    """Whether the connection goes on, has ended, or hangs."""
    try:
        ran = await asyncio.wait_for(ssh.run("echo in"), SOON)
        return "goes on" if ran.stdout == "in\n" else "closed"
    except asyncio.TimeoutError:
        return "hangs"
    except (OSError, asyncssh.Error):
        return "closed"


async def closed(ssh):
    try:
        await asyncio.wait_for(ssh.wait_closed(), SOON)
        return "closed"
    except asyncio.TimeoutError:
        return "hangs"


async def malformed(route):
    async def cut_off(ssh, there):
        ssh._transport.write(packet(ssh, IGNORE, String(b"x" * 1000))[:100])
        ssh._transport.close()

    async def length_of_4_gib(ssh, there):
        ssh._transport.write(b"\xff" * 4096)

    def send(*packets):
        async def sending(ssh, there):
            ssh._transport.write(b"".join(packet(ssh, kind, *parts(there)) for kind, parts in packets))
        return sending

    for name, abuse in {
        "oversized": send((IGNORE, lambda _: [String(b"x" * (300 << 10))])),
        "oversized command": send((REQUEST, lambda at: [UInt32(at), String("exec"), Boolean(True), String(b"x" * (300 << 10))])),
        "a length of 4 GiB": length_of_4_gib,
        "cut off": cut_off,
        "a request without its end": send((REQUEST, lambda at: [UInt32(at), UInt32(65535), b"ex"])),
        "data beyond its packet": send((DATA, lambda at: [UInt32(at), UInt32(1 << 31), b"x"])),
        "data for no channel": send((DATA, lambda _: [UInt32(777), String(b"x")])),
        "an end of no channel": send((CLOSE, lambda _: [UInt32(777)])),
        "an answer to nothing": send((OPENED, lambda _: [UInt32(777), UInt32(0), UInt32(1), UInt32(1)])),
        "a message that nobody knows": send((192, lambda _: [String(b"x")])),
        "an opening without its end": send((OPEN, lambda _: [UInt32(200), b"ses"])),
        "a global request without its end": send((GLOBAL_REQUEST, lambda _: [UInt32(1000), b"x"])),
        "a window beyond all bounds": send(*[(ADJUST, lambda at: [UInt32(at), UInt32(0xFFFFFFFF)])] * 3),
        "a window for no channel": send((ADJUST, lambda _: [UInt32(777), UInt32(1)])),
        "new keys out of turn": send((NEWKEYS, lambda _: [])),
        "a second log-in": send((USERAUTH_REQUEST, lambda _: [String("root+web1"), String("ssh-connection"), String("none")])),
    }.items():
        async with connect(route) as ssh:
            process = await ssh.create_process(LINGER)
            await abuse(ssh, process.channel._send_chan)
            print(f"{name}: {await outcome(ssh)}", flush=True)
            ssh.abort()


async def overflow(route):
    """Far more than the window, to a command that reads nothing."""
    async with connect(route) as ssh:
        process = await ssh.create_process(LINGER, encoding=None)
        process.channel._send_window = 1 << 30
        process.stdin.write(bytes(64 << 20))
        print(await closed(ssh), flush=True)


async def bytes_one_by_one(route):
    async with connect(route) as ssh:
        process = await ssh.create_process("stall")
        print(await flood(ssh, 400_000, (DATA, UInt32(process.channel._send_chan), String(b"x"))), flush=True)
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)


async def unread(route, *packets):
    """Asks without end, and reads none of the answers."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect((route["host"], route["port"]))
    small.setblocking(False)
    async with connect(route, sock=small) as ssh:
        await ssh.create_process(LINGER)
        ssh._transport.pause_reading()
        print(await flood(ssh, 2_000_000, *packets), flush=True)
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        ssh.abort()


async def unread_requests(route):
    forward = [String("tcpip-forward"), Boolean(True), String("127.0.0.1"), UInt32(0)]
    await unread(route, (GLOBAL_REQUEST, *forward))


async def unread_openings(route):
    await unread(route, *[(OPEN, String("session"), UInt32(at), UInt32(1 << 20), UInt32(32768)) for at in range(1000, 1500)])


async def channels(route):
    """Thousands of channels at once."""
    async with connect(route) as ssh:
        opened = await asyncio.gather(*[ssh.create_process(LINGER) for _ in range(1500)], return_exceptions=True)
        there = [one for one in opened if not isinstance(one, BaseException)]
        print(f"opened {len(there)}", flush=True)
        for process in there:
            process.close()
        await asyncio.wait_for(asyncio.gather(*[process.wait_closed() for process in there]), SOON)
        # A place is free when its recording is closed.
        for _ in range(SOON):
            if (after := await outcome(ssh)) != "closed":
                break
            await asyncio.sleep(1)
        print(after, flush=True)


async def jumps(route):
    """Thousands of connections inside of one."""
    async with connect(route, user="jump=alice") as ssh:
        opened = await asyncio.gather(*[ssh.open_connection("web1", 22) for _ in range(1500)], return_exceptions=True)
        there = [one for one in opened if not isinstance(one, BaseException)]
        print(f"opened {len(there)}", flush=True)


async def names_to_jump_to(route):
    async with connect(route, user="jump=alice") as ssh:
        await names(ssh)


async def names_to_forward_to(route):
    async with connect(route) as ssh:
        await names(ssh)
        print(json.dumps({"after": await outcome(ssh)}), flush=True)


async def names(ssh):
    for name in ODD:
        try:
            await asyncio.wait_for(ssh.open_connection(name, 22), SOON)
            said = "OPENED"
        except asyncssh.ChannelOpenError as error:
            said = error.reason
        print(json.dumps({"name": name[:50], "said": said}), flush=True)


async def names_to_log_in_as(route):
    for name in ODD:
        for user in [f"root+{name}", f"{name}+web1"]:
            try:
                async with connect(route, user=user) as ssh:
                    ran = await asyncio.wait_for(ssh.run("echo OPENED"), SOON)
                    said = ran.stdout + ran.stderr
            except (OSError, asyncssh.Error) as error:
                said = f"{type(error).__name__}"
            print(json.dumps({"name": user[:50], "said": said}), flush=True)


async def drip_at_the_door(route):
    """A log-in that never ends: one byte of a packet at a time."""
    class Client(asyncssh.SSHClient):
        def connection_made(self, conn):
            self.conn = conn

        async def kbdint_auth_requested(self):
            print("dripping", flush=True)
            rest = packet(self.conn, IGNORE, String(b"x" * 20_000))
            for byte in rest:
                self.conn._transport.write(bytes([byte]))
                await asyncio.sleep(0.05)
            return ""

    try:
        async with asyncssh.connect(
            route["host"], route["port"], username=route["user"], known_hosts=None, agent_path=None, config=None,
            client_keys=None, client_factory=Client, login_timeout=600,
        ):
            print("logged in", flush=True)
    except (OSError, asyncssh.Error):
        print("closed", flush=True)


async def services(route):
    """Asks for the log-in service a thousand times before it logs in; says how often it was told yes."""
    accepted = []

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn):
            self.conn = conn

        async def kbdint_auth_requested(self):
            count = lambda *packet: accepted.append(packet)
            self.conn._packet_handlers = {**self.conn._packet_handlers, SERVICE_ACCEPT: count}
            for _ in range(1000):
                self.conn._transport.write(packet(self.conn, SERVICE_REQUEST, String("ssh-userauth")))
            return ""

    try:
        async with asyncssh.connect(
            route["host"], route["port"], username=route["user"], known_hosts=None, agent_path=None, config=None,
            client_keys=None, client_factory=Client,
        ):
            print("logged in", flush=True)
    except (OSError, asyncssh.Error) as error:
        print(type(error).__name__, len(accepted), flush=True)


VERBS = [
    malformed, overflow, bytes_one_by_one, unread_requests, unread_openings, channels, jumps, names_to_jump_to,
    names_to_forward_to, names_to_log_in_as, drip_at_the_door,
    services,
]
route, verb = sys.argv[1:]
asyncio.run({run.__name__: run for run in VERBS}[verb](json.loads(route)))
