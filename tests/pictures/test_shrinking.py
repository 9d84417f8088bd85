"""Rules of what a picture becomes when Discord takes less than it weighs; Pillow writes and reads the pictures."""

import asyncio
import contextlib
import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageStat

from bot.answers.attachments import ImageFacts, image_facts
from bot.errors import PictureUnusable
from bot.pictures.shrinking import Fitted, fit

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["L", "P"],
}


def scene(mode: str = "RGB", width: int = 320, height: int = 240) -> Image.Image:
    """Soft colours under some noise: it shrinks as photographs do."""
    soft = [Image.linear_gradient("L"), Image.radial_gradient("L"), Image.linear_gradient("L").rotate(90)]
    image = Image.merge("RGB", soft).resize((width, height))
    image = ImageChops.add(image, Image.effect_noise((width, height), 40).convert("RGB"), scale=1.3)
    if "A" in mode:
        image.putalpha(Image.radial_gradient("L").resize((width, height)))
    return image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)


def written(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


async def shrunk(content: bytes, limit_bytes: int) -> Fitted:
    fitted = await fit(content, image_facts(content), limit_bytes)
    assert fitted.shrunk
    assert len(fitted.content) <= limit_bytes
    facts = image_facts(fitted.content)
    assert (facts.kind, facts.width, facts.height) == (fitted.kind, fitted.width, fitted.height)
    assert read(fitted.content).size == (fitted.width, fitted.height)
    return fitted


async def refusal(content: bytes, facts: ImageFacts, limit_bytes: int) -> str:
    with pytest.raises(PictureUnusable) as raised:
        await fit(content, facts, limit_bytes)
    return raised.value.reason


# What fits


@pytest.mark.parametrize("kind", MODES)
async def test_what_fits_to_the_byte_is_left_as_it_is(kind: str):
    content = written(scene(MODES[kind][0]), kind)
    fitted = await fit(content, image_facts(content), len(content))
    assert (fitted.content, fitted.width, fitted.height) == (content, 320, 240)
    assert (fitted.shrunk, fitted.first_frame_only) == (False, False)


async def test_what_fits_is_not_decoded():
    content = written(scene())
    damaged = content[:200] + bytes(100) + content[300:]
    assert (await fit(damaged, image_facts(damaged), len(damaged))).content == damaged


@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
async def test_a_files_extension_is_its_kinds(kind: str, extension: str):
    content = written(scene(), kind)
    assert (await fit(content, image_facts(content), len(content))).extension == extension


# What does not


@settings(max_examples=60)
@given(
    kind_and_mode=st.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes]),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    share=st.floats(0.02, 0.999),
)
async def test_whatever_is_shrunk_is_within_the_limit_and_readable(
    kind_and_mode: tuple[str, str], width: int, height: int, share: float
):
    kind, mode = kind_and_mode
    content = written(scene(mode, width, height), kind)
    limit = int(len(content) * share)
    if limit >= 1_000:
        await shrunk(content, limit)
        return
    # Of a picture this small most is header, which nothing makes smaller.
    with contextlib.suppress(PictureUnusable):
        await shrunk(content, limit)


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
async def test_any_kind_is_shrunk_in_the_proportions_it_had(kind: str, share: float):
    content = written(scene(MODES[kind][-1]), kind)
    fitted = await shrunk(content, int(len(content) * share))
    assert abs(fitted.width - fitted.height * 320 / 240) <= 2


async def test_a_png_loses_nothing_where_a_better_packing_is_enough():
    image = scene()
    content = written(image, compress_level=1)
    fitted = await shrunk(content, int(len(content) * 0.95))
    assert ImageChops.difference(read(fitted.content).convert("RGB"), image).getbbox() is None


