"""Publishes, requests, shares a queue and drains, as a user of the lattice."""

import asyncio
import sys

try:
    import nats
    import nats.errors
    import nkeys  # noqa: F401 (what nats-py signs with)
except ModuleNotFoundError as error:
    sys.exit(f"{error}; install it with: pip install nats-py nkeys")


async def settle(client):
    """Waits until the server has done all that the client asked for.

    The library's flush does not: its PING overtakes what it has not written.
    """
    try:
        await client.request("nobody", b"", timeout=20)
        raise AssertionError("somebody answered")
    except nats.errors.NoRespondersError:
        pass


async def main(url, creds):
    first = await nats.connect(url, user_credentials=creds)
    second = await nats.connect(url, user_credentials=creds)

    received = await first.subscribe("a.>")
    await settle(first)
    await second.publish("a.b", b"hi", headers={"k": "v"})
    message = await received.next_msg(timeout=20)
    assert (message.subject, message.data, message.headers) == ("a.b", b"hi", {"k": "v"})

    async def answer(message):
        await message.respond(message.data[::-1])

    await first.subscribe("svc", cb=answer)
    await settle(first)
    for number in range(200):
        text = str(number).encode()
        reply = await second.request("svc", text, timeout=20)
        assert reply.data == text[::-1]

    members = [await client.subscribe("work", queue="q") for client in (first, second)]
    await settle(first)
    await settle(second)
    for number in range(100):
        await first.publish("work", str(number).encode())
    await settle(first)
    await settle(second)
    done = []
    for member in members:
        while member.pending_msgs:
            done.append(int((await member.next_msg(timeout=20)).data))
    assert sorted(done) == list(range(100)), done

    handled = []

    async def handle(message):
        handled.append(message.data)

    await first.subscribe("last", cb=handle)
    await settle(first)
    for number in range(50):
        await second.publish("last", str(number).encode())
    await settle(second)
    await first.drain()
    assert handled == [str(number).encode() for number in range(50)], handled
    await second.drain()
    assert first.is_closed and second.is_closed


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 120))
print("done")
