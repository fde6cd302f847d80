"""A thread that reads ahead."""

import itertools

import pytest

from datasets.reading.read_ahead import ReadAhead


def test_all_items_in_order_and_the_error_at_its_place() -> None:
    def items():
        yield from range(5)
        raise OSError("unplugged")

    found = []
    with ReadAhead(items(), 2) as ahead, pytest.raises(OSError, match="unplugged"):
        found.extend(ahead)
    assert found == list(range(5))


@pytest.mark.parametrize("most", [0, 3])
def test_the_thread_ends_with_the_block(most: int) -> None:
    with ReadAhead(itertools.count(), most) as ahead:
        assert next(iter(ahead)) == 0
    assert not ahead.is_alive()
