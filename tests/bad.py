"""A wrong input with the one message that it gets."""

import pytest


def bad(name, action, error, message):
    """A row of a table: `action` raises exactly `error` with exactly `message`."""
    return pytest.param(action, error, message, id=name)


def assert_message(action, error, message):
    """Run a row of the table."""
    with pytest.raises(error) as caught:
        action()
    assert str(caught.value) == message
    assert type(caught.value) is error
