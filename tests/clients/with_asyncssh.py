"""asyncssh, as a person has it: a key with its certificate beside it, and known_hosts with the front CA.

    with_asyncssh.py ROUTE VERB [WORD…]

ROUTE is JSON, and says through what to go; the verbs are the functions at the end.
"""

import asyncio
import contextlib
import json
import sys

import asyncssh


def connection(route, **more):
    """The connection that a route asks for: one, or one inside of another."""
    common = {
        "client_keys": [(route["key"], route["certificate"])],
        "known_hosts": route["known_hosts"],
        "agent_path": None,
        # The keys in it are for the target to ask for, and not to log in with.
        "agent_forwarding": route.get("agent", False),
        "config": None,
        # New keys, long before a transfer ends.
        **({"rekey_bytes": 1 << 20, "rekey_seconds": 1} if route.get("impatient") else {}),
    }
    return asyncssh.connect(route["host"], route["port"], username=route["user"], **common, **more)


@contextlib.asynccontextmanager
async def connected(route):
    if "through" not in route:
        async with connection(route) as one:
            yield one
        return
    async with connection(route["through"]) as outer:
        async with connection(route, tunnel=outer) as inner:
            yield inner


async def pass_on(source, sink):
    while data := await source.read(65536):
        sink.write(data)
        sink.flush()


async def finish(process):
    """Shows what a command writes while it writes it, and ends as it ends."""
    await asyncio.gather(
        pass_on(process.stdout, sys.stdout.buffer),
        pass_on(process.stderr, sys.stderr.buffer),
    )
    await process.wait_closed()
    if process.exit_signal:
        print("exit-signal", process.exit_signal[:2], flush=True)
    return 255 if process.exit_status is None else max(process.exit_status, 0)


async def run(ssh, command):
    return await finish(await ssh.create_process(command, stdin=asyncssh.DEVNULL, encoding=None))


async def echo(ssh, command):
    """Runs a command with what comes on standard input, and shows what comes back."""
    process = await ssh.create_process(command, encoding=None)

    async def feed():
        while data := await asyncio.to_thread(sys.stdin.buffer.read, 65536):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()

    feeding = asyncio.create_task(feed())
    status = await finish(process)
    await feeding
    return status


async def put_sftp(ssh, source, destination):
    async with ssh.start_sftp_client() as sftp:
        await sftp.put(source, destination)


async def get_sftp(ssh, source, destination):
    async with ssh.start_sftp_client() as sftp:
        await sftp.get(source, destination)


async def put_scp(ssh, source, destination):
    await asyncssh.scp(source, (ssh, destination))


async def get_scp(ssh, source, destination):
    await asyncssh.scp((ssh, source), destination)


def every_mode():
    """Each terminal mode of RFC 4254, section 8, and RFC 8160, at a value that no terminal begins with."""
    on_by_default = "ICRNL IXON ISIG ICANON ECHO ECHOE ECHOK IEXTEN ECHOCTL ECHOKE ONLCR CS7".split()
    modes = {}
    for name, code in vars(asyncssh).items():
        mode = name.removeprefix("PTY_").removeprefix("OP_")
        if not name.startswith("PTY_") or not 0 < code < 160:
            continue
        if mode in ("ISPEED", "OSPEED"):
            modes[code] = 9600
        elif code < 30:
            # Control characters: each another one.
            modes[code] = code
        else:
            modes[code] = int(mode not in on_by_default)
    return modes


async def modes(ssh):
    process = await ssh.create_process(
        "stty -a; stty -g; tty > /dev/null && echo term=$TERM",
        term_type="xterm-256color",
        term_size=(132, 43, 800, 600),
        term_modes=every_mode(),
        encoding=None,
        stdin=asyncssh.DEVNULL,
    )
    return await finish(process)


async def resize(ssh):
    """The size as the target has it after each change: what is asked behind a change is answered behind it."""
    process = await ssh.create_process(
        "while read line; do stty size; done",
        term_type="xterm",
        term_size=(80, 24),
        term_modes={asyncssh.PTY_ECHO: 0},
    )
    for size in [(80, 24), (100, 30), (1, 1), (4000, 2000)]:
        process.change_terminal_size(*size)
        process.stdin.write("size\n")
        print((await process.stdout.readline()).strip())
    process.close()


async def sides(ssh, *names):
    """Signals and breaks, in a terminal and without one, to a server that says what it hears."""
    for terminal in [None, "xterm"]:
        process = await ssh.create_process("listen", term_type=terminal)
        print(await process.stdout.readline(), end="")
        for name in names:
            process.send_signal(name)
            print(await process.stdout.readline(), end="")
        process.send_break(500)
        print(await process.stdout.readline(), end="")
        process.close()


async def forward(ssh, ends):
    """Each kind of forward; stays until somebody ends it."""
    ends = json.loads(ends)
    here = "127.0.0.1"
    await ssh.forward_local_port(here, ends["local"], here, ends["port"])
    await ssh.forward_socks(here, ends["dynamic"])
    await ssh.forward_local_path(ends["near"], ends["socket"])
    await ssh.forward_remote_path(ends["far"], ends["socket"])
    listener = await ssh.forward_remote_port("localhost", 0, here, ends["port"])
    print("Allocated port", listener.get_port(), flush=True)
    await ssh.wait_closed()


async def main():
    route, verb, *words = sys.argv[1:]
    verbs = {
        "run": run,
        "echo": echo,
        "put-sftp": put_sftp,
        "get-sftp": get_sftp,
        "put-scp": put_scp,
        "get-scp": get_scp,
        "modes": modes,
        "resize": resize,
        "sides": sides,
        "forward": forward,
    }
    route = json.loads(route)
    if verb == "echo":
        route["impatient"] = True
    async with connected(route) as ssh:
        return await verbs[verb](ssh, *words) or 0


try:
    sys.exit(asyncio.run(main()))
except (OSError, asyncssh.Error) as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(255)
