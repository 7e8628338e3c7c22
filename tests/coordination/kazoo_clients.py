"""What tests do to ZooKeeper behind the back of those who use it."""

import contextlib


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
