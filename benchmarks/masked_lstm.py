"""Beats a second of a bidirectional LSTM with 128 cells that stops where each beat ends, against
packed sequences (what torch offers) and against the limit: beats of one length, without padding.

`python benchmarks/masked_lstm.py [--quick]`; one thread, both passes of batches of 128.
"""

import argparse
import time

import torch
from torch import nn

from biosig_nb.learn.recipe import resolve_precision
from biosig_nb.models.masked_recurrent import MaskedLast

BATCH, CELLS = 128, 128


class Packed(nn.Module):
    "The same layer with torch's packed sequences."

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(1, CELLS, batch_first=True, bidirectional=True)

    def forward(self, x):
        ends = (x[:, 0] != 0).sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), ends, batch_first=True, enforce_sorted=False
        )
        return self.layer(packed)[1][0].transpose(0, 1).flatten(1)


def rate(layer, x, seconds):
    "Beats a second, forward and backward."

    def step():
        with torch.autocast(
            "cpu", torch.bfloat16, enabled=resolve_precision("auto") == "bf16-mixed"
        ):
            loss = layer(x).float().square().mean()
        loss.backward()

    step()
    n, start = 0, time.perf_counter()
    while n == 0 or time.perf_counter() - start < seconds:
        step()
        n += 1
    return n * len(x) / (time.perf_counter() - start)


def main(argv=None):
    "The table, printed."
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--quick", action="store_true", help="one step a layer, to see that it runs")
    seconds, rounds = (0, 1) if a.parse_args(argv).quick else (2, 3)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # 75 beats a minute at 125 Hz, give or take
    ends = (torch.randn(BATCH) * 25 + 100).round().clamp(40, 187).long()
    beats = torch.rand(BATCH, 1, 187).clamp_min(0.01) * (torch.arange(187) < ends[:, None])[:, None]
    even = torch.rand(BATCH, 1, int(ends.float().mean())).clamp_min(0.01)
    layers = (
        (MaskedLast(CELLS, nn.LSTM, True), beats),
        (Packed(), beats),
        (MaskedLast(CELLS, nn.LSTM, True, masked=False), even),
    )
    # in turn, the best of each
    ours, packed, limit = map(
        max, zip(*[[rate(layer, x, seconds) for layer, x in layers] for _ in range(rounds)])
    )
    print(
        f"MaskedLast {ours:,.0f} beats/s; packed sequences {packed:,.0f} beats/s: "
        f"{ours / packed:.1f} times as fast; without padding {limit:,.0f} beats/s: "
        f"{ours / limit:.0%} of the limit ({resolve_precision('auto')})"
    )


if __name__ == "__main__":
    main()
