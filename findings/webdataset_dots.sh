#!/usr/bin/env bash
# Clips whose names contain decimal points (start and end in seconds), packed into shards for WebDataset.
#
# Expected: "abc_12.0_22.0.mp4" and "abc_12.5_22.5.mp4" are two samples with the field "mp4".
# What happens: the key ends at the first dot, so both files have the key "abc_12". As they follow each other in the
#   shard, they become one sample with the fields "0_22.0.mp4" and "5_22.5.mp4"; the same happens to the labels.
#   Reading the shard raises nothing. to_tuple("mp4", "cls") fails, or drops every sample if errors are ignored, as in
#   most training pipelines.
# Why it matters: clips cut by detectors or annotators are often named by times with decimals. A dataset of a million
#   clips then yields fewer samples or none, and counting the files in the tar does not show it.
# Instead: name clips without dots (milliseconds: abc_12000_22000.mp4) before packing, and compare both counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import io
import sys
import tarfile
from importlib.metadata import version

import webdataset

CLIPS = [("abc", 12.0, 22.0), ("abc", 12.5, 22.5), ("abc", 30.2, 40.2), ("xyz", 7.0, 9.0), ("xyz", 7.4, 9.4)]
NAMES = {
    "seconds with decimals": lambda video, start, end: f"{video}_{start}_{end}",
    "milliseconds": lambda video, start, end: f"{video}_{1000 * start:.0f}_{1000 * end:.0f}",
}

print(f"webdataset {version('webdataset')}: {len(CLIPS)} clips, each with a label")
found = {}
for kind, name in NAMES.items():
    with tarfile.open("shard.tar", "w") as shard:
        for number, clip in enumerate(CLIPS):
            for ending, content in (("mp4", b"the film %d" % number), ("cls", b"%d" % number)):
                member = tarfile.TarInfo(f"{name(*clip)}.{ending}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    samples = list(webdataset.WebDataset("shard.tar", shardshuffle=False))
    fields = [[field for field in sample if not field.startswith("__")] for sample in samples]
    films = [sample["mp4"] for sample in samples if "mp4" in sample]
    pairs = webdataset.WebDataset("shard.tar", shardshuffle=False)
    pairs = list(pairs.to_tuple("mp4", "cls", handler=webdataset.ignore_and_continue))
    found[kind] = len(samples), len(films), len(pairs)
    print(f"    {kind}: {len(samples)} samples, {len(films)} with a field mp4, {len(pairs)} pairs of film and label")
    for sample, names in zip(samples, fields, strict=True):
        print(f"        {sample['__key__']:<20} {names}")
sys.exit("the behaviour has changed" if found != {"seconds with decimals": (3, 0, 0), "milliseconds": (5, 5, 5)} else 0)
EOF
