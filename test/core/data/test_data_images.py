"""Images that break off, lead out of the folder, are bombs or of other kinds."""

import json
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from drawn_data import draw, make_it2p, write_lines
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.data import BrokenImageError, ImageArray, Sample, UnsafePathError, open_data
from clue_ros.data.check import check
from clue_ros.data.jsonl import to_line
from clue_ros.images.files import ImageRoot, read_image, verify_image
from clue_ros.problems import Kind


def counts(path, **options):
    return {k.value: n for k, n in check(open_data(path, **options)).problems.counts.items()}


def test_a_photo_cut_anywhere_is_broken_for_check_and_reader_alike(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 255, (256, 320, 3), np.uint8))
    whole = (tmp_path / "a.jpg").read_bytes()
    verify_image(tmp_path / "a.jpg", (320, 256))
    for share in (0.05, 0.3, 0.6, 0.9, 0.97):
        (tmp_path / "b.jpg").write_bytes(whole[: int(len(whole) * share)])
        for look in (verify_image, read_image):
            with pytest.raises(BrokenImageError):
                look(tmp_path / "b.jpg", (320, 256))


def test_names_that_leave_the_folder_are_refused(tmp_path):
    secret = draw(tmp_path / "secret.png")
    root = tmp_path / "set"
    draw(root / "img/a.png")
    (root / "img/link.png").symlink_to(secret)
    (root / "img/inner.png").symlink_to(root / "img/a.png")
    (root / "up").symlink_to(tmp_path)
    names = [
        "../secret.png",
        "img/../../secret.png",
        "..\\secret.png",
        str(secret),
        "img/link.png",
        "up/secret.png",
        "https://example.org/a.png",
        "img/\u0000.png",
        "",
        "x" * 5000,
    ]
    write_lines(root / "x.jsonl", [{"image": n, "expression": "it"} for n in names])
    assert counts(root) == {"unsafe path": len(names)}
    good = ["img/a.png", "img\\a.png", str(root / "img/a.png"), "./img/a.png", "img/inner.png"]
    write_lines(root / "x.jsonl", [{"image": n, "expression": f"it {n}"} for n in good])
    assert counts(root) == {}
    with pytest.raises(UnsafePathError, match="name it with --images"):
        ImageRoot(root).locate("img/link.png")
    # The folder that the user named may itself be a link.
    (tmp_path / "shortcut").symlink_to(root / "img")
    write_lines(root / "x.jsonl", [{"image": "a.png", "expression": "it"}])
    assert counts(root, images=tmp_path / "shortcut") == {}


def test_annotation_files_that_link_out_are_not_read(tmp_path):
    (tmp_path / "private.txt").write_text("a private line\n")
    make_it2p(tmp_path / "set")
    (tmp_path / "set/script_ambiguous/0001.txt").symlink_to(tmp_path / "private.txt")
    report = check(open_data(tmp_path / "set"))
    assert report.problems.counts == {Kind.PATH: 1}
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "out.jsonl")]) == 1
    assert "private line" not in (tmp_path / "out.jsonl").read_text()


def test_images_that_are_bombs_pipes_or_something_else(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "large.png").write_bytes(bomb.replace(struct.pack(">II", 60000, 60000), struct.pack(">II", 9000, 9000)))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    names = ["bomb", "large", "pipe", "script", "folder", "empty"]
    for name in names:
        with pytest.raises(BrokenImageError):
            read_image(tmp_path / f"{name}.png")
    write_lines(tmp_path / "x.jsonl", [{"image": f"{n}.png", "expression": "it"} for n in names])
    assert counts(tmp_path) == {"broken image": 6}


def test_images_of_other_kinds_come_as_rgb_and_upright_as_annotated(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    image[:10] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_image(tmp_path / "turned.jpg").shape == (30, 20, 3)
    assert read_image(tmp_path / "turned.jpg", (20, 30)).shape == (30, 20, 3)  # annotated upright
    stored = read_image(tmp_path / "turned.jpg", (30, 20))  # annotated as stored
    assert stored.shape == (20, 30, 3) and stored[2, 2, 0] > 200
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5), 65535, np.uint16))
    assert (read_image(tmp_path / "deep.png") == 255).all()
    Image.new("LA", (5, 4)).save(tmp_path / "alpha.png")
    Image.new("P", (5, 4)).save(tmp_path / "palette.bmp")
    assert read_image(tmp_path / "alpha.png").shape == read_image(tmp_path / "palette.bmp").shape == (4, 5, 3)


def test_an_image_in_memory_is_a_sample_too():
    sample = Sample("x", ImageArray(np.zeros((4, 6, 3), np.uint8), "x.png"), "it")
    assert sample.size == (6, 4) and sample.pixels().shape == (4, 6, 3)
    assert json.loads(to_line(sample)) == {"id": "x", "image": "x.png", "size": [6, 4], "expression": "it"}
