"""The smallest study there can be: waveforms in noise, which need no recordings."""

from torch import nn

from biosig_nb.data.simulate.world import simulate_world
from biosig_nb.learn.arms import arms_named
from biosig_nb.learn.comparators import features_comparator
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.splits import grouped_kfold, holdout
from biosig_nb.learn.task import Task
from biosig_nb.learn.transforms import Standardise
from biosig_nb.learn.trial import Trial
from biosig_nb.studies.parameters import wanted_protocols
from biosig_nb.studies.study import Cohorts, Study


class ToyNet(nn.Module):
    "Eight filters and a global maximum."

    def __init__(self, n_classes: int):
        super().__init__()
        filters = nn.Conv1d(1, 8, 16)
        self.body = nn.Sequential(filters, nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Toy(Study):
    "Does a network that has learned a waveform on many patients find it on few?"

    def cohorts(self, p, data):
        return Cohorts(*simulate_world(p["shared"], n_target=p["patients"], seed=p["seed"]))

    def trials(self, p, c, data):
        how = Recipe(p["max_updates"], lrs=(1e-2,), check_every=10)
        energy = c.target.signals[:, 0].std(axis=1, keepdims=True)
        split = holdout(c.source.groups, c.source.labels, seed=p["seed"])
        source = Task("waveforms", c.source, (split,), how, Standardise())
        for protocol in wanted_protocols(p):
            splits = self.splits(c.target, p, protocol == "recommended")
            yield Trial(
                protocol,
                ToyNet,
                Task("few patients", c.target, splits, how, Standardise()),
                arms_named(p["arms"], source),
                comparators=(features_comparator("energy + logistic", energy, "linear", 1),),
                protocol=protocol,
                seeds=(p["seed"],),
                double_cap=False,
            )

    def splits(self, cohort, p, by_patient):
        if by_patient:
            return tuple(grouped_kfold(cohort.groups, cohort.labels, 2, seed=p["seed"]))
        names = cohort.table.index.to_numpy()
        return (holdout(names, cohort.labels, seed=p["seed"], unit="example"),)