async def test_pixels_are_kept_as_long_as_lower_quality_is_enough():
    content = written(scene())
    fitted = await shrunk(content, len(content) // 4)
    assert (fitted.width, fitted.height) == (320, 240)


async def test_more_room_is_used_for_better_quality():
    image = scene()
    content = written(image)
    errors = []
    for share in (0.5, 0.25, 0.02):
        fitted = await shrunk(content, int(len(content) * share))
        again = read(fitted.content).convert("RGB").resize(image.size)
        errors.append(sum(ImageStat.Stat(ImageChops.difference(again, image)).mean))
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]


async def test_pixels_go_where_quality_alone_is_not_enough_and_the_room_is_used():
    content = written(scene(width=600, height=400))
    limit = len(content) // 50
    fitted = await shrunk(content, limit)
    assert fitted.width < 600
    assert len(fitted.content) > 0.6 * limit


async def test_the_same_picture_is_always_shrunk_to_the_same_bytes():
    content = written(scene())
    assert await shrunk(content, 9_000) == await shrunk(content, 9_000)


async def test_what_cannot_be_made_small_enough_is_said_to_be():
    content = written(scene())
    assert (await refusal(content, image_facts(content), 40)).startswith("cannot be made small enough")


async def test_a_side_longer_than_webp_allows_is_scaled():
    content = written(scene(width=20_000, height=30))
    fitted = await shrunk(content, len(content) - 1)
    assert fitted.width == 16_383


async def test_of_a_huge_picture_sixteen_megapixels_are_kept():
    content = written(Image.new("RGB", (5_000, 5_000), "teal"), "JPEG")
    fitted = await shrunk(content, len(content) - 1)
    assert (fitted.width, fitted.height) == (4_000, 4_000)


# What is kept and what is not


