"""What tests do to ZooKeeper behind the back of those who use it."""

import contextlib
import queue
import socket


@contextlib.contextmanager
def administrator(quorum):
    """Give a client of one's own."""
    from kazoo.client import KazooClient

    client = KazooClient(quorum)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def expire(coordination, quorum):
    """End the session of a node by force: whoever knows its id and password may."""
    from kazoo.client import KazooClient

    thief = KazooClient(quorum, client_id=coordination.election._connection.client.client_id)
    thief.start()
    thief.stop()
    thief.close()


def break_connection(coordination):
    """Break a node's connection; return when it has noticed, and is connected again."""
    from kazoo.protocol.states import KazooState

    client = coordination.election._connection.client
    states = queue.Queue()
    listener = states.put
    client.add_listener(listener)

    client._connection._socket.shutdown(socket.SHUT_RDWR)
    assert [states.get(timeout=20), states.get(timeout=20)] == [KazooState.SUSPENDED, KazooState.CONNECTED]
    client.remove_listener(listener)


def line_of(length, client, election):
    """Return the contenders in their order, once there are so many."""
    lines = queue.Queue()
    client.ChildrenWatch(election, lines.put)
    while len(line := lines.get(timeout=20)) != length:
        pass
    return sorted(line, key=lambda name: name[-10:])
