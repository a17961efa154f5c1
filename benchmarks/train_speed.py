"""How much of the time in which a network learns goes to the network: `python
benchmarks/train_speed.py [--rounds N] [--updates N] [--batch N] [--quick]`.

The limit is a bare loop over one batch that lies in memory (on the GPU if there is one): forward,
backward, AdamW, the same precision, nothing else. Two ways of training are set against it, as a
share of its samples a second:

  fit_once   the training loop of `learn.fit`, ResNet-18 (1-D, with mask), random crops of 2560
      samples from recordings of 7680. What is missing to 100 % is cutting batches, carrying them to
      the device, Lightning, and the check that each loss is finite.
  sampler    the bare loop, but each batch of segments of 2048 samples is drawn and read by
      `data.segments.ecg_segments.batches` from simulated Holter recordings on disk, in the same
      process, planning included.

Both are timed in turns, a round of each after the other, so that whatever else the machine does
hits both; a share is the median of the rounds' ratios, with the lowest and the highest beside it.
One round before is not counted. Without a GPU one thread works and processor time is taken, so that
other programs disturb less; waiting for a disk is then not seen. A share above 100 % is noise: look
at the spread, and take more --rounds.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
import argparse
import itertools
import statistics
import tempfile
import time

import torch

from biosig_nb.learn import fit as module
from biosig_nb.learn.fit import fit_once
from biosig_nb.learn.learner import set_train_mode
from biosig_nb.learn.losses import example_losses
from biosig_nb.learn.recipe import Examples, Recipe, crop_batch, resolve_precision
from biosig_nb.models.resnet_v2 import ResNet18

RECORDING, CROP, SEGMENT, CLASSES, LR = 7680, 2560, 2048, 6, 1e-3
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now():
    "Seconds: on a GPU of the clock, with its work done; else of the processor."
    if DEVICE.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def recordings(n):
    "Strips of noise with a mask that is 1 all along [n, 2, 7680]."
    x = torch.stack([torch.randn(n, RECORDING), torch.ones(n, RECORDING)], 1)
    return Examples(
        x, torch.arange(n) % CLASSES, torch.ones(n), torch.tensor([[0, RECORDING]]).repeat(n, 1)
    )


def bare(masked, precision, fixed, batches):
    "Seconds an update of a bare loop over `batches`, after one update on the batch `fixed`."
    net = ResNet18(CLASSES, masked=masked).to(DEVICE)
    set_train_mode(net)
    opt = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=Recipe.weight_decay)

    def update(x, y, w):
        opt.zero_grad()
        with torch.autocast(
            DEVICE.type, torch.bfloat16, enabled=resolve_precision(precision) == "bf16-mixed"
        ):
            out = net(x).float()
        ((example_losses(out, y) * w).sum() / w.sum()).backward()
        opt.step()

    update(*fixed)
    n, start = 0, now()
    for batch in batches:
        update(*(t.to(DEVICE) for t in batch))
        n += 1
    return (now() - start) / n


class Timed(module.IntervalBatches):
    """The batches of an interval, and the seconds an update between the first and the last, which
    Lightning does not come back from.
    """

    def __iter__(self):
        for i, batch in enumerate(super().__iter__()):
            yield batch
            if i == 0:
                start = now()
            if i == len(self) - 2:
                Timed.seconds = (now() - start) / i


def fitted(data, recipe):
    "Seconds an update of `fit_once`, without its first and its last."
    whole, module.IntervalBatches = module.IntervalBatches, Timed
    try:
        fit_once(ResNet18(CLASSES, masked=True), data, recordings(2), recipe, LR, devices=1)
    finally:
        module.IntervalBatches = whole
    return Timed.seconds


def shares(limit, way, rounds):
    "Ratios of the limit's seconds to the way's, one a round; the first is left out."
    return [limit() / way() for _ in range(rounds + 1)][1:]


def fit_shares(precision, a):
    "`fit_once` against the bare loop on one of its batches."
    data = recordings(8 * a.batch)
    recipe = Recipe(
        max_updates=a.updates + 2,
        check_every=a.updates + 2,
        batch_size=a.batch,
        precision=precision,
        crop=CROP,
    )
    fixed = [t.to(DEVICE) for t in crop_batch(data, torch.arange(a.batch), CROP, 0, 0)]
    return shares(
        lambda: bare(True, precision, fixed, itertools.repeat(fixed, a.updates)),
        lambda: fitted(data, recipe),
        a.rounds,
    )


def sampler_shares(precision, a):
    """The bare loop on frames as they are read against the bare loop on one batch of them.

    None where wfdb, which simulates them, is missing.
    """
    try:
        from biosig_nb.data.databases.icentia11k_continuous_ecg import IcentiaSource
        from biosig_nb.data.segments.ecg_segments import SegmentSampler, batches
        from biosig_nb.data.simulate.icentia11k_continuous_ecg import simulate_holter
    except ImportError:
        return None
    patients, epoch = 4, itertools.count()
    with tempfile.TemporaryDirectory() as tmp:
        sampler = SegmentSampler(
            IcentiaSource(simulate_holter(tmp, n_patients=patients, n_recordings=1)),
            SEGMENT,
            per_patient=a.batch * a.updates // patients,
        )
        assert len(sampler.classes) <= CLASSES

        def stream():
            for f in batches(sampler, a.batch, next(epoch)):
                yield torch.from_numpy(f.x), torch.from_numpy(f.y), torch.ones(len(f.y))

        fixed = [t.to(DEVICE) for t in next(stream())]
        return shares(
            lambda: bare(False, precision, fixed, itertools.repeat(fixed, a.updates)),
            lambda: bare(False, precision, fixed, stream()),
            a.rounds,
        )


def main(argv=None):
    "The table, printed."
    gpu = DEVICE.type == "cuda"
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--rounds",
        type=int,
        default=5 if gpu else 3,
        help="rounds that count (default %(default)s)",
    )
    p.add_argument(
        "--updates",
        type=int,
        default=40 if gpu else 2,
        help="updates a round (default %(default)s)",
    )
    p.add_argument(
        "--batch",
        type=int,
        default=512 if gpu else 32,
        help="examples an update, a multiple of 4 (default %(default)s)",
    )
    p.add_argument("--quick", action="store_true", help="one small round, to see that it runs")
    a = p.parse_args(argv)
    if a.quick:
        a.rounds, a.updates, a.batch = 1, 2, 4
    if a.rounds < 1 or a.updates < 1 or a.batch < 4 or a.batch % 4:
        p.error("at least one round of one update, and a batch that 4 divides")
    torch.set_num_threads(1)
    device = torch.cuda.get_device_name() if gpu else "CPU, one thread"
    print(
        f"ResNet-18, 1-D, batch {a.batch}, {device}; {a.rounds} rounds of {a.updates} updates; "
        f"share of the compute-only limit"
    )
    print(f"{'batches':32} {'precision':24} {'share':>7} {'lowest':>7} {'highest':>8}")
    for name, way, precision in (
        (f"fit_once, {CROP} of {RECORDING}", fit_shares, "auto"),
        (f"fit_once, {CROP} of {RECORDING}", fit_shares, "32-true"),
        (f"sampler, frames of {SEGMENT}", sampler_shares, "auto"),
    ):
        found, said = (
            way(precision, a),
            precision
            if resolve_precision(precision) == precision
            else f"{precision} ({resolve_precision(precision)})",
        )
        print(
            f"{name:32} {said:24} "
            + (
                f"{statistics.median(found):7.1%} {min(found):7.1%} {max(found):8.1%}"
                if found
                else "left out: wfdb is missing"
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
