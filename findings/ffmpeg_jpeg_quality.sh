#!/usr/bin/env bash
# The quality of the frames that "ffmpeg -i film.mp4 img_%05d.jpg" writes.
#
# Expected: all images of a film have the same quality, and "-q:v 0" or "-q:v 1" is the best one.
# What happens: without an option, ffmpeg's JPEG encoder aims at 200 kbit/s, as if the images were a film. The first
#   images are good, but within ten frames the quality falls to what that rate allows. "-q:v 0", "-q:v 1" and "-q:v 2"
#   give identical files, because the scale ends at 2 unless "-qmin 1" is given as well.
# Why it matters: in every clip the first frames are sharp and the others blurred by compression. This is a cue for
#   time that a network can learn and that other videos do not have. Larger frames lose more.
# Instead: always give "-q:v 2" (or "-qmin 1 -q:v 1"), or write PNG.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 imageio-ffmpeg==0.8.1 pillow==12.3.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import subprocess
import sys
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageFilter

COUNT, SHOWN = 60, (0, 2, 5, 10, 20, 40, 59)
noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 900, 3), dtype=np.uint8))
scene = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.5)))
scene = ((scene - scene.min()) * (255.0 / (scene.max() - scene.min()))).astype(np.uint8)
with av.open("film.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
    stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
    for number in range(COUNT):  # the camera pans over a textured scene
        picture = np.ascontiguousarray(scene[:, 8 * number : 8 * number + 340])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))
with av.open("film.mp4") as container:
    film = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]


def extract(*options):
    """For each image its distance from the film in brightness, PSNR in dB, and all their bytes."""
    for image in Path().glob("img_*.jpg"):
        image.unlink()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", "film.mp4", *options, "img_%05d.jpg"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    paths = sorted(Path().glob("img_*.jpg"))
    luma = [np.asarray(Image.open(path).convert("L"), dtype=float) for path in paths]
    errors = [np.mean((image - frame) ** 2) for image, frame in zip(luma, film, strict=True)]
    return [round(float(10 * np.log10(255**2 / error)), 1) for error in errors], [path.read_bytes() for path in paths]


print(f"av {av.__version__}, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}; frames {SHOWN} of {COUNT}, 340 x 256")
results = {}
for options in ("", "-q:v 2", "-q:v 1", "-q:v 0", "-qmin 1 -q:v 1"):
    quality, files = results[options] = extract(*options.split())
    print(f"    {options or 'no option':<15}", "dB", [quality[k] for k in SHOWN], "kB", [len(files[k]) // 1000 for k in SHOWN])
default, best = results[""][0], results["-q:v 2"]
if default[0] - default[-1] < 5 or min(best[0]) < default[-1] + 5 or not best[1] == results["-q:v 0"][1] == results["-q:v 1"][1]:
    sys.exit("the behaviour has changed")
if results["-qmin 1 -q:v 1"][1] == best[1]:
    sys.exit("the behaviour has changed")
EOF
