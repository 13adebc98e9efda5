"""paramiko, as a person has it: a key with its certificate beside it. It knows no host CA, so known_hosts has a plain key.

    with_paramiko.py ROUTE VERB [WORD…]

ROUTE is JSON, and says through what to go; the verbs are the functions at the end.
"""

import functools
import json
import socket
import sys
import threading

import paramiko


def connected(route):
    """The connection that a route asks for: one, or one inside of another. Both are returned, so that both live."""
    outer, channel = None, None
    if "through" in route:
        outer = connected(route["through"])[0]
        place = (route["host"], route["port"])
        channel = outer.get_transport().open_channel("direct-tcpip", place, ("127.0.0.1", 0))
    client = paramiko.SSHClient()
    client.load_host_keys(route["known_hosts"])
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        route["host"],
        route["port"],
        route["user"],
        # The certificate is the file beside it, with -cert.pub at its end.
        key_filename=route["key"],
        allow_agent=False,
        look_for_keys=False,
        sock=channel,
    )
    return client, outer


def pass_on(read, sink):
    while data := read(65536):
        sink.write(data)
        sink.flush()


def run(ssh, command, agent=None):
    channel = ssh.get_transport().open_session()
    if agent:
        paramiko.agent.AgentRequestHandler(channel)
    channel.exec_command(command)
    channel.shutdown_write()
    errors = threading.Thread(target=pass_on, args=(channel.recv_stderr, sys.stderr.buffer))
    errors.start()
    pass_on(channel.recv, sys.stdout.buffer)
    errors.join()
    # It is -1 when the connection is gone.
    status = channel.recv_exit_status()
    return 255 if status < 0 else status


def echo(ssh, command):
    """Runs a command with what comes on standard input, and shows what comes back, under ever new keys."""
    packetizer = ssh.get_transport().packetizer
    packetizer.REKEY_BYTES = 1 << 20
    # How much may still come while the other end makes up its mind.
    packetizer.REKEY_BYTES_OVERFLOW_MAX = 1 << 29
    channel = ssh.get_transport().open_session()
    channel.exec_command(command)

    def feed():
        while data := sys.stdin.buffer.read(65536):
            channel.sendall(data)
        channel.shutdown_write()

    threading.Thread(target=feed, daemon=True).start()
    pass_on(channel.recv, sys.stdout.buffer)
    return channel.recv_exit_status() % 256


def put(ssh, source, destination):
    ssh.open_sftp().put(source, destination)


def get(ssh, source, destination):
    ssh.open_sftp().get(source, destination)


def nonsense(ssh):
    """What nobody serves is refused in SSH's own words, and the connection goes on."""
    transport = ssh.get_transport()
    there = ("127.0.0.1", 1)
    for kind in ["tun@openssh.com", "x11", "forwarded-tcpip", "nonsense@example.org", "", "\x07" * 300]:
        try:
            transport.open_channel(kind, there, there, timeout=30)
            print("opened a channel:", repr(kind))
        except paramiko.ChannelException:
            pass
    for name in ["nonsense@example.org", "", "\x07" * 300]:
        if transport.global_request(name, wait=True):
            print("granted:", repr(name))
    for name in ["nonsense@example.org", "", "\x07" * 300]:
        channel = transport.open_session()
        request = paramiko.Message()
        request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string(name)
        request.add_boolean(True)
        channel._event_pending()
        transport._send_user_message(request)
        try:
            channel._wait_for_event()
            print("granted on a channel:", repr(name))
        except paramiko.SSHException:
            pass
    return run(ssh, "echo in; exit 3")


def relay(channel, stream):
    """Joins a channel and a socket, whose directions end each by itself."""

    def up():
        while data := stream.recv(65536):
            channel.sendall(data)
        channel.shutdown_write()

    sending = threading.Thread(target=up, daemon=True)
    sending.start()
    while data := channel.recv(65536):
        stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)
    sending.join()
    channel.close()
    stream.close()


def forward(ssh, ends):
    """Each kind of forward; stays until somebody ends it."""
    ends = json.loads(ends)
    transport, there = ssh.get_transport(), ("127.0.0.1", ends["port"])

    def back(channel, origin, server):
        stream = socket.create_connection(there)
        threading.Thread(target=relay, args=(channel, stream), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", ends["local"]))
    print("Allocated port", transport.request_port_forward("localhost", 0, back), flush=True)
    while True:
        stream, origin = listener.accept()
        channel = transport.open_channel("direct-tcpip", there, origin)
        threading.Thread(target=relay, args=(channel, stream), daemon=True).start()


def main():
    route, verb, *words = sys.argv[1:]
    route = json.loads(route)
    ssh, outer = connected(route)
    try:
        ask = functools.partial(run, agent=route.get("agent"))
        verbs = {"run": ask, "echo": echo, "put-sftp": put, "get-sftp": get, "nonsense": nonsense, "forward": forward}
        return verbs[verb](ssh, *words) or 0
    finally:
        ssh.close()
        if outer:
            outer.close()


try:
    sys.exit(main())
except (OSError, EOFError, paramiko.SSHException) as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(255)
