"""The bound on what happens in a second."""

from sandbox_gateway.process.each_second import EachSecond


def test_each_second_has_room_anew() -> None:
    bound = EachSecond(2)
    assert [bound.has_room(now) for now in (5.0, 5.5, 5.9, 6.0, 6.1, 6.2, 9.0)] == [
        *(True, True, False),
        *(True, True, False),
        True,
    ]