async def test_transparency_is_kept():
    content = written(scene("RGBA"))
    alpha = read((await shrunk(content, len(content) // 3)).content).getchannel("A")
    assert alpha.getpixel((0, 0)) > 200
    assert alpha.getpixel((160, 120)) < 55


async def test_a_channel_of_transparency_that_hides_nothing_is_let_go():
    image = scene("RGB")
    image.putalpha(255)
    content = written(image)
    assert read((await shrunk(content, len(content) // 3)).content).mode == "RGB"


async def test_the_transparent_colour_of_a_palette_is_kept():
    image = scene("RGB").quantize(32)
    image.paste(image.getpixel((0, 0)), (0, 0, 160, 240))
    content = written(image, transparency=image.getpixel((0, 0)))
    fitted = read((await shrunk(content, len(content) // 2)).content)
    assert fitted.mode == "RGBA"
    assert fitted.getpixel((20, 20))[3] < 20


async def test_greys_of_sixteen_bits_keep_their_brightness():
    grey = Image.linear_gradient("L").resize((200, 200))
    noisy = ImageChops.add(grey, Image.effect_noise(grey.size, 30), scale=1.5)
    deep = Image.frombytes("I;16", noisy.size, b"".join(struct.pack("<H", value * 257) for value in noisy.tobytes()))
    content = written(deep)
    again = read((await shrunk(content, len(content) // 4)).content).convert("L").resize(noisy.size)
    assert abs(ImageStat.Stat(again).mean[0] - ImageStat.Stat(noisy).mean[0]) < 3


async def test_a_picture_that_lies_on_its_side_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3, orientation: the first row is the right side
    image = scene()
    image.paste("red", (0, 0, 320, 60))
    content = written(image, "JPEG", exif=exif, quality=95)
    fitted = await shrunk(content, len(content) // 2)
    assert (fitted.width, fitted.height) == (240, 320)
    red, green, _ = read(fitted.content).getpixel((230, 160))
    assert red > 200 > 60 > green


async def test_metadata_is_left_behind_and_a_small_colour_profile_kept():
    exif = Image.Exif()
    exif[0x010E] = "where and when"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = written(scene(), "JPEG", exif=exif, comment=b"by whom", icc_profile=profile, quality=95)
    fitted = await shrunk(content, len(content) // 2)
    assert not read(fitted.content).getexif()
    assert read(fitted.content).info["icc_profile"] == profile
    assert b"where and when" not in fitted.content
    assert b"by whom" not in fitted.content


async def test_a_huge_colour_profile_is_left_behind():
    content = written(scene(), "PNG", icc_profile=bytes(100_000))
    assert "icc_profile" not in read((await shrunk(content, len(content) // 2)).content).info


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
async def test_unreadable_exif_does_no_harm():
    content = written(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20), quality=95)
    assert (await shrunk(content, len(content) // 2)).width == 320


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
async def test_of_what_moves_the_first_frame_is_kept_and_said_to_be(kind: str):
    frames = [scene(), Image.new("RGB", (320, 240), "black")]
    content = written(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    fitted = await shrunk(content, len(content) // 3)
    assert fitted.first_frame_only
    assert ImageStat.Stat(read(fitted.content).convert("L")).mean[0] > 50


async def test_a_still_picture_is_not_said_to_have_moved():
    content = written(scene(), "GIF")
    assert not (await shrunk(content, len(content) // 3)).first_frame_only


async def test_a_jpeg_with_a_preview_inside_is_not_said_to_have_moved():
    content = written(scene(), "MPO", save_all=True, append_images=[scene(width=32, height=24)])
    assert not (await shrunk(content, len(content) // 3)).first_frame_only


# Damage and traps


@pytest.mark.parametrize(("kind", "start"), [("PNG", 33), ("WEBP", 20), ("GIF", 13)])
async def test_damage_found_in_decoding_is_said(kind: str, start: int):
    content = bytearray(written(scene(), kind))
    middle = len(content) // 2
    content[start:middle] = bytes(middle - start)
    facts = ImageFacts(kind=image_facts(written(scene(), kind)).kind, width=320, height=240, size_bytes=len(content))
    assert (await refusal(bytes(content), facts, 1_000)).startswith("is damaged")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150)
@given(kind=st.sampled_from(list(MODES)), place=st.floats(0, 1), noise=st.binary(min_size=1, max_size=40))
async def test_no_bytes_raise_anything_but_unusable(kind: str, place: float, noise: bytes):
    whole = written(scene(width=60, height=40), kind)
    start = int(place * len(whole))
    content = whole[:start] + noise + whole[start + len(noise) :]
    facts = ImageFacts(kind=image_facts(whole).kind, width=60, height=40, size_bytes=len(content))
    try:
        fitted = await fit(content, facts, 700)
    except PictureUnusable:
        return
    assert len(fitted.content) <= 700


async def test_a_frame_far_larger_than_its_gif_claims_to_be_is_not_decoded():
    content = bytearray(written(Image.new("P", (20, 20)), "GIF"))
    at = content.index(b"\x2c", 13 + 3 * 2)
    content[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    facts = image_facts(bytes(content))
    assert (facts.width, facts.height) == (20, 20)
    assert (await refusal(bytes(content), facts, 10)).startswith("is damaged")


async def test_a_picture_larger_than_its_facts_is_not_decoded():
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = written(scene(width=9, height=9))
    content = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    facts = ImageFacts(kind="png", width=9, height=9, size_bytes=len(content))
    assert (await refusal(content, facts, 10)).startswith("is damaged")


async def test_a_picture_that_is_not_as_large_as_its_facts_is_refused():
    content = written(scene(width=9, height=9))
    facts = ImageFacts(kind="png", width=10, height=9, size_bytes=len(content))
    assert (await refusal(content, facts, 10)).startswith("is damaged: it contradicts itself")


async def test_pillows_own_bound_is_as_it_was_afterwards():
    before = Image.MAX_IMAGE_PIXELS
    content = written(scene())
    await shrunk(content, len(content) // 3)
    assert before == Image.MAX_IMAGE_PIXELS


async def test_the_loop_runs_on_while_a_picture_is_shrunk():
    content = written(scene(width=800, height=600))
    shrinking = asyncio.create_task(fit(content, image_facts(content), len(content) // 30))
    turns = 0
    while not shrinking.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await shrinking).shrunk
    assert turns > 10
