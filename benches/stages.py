"""Sums the stacks that `perf script` prints by stage of an ingest."""

import collections
import sys

HERTZ = 299

# The first stage one of whose names is in one of the frames has the sample.
STAGES = {
    # What the benchmark itself does.
    None: ["plain_files", "bench_rows", "twinfold_benches::"],
    "encode": ["wire::record::encode", "twinfold_client::"],
    "append to the log": [
        "store_topic::embedded::partition",
        "store_topic::embedded::topic",
        "store_topic::embedded::block::PreparedBlock",
        "store_topic::embedded::segment",
    ],
    "read the log": ["store_topic::"],
    "write online": ["store_online::", "twinfold_onlinefs::"],
    "decode for history": ["twinfold_offlinefs::"],
    "write history": ["store_offline::", "parquet::", "deltalake"],
    "inspect, group, hand over": ["twinfold_ingest::"],
    "rest": [""],
}


def stage_of(frames):
    for stage, names in STAGES.items():
        if any(name in frame for frame in frames for name in names):
            return stage
    raise AssertionError("the rest has everything")


def main():
    samples = collections.Counter()
    in_kernel = collections.Counter()
    for stack in sys.stdin.read().split("\n\n"):
        lines = stack.strip().split("\n")[1:]
        if not lines:
            continue
        calls = [line.strip().split(" ", 1) for line in lines if " " in line.strip()]
        addresses, frames = zip(*calls, strict=True)
        stage = stage_of(frames)
        samples[stage] += 1
        in_kernel[stage] += addresses[0].startswith("ffffffff")
    del samples[None]
    total = samples.total()
    print(f"{'stage':<28}{'seconds':>8}{'share':>8}{'of it kernel':>14}")
    for stage, count in samples.most_common():
        kernel = in_kernel[stage] / count
        print(f"{stage:<28}{count / HERTZ:>8.2f}{count / total:>8.0%}{kernel:>14.0%}")
    print(f"{'all':<28}{total / HERTZ:>8.2f}")


main()
