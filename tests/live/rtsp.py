"""A camera in the network: an RTSP server on this machine that sends one H.264 film, over TCP, to one client."""

import re
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import av

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=film\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=framerate:25\r\na=control:track\r\n"
)
_CLOCK = 90000


class RtspServer:
    """Sends the frames of the raw H.264 file `film`, 25 a second, and then closes the connection."""

    def __init__(self, film: Path) -> None:
        with av.open(str(film)) as container:
            self._frames = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://user:secret@127.0.0.1:{self._socket.getsockname()[1]}/film"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "RtspServer":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._socket.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        with client, client.makefile("rb") as requests:
            while request := requests.readline().decode():
                headers = b"".join(iter(requests.readline, b"\r\n")).decode()
                sequence = re.findall(r"CSeq: (\d+)", headers)[0]
                method = request.split()[0]
                extra, body = "", ""
                if method == "DESCRIBE":
                    extra, body = "Content-Type: application/sdp\r\n", _SDP
                elif method == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
                client.sendall(answer.encode())
                if method == "PLAY":
                    self._send(client)
                    return

    def _send(self, client: socket.socket) -> None:
        number = 0
        for index, frame in enumerate(self._frames):
            units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", frame) if unit]
            for place, unit in enumerate(units):
                mark = 0x80 if place == len(units) - 1 else 0
                head = struct.pack(">BBHII", 0x80, 96 | mark, number, index * _CLOCK // 25, 7)
                number += 1
                try:
                    client.sendall(struct.pack(">cBH", b"$", 0, len(head + unit)) + head + unit)
                except OSError:
                    return
            time.sleep(1 / 25)
