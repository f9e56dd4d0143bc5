"""An upload as its bytes, and the key that a server asks for."""

from __future__ import annotations

KEY = {"Authorization": "Bearer sésame".encode().decode("latin-1")}


def form(content: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b", **KEY}
