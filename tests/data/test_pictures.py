"""Pictures from outside: any change of a file gives a picture or one named error, never another."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from biosig_nb.data.own.sweeps import read_scans
from biosig_nb.errors import DataError
from biosig_nb.guards.pictures import check_picture, picture_array

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 255, (12, 17), np.uint8)
PICTURES = {
    "grey": Image.fromarray(GREY),
    "colour": Image.fromarray(np.stack([GREY, GREY[::-1], GREY // 2], 2)),
    "palette": Image.fromarray(GREY // 40).convert("P"),
    "alpha": Image.fromarray(GREY).convert("RGBA"),
    "bits": Image.fromarray(GREY > 100),
}


def stored(picture, kind="PNG", **how):
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def found(path):
    "The pixels of a file, or None where it is refused by name."
    try:
        size = check_picture(path, formats=("PNG", "JPEG"))
        pixels = picture_array(path, formats=("PNG", "JPEG"))
    except DataError as e:
        assert path.name in str(e)
        assert "\n" not in str(e)
        return None
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == size
    return pixels


def sealed(raw):
    "The same chunks with right checksums, as far as they can be followed."
    out, at = bytearray(raw[:8]), 8
    while at + 12 <= len(raw):
        end = at + 8 + int.from_bytes(raw[at : at + 4])
        if end + 4 > len(raw):
            break
        out += raw[at:end] + zlib.crc32(raw[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(out) + raw[at:]


@pytest.mark.parametrize("name", PICTURES)
def test_any_changed_byte_of_a_png(name, tmp_path):
    raw, path = stored(PICTURES[name]), tmp_path / "frame_7.png"
    path.write_bytes(raw)
    whole = found(path)
    assert whole is not None
    for k in (*range(60), *range(60, len(raw), 5)):  # header, then pixels
        changed = raw[:k] + bytes([raw[k] ^ int(RNG.integers(1, 256))]) + raw[k + 1 :]
        path.write_bytes(changed)
        assert found(path) is None  # each byte lies under a checksum
        path.write_bytes(sealed(changed))
        found(path)


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_that_is_cut_short_anywhere(name, tmp_path):
    raw, path = stored(PICTURES[name]), tmp_path / "frame_7.png"
    for n in range(len(raw)):
        path.write_bytes(raw[:n])
        assert found(path) is None


@pytest.mark.parametrize("how", [{}, {"progressive": True}])
def test_a_damaged_jpeg(how, tmp_path):
    raw, path = stored(PICTURES["colour"], "JPEG", quality=90, **how), tmp_path / "photo.jpg"
    path.write_bytes(raw)
    assert found(path).shape == (12, 17, 3)
    for k in range(0, len(raw), 5):
        path.write_bytes(raw[:k] + bytes([raw[k] ^ 0xFF]) + raw[k + 1 :])
        found(path)
        path.write_bytes(raw[:k])
        found(path)


def test_each_kind_is_read_as_pillow_reads_it(tmp_path):
    path = tmp_path / "a.png"
    for picture in PICTURES.values():
        mode = "L" if picture.mode in ("L", "1") else "RGB"
        path.write_bytes(stored(picture))
        assert (picture_array(path) == np.asarray(picture.convert(mode))).all()


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "WEBP"])
def test_other_formats_are_refused_whatever_they_are_called(kind, tmp_path):
    path = tmp_path / "frame_1.png"
    path.write_bytes(stored(PICTURES["colour"], kind))
    with pytest.raises(DataError, match="frame_1.png: is no PNG"):
        picture_array(path)


def test_frames_of_one_folder_pass_the_same_door(tmp_path):
    "What one frame of many hides is named, whichever frame it is."
    names = [f"s1/f{k}.png" for k in range(1, 9)]
    (tmp_path / "s1").mkdir()
    rows = [f"s1,{k},{k % 2}" for k in range(1, 9)]
    (tmp_path / "labels.csv").write_text("scan,frame,label\n" + "\n".join(rows))
    noise = RNG.integers(0, 255, (8, 40, 50), np.uint8)
    for name, picture in zip(names, noise):
        (tmp_path / name).write_bytes(stored(Image.fromarray(picture)))
    assert (read_scans(tmp_path).image(5) == noise[5]).all()
    white = np.full((40, 50, 3), 255, np.uint8)
    hidden = stored(Image.fromarray(np.dstack([white, noise[5]])))
    deep = stored(Image.fromarray(noise[5].astype(np.uint16) * 16))
    for content, why in ((hidden, "transparent"), (deep, "8 bits"), (b"GIF89a", "is no PNG")):
        (tmp_path / names[5]).write_bytes(content)
        with pytest.raises(DataError, match=rf"s1/f6.png: .*{why}"):
            read_scans(tmp_path)
