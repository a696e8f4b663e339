"""uvicorn's protocol with a bound on what comes before a body: it has none of its own."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 65_536


class BoundedHeads(HttpToolsProtocol):
    """Answers 400 and closes when the request line and headers do not end in time."""

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(f"The head of a request has at most {HEAD_BYTES_MAX} bytes.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> Any:
        # What follows in the same piece is not counted: less than one read.
        self._in_head, self._head_bytes = True, 0
        return super().on_message_complete()
