"""What makes reading over HTTP quick changes nothing of what is answered, and to whom."""

import socket

from api.cli.witness import listening


def test_the_body_of_an_answer_does_not_wait_for_word_that_its_head_came() -> None:
    with listening("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
