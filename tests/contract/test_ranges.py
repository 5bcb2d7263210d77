"""Version ranges: what is told without `packaging` is what `packaging` says."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from trader_sdk.contract.errors import ContractError
from trader_sdk.contract.ranges import admits

_NUMBER = st.integers(0, 3)
_RELEASE = st.tuples(_NUMBER, _NUMBER, _NUMBER).map(lambda numbers: ".".join(map(str, numbers)))
_VERSION = st.one_of(_RELEASE, st.sampled_from(["2.0", "1.0.0rc1", "2.0.0a3", "1!2.0.0", "2.0.0.post1", "02.0.0"]))
_CLAUSE = st.builds("{}{}".format, st.sampled_from([">=", "<=", "==", "<", ">", "!=", "~=", ">= "]), _VERSION)


@given(st.lists(_CLAUSE, max_size=4).map(",".join), _VERSION)
def test_admits_says_what_packaging_says(specifier: str, version: str) -> None:
    """Any range and any version, plain or not, has the answer of the library that defines them."""
    assert admits(specifier, version, "test") is SpecifierSet(specifier).contains(version, prereleases=True)


@pytest.mark.parametrize("text", ["newest", ">=2.7.0;<3", ">=2.7.0,,x", "2.7.0"])
def test_admits_refuses_what_is_no_range(text: str) -> None:
    """A text that is no specifier is a typed error, never an answer."""
    with pytest.raises(ContractError) as refused:
        admits(text, "2.7.0", "requires_trader")
    assert (refused.value.code, refused.value.where) == ("E301", "requires_trader")


def test_admits_of_plain_releases_imports_no_specifiers() -> None:
    """The answer for a range of the matrix costs no import of `packaging.specifiers`."""
    code = (
        "import sys; from trader_sdk.contract.ranges import admits;"
        "assert admits('>=2.3.0,<2.8.0', '2.7.0', 'matrix'); assert 'packaging.specifiers' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
