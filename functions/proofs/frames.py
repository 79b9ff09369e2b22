"""Messages on a socket: a JSON header and some bytes. Unlike a pickle, one from a stranger does nothing when read."""

import json
import socket

# More than any photo or any answer has.
_LONGEST_HEADER = 8 * 1024 * 1024
_LONGEST = 64 * 1024 * 1024


def pack(header: dict[str, object], *blobs: bytes) -> bytes:
    """A message: the length of the header in four bytes, the header, and the blobs that it gives the lengths of."""
    text = json.dumps({"header": header, "lengths": [len(blob) for blob in blobs]}).encode()
    return b"".join((len(text).to_bytes(4), text, *blobs))


def receive(connection: socket.socket) -> tuple[dict[str, object], list[bytes]]:
    """Receive a message. Raises EOFError if the connection ends before, ValueError if the message is malformed."""
    length = int.from_bytes(_exactly(connection, 4))
    if length > _LONGEST_HEADER:
        raise ValueError("the header is too long")
    message = json.loads(_exactly(connection, length))
    lengths = [int(each) for each in message["lengths"]]
    if min(lengths, default=0) < 0 or sum(lengths) > _LONGEST:
        raise ValueError("the blobs are too long")
    return dict(message["header"]), [_exactly(connection, each) for each in lengths]


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = bytearray(length)
    view, place = memoryview(received), 0
    while place < length:
        more = connection.recv_into(view[place:])
        if not more:
            raise EOFError
        place += more
    return bytes(received)
