"""Interrupted trainings."""

import train


def stop_at(monkeypatch, when: float, error: type[BaseException] = KeyboardInterrupt) -> None:
    """Let the run be interrupted at an epoch (with its fraction), once."""
    real = train.learning_rate

    def learning_rate(epoch: float, **options) -> float:
        if epoch >= when:
            monkeypatch.setattr(train, "learning_rate", real)
            raise error
        return real(epoch, **options)

    monkeypatch.setattr(train, "learning_rate", learning_rate)
