"""Files as an accident or an enemy leaves them: sound ones, changed in a few places."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half a character
    b"\\ud800",
    b"\\u0000",
    b'"',
    b"\n",
    b"{",
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b"-1",
    b"NaN",
    b"1e999",
    b"9" * 25,
    b"9" * 5_000,
    b"true",
    b"null",
    b"../../../../etc/passwd",
    b"/dev/zero",
    b"\x00" * 64,
    b"\xff" * 8,
    b"\x00\x00\x00\x00\x00\x00\x00\x10",
    "Đúng ".encode() * 500,
)


class Damaged(bytes):
    """Bytes that show how they came to be, rather than themselves."""

    edits: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{len(self):,} bytes: {'; '.join(self.edits)}>"


@st.composite
def damaged(draw: st.DrawFn, sound: bytes, head: int = 0) -> Damaged:
    """`sound` after one to four edits: nasty bytes put in or written over, a piece lost or doubled, a bit flipped.

    Most edits fall into the first `head` bytes, where a format keeps its counts and offsets.
    """
    data, edits = sound, []
    for _ in range(draw(st.integers(1, 4))):
        limit = min(head, len(data)) if head and draw(st.integers(0, 3)) else len(data)
        at = draw(st.integers(0, limit))
        end = min(len(data), at + draw(st.sampled_from((1, 2, 4, 8, 40, 400, 10**9))))
        piece = draw(st.sampled_from(NASTY))
        bit = 1 << draw(st.integers(0, 7))
        flipped = bytes([data[at] ^ bit]) if at < len(data) else b""
        ways = {
            f"put {piece[:20]!r} in at {at}": data[:at] + piece + data[at:],
            f"wrote {piece[:20]!r} over {at}": data[:at] + piece + data[at + len(piece) :],
            f"put {piece[:20]!r} for {at}..{end}": data[:at] + piece + data[end:],
            f"flipped {bit} of {at}": data[:at] + flipped + data[at + 1 :],
            f"lost {at}..{end}": data[:at] + data[end:],
            f"doubled {at}..{end}": data[:end] + data[at:],
            f"cut at {at}": data[:at],
        }
        way = draw(st.sampled_from(sorted(ways)))
        data, edits = ways[way], [*edits, way]
    found = Damaged(data)
    found.edits = tuple(edits)
    return found
