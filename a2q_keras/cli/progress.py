"""Progress of training, on standard error."""

from __future__ import annotations

import contextlib

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def epochs_shown(console, label: str, epochs: int):
    """A Keras callback that shows a bar of epochs with their logs while the context lasts."""
    from a2q_keras.zoo.train import EpochProgress

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.fields[text]}"), console=console) as progress:
        task = progress.add_task(label, total=epochs, text="")
        yield EpochProgress(lambda text: progress.update(task, advance=1, text=text))
