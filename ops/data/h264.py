"""H.264 headers: whether pictures are frames or fields, and whether they are shown in decoding order."""

UNCERTAIN = -1
"""Instead of a number of frames: only decoding can tell."""

_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
"""Profiles whose parameter sets contain the chroma format."""

_SLICES = (1, 2, 5)
"""NAL unit types that begin a slice of a picture."""


class Bits:
    """Reads bits of `data`, most significant bit first; ValueError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """The next `count` bits as a number."""
        self.skip(count)
        return self._value >> self._left & (1 << count) - 1

    def skip(self, count: int) -> None:
        """Skip `count` bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the header ends too early")

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)


class H264Parameters:
    """A sequence parameter set of H.264 (section 7.3.2.1.1), from the byte after its NAL header on.

    `frames_only`: no picture is a field. `reorder`: the maximum number of frames that precede another in decoding order
    and follow it in output order; None if not given. `order_bits`: width of the picture order count in slice headers,
    0 if absent. ValueError if the data end too early.
    """

    def __init__(self, data: bytes) -> None:
        bits = Bits(data.replace(b"\0\0\3", b"\0\0"))
        profile = bits.read(8)
        bits.skip(16)
        bits.golomb()
        self.planes = False
        if profile in _HIGH_PROFILES:
            self._read_colour(bits)
        self.number_bits = bits.golomb() + 4
        self.order_bits, order_type = 0, bits.golomb()
        if order_type == 0:
            self.order_bits = bits.golomb() + 4
        elif order_type == 1:
            bits.skip(1)
            for _ in range(2):
                bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb()
        bits.skip(1)
        for _ in range(2):
            bits.golomb()
        self.frames_only = bool(bits.read(1))
        self.reorder = 0 if order_type == 2 else self._reorder(bits)

    def _read_colour(self, bits: Bits) -> None:
        chroma = bits.golomb()
        self.planes = chroma == 3 and bool(bits.read(1))
        for _ in range(2):
            bits.golomb()
        bits.skip(1)
        for number in range((8 if chroma != 3 else 12) if bits.read(1) else 0):
            last = scale = 8
            for _ in range((16 if number < 6 else 64) if bits.read(1) else 0):
                if scale:
                    code = bits.golomb()
                    scale = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
                last = scale or last

    def _reorder(self, bits: Bits) -> int | None:
        bits.skip(1 if self.frames_only else 2)
        for _ in range(4 if bits.read(1) else 0):
            bits.golomb()
        if not bits.read(1):
            return None
        if bits.read(1) and bits.read(8) == 255:
            bits.skip(32)
        if bits.read(1):
            bits.skip(1)
        if bits.read(1):
            bits.skip(4)
            bits.skip(24 * bits.read(1))
        for _ in range(2 * bits.read(1)):
            bits.golomb()
        bits.skip(65 * bits.read(1))
        buffered = False
        for _ in range(2):
            if bits.read(1):
                _skip_buffering(bits)
                buffered = True
        bits.skip(2 if buffered else 1)
        if not bits.read(1):
            return None
        bits.skip(1)
        for _ in range(4):
            bits.golomb()
        return bits.golomb()


def _skip_buffering(bits: Bits) -> None:
    """Skip the parameters of the hypothetical reference decoder (section E.1.2)."""
    count = bits.golomb() + 1
    bits.skip(8)
    for _ in range(count):
        bits.golomb()
        bits.golomb()
        bits.skip(1)
    bits.skip(20)


class H264Headers:
    """Reads the slice headers of an H.264 stream.

    `parameters` is the parameter set in the stream's header (`extradata`) or first packet, None if neither has one.
    """

    def __init__(self, extradata: bytes, first: bytes = b"") -> None:
        in_lengths = extradata[:1] == b"\1" and len(extradata) > 8
        self._length_bytes = (extradata[4] & 3) + 1 if in_lengths else 0
        self._order = -1
        stored = (extradata[8:] if extradata[5] & 31 else b"") if in_lengths else _unit_of(extradata, (7,))
        try:
            unit = stored or _unit_of(first, (7,), self._length_bytes)
            self.parameters: H264Parameters | None = H264Parameters(unit[1:])
        except (ValueError, IndexError):
            self.parameters = None

    def frames_of(self, data: bytes) -> int:
        """A `Scanner`."""
        bits = self._slice(data)
        return 1 if bits and not (self._at_field(bits) and bits.read(1)) else UNCERTAIN

    def starts_anew(self, data: bytes) -> bool:
        """Whether this packet is an IDR picture: no picture from here on refers to an earlier one."""
        return self._slice(data) is not None and self._is_idr

    def rises(self, data: bytes) -> bool:
        """Whether this packet is certain to be shown after the packet of the previous call."""
        bits = self._slice(data)
        if not bits or not self.parameters or not self.parameters.order_bits:
            return False
        if self._at_field(bits) and bits.read(1):
            return False
        if self._is_idr:
            bits.golomb()
        cycle = 1 << self.parameters.order_bits
        order = bits.read(self.parameters.order_bits)
        rises = self._is_idr or self._order < 0 or 0 < (order - self._order) % cycle < cycle // 2
        self._order = order
        return rises

    def _slice(self, data: bytes) -> Bits | None:
        unit = _unit_of(data, _SLICES, self._length_bytes)
        self._is_idr = bool(unit) and unit[0] & 31 == 5
        return Bits(unit[1:40].replace(b"\0\0\3", b"\0\0")) if unit else None

    def _at_field(self, bits: Bits) -> bool:
        """Skip to the field flag of a slice header (section 7.3.3); False if the stream has no field flags."""
        assert self.parameters
        for _ in range(3):
            bits.golomb()
        bits.skip(self.parameters.number_bits + 2 * self.parameters.planes)
        return not self.parameters.frames_only


def _unit_of(data: bytes, types: tuple[int, ...], length_bytes: int = 0) -> bytes:
    """The first NAL unit of one of `types`, or b"". Units follow lengths, or start codes if `length_bytes` is 0."""
    place = 0
    if length_bytes:
        while place + length_bytes < len(data):
            length = int.from_bytes(data[place : place + length_bytes], "big")
            place += length_bytes
            if data[place] & 31 in types:
                return data[place : place + length]
            place += length
        return b""
    while (place := data.find(b"\0\0\1", place) + 3) > 2 and place < len(data):
        if data[place] & 31 in types:
            return data[place:]
    return b""
