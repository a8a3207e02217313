import threading
import time

import pytest

from pix2pix.data.validate import map_ordered


def test_results_come_in_order_whichever_is_ready_first():
    assert list(map_ordered(lambda index: (time.sleep(0.002 * (index % 3)), index)[1], 40)) == list(range(40))


def test_what_one_raises_comes_in_its_turn_and_ends_the_threads():
    def work(index):
        if index == 3:
            raise ValueError("three")
        return index

    before = threading.active_count()
    results = map_ordered(work, 100)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == before


def test_no_more_is_done_than_a_few_ahead():
    done = []
    results = map_ordered(done.append, 1000)
    next(results)
    results.close()
    assert len(done) < 30
