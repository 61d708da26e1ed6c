from dataclasses import dataclass
from typing import Annotated

import pytest

from experiments.common.flags import Flags, UsageError, above, at_least, check_flags, one_of


@dataclass(frozen=True)
class Some(Flags):
    count: Annotated[int, at_least(2)] | None = None
    rates: Annotated[tuple[float, ...], above(0)] = ()
    kind_of_fruit: tuple[Annotated[str, one_of(["apple", "pear"])], ...] = ("apple",)


def test_flags_within_their_bounds_are_taken():
    check_flags(Some())
    check_flags(Some(count=2, rates=(0.1, 3), kind_of_fruit=("pear", "apple")))
    assert Flags(seeds=3, seed=5).all_seeds == [5, 6, 7]


@pytest.mark.parametrize(("given", "message"), [
    ({"count": 1}, "--count: found 1, expected at least 2"),
    ({"rates": (0.1, 0.0)}, "--rates: found 0.0, expected a number above 0"),
    ({"rates": (float("inf"),)}, "--rates: found inf, expected a number above 0"),
    ({"rates": (float("nan"),)}, "--rates: found nan, expected a number above 0"),
    ({"kind_of_fruit": ("pear", "plum")}, "--kind-of-fruit: found plum, expected one of apple, pear"),
    ({"seeds": 0}, "--seeds: found 0, expected at least 1"),
    ({"seed": -1}, "--seed: found -1, expected at least 0"),
])  # fmt: skip
def test_flags_out_of_their_bounds_are_refused(given, message):
    with pytest.raises(UsageError) as error:
        check_flags(Some(**given))
    assert str(error.value) == message


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--out: found the file .*, expected a folder"):
        check_flags(Some(out=tmp_path / "file"))
