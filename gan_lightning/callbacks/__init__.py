"""Callbacks for scores, sample images, checkpoints, progress, logs and signals."""

from gan_lightning.callbacks.checkpoint import LastUpdate, RunCheckpoint
from gan_lightning.callbacks.clock import TrainingClock
from gan_lightning.callbacks.diversity import Diversity
from gan_lightning.callbacks.evaluate import Evaluate
from gan_lightning.callbacks.logs import ContinueLogs
from gan_lightning.callbacks.mistakes import FindMistakes
from gan_lightning.callbacks.progress import StepProgressBar
from gan_lightning.callbacks.samples import SampleGrid, SampleWriter
from gan_lightning.callbacks.signals import StopOnSignal
from gan_lightning.callbacks.singular_values import SingularValues
from gan_lightning.training.paths import checkpoint_folder, run_dir
from gan_lightning.training.summary import NetworkSummary

__all__ = [
    "ContinueLogs",
    "Diversity",
    "Evaluate",
    "FindMistakes",
    "LastUpdate",
    "NetworkSummary",
    "RunCheckpoint",
    "SampleGrid",
    "SampleWriter",
    "SingularValues",
    "StepProgressBar",
    "StopOnSignal",
    "TrainingClock",
    "checkpoint_folder",
    "run_dir",
]
