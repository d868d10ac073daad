"""The experiments of ``benchmarks.reliability``: which tests, and how often."""

from dataclasses import dataclass

#: Inputs that a fuzz test can generate within the usual time limit of a test.
DEFAULT_EXAMPLES = 100


@dataclass(frozen=True)
class Experiment:
    """Tests, and how often they are run.

    Args:
        title: what is tested, for the table.
        tests: a file, and an expression for pytest's ``-k`` that selects its tests.
        times: how often each test is run.
        examples: how many inputs each fuzz test generates.
    """

    title: str
    tests: tuple[str, str]
    times: int = 1
    examples: int = DEFAULT_EXAMPLES


EXPERIMENTS = {
    "killed": Experiment(
        "a run is killed at a random moment and resumed; then weights, optimisers, random states, "
        "order of data, rates, logs and pictures are bit for bit those of an uninterrupted run",
        ("test_resume.py", "test_a_killed_run"),
        times=3,
    ),
    "killed-ddp": Experiment(
        "the same, with two processes",
        ("test_resume.py", "test_two_killed"),
    ),
    "logs": Experiment(
        "a run that logs to CSV and Weights & Biases is stopped or killed, and both logs continue",
        ("test_resume.py", "test_all_logs"),
    ),
    "loaders": Experiment(
        "a run is resumed under each flag that shortens, repeats or makes loaders anew; then its "
        "batches and weights are those of an uninterrupted run",
        ("test_loaders.py", "test_"),
    ),
    "changed": Experiment(
        "a run is resumed with other hyperparameters, which it uses or refuses by name, or a new "
        "one starts from its weights",
        ("test_changes.py", "test_"),
    ),
    "signals": Experiment(
        "SIGTERM, SIGINT, and a job that SLURM requeues: stopped, saved, resumed exactly",
        ("test_signals.py", "test_"),
    ),
    "equality": Experiment(
        "two processes end with the weights of one with twice the batch, after 20 updates",
        ("test_equality.py", "weights_of_one or on_points_too or with_labels_too"),
    ),
    "ddp": Experiment(
        "two processes train, evaluate and exit in time",
        ("test_equality.py", "come_to_their_end"),
        times=50,
    ),
    "together": Experiment(
        "two commands that start at the same moment have a folder each",
        ("test_together.py", "test_"),
        times=20,
    ),
    "divergence": Experiment(
        "a loss or a weight that is not finite stops the run, and the last checkpoint is good",
        ("test_divergence.py", "test_"),
    ),
    "storage": Experiment(
        "full or read-only disks, truncated files, files of other models and versions",
        ("test_storage.py", "test_"),
    ),
    "untrusted": Experiment(
        "files that try to run, delete or write something", ("test_untrusted.py", "test_")
    ),
    "fuzz-command-lines": Experiment(
        "random command lines", ("test_fuzz.py", "test_a_command_line"), examples=10_000
    ),
    "fuzz-configs": Experiment(
        "random configs", ("test_fuzz.py", "test_a_config"), examples=10_000
    ),
    "fuzz-records": Experiment(
        "random records", ("test_fuzz.py", "test_a_record"), examples=10_000
    ),
    "fuzz-caches": Experiment(
        "random image caches", ("test_fuzz.py", "test_a_cache"), examples=10_000
    ),
    "fuzz-features": Experiment(
        "random cached features", ("test_fuzz.py", "test_statistics"), examples=10_000
    ),
}
